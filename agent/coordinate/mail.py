"""E-mail over SMTP (RFC 5321, 5322): one connection a message, encrypted, bounded in time."""

import re
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from tapwarden.agent.coordinate.smime import Smime
from tapwarden.model.errors import ChannelError, ConfigError

TIMEOUT_S = 20.0
REFUSED = range(500, 600)
"""Replies after which the same message is not tried again (RFC 5321 section 4.2.1)."""


@dataclass(frozen=True, slots=True)
class MailSettings:
    """A mail server. ``security`` is starttls, tls, or none; ``ca_file`` replaces the system's authorities."""

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password: str = ""
    ca_file: str = ""
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message."""

    name: str
    media_type: str
    content: bytes


class Mailer:
    """Sends messages. Raises ConfigError for a CA file that cannot be read."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        try:
            self._tls = ssl.create_default_context(cafile=settings.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"cannot use {settings.ca_file}: {error}", key="reporting.smtp.ca_file") from error

    def send(
        self,
        *,
        message_id: str,
        to: Sequence[str],
        subject: str,
        text: str,
        at: datetime,
        attachments: Sequence[Attachment] = (),
        headers: Sequence[tuple[str, str]] = (),
        smime: Smime | None = None,
    ) -> str:
        """Hand the message to the server; its last reply. The same ``message_id`` is the same message to readers.

        Raises ChannelError.
        """
        message = EmailMessage(policy=SMTP)
        message["From"] = _address(self._settings.sender)
        message["To"] = [_address(one) for one in to]
        message["Subject"] = _line(subject)[:300]
        message["Date"] = format_datetime(at)
        message["Message-ID"] = f"<{message_id}@{self._settings.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        for name, value in headers:
            message[name] = _line(value)
        content = message if smime is None else EmailMessage(policy=SMTP)
        content.set_content(text, cte="quoted-printable")
        for part in attachments:
            main, _, sub = part.media_type.partition("/")
            content.add_attachment(part.content, maintype=main, subtype=sub.partition(";")[0], filename=part.name)
        whole = message.as_bytes() if smime is None else _wrapped(message, content, smime)
        try:
            with self._connect() as server:
                refused = server.sendmail(self._settings.sender, list(to), whole)
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            raise ChannelError(
                f"refused every recipient: {_said(error.recipients)}", permanent=codes <= set(REFUSED)
            ) from error
        except smtplib.SMTPResponseException as error:
            said = f"{error.smtp_code} {_text(error.smtp_error)}"
            permanent = error.smtp_code in REFUSED and not isinstance(error, smtplib.SMTPAuthenticationError)
            raise ChannelError(f"answered {said}", permanent=permanent) from error
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise ChannelError(f"{type(error).__name__}: {error}") from error
        if refused:
            raise ChannelError(f"refused some recipients: {_said(refused)}")
        return "250"

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        if settings.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=settings.timeout_s, context=self._tls
            )
        else:
            server = smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout_s)
        try:
            if settings.security == "starttls":
                server.starttls(context=self._tls)
            if settings.user:
                server.login(settings.user, settings.password)
        except BaseException:
            server.close()
            raise
        return server


def _wrapped(message: EmailMessage, content: EmailMessage, smime: Smime) -> bytes:
    """The message's headers with the protected content behind them."""
    head = message.as_bytes().rstrip(b"\r\n") + b"\r\n"
    return head + re.sub(rb"\r?\n", b"\r\n", smime.wrapped(content.as_bytes()))


def _address(text: str) -> Address:
    return Address(addr_spec=text)


def _line(text: str) -> str:
    """Header text in one line: a line break in a title must not begin another header."""
    return "".join(char if char.isprintable() else " " for char in text)


def _text(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return text[:200].encode("unicode_escape").decode()


def _said(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{who}: {code} {_text(why)}" for who, (code, why) in list(refused.items())[:5])
