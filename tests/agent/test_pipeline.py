"""The path with real stores: what happens when one of them is full or away, and that nothing waits without bound."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tapwarden.agent import pipeline as pipeline_module
from tapwarden.agent.composition import Parts, composed
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.enrich import ENRICHMENTS
from tapwarden.agent.health import Health
from tapwarden.agent.pipeline import Delivery, Pipeline
from tapwarden.agent.triage.policy import is_due
from tapwarden.model.decision import ActionState, Measure, Target, TargetType
from tapwarden.model.errors import RefusedError
from tapwarden.model.event import Event, EventQuery
from tapwarden.model.incident import GroupState, ThreatClass, Verdict
from tapwarden.model.report import ReportState

FLOOD = 300

POLICY = {
    "name": "beacon",
    "match": {"sid": 1},
    "decide": {
        "measure": "block",
        "targets": "dest",
        "scope": "here",
        "reason": "r",
        "legal_basis": "l",
        "duration": "4h",
    },
}


def config(**mitigation: Any) -> Config:
    return Config.model_validate({"triage": {"policies": [POLICY]}, "mitigation": mitigation})


def alert(number: int, dest: str = "192.0.2.9", **fields: Any) -> Event:
    record = {
        "timestamp": datetime.now(UTC).isoformat(),
        "event_type": "alert",
        "src_ip": "10.0.0.5",
        "dest_ip": dest,
        "alert": {"signature_id": 1, "gid": 1, "signature": "beacon", "category": "c2", "severity": 1},
        **fields,
    }
    return Event(json.dumps(record, separators=(",", ":")).encode(), f"t:{number}")


class Bench:
    """A composed agent whose path is driven by hand; ``seconds`` is the monotonic time."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.health, self.seconds = parts, Health(), 0.0
        self.path = Pipeline(
            events=parts.events,
            cases=parts.cases,
            desk=parts.desk,
            policies=parts.policies,
            enrichments=[make() for make in ENRICHMENTS.values()],
            health=self.health,
            ours=parts.ours,
            monotonic=lambda: self.seconds,
        )

    def later(self) -> None:
        self.seconds += 10
        self.path.catch_up()


@pytest.fixture
def bench_at() -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:
        yield lambda root, settings=None: Bench(stack.enter_context(composed(settings or config(), Layout.at(root))))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = tmp_path / "root" / "lib" / "events"
    disk.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_event_store_stops_neither_decisions_nor_later_storing(
    small_disk: Path, tmp_path: Path, bench_at: Callable[..., Bench]
) -> None:
    bench = bench_at(tmp_path / "root")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    stored: list[int] = []
    noise = [alert(n, dest="192.0.2.8", payload=os.urandom(600).hex()) for n in range(300)]
    bench.path.carry(Delivery(noise, lambda events: stored.append(len(events))))
    bench.path.carry(Delivery([alert(1000)], lambda events: stored.append(len(events))))
    assert bench.health.report()["events store"]["state"] == "down"
    assert stored == []
    assert {a.target.value for a in bench.parts.cases.actions()} == {"192.0.2.8", "192.0.2.9"}
    ballast.unlink()
    bench.later()
    assert stored == [300, 1]
    assert bench.parts.events.count(EventQuery()) == 301
    assert bench.health.report()["events store"]["state"] == "ok"
    assert bench.path.counters()["events.waiting"] == 0


def test_what_waits_for_a_full_store_is_bounded_and_the_oldest_is_dropped_and_counted(
    small_disk: Path, tmp_path: Path, bench_at: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "MAX_WAITING_EVENTS", 50)
    bench = bench_at(tmp_path / "root")
    (small_disk / "ballast").write_bytes(b"x" * 500_000)
    for turn in range(20):
        bench.path.carry(Delivery([alert(turn * 10 + n, payload=os.urandom(20_000).hex()) for n in range(10)]))
    counters = bench.path.counters()
    assert counters["events.waiting"] <= 50
    assert counters["events.dropped"] + counters["events.waiting"] + counters["events.stored"] == 200


def test_while_the_case_store_is_away_alerts_wait_and_are_counted_once(
    tmp_path: Path, bench_at: Callable[..., Bench]
) -> None:
    bench = bench_at(tmp_path)
    blocker = threading.Event(), threading.Event()

    def hold() -> None:
        import sqlite3

        connection = sqlite3.connect(tmp_path / "lib" / "cases" / "cases.db", isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        blocker[0].set()
        blocker[1].wait(60)
        connection.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert blocker[0].wait(10)
    bench.path.carry(Delivery([alert(1), alert(2)]))
    assert bench.health.report()["cases store"]["state"] == "down"
    bench.path.carry(Delivery([alert(3)]))
    blocker[1].set()
    thread.join()
    bench.later()
    (group,) = bench.parts.cases.groups(state=GroupState.ESCALATED)
    assert group.count == 3
    assert len(bench.parts.cases.incidents()) == 1
    assert bench.parts.events.count(EventQuery()) == 3


def test_a_live_source_never_waits_for_the_path_and_its_alerts_come_first(
    tmp_path: Path, bench_at: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_at(tmp_path)
    flow = Event(b'{"timestamp":"2026-01-01T00:00:00Z","event_type":"flow"}')
    for _ in range(pipeline_module.MAX_QUEUED):
        bench.path.submit(Delivery([flow]), wait=False)
    bench.path.submit(Delivery([flow, flow, alert(1)]), wait=False)
    assert bench.path.counters()["queue.dropped_events"] == 3


def test_a_person_who_undid_a_block_is_not_overruled_by_the_policy(
    tmp_path: Path, bench_at: Callable[..., Bench]
) -> None:
    bench = bench_at(tmp_path)
    bench.path.carry(Delivery([alert(1)]))
    (action,) = bench.parts.cases.actions()
    bench.parts.desk.rollback([action.id], by="ann", reason="our own scanner")
    bench.path.carry(Delivery([alert(2)]))
    assert [a.state for a in bench.parts.cases.actions()] == [ActionState.ROLLED_BACK]
    later = action.expires_at + timedelta(seconds=1)
    rolled_back = bench.parts.cases.actions()
    assert not is_due(rolled_back, action.target, later)
    assert is_due([replace(a, state=ActionState.EXPIRED) for a in rolled_back], action.target, later)


def test_a_false_positive_opens_no_incident(tmp_path: Path, bench_at: Callable[..., Bench]) -> None:
    bench = bench_at(tmp_path, Config())
    bench.path.carry(Delivery([alert(1)]))
    (group,) = bench.parts.cases.groups()
    bench.parts.desk.triage([group.id], state=GroupState.ARCHIVED, verdict=Verdict.FALSE_POSITIVE, by="ann")
    second = bench_at(tmp_path)
    second.path.carry(Delivery([alert(2)]))
    assert list(second.parts.cases.incidents()) == []


def test_the_draft_follows_the_measures_until_somebody_changes_it(
    tmp_path: Path, bench_at: Callable[..., Bench]
) -> None:
    bench = bench_at(tmp_path)
    bench.path.carry(Delivery([alert(1)]))
    (report,) = bench.parts.cases.reports()
    assert "192.0.2.9" in json.dumps(report.body["measures_taken"])
    edited = bench.parts.desk.edit_report(report.id, {**report.body, "impact": "none"}, by="ann")
    (incident,) = bench.parts.cases.incidents()
    bench.parts.desk.draft(incident)
    (report,) = bench.parts.cases.reports()
    assert (report.version, report.body["impact"]) == (edited.version, "none")
    with pytest.raises(RefusedError, match="nothing is reported until"):
        bench.parts.desk.sign_off(report.id, by="ann")
    assert bench.parts.cases.reports()[0].state is ReportState.DRAFT


def test_every_step_is_in_the_audit_trail_and_the_trail_is_whole(
    tmp_path: Path, bench_at: Callable[..., Bench]
) -> None:
    bench = bench_at(tmp_path)
    bench.path.carry(Delivery([alert(1)]))
    (incident,) = bench.parts.cases.incidents()
    bench.parts.desk.close_incident(incident.id, by="ann", reason="done")
    verbs = {record.verb for record in bench.parts.cases.audit_records()}
    assert {"incident.open", "decide", "action.approve", "incident.close"} <= verbs
    assert bench.parts.cases.verify_audit() is None
    with pytest.raises(RefusedError, match="was closed"):
        bench.parts.desk.close_incident(incident.id, by="ann", reason="again")


def test_a_decision_without_legal_basis_or_end_is_refused(tmp_path: Path, bench_at: Callable[..., Bench]) -> None:
    bench = bench_at(tmp_path, Config())
    bench.path.carry(Delivery([alert(1)]))
    (group,) = bench.parts.cases.groups()
    desk = bench.parts.desk
    incident = desk.open_incident([group.id], title="t", threat_class=ThreatClass.EVENT, severity=1, by="ann")
    good = {"scope": "s", "reason": "r", "legal_basis": "l", "duration_s": 60}
    target = [Target(TargetType.ADDRESS, "192.0.2.9")]
    for bad in ({"legal_basis": " "}, {"scope": ""}, {"duration_s": 0}):
        with pytest.raises(RefusedError):
            desk.decide(incident.id, measure=Measure.BLOCK, targets=target, by="ann", **{**good, **bad})  # type: ignore[arg-type]
    assert list(bench.parts.cases.decisions()) == []
    with pytest.raises(KeyError):
        desk.decide("nonsense", measure=Measure.BLOCK, targets=target, by="ann", **good)  # type: ignore[arg-type]


def test_hundreds_of_matters_and_their_further_alerts_are_carried_in_seconds(
    tmp_path: Path, bench_at: Callable[..., Bench]
) -> None:
    bench = bench_at(tmp_path)
    flood = [alert(n, dest=f"198.18.{n // 250}.{n % 250 + 1}") for n in range(FLOOD)]
    began = time.monotonic()
    bench.path.carry(Delivery(flood))
    opened_s = time.monotonic() - began
    began = time.monotonic()
    bench.path.carry(Delivery([alert(10_000 + n, dest=f"198.18.{n // 250}.{n % 250 + 1}") for n in range(FLOOD)]))
    again_s = time.monotonic() - began
    print(f"{FLOOD} matters opened in {opened_s:.1f} s, seen again in {again_s:.1f} s")
    assert len(bench.parts.cases.incidents(limit=2000)) == FLOOD
    assert opened_s < 30
    assert again_s < 10


def test_of_deliveries_carried_together_one_that_fails_takes_no_other_with_it(
    tmp_path: Path, bench_at: Callable[..., Bench]
) -> None:
    bench = bench_at(tmp_path)

    class Stumbling:
        def observe(self, event: Event) -> None:
            if event.eve["dest_ip"] == "192.0.2.2":
                raise LookupError("a fault of an enrichment")

        def badges(self, alert: Event) -> tuple[str, ...]:
            return ()

    parts = bench.parts
    path = Pipeline(
        events=parts.events,
        cases=parts.cases,
        desk=parts.desk,
        policies=(),
        enrichments=[Stumbling()],
        health=Health(),
        ours=parts.ours,
    )
    for last in (1, 2, 3):
        path.submit(Delivery([alert(last, dest=f"192.0.2.{last}")]), wait=True)
    path.finish()
    path.run()
    assert {group.dest_ip for group in bench.parts.cases.groups()} == {"192.0.2.1", "192.0.2.3"}
    assert path.counters()["path.failures"] == 1
