"""Notices to real servers of the test's own: SMTP (aiosmtpd, with STARTTLS and refusals) and a webhook over HTTP."""

import email
import email.policy
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tapwarden.agent.coordinate.mail import Mailer, MailSettings
from tapwarden.mitigation.notify import (
    Notify,
    Pap,
    Recipient,
    ReplyTokens,
    Sender,
    Tlp,
    Ways,
    WebhookTransport,
)
from tapwarden.mitigation.notify.letter import defanged
from tapwarden.mitigation.notify.messages import MessageState
from tapwarden.mitigation.steps import judged
from tapwarden.mitigation.target import parse_network
from tapwarden.model.decision import Action, ActionState, Measure, Target, TargetType
from tapwarden.model.errors import ChannelError, ConfigError, MitigationError


class Clock:
    """Seconds that the test lets pass."""

    def __init__(self) -> None:
        self.at = 1_772_366_400.0

    def __call__(self) -> float:
        return self.at

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


class Mailbox:
    """A mail server's handler: keeps what it takes, answers RCPT as told."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.answers: list[str] = []
        self.encrypted: list[bool] = []

    async def handle_RCPT(self, server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.got.append(message)
        self.encrypted.append(session.ssl is not None)
        return f"250 2.0.0 Ok: queued as Q{len(self.got)}"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    made, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += [
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(made),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return made, key


@pytest.fixture
def mail(certificate: tuple[Path, Path]) -> Iterator[tuple[Mailbox, int]]:
    box, context = Mailbox(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True)
    server.start()
    try:
        yield box, port
    finally:
        server.stop()


PROVIDER = Recipient(
    "Example Hosting", "provider", (parse_network("198.51.100.0/24"),), ("example.net",), email="abuse@example.net"
)
AUTHORITY = Recipient("省通信管理局", "authority", email="jubao@example.cn", language="zh")


@pytest.fixture
def make(tmp_path: Path, mail: tuple[Mailbox, int], certificate: tuple[Path, Path]) -> Callable[..., Notify]:
    def build(*recipients: Recipient, clock: Clock, **settings: object) -> Notify:
        server = MailSettings("127.0.0.1", mail[1], "starttls", "tapwarden@example.org", ca_file=str(certificate[0]))
        given: dict[str, object] = {
            "folder": tmp_path / "notify",
            "recipients": recipients,
            "ways": Ways(mail=Mailer(server)),
            "sender": Sender("Example Org", "noc@example.org, +86 10 5555"),
            "reply_url": "https://tw.example.org/reply/",
            "clock": clock,
            **settings,
        }
        return Notify(**given)  # type: ignore[arg-type]

    return build


@pytest.fixture
def ask(act: Callable[..., Action]) -> Callable[..., Action]:
    def build(target: str | Target, clock: Clock, **changes: object) -> Action:
        fields = {"measure": Measure.NOTIFY, "mitigator": "notify", "reason": "beacon to a listed server"}
        return act(target, **{**fields, "expires_at": clock.now + timedelta(days=3), **changes})

    return build


def test_a_notice_reaches_everybody_who_answers_for_the_target_in_their_language_encrypted(
    mail: tuple[Mailbox, int], make: Callable[..., Notify], ask: Callable[..., Action]
) -> None:
    clock, box = Clock(), mail[0]
    other = Recipient("Somebody else", "provider", (parse_network("203.0.113.0/24"),), email="abuse@example.com")
    notify = make(PROVIDER, other, AUTHORITY, clock=clock)
    notify.apply([ask("198.51.100.7", clock)], clock.now)
    notify.send_due()
    notify.send_due()  # once is enough
    by_receiver = {message["To"]: message for message in box.got}
    assert set(by_receiver) == {"abuse@example.net", "jubao@example.cn"}
    assert len(box.got) == 2
    assert all(box.encrypted)
    english, chinese = (by_receiver[to].get_content() for to in ("abuse@example.net", "jubao@example.cn"))
    assert "Resource: address 198[.]51[.]100[.]7" in english
    assert "https://tw.example.org/reply/" in english
    assert "涉及资源: address 198[.]51[.]100[.]7" in chinese
    assert by_receiver["abuse@example.net"]["Subject"] == "[TLP:AMBER] Security notice: 198[.]51[.]100[.]7"
    assert by_receiver["abuse@example.net"]["Auto-Submitted"] == "auto-generated"
    (shown,) = notify.list()
    assert shown.effective
    assert "Example Hosting: taken by 127.0.0.1: 250 2.0.0 Ok: queued as Q1, Message-ID" in shown.note


def test_what_is_busy_is_tried_again_later_and_what_is_refused_is_failed_with_the_servers_words(
    mail: tuple[Mailbox, int], make: Callable[..., Notify], ask: Callable[..., Action]
) -> None:
    clock, box = Clock(), mail[0]
    box.answers = ["450 4.2.1 mailbox busy", "451 later", "550 5.1.1 no such user"]
    notify = make(PROVIDER, clock=clock)
    action = ask("198.51.100.7", clock, state=ActionState.APPLIED)
    notify.apply([action], clock.now)
    notify.send_due()
    assert "attempt 1 failed (127.0.0.1: 450 4.2.1 mailbox busy), again at 12:00:30 UTC" in notify.list()[0].note
    notify.send_due()
    assert box.answers == ["451 later", "550 5.1.1 no such user"]
    clock.at += 30
    notify.send_due()
    clock.at += 59
    notify.send_due()
    assert box.answers == ["550 5.1.1 no such user"]
    clock.at += 1
    notify.send_due()
    (shown,) = notify.list()
    assert (shown.effective, shown.failed) == (False, True)
    step = judged(action, None, shown, clock.now)
    assert step.after.state is ActionState.FAILED
    assert step.after.detail == "Example Hosting: refused by 127.0.0.1: 550 5.1.1 no such user"


def test_a_server_that_is_down_or_not_trusted_gets_nothing_and_is_tried_again(
    tmp_path: Path, mail: tuple[Mailbox, int], make: Callable[..., Notify], ask: Callable[..., Action]
) -> None:
    clock, box = Clock(), mail[0]
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    for index, (port, words) in enumerate(((nobody, "ConnectionRefusedError"), (mail[1], "SSLCertVerificationError"))):
        ways = Ways(mail=Mailer(MailSettings("127.0.0.1", port, "starttls", "tapwarden@example.org")))
        notify = make(PROVIDER, clock=clock, ways=ways, folder=tmp_path / str(index))
        notify.apply([ask("198.51.100.7", clock)], clock.now)
        notify.send_due()
        assert words in notify.list()[0].note
        assert not notify.list()[0].effective
    assert box.got == []


def test_a_withdrawn_notice_is_taken_back_where_it_arrived_and_not_sent_where_it_waits(
    mail: tuple[Mailbox, int], make: Callable[..., Notify], ask: Callable[..., Action]
) -> None:
    clock, box = Clock(), mail[0]
    notify = make(PROVIDER, clock=clock)
    sent, waiting = ask("198.51.100.7", clock), ask("198.51.100.8", clock)
    notify.apply([sent], clock.now)
    notify.send_due()
    notify.apply([waiting], clock.now)
    notify.withdraw([sent, waiting])
    notify.send_due()
    notice, withdrawal = box.got
    assert "Withdrawn" in withdrawal["Subject"]
    assert withdrawal["In-Reply-To"] == notice["Message-ID"]
    assert "reply/" not in withdrawal.get_content()


def test_text_an_attacker_chose_makes_no_header_no_link_and_no_line_of_its_own(
    mail: tuple[Mailbox, int], make: Callable[..., Notify], ask: Callable[..., Action]
) -> None:
    clock, box = Clock(), mail[0]
    notify = make(AUTHORITY, Recipient("x\r\nBcc: y", "owner", email="o@example.org"), clock=clock)
    evil = "seen\r\nBcc: victim@example.com\r\n\r\nReply: http://evil.example/x \u202egnp.exe you@evil.example"
    notify.apply([ask(Target(TargetType.URL, "http://evil.example/gate?x=1"), clock, reason=evil)], clock.now)
    notify.send_due()
    assert len(box.got) == 2
    for message in box.got:
        assert message["Bcc"] is None
        assert message["To"] in ("jubao@example.cn", "o@example.org")
        text = message.get_content()
        assert "evil.example" not in text
        assert "victim@" not in text
        assert "\u202e" not in text
        assert not any(line.startswith(("Bcc:", "Reply:")) for line in text.splitlines())


@pytest.mark.parametrize(
    "address", ["a@b@c d", "a@x.example, b@y.example", "a@x.example\r\nBcc: b@y.example", "a", "@x"]
)
def test_an_address_that_could_be_two_or_a_header_is_no_address(address: str, mail: tuple[Mailbox, int]) -> None:
    mailer = Mailer(MailSettings("127.0.0.1", mail[1], "starttls", "tapwarden@example.org"))
    with pytest.raises(ChannelError, match="not an e-mail address") as caught:
        mailer.send(message_id="m", to=[address], subject="s", text="t", at=Clock().now)
    assert caught.value.permanent
    with pytest.raises(ConfigError, match="not an e-mail address"):
        Mailer(MailSettings("127.0.0.1", mail[1], "starttls", address))


def test_labels_decide_who_may_be_told(make: Callable[..., Notify], ask: Callable[..., Action]) -> None:
    clock = Clock()
    action = ask("198.51.100.7", clock)
    with pytest.raises(MitigationError, match="TLP:RED may not go to Example Hosting"):
        make(PROVIDER, clock=clock, sender=Sender("o", "", Tlp.RED)).apply([action], clock.now)
    with pytest.raises(MitigationError, match="PAP:AMBER lets nobody else be told"):
        make(PROVIDER, clock=clock, sender=Sender("o", "", pap=Pap.AMBER)).apply([action], clock.now)
    with pytest.raises(MitigationError, match="no recipient answers for address 203"):
        make(PROVIDER, clock=clock).apply([ask("203.0.113.1", clock)], clock.now)


def test_no_more_messages_than_allowed_leave_in_an_hour(
    mail: tuple[Mailbox, int], make: Callable[..., Notify], ask: Callable[..., Action]
) -> None:
    clock, box = Clock(), mail[0]
    notify = make(PROVIDER, clock=clock, per_hour=2)
    notify.apply([ask(f"198.51.100.{last}", clock) for last in range(5)], clock.now)
    notify.send_due()
    notify.send_due()
    assert len(box.got) == 2
    clock.at += 3601
    notify.send_due()
    assert len(box.got) == 4


def test_a_reply_token_is_good_for_its_message_until_its_end_and_nobody_else_can_make_one(tmp_path: Path) -> None:
    tokens, now = ReplyTokens.at(tmp_path), 1_000_000.0
    token = tokens.make("abc", now + 10)
    assert ReplyTokens.at(tmp_path).read(token, now) == "abc"
    assert tokens.read(token, now + 11) is None
    assert ReplyTokens(b"x" * 32).read(token, now) is None
    for changed in (token[:-2] + "AA", token.replace("abc", "abd"), token.replace("1000010", "9000010"), "", "..", "é"):
        assert tokens.read(changed, now) is None
    assert (tmp_path / "reply.key").stat().st_mode & 0o077 == 0


def test_a_webhook_gets_signed_json_and_its_answer_is_the_proof(
    make: Callable[..., Notify], ask: Callable[..., Action]
) -> None:
    got: list[tuple[dict[str, str], bytes]] = []
    answers = [503, 201]

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answers.pop(0))
            self.end_headers()
            self.wfile.write(b'{"ticket": "T-7"}')

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, clock = f"http://127.0.0.1:{server.server_address[1]}/hook", Clock()
    transport = WebhookTransport({url: "s" * 32})
    try:
        notify = make(Recipient("Hosting", "provider", webhook=url), clock=clock, ways=Ways(webhook=transport))
        notify.apply([ask("198.51.100.7", clock)], clock.now)
        notify.send_due()
        assert "503" in notify.list()[0].note
        clock.at += 30
        notify.send_due()
        assert notify.list()[0].note == 'Hosting: taken by 127.0.0.1: 201 {"ticket": "T-7"}'
    finally:
        transport.close()
        server.shutdown()
        server.server_close()
    (first, _), (headers, body) = got
    assert first["Idempotency-Key"] == headers["Idempotency-Key"]
    moment, signature = (part.partition("=")[2] for part in headers["X-Tapwarden-Signature"].split(","))
    assert signature == hmac.new(b"s" * 32, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    document = json.loads(body)
    assert document["target"] == {"type": "address", "value": "198.51.100.7"}
    assert document["tlp"] == "AMBER"


def test_what_expired_while_it_waited_is_not_sent(
    mail: tuple[Mailbox, int], make: Callable[..., Notify], ask: Callable[..., Action]
) -> None:
    clock, box = Clock(), mail[0]
    box.answers = ["450 busy"]
    notify = make(PROVIDER, clock=clock)
    notify.apply([ask("198.51.100.7", clock, expires_at=clock.now + timedelta(minutes=1))], clock.now)
    notify.send_due()
    clock.at += 61
    notify.send_due()
    assert box.got == []
    assert notify.list() == []
    assert notify.messages.of(["a-198.51.100.7"])["a-198.51.100.7"][0].state is MessageState.CANCELLED


def test_nothing_that_a_program_would_make_a_link_of_stays_in_defanged_text() -> None:
    text = "HTTP://a.example/x?y=b.example mail c@d.example 192.0.2.1 2001:db8::1 ftp://e.example"
    assert defanged(text) == (
        "hxxp://a[.]example/x?y=b[.]example mail c[at]d[.]example 192[.]0[.]2[.]1 2001[:]db8[:]:1 fxp://e[.]example"
    )
