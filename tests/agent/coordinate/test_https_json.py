"""The HTTPS channel against a real coordinating centre on loopback, with and without its faults."""

import datetime as dt
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tapwarden.agent.coordinate import transport
from tapwarden.agent.coordinate.channels import CHANNELS
from tapwarden.agent.coordinate.https_json import HttpsJsonChannel
from tapwarden.agent.coordinate.outbox import Outbox, Round
from tapwarden.agent.coordinate.transport import ChannelSettings
from tapwarden.agent.coordinator import CoordinatorSettings, serving
from tapwarden.agent.report.draft import draft_early
from tapwarden.agent.report.json_document import JsonFormatter
from tapwarden.agent.report.profile import shipped_profiles
from tapwarden.agent.report.reporter import Reporter
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.model.errors import ChannelError, ConfigError
from tapwarden.model.incident import Incident, IncidentState, ThreatClass
from tapwarden.model.report import Report, ReportState, Stage

AGENT, OFFICER = "agent-token-0123456789", "officer-token-0123456"
T0 = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
INCIDENT = Incident(
    id="i1",
    title="t",
    threat_class=ThreatClass.EVENT,
    severity=1,
    state=IncidentState.SUSPECTED,
    detected_at=T0,
    opened_at=T0,
    opened_by="ann",
    due_at=T0 + dt.timedelta(hours=24),
)


def a_report(report_id: str = "r1") -> Report:
    return draft_early(
        INCIDENT,
        groups=[],
        events=[],
        decisions=[],
        actions=[],
        reporter=Reporter("Example Networks", "Ann Lee", "+86 10 0000 0000"),
        profile=shipped_profiles()["generic-24h"],
        report_id=report_id,
        now=T0,
    )


def settings_in(folder: Path, **changes: Any) -> CoordinatorSettings:
    given: dict[str, Any] = {"agents": {"one": AGENT}, "officers": {"duty": OFFICER}, "port": 0, "faults": True}
    return CoordinatorSettings(database=folder / "coordinator.db", **(given | changes))


def send(channel: HttpsJsonChannel, report: Report) -> str:
    return channel.send(report, JsonFormatter().format(report, INCIDENT), "application/json").number


def fault(url: str, kind: str, **more: Any) -> None:
    answer = httpx.post(
        f"{url}/api/v1/faults", json={"kind": kind, **more}, headers={"Authorization": f"Bearer {OFFICER}"}
    )
    answer.raise_for_status()


def received(url: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/api/v1/reports", headers={"Authorization": f"Bearer {OFFICER}"})
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[str]:
    with serving(settings_in(tmp_path)) as url:
        yield url


@pytest.fixture
def channel(centre: str) -> Iterator[HttpsJsonChannel]:
    opened = HttpsJsonChannel(ChannelSettings(f"{centre}/api/v1/reports", AGENT, timeout_s=2))
    yield opened
    opened.close()


def test_a_drafted_report_is_accepted_and_sending_it_again_is_harmless(centre: str, channel: HttpsJsonChannel) -> None:
    first = send(channel, a_report())
    assert send(channel, a_report()) == first
    (kept,) = received(centre)
    assert kept["report"]["contact"]["responsible_person"] == "Ann Lee"
    assert kept["revision"] == 1


def test_the_address_of_the_centre_alone_is_enough(centre: str) -> None:
    for url in (centre, f"{centre}/"):
        channel = HttpsJsonChannel(ChannelSettings(url, AGENT))
        assert send(channel, a_report()).startswith("TW-")
        channel.close()


@pytest.mark.parametrize("kind", ["error", "nonsense", "endless", "wrong_receipt", "away", "lost_answer"])
def test_whatever_is_no_receipt_is_no_acknowledgement_and_can_be_tried_again(
    centre: str, channel: HttpsJsonChannel, kind: str
) -> None:
    fault(centre, kind)
    with pytest.raises(ChannelError) as failure:
        send(channel, a_report())
    assert failure.value.permanent is False
    assert "\x1b" not in str(failure.value)
    assert len(str(failure.value)) < 1000
    assert send(channel, a_report()).startswith("TW-")
    assert len(received(centre)) == 1


def test_a_refusal_of_the_content_is_permanent_and_says_why(centre: str, channel: HttpsJsonChannel) -> None:
    fault(centre, "refuse")
    with pytest.raises(ChannelError, match="refused on demand") as failure:
        send(channel, a_report())
    assert failure.value.permanent is True
    with pytest.raises(ChannelError, match="422") as failure:
        channel.send(a_report(), b"{}", "application/json")
    assert failure.value.permanent is True


def test_a_slow_centre_ends_in_a_timeout(centre: str) -> None:
    fault(centre, "slow", delay_s=3)
    impatient = HttpsJsonChannel(ChannelSettings(f"{centre}/api/v1/reports", AGENT, timeout_s=0.2))
    with pytest.raises(ChannelError, match="Timeout"):
        send(impatient, a_report())
    impatient.close()


def test_a_wrong_token_or_path_can_be_set_right_and_is_not_permanent(centre: str) -> None:
    for path, token in (("/api/v1/reports", "wrong-token-0123456789"), ("/elsewhere", AGENT)):
        wrong = HttpsJsonChannel(ChannelSettings(centre + path, token))
        with pytest.raises(ChannelError, match=r"401|404") as failure:
            send(wrong, a_report())
        assert failure.value.permanent is False
        wrong.close()


def test_a_centre_that_is_not_there_can_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    channel = HttpsJsonChannel(ChannelSettings(f"http://127.0.0.1:{port}/x", AGENT))
    with pytest.raises(ChannelError, match="ConnectError") as failure:
        send(channel, a_report())
    assert failure.value.permanent is False
    channel.close()


def _answering(raw: bytes, pause_s: float = 0) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            for n in range(len(raw)) if pause_s else [0]:
                try:
                    connection.sendall(raw[n : n + 1] if pause_s else raw)
                except OSError:
                    return
                if pause_s and n > raw.find(b"\r\n\r\n") + 3 and stop.wait(pause_s):
                    return

    thread = threading.Thread(target=run)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    stop.set()
    thread.join()
    listener.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff not http\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nnull",
        b'HTTP/1.1 201 Created\r\nContent-Length: 57\r\n\r\n{"receipt":"1","report_id":"r1","received_at":"yesterday"}',
        b"HTTP/1.1 201 Created\r\nContent-Length: 67\r\n\r\n"
        b'{"receipt":"1","report_id":"r1","received_at":"2026-01-01T00:00:00"}',
    ],
)
def test_octets_that_are_no_receipt_are_an_error_that_can_be_tried_again(raw: bytes) -> None:
    for url in _answering(raw):
        channel = HttpsJsonChannel(ChannelSettings(url, AGENT, timeout_s=2))
        with pytest.raises(ChannelError) as failure:
            send(channel, a_report())
        assert failure.value.permanent is False
        channel.close()


def test_a_centre_that_answers_an_octet_at_a_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ATTEMPT_MAX_S", 0.3)
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n"
    for url in _answering(head + b" " * 100, pause_s=0.05):
        channel = HttpsJsonChannel(ChannelSettings(url, AGENT, timeout_s=2))
        with pytest.raises(ChannelError, match="still answering"):
            send(channel, a_report())
        channel.close()


def _certificate(folder: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test centre")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_tls_is_verified_against_the_given_authority_and_never_skipped(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    with serving(settings_in(tmp_path, certificate=certificate, key=key)) as url:
        assert url.startswith("https://")
        trusting = HttpsJsonChannel(ChannelSettings(f"{url}/api/v1/reports", AGENT, ca_file=certificate))
        assert send(trusting, a_report()).startswith("TW-")
        trusting.close()
        by_system = HttpsJsonChannel(ChannelSettings(f"{url}/api/v1/reports", AGENT))
        with pytest.raises(ChannelError, match=r"(?i)certificate"):
            send(by_system, a_report("r2"))
        by_system.close()
        by_other_name = HttpsJsonChannel(
            ChannelSettings(f"{url.replace('127.0.0.1', 'localhost')}/api/v1/reports", AGENT, ca_file=certificate)
        )
        with pytest.raises(ChannelError, match=r"(?i)certificate"):
            send(by_other_name, a_report("r3"))
        by_other_name.close()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (ChannelSettings("http://centre.example/reports"), "https"),
        (ChannelSettings("centre.example"), "https"),
        (ChannelSettings("ftp://centre.example/"), "https"),
        (ChannelSettings("https://centre.example/", "two words"), "token"),
        (ChannelSettings("https://centre.example/", ca_file="/nowhere/ca.pem"), "nowhere"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings: ChannelSettings, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        CHANNELS["https"](settings)


def test_an_outbox_delivers_through_outages_and_lost_answers_exactly_one_report_each(
    tmp_path: Path, centre: str, channel: HttpsJsonChannel
) -> None:
    class Now:
        time = T0

        def now(self) -> dt.datetime:
            return self.time

    clock = Now()
    cases = SqlCaseStore.at(tmp_path / "cases.db")
    cases.put_incident(INCIDENT)
    cases.put_incident(Incident(**{**_fields(INCIDENT), "id": "i2"}))
    for number, incident_id in enumerate(("i1", "i2", "i1")):
        report = a_report(f"r{number}")
        cases.put_report(Report(**{**_fields(report), "incident_id": incident_id, "state": ReportState.READY}))
    outbox = Outbox(cases, channel, JsonFormatter(), clock=clock, random=Random(1))
    for kind in ("away", "lost_answer", "nonsense"):
        fault(centre, kind, count=2)
        outbox.send_due()
        clock.time += dt.timedelta(minutes=10)
    rounds = []
    for _ in range(4):
        rounds.append(outbox.send_due())
        clock.time += dt.timedelta(minutes=10)
    assert rounds[-1] == Round()
    assert {report.state for report in cases.reports()} == {ReportState.ACKNOWLEDGED}
    assert sorted(each["report_id"] for each in received(centre)) == ["r0", "r1", "r2"]
    receipts = {report.id: report.receipt.number for report in cases.reports() if report.receipt}
    assert receipts == {each["report_id"]: each["receipt"] for each in received(centre)}
    assert json.loads(next(r for r in cases.reports() if r.receipt).receipt.raw)["receipt"]  # type: ignore[union-attr]
    assert cases.reports()[0].stage is Stage.EARLY
    cases.close()


def _fields(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__dataclass_fields__}
