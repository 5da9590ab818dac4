"""The outbox: the story of a report, then any story at all (random failures, outages, deaths)."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapwarden.agent.coordinate import schedule
from tapwarden.agent.coordinate.outbox import LEASE, Outbox, Round
from tapwarden.agent.coordinate.schedule import Backoff
from tapwarden.agent.report.json_document import JsonFormatter
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.model.errors import ChannelError
from tapwarden.model.incident import Incident, IncidentState, ThreatClass
from tapwarden.model.report import Receipt, Report, ReportState, Stage

T0 = datetime(2026, 11, 24, 8, tzinfo=UTC)


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.time = T0

    def now(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Died(BaseException):
    """The process is gone: nothing after this runs."""


class Wire:
    """A channel whose far end behaves as the test says: the answers in turn, then receipts."""

    name = "wire"

    def __init__(self, clock: Hands) -> None:
        self.clock = clock
        self.answers: list[BaseException | str] = []
        self.sent: list[str] = []
        self.payloads: list[bytes] = []

    def send(self, report: Report, payload: bytes, media_type: str) -> Receipt:
        assert media_type == "application/json"
        self.sent.append(report.id)
        self.payloads.append(payload)
        answer = self.answers.pop(0) if self.answers else ""
        if isinstance(answer, BaseException):
            raise answer
        return Receipt(f"N-{report.id}", self.clock.now(), answer)


def an_incident(n: int) -> Incident:
    return Incident(
        id=f"i{n}",
        title="t",
        threat_class=ThreatClass.EVENT,
        severity=1,
        state=IncidentState.SUSPECTED,
        detected_at=T0,
        opened_at=T0,
        opened_by="ann",
        due_at=T0 + timedelta(hours=24),
    )


def a_report(n: int, incident: int | None = None, **changes: Any) -> Report:
    report = Report(
        id=f"r{n}",
        incident_id=f"i{n if incident is None else incident}",
        stage=Stage.EARLY,
        state=ReportState.READY,
        version=1,
        created_at=T0 + timedelta(seconds=n),
        due_at=T0 + timedelta(hours=24),
        body={"report_id": f"r{n}"},
    )
    return replace(report, **changes)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def wire(clock: Hands) -> Wire:
    return Wire(clock)


@pytest.fixture
def cases(tmp_path: Path) -> Iterator[SqlCaseStore]:
    store = SqlCaseStore.at(tmp_path / "cases.db")
    for n in range(1, 4):
        store.put_incident(an_incident(n))
    yield store
    store.close()


@pytest.fixture
def outbox(cases: SqlCaseStore, wire: Wire, clock: Hands) -> Outbox:
    return Outbox(cases, wire, JsonFormatter(), clock=clock, random=Random(1))


def stored(cases: SqlCaseStore, report_id: str) -> Report:
    report = cases.report(report_id)
    assert report is not None
    return report


def test_a_ready_report_is_sent_once_and_its_receipt_and_trail_are_kept(
    cases: SqlCaseStore, outbox: Outbox, wire: Wire
) -> None:
    cases.put_report(a_report(1))
    cases.put_report(a_report(2, state=ReportState.DRAFT))
    assert outbox.send_due() == Round(acknowledged=1)
    assert outbox.send_due() == Round()
    assert wire.sent == ["r1"]
    report = stored(cases, "r1")
    assert (report.state, report.attempts, report.last_error) == (ReportState.ACKNOWLEDGED, 1, "")
    assert report.receipt == Receipt("N-r1", T0, "")
    incident = cases.incident("i1")
    assert incident is not None
    assert [(entry.name, entry.at) for entry in incident.timeline] == [("reported", T0)]
    (record,) = cases.audit_records(subject="r1")
    assert record.verb == "report.acknowledged"


def test_what_failed_is_sent_again_later_each_time_after_a_longer_wait(
    cases: SqlCaseStore, outbox: Outbox, wire: Wire, clock: Hands
) -> None:
    cases.put_report(a_report(1))
    wire.answers = [ChannelError(f"away {n}") for n in range(5)]
    waits = []
    for attempt in range(1, 6):
        assert outbox.send_due() == Round(failed=1)
        assert outbox.send_due() == Round(), "not before its time"
        report = stored(cases, "r1")
        assert (report.state, report.attempts) == (ReportState.READY, attempt)
        assert report.last_error == f"away {attempt - 1}"
        assert report.next_attempt_at is not None
        waits.append((report.next_attempt_at - clock.now()).total_seconds())
        clock.time = report.next_attempt_at
    for n, wait in enumerate(waits):
        assert 2.5 * 2**n <= wait <= 5 * 2**n
    assert outbox.send_due() == Round(acknowledged=1)


def test_a_refused_report_waits_for_a_person_and_blocks_no_other(
    cases: SqlCaseStore, outbox: Outbox, wire: Wire
) -> None:
    cases.put_report(a_report(1, due_at=T0))
    cases.put_report(a_report(2, due_at=T0 + timedelta(hours=1)))
    cases.put_report(a_report(3))
    wire.answers = [ChannelError("refused with 422: contact", permanent=True), RuntimeError("a bug in a channel")]
    assert outbox.send_due() == Round(refused=1, failed=1, acknowledged=1)
    assert stored(cases, "r1").state is ReportState.REFUSED
    assert "contact" in stored(cases, "r1").last_error
    assert "a bug in a channel" in stored(cases, "r2").last_error
    assert [record.verb for record in cases.audit_records(subject="r1")] == ["report.refused"]


def test_a_report_that_cannot_be_written_is_refused(cases: SqlCaseStore, wire: Wire, clock: Hands) -> None:
    class Broken:
        name, media_type = "broken", "application/json"

        def format(self, report: Report, incident: Incident) -> bytes:
            if report.id == "r1":
                raise ValueError("no such field")
            return b"{}"

    cases.put_report(a_report(1))
    cases.put_report(a_report(2))
    assert Outbox(cases, wire, Broken(), clock=clock, random=Random(1)).send_due() == Round(acknowledged=1, refused=1)
    assert stored(cases, "r1").last_error == "cannot be written as broken: no such field"


def test_reports_of_one_incident_go_out_in_order_and_those_of_others_do_not_wait(
    cases: SqlCaseStore, outbox: Outbox, wire: Wire, clock: Hands
) -> None:
    cases.put_report(a_report(1, incident=1, due_at=T0 + timedelta(hours=24)))
    cases.put_report(a_report(2, incident=1, due_at=T0))
    cases.put_report(a_report(3, incident=2))
    wire.answers = [ChannelError("away")]
    outbox.send_due()
    assert set(wire.sent) == {"r1", "r3"}
    for _ in range(4):
        clock.forward(10)
        outbox.send_due()
    assert [name for name in wire.sent if name in {"r1", "r2"}] == ["r1", "r1", "r2"]


def test_many_reports_that_wait_for_another_do_not_crowd_out_the_rest(
    cases: SqlCaseStore, outbox: Outbox, wire: Wire
) -> None:
    cases.put_report(a_report(0, incident=1, next_attempt_at=T0 + timedelta(hours=1)))
    for n in range(1, 151):
        cases.put_report(a_report(n, incident=1, due_at=T0))
    cases.put_report(a_report(999, incident=2))
    for _ in range(3):
        outbox.send_due()
    assert wire.sent == ["r999"]


def test_nothing_is_sent_while_something_stands_in_the_way_and_it_is_said(
    cases: SqlCaseStore, wire: Wire, clock: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = ["nothing is reported until the configuration names: 24x7 contact", ""]
    outbox = Outbox(cases, wire, JsonFormatter(), clock=clock, random=Random(1), obstacle=lambda: reasons[0])
    cases.put_report(a_report(1))
    assert outbox.send_due() == Round(obstacle=reasons[0])
    assert "24x7 contact" in caplog.text
    assert wire.sent == []
    assert stored(cases, "r1") == a_report(1)
    reasons.pop(0)
    assert outbox.send_due() == Round(acknowledged=1)


def test_a_sender_that_died_is_relieved_when_its_lease_has_run_out(
    cases: SqlCaseStore, outbox: Outbox, wire: Wire, clock: Hands
) -> None:
    cases.put_report(a_report(1))
    wire.answers = [Died()]
    with pytest.raises(Died):
        outbox.send_due()
    assert stored(cases, "r1").state is ReportState.SENDING
    assert outbox.send_due() == Round()
    clock.forward(LEASE.total_seconds())
    assert outbox.send_due() == Round(acknowledged=1)
    assert stored(cases, "r1").attempts == 2


def test_a_sender_that_comes_back_too_late_undoes_nothing(cases: SqlCaseStore, wire: Wire, clock: Hands) -> None:
    other = Outbox(cases, Wire(clock), JsonFormatter(), clock=clock, random=Random(2))

    class Slow(Wire):
        def send(self, report: Report, payload: bytes, media_type: str) -> Receipt:
            clock.forward(LEASE.total_seconds() + 1)
            assert other.send_due() == Round(acknowledged=1)
            raise ChannelError("timed out", permanent=True)

    cases.put_report(a_report(1))
    Outbox(cases, Slow(clock), JsonFormatter(), clock=clock, random=Random(1)).send_due()
    assert stored(cases, "r1").state is ReportState.ACKNOWLEDGED


@given(st.integers(0, 10_000), st.floats(0.1, 60), st.floats(60, 3600), st.integers())
def test_delays_grow_within_their_bounds(attempts: int, first: float, most: float, seed: int) -> None:
    delay = Backoff(first, most).delay(attempts, Random(seed)).total_seconds()
    assert min(first, most) / 2 - 0.001 <= delay <= most + 0.001


OUTCOMES = st.sampled_from(["ack", "away", "refuse", "die before", "die after", "bug"])


@settings(max_examples=60, deadline=None)
@given(
    outcomes=st.lists(OUTCOMES, max_size=25),
    reports=st.lists(st.integers(1, 3), min_size=1, max_size=6),
    steps=st.lists(st.floats(0, 400), min_size=5, max_size=30),
    seed=st.integers(0, 1000),
)
def test_whatever_happens_nothing_is_lost_and_nothing_acknowledged_is_sent_again(
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: list[str],
    reports: list[int],
    steps: list[float],
    seed: int,
) -> None:
    clock = Hands()
    path = tmp_path_factory.mktemp("cases") / "cases.db"
    received: list[str] = []
    sent_after: list[str] = []
    acknowledged: set[str] = set()
    pending = list(outcomes)

    class Fate:
        name = "fate"

        def send(self, report: Report, payload: bytes, media_type: str) -> Receipt:
            if report.id in acknowledged:
                sent_after.append(report.id)
            outcome = pending.pop(0) if pending else "ack"
            if outcome == "die before":
                raise Died
            if outcome == "away":
                raise ChannelError("away")
            if outcome == "bug":
                raise RuntimeError("bug")
            if outcome == "refuse":
                raise ChannelError("no", permanent=True)
            received.append(report.id)
            if outcome == "die after":
                raise Died
            return Receipt("N", clock.now(), "")

    def start() -> tuple[SqlCaseStore, Outbox]:
        store = SqlCaseStore.at(path)
        return store, Outbox(store, Fate(), JsonFormatter(), clock=clock, random=Random(seed))

    store, outbox = start()
    for n in range(1, 4):
        store.put_incident(an_incident(n))
    for n, incident in enumerate(reports):
        store.put_report(a_report(n, incident))
    ends: Callable[[Report], bool] = lambda r: r.state in {ReportState.ACKNOWLEDGED, ReportState.REFUSED}  # noqa: E731
    for step in [*steps, *[400.0] * (2 * len(outcomes) + 2 * len(reports) + 4)]:
        try:
            outbox.send_due()
        except Died:
            store.close()
            store, outbox = start()
        acknowledged |= {report.id for report in store.reports(state=ReportState.ACKNOWLEDGED)}
        clock.forward(step)
    found = store.reports(limit=100)
    assert sent_after == []
    assert len(found) == len(reports)
    assert all(ends(report) for report in found), "everything came to an end"
    for report in found:
        if report.state is ReportState.ACKNOWLEDGED:
            assert report.id in received
            assert report.receipt is not None
    assert store.verify_audit() is None
    store.close()


def test_the_life_of_a_report_in_pure_steps() -> None:
    report = a_report(1)
    assert schedule.is_due(report, T0)
    taken = schedule.claimed(report, T0, LEASE)
    assert not schedule.is_due(taken, T0)
    assert schedule.is_due(taken, T0 + LEASE)
    later = schedule.failed(taken, "x" * 9999, T0, Backoff(), Random(1))
    assert len(later.last_error) == schedule.ERROR_MAX
    done = schedule.acknowledged(later, Receipt("1", T0, ""))
    assert not schedule.is_due(done, T0 + timedelta(days=999))
    assert not schedule.is_due(schedule.refused(taken, "no"), T0 + timedelta(days=999))
