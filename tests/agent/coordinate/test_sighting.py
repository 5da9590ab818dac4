"""Verdicts on alerts of indicators, told to the centre and to a MISP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pymisp import MISPSighting
from stix2validator import ValidationOptions, validate_string

from tapwarden.agent.composition import Parts, composed
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.coordinate.sighting import Judged, misp_sighting, stix_objects
from tapwarden.agent.store.cases import SqlCaseStore, SqlOrderStore
from tapwarden.model.event import Event
from tapwarden.model.incident import AlertGroup, Verdict

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


def judged(kind: str = "domain", value: str = "evil-cdn.test", verdict: Verdict = Verdict.TRUE_POSITIVE) -> Judged:
    return Judged(kind, value, "misp-feed", verdict, 3, NOW, NOW, "agent-1")


@pytest.mark.parametrize("verdict", [Verdict.TRUE_POSITIVE, Verdict.FALSE_POSITIVE])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("domain", "evil-cdn.test"),
        ("ip", "2001:db8:66::66"),
        ("network", "198.51.100.0/24"),
        ("url", "http://evil.test/it's\\here"),
        ("file_hash", "a" * 64),
    ],
)
def test_what_the_centre_is_told_is_valid_stix(kind: str, value: str, verdict: Verdict) -> None:
    things = stix_objects(judged(kind, value, verdict), NOW)
    said = "opinion" if verdict is Verdict.FALSE_POSITIVE else "sighting"
    assert [each["type"] for each in things] == ["identity", "indicator", said]
    bundle = {"type": "bundle", "id": "bundle--6a3b1a04-64a6-4ec7-9b86-6f5b6f8a0d5c", "objects": things}
    result = validate_string(json.dumps(bundle), ValidationOptions(version="2.1"))
    assert result.is_valid, [str(error) for error in result.errors]


def test_what_has_no_pattern_is_not_told() -> None:
    assert stix_objects(judged("ja3", "a" * 32), NOW) == []


def test_pymisp_reads_what_a_misp_is_told() -> None:
    for verdict, kind in ((Verdict.TRUE_POSITIVE, "0"), (Verdict.FALSE_POSITIVE, "1")):
        read = MISPSighting()
        read.from_dict(**misp_sighting(judged(verdict=verdict), NOW))
        assert (read.type, read.values, read.source) == (kind, ["evil-cdn.test"], "agent-1")


@contextmanager
def misp_endpoint(answers: list[int]) -> Iterator[tuple[str, list[Any]]]:
    """Where a MISP would listen: answers these statuses in turn, and keeps what came."""
    came: list[Any] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came.append((self.path, self.headers["Authorization"], body))
            self.send_response(answers.pop(0) if answers else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", came
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def an_alert(parts: Parts, source: str) -> str:
    """A group of an indicator's alert."""
    record = {
        "timestamp": NOW.isoformat(),
        "event_type": "alert",
        "src_ip": "10.0.0.5",
        "dest_ip": "192.0.2.53",
        "tapwarden": {"indicator": {"type": "domain", "value": "evil-cdn.test", "source": source}},
    }
    event = Event(json.dumps(record).encode(), source)
    parts.events.append([event])
    group = AlertGroup(
        id=f"g-{source}",
        gid=1000,
        sid=len(source),
        signature="Indicator",
        category="Threat intelligence",
        severity=2,
        src_ip="10.0.0.5",
        dest_ip="192.0.2.53",
        count=3,
        first_seen=NOW,
        last_seen=NOW,
        event_id=event.id,
    )
    return parts.cases.merge_groups([group])[0].id


def test_a_verdict_reaches_the_misp_that_gave_the_indicator_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/misp.key").write_text("automation-key")
    (tmp_path / "etc/misp.key").chmod(0o600)
    with misp_endpoint([503]) as (url, came):
        misp = {"source": "misp-feed", "url": url, "key_file": "misp.key"}
        config = Config.model_validate({"sightings": {"misp": [misp]}})
        with composed(config, Layout.at(tmp_path)) as parts:
            assert parts.coordination is not None
            groups = [an_alert(parts, "misp-feed"), an_alert(parts, "other-feed")]
            parts.desk.triage(groups, verdict=Verdict.FALSE_POSITIVE, by="ann")
            assert "503" in parts.coordination.turn().problem
            assert isinstance(parts.cases, SqlCaseStore)
            store = SqlOrderStore(parts.cases)
            (waiting,) = store.messages()
            assert (waiting.attempts, waiting.sent_at) == (1, None)
            assert waiting.next_attempt_at is not None
    assert [(path, key, body["type"], body["values"]) for path, key, body in came] == [
        ("/sightings/add", "automation-key", "1", ["evil-cdn.test"])
    ]
    assert "10.0.0.5" not in json.dumps(came[0][2])
