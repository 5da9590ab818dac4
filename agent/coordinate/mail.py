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
    """Sends messages. Raises ConfigError for a CA file that cannot be read, or a sender that is no address."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        try:
            self._sender = address_of(settings.sender)
        except ValueError as error:
            raise ConfigError(str(error), key="reporting.smtp.sender") from error
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
        answers: str = "",
        attachments: Sequence[Attachment] = (),
        headers: Sequence[tuple[str, str]] = (),
        smime: Smime | None = None,
    ) -> str:
        """Hand the message to the server; what it said when it took it, with our Message-ID.

        The same ``message_id`` is the same message to readers; ``answers`` is that of an earlier one. Raises
        ChannelError, permanent for what no further attempt changes: an address that is none, a refusal (5xx).
        """
        domain, host = self._sender.domain, self._settings.host
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        try:
            message["To"] = [address_of(one) for one in to]
        except ValueError as error:
            raise ChannelError(str(error), permanent=True) from error
        message["Subject"] = _line(subject)[:300]
        message["Date"] = format_datetime(at)
        message["Message-ID"] = f"<{message_id}@{domain}>"
        if answers:
            message["In-Reply-To"] = message["References"] = f"<{answers}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: nobody's absence notice comes back
        for name, value in headers:
            message[name] = _line(value)
        content = message if smime is None else EmailMessage(policy=SMTP)
        content.set_content(text, cte="quoted-printable")
        for part in attachments:
            main, _, sub = part.media_type.partition("/")
            content.add_attachment(part.content, maintype=main, subtype=sub.partition(";")[0], filename=part.name)
        whole = message.as_bytes() if smime is None else _wrapped(message, content, smime)
        try:
            said, refused = self._hand_over(to, whole)
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            words = _said(error.recipients)
            if len(to) == 1:  # there is no other that it could have been
                words = words.removesuffix(f" ({to[0]})")
            raise ChannelError(f"{host}: {words}", permanent=codes <= set(REFUSED)) from error
        except smtplib.SMTPResponseException as error:
            words = f"{host}: {error.smtp_code} {_text(error.smtp_error)}"
            permanent = error.smtp_code in REFUSED and not isinstance(error, smtplib.SMTPAuthenticationError)
            raise ChannelError(words, permanent=permanent) from error
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise ChannelError(f"{host}: {type(error).__name__}: {error}"[:300]) from error
        if refused:
            raise ChannelError(f"{host} refused some recipients: {_said(refused)}")
        return f"{host}: {said}, Message-ID {message_id}@{domain}"

    def _hand_over(self, to: Sequence[str], message: bytes) -> tuple[str, dict[str, tuple[int, bytes]]]:
        """What the server said when it took it, and whom it refused (smtplib's ``sendmail`` keeps no answer)."""
        with self._connect() as smtp:
            smtp.ehlo_or_helo_if_needed()
            _granted(smtp.mail(self._settings.sender))
            answers = {one: smtp.rcpt(one) for one in to}
            refused = {one: answer for one, answer in answers.items() if not _is_granted(answer[0])}
            if len(refused) == len(answers):
                raise smtplib.SMTPRecipientsRefused(refused)
            code, said = _granted(smtp.data(message))
            return f"{code} {_text(said)}", refused

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


def address_of(text: str) -> Address:
    """A mailbox from ``user@example.org``. ValueError for anything that could be more than one."""
    user, at, domain = text.rpartition("@")
    safe = text.isascii() and text.isprintable() and not set(text) & set(' ,;:<>()[]"\\\r\n')
    if not at or not user or not domain or not safe:
        raise ValueError(f"{text!r} is not an e-mail address, for example abuse@example.org")
    return Address(username=user, domain=domain)


def _is_granted(code: int) -> bool:
    return 200 <= code < 300


def _granted(answer: tuple[int, bytes]) -> tuple[int, bytes]:
    if not _is_granted(answer[0]):
        raise smtplib.SMTPResponseException(*answer)
    return answer


def _line(text: str) -> str:
    """Header text in one line: a line break in a title must not begin another header."""
    return "".join(char if char.isprintable() else " " for char in text)


def _text(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return text[:200].encode("unicode_escape").decode()


def _said(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{code} {_text(why)} ({who})" for who, (code, why) in list(refused.items())[:5])
