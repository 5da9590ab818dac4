"""Reports by e-mail and through a drop folder: sent is not acknowledged, nothing leaves twice."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tapwarden.agent.coordinate.drop import DropChannel
from tapwarden.agent.coordinate.email_channel import EmailChannel
from tapwarden.agent.coordinate.mail import Mailer, MailSettings
from tapwarden.agent.coordinate.notify import MailNotifier
from tapwarden.agent.coordinate.outbox import Outbox
from tapwarden.agent.coordinate.route import OpenGate, Route
from tapwarden.agent.coordinate.smime import Smime
from tapwarden.agent.report.json_document import JsonFormatter
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.model.errors import ChannelError
from tapwarden.model.incident import Incident, IncidentState, ThreatClass
from tapwarden.model.notice import Notice
from tapwarden.model.report import Report, ReportState, Stage

T0 = datetime(2026, 11, 24, 8, tzinfo=UTC)


class Box:
    """A mail server that keeps what it gets, or answers as told."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            self.mails.append(envelope)
        return self.answer


@pytest.fixture
def box() -> Iterator[tuple[Box, Mailer]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    handler = Box()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield handler, Mailer(MailSettings("127.0.0.1", port, "none", "tapwarden@example.org"))
    finally:
        controller.stop()


def a_report(n: int = 1, **changes: Any) -> Report:
    report = Report(
        id=f"r{n}",
        incident_id="i1",
        stage=Stage.EARLY,
        state=ReportState.READY,
        version=1,
        created_at=T0 + timedelta(seconds=n),
        due_at=T0 + timedelta(hours=24),
        body={"title": "beacon\r\nBcc: everybody@example.org", "drill": True, "tlp": "AMBER"},
        receiver="csirt",
    )
    return replace(report, **changes)


def test_a_report_is_mailed_with_its_document_and_a_title_begins_no_header(box: tuple[Box, Mailer]) -> None:
    handler, mailer = box
    assert EmailChannel(mailer, "csirt@example.net").send(a_report(), b'{"a":1}', "application/json") is None
    (mail,) = handler.mails
    text = mail.content.decode()
    assert mail.rcpt_tos == ["csirt@example.net"]
    assert "Subject: [DRILL] early report r1: beacon  Bcc: everybody@example.org" in text.replace("\r\n ", " ")
    assert "\r\nBcc:" not in text
    assert 'filename="report-r1-v1.json"' in text
    assert "X-Tapwarden-Drill: yes" in text
    assert "<report.r1.v1@example.org>" in text


def a_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "30"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def test_a_protected_mail_is_opened_and_verified_by_openssl_and_tells_others_nothing(
    box: tuple[Box, Mailer], tmp_path: Path
) -> None:
    handler, mailer = box
    ours, our_key = a_certificate(tmp_path, "us")
    theirs, their_key = a_certificate(tmp_path, "them")
    channel = EmailChannel(mailer, "csirt@example.net", Smime(certificate=ours, key=our_key, to=theirs))
    channel.send(a_report(), b'{"secret":1}', "application/json")
    (mail,) = handler.mails
    assert b"beacon" not in mail.content
    (tmp_path / "mail.eml").write_bytes(mail.content)
    decrypt = ["openssl", "cms", "-decrypt", "-in", "mail.eml", "-recip", str(theirs), "-inkey", str(their_key)]
    subprocess.run([*decrypt, "-out", "signed.eml"], cwd=tmp_path, check=True, capture_output=True)
    verify = ["openssl", "cms", "-verify", "-in", "signed.eml", "-CAfile", str(ours), "-purpose", "any"]
    opened = subprocess.run(verify, cwd=tmp_path, check=True, capture_output=True).stdout
    document = next(part for part in message_from_bytes(opened).walk() if part.get_filename())
    assert document.get_payload(decode=True) == b'{"secret":1}'


@pytest.mark.parametrize(("answer", "permanent"), [("451 later", False), ("554 no", True)])
def test_what_the_mail_server_says_decides_whether_it_is_tried_again(
    box: tuple[Box, Mailer], answer: str, permanent: bool
) -> None:
    handler, mailer = box
    handler.answer = answer
    with pytest.raises(ChannelError) as caught:
        EmailChannel(mailer, "csirt@example.net").send(a_report(), b"{}", "application/json")
    assert caught.value.permanent is permanent


def test_people_are_told_by_mail_once_under_one_message_id(box: tuple[Box, Mailer]) -> None:
    handler, mailer = box
    notice = Notice("i1/p/initial/50/Ann", T0, "watch", ("Ann",), "half of the time", "text", "i1")
    notifier = MailNotifier(mailer, {"Ann": "ann@example.org"})
    notifier.notify(notice)
    notifier.notify(notice)
    ids = {
        line for mail in handler.mails for line in mail.content.decode().splitlines() if line.startswith("Message-ID")
    }
    assert len(handler.mails) == 2
    assert len(ids) == 1


class Clock:
    def __init__(self) -> None:
        self.at = T0 + timedelta(hours=1)

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def cases(tmp_path: Path) -> Iterator[SqlCaseStore]:
    store = SqlCaseStore.at(tmp_path / "cases.db")
    store.put_incident(Incident("i1", "t", ThreatClass.EVENT, 1, IncidentState.SUSPECTED, T0, T0, "ann", T0))
    yield store
    store.close()


def an_outbox(cases: SqlCaseStore, folder: Path, clock: Clock) -> Outbox:
    route = Route("csirt", DropChannel(folder, "csirt"), JsonFormatter(), OpenGate())
    return Outbox(cases, None, JsonFormatter(), clock=clock, random=Random(1), routes=[route])


def test_a_dropped_report_is_sent_once_and_met_by_the_receipt_that_is_carried_back(
    cases: SqlCaseStore, tmp_path: Path
) -> None:
    clock, folder = Clock(), tmp_path / "drop"
    outbox = an_outbox(cases, folder, clock)
    cases.put_report(a_report())
    assert outbox.send_due().sent == 1
    assert outbox.send_due().sent == 0
    (document,) = (folder / "out").glob("*-r1-v1.json")
    manifest = json.loads((folder / "out" / document.name.replace(".json", ".manifest.json")).read_text())
    assert (manifest["octets"], manifest["drill"]) == (document.stat().st_size, True)
    (left,) = cases.departures()
    assert (left.sha256, left.receiver, left.receipt) == (manifest["sha256"], "csirt", "")
    receipts = folder / "receipts"
    (receipts / "0bad.json").write_text("{")
    (receipts / "1other.json").write_text(
        json.dumps({"report_id": "r9", "receipt": "1", "received_at": T0.isoformat()})
    )
    (receipts / "2ours.json").write_text(
        json.dumps({"report_id": "r1", "receipt": "CC-7", "received_at": (T0 + timedelta(hours=2)).isoformat()})
    )
    outbox.send_due()
    report, incident = cases.report("r1"), cases.incident("i1")
    assert report is not None
    assert incident is not None
    assert (report.state, report.receipt and report.receipt.number) == (ReportState.ACKNOWLEDGED, "CC-7")
    assert incident.state is IncidentState.SUBMITTED
    assert sorted(path.parent.name for path in receipts.rglob("*.json")) == ["receipts", "recorded", "refused"]


def test_a_report_for_a_receiver_that_nobody_configured_waits_and_says_so(cases: SqlCaseStore, tmp_path: Path) -> None:
    outbox = an_outbox(cases, tmp_path / "drop", Clock())
    cases.put_report(a_report(receiver="elsewhere"))
    assert outbox.send_due().failed == 1
    report = cases.report("r1")
    assert report is not None
    assert "no receiver named elsewhere" in report.last_error


KILLED = """
import sys, signal, os, threading, random, time
from pathlib import Path
from datetime import timedelta
sys.path.insert(0, sys.argv[2])
from test_mail_and_drop import an_outbox, Clock
from tapwarden.agent.store.cases import SqlCaseStore
folder = Path(sys.argv[1])
clock = Clock()
clock.at += timedelta(minutes=3 * int(sys.argv[3]))
outbox = an_outbox(SqlCaseStore.at(folder / "cases.db"), folder / "drop", clock)
threading.Timer(random.uniform(0.05, 0.5), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
print("ready", flush=True)
while outbox.send_due().sent:
    pass
os._exit(0)
"""


def test_killed_at_any_point_nothing_is_lost_and_nothing_is_there_twice(cases: SqlCaseStore, tmp_path: Path) -> None:
    for n in range(60):
        cases.put_incident(replace(cases.incident("i1"), id=f"i{n}"))  # type: ignore[type-var]
        cases.put_report(a_report(n, incident_id=f"i{n}"))
    for turn in range(8):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent), str(turn)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode in {0, -9}, ran.stderr
        if ran.returncode == 0:
            break
    states = {cases.report(f"r{n}").state for n in range(60)}  # type: ignore[union-attr]
    clock = Clock()
    clock.at += timedelta(days=1)
    while an_outbox(cases, tmp_path / "drop", clock).send_due().sent:
        pass
    states = {cases.report(f"r{n}").state for n in range(60)}  # type: ignore[union-attr]
    assert states == {ReportState.SENT}
    out = tmp_path / "drop" / "out"
    documents = [path for path in out.glob("*.json") if not path.name.endswith(".manifest.json")]
    assert len(documents) == len({json.loads(path.read_text())["report_id"] for path in documents}) == 60
    assert len(cases.departures(limit=1000)) == 60
