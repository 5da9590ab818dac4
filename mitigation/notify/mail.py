"""Mail handed to one server by SMTP (RFC 5321), encrypted unless the server is this host."""

import contextlib
import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from tapwarden.mitigation.notify.letter import Letter, plain
from tapwarden.model.errors import ChannelError

TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class MailServer:
    """Who takes our mail. ``security``: starttls (required, never given up), tls, or none.

    ``ca_file`` is trusted instead of the system's authorities; without ``user`` nobody logs in.
    """

    host: str
    port: int
    sender: str
    security: str = "starttls"
    user: str = ""
    password: str = ""
    ca_file: str = ""


class MailTransport:
    """Sends letters through a server. Raises ChannelError; ``permanent`` where the server refuses for good (5xx)."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._sender = address_of(server.sender)

    def send(self, to: str, letter: Letter, message_id: str, at: datetime, *, answers: str = "") -> str:
        """Hand one message over; what the server said when it took it, with our Message-ID.

        The same ``message_id`` is the same message to whoever receives it twice.
        """
        domain = self._sender.domain
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = address_of(to)
        message["Subject"] = plain(letter.subject, 200)
        message["Date"] = format_datetime(at)
        message["Message-ID"] = f"<{message_id}@{domain}>"
        if answers:
            message["In-Reply-To"] = message["References"] = f"<{answers}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: nobody's absence notice comes back
        message.set_content(letter.text)
        try:
            said = self._hand_over(to, message)
        except smtplib.SMTPResponseException as error:
            words = f"{error.smtp_code} {_words(error.smtp_error)}"
            raise ChannelError(f"{self._server.host}: {words}", permanent=error.smtp_code >= 500) from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise ChannelError(f"{self._server.host}: {type(error).__name__}: {error}"[:300]) from error
        return f"{self._server.host}: {said}, Message-ID {message_id}@{domain}"

    def _hand_over(self, to: str, message: EmailMessage) -> str:
        server = self._server
        context = ssl.create_default_context(cafile=server.ca_file or None)
        with contextlib.ExitStack() as stack:
            smtp: smtplib.SMTP
            if server.security == "tls":
                smtp = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
            else:
                smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
            stack.enter_context(smtp)
            if server.security == "starttls":
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            if server.user:
                smtp.login(server.user, server.password)
            _granted(smtp.mail(self._sender.addr_spec, ["SMTPUTF8"] if smtp.has_extn("smtputf8") else []))
            _granted(smtp.rcpt(to))
            return _words(_granted(smtp.data(message.as_bytes())))


def address_of(text: str) -> Address:
    """A mailbox from ``user@example.org``. ValueError for anything that could be more than one."""
    user, at, domain = text.rpartition("@")
    safe = text.isascii() and text.isprintable() and not set(text) & set(' ,;:<>()[]"\\\r\n')
    if not at or not user or "." not in f"{domain}." or not domain or not safe:
        raise ValueError(f"{text!r} is not an e-mail address, for example abuse@example.org")
    return Address(username=user, domain=domain)


def _granted(answer: tuple[int, bytes]) -> bytes:
    code, said = answer
    if not 200 <= code < 300:
        raise smtplib.SMTPResponseException(code, said)
    return b"%d %s" % (code, said)


def _words(said: bytes | str) -> str:
    return plain(said.decode("utf-8", "replace") if isinstance(said, bytes) else said, 200)
