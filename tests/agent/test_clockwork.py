"""Clocks that survive: restarts, outages, clock steps, a scheduler that was down over a deadline; and how fast."""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from tapwarden.agent.clockwork import ClockRules, Clockwork
from tapwarden.agent.coordinate.notify import NoticeQueue
from tapwarden.agent.report.profile import shipped_profiles
from tapwarden.agent.report.timers import LEVELS, moment_of
from tapwarden.agent.ringing import Ringing
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.cases.tables import incident as incident_table
from tapwarden.agent.store.cases.tables import stage_timer
from tapwarden.agent.triage.changing import stamped
from tapwarden.model.errors import ChannelError
from tapwarden.model.incident import Incident, IncidentState, ThreatClass, TimelineEntry
from tapwarden.model.notice import Notice
from tapwarden.model.report import Receipt, Report, ReportState, Stage

T0 = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
"""Half an hour before clocks in Europe go forward."""
HOUR = timedelta(hours=1)
RULES = ClockRules(
    main=shipped_profiles()["generic-24h"],
    also=[shipped_profiles()["eu-nis2"]],
    escalation=dict.fromkeys((50, 75, 90, 100), ("Ann Lee",)),
)
serial = itertools.count(1)


@dataclass
class SetClock:
    at: datetime = T0

    def now(self) -> datetime:
        return self.at


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlCaseStore]:
    store = SqlCaseStore.at(tmp_path_factory.mktemp("cases") / "cases.db")
    yield store
    store.close()


def clockwork(cases: SqlCaseStore, at: datetime = T0) -> Clockwork:
    return Clockwork(cases, SetClock(at), RULES, lambda _incident: {})


def an_incident(detected_at: datetime = T0, **changes: object) -> Incident:
    one = Incident(
        id=f"i{next(serial)}",
        title="beacon\nBcc: x@example",
        threat_class=ThreatClass.EVENT,
        severity=1,
        state=IncidentState.SUSPECTED,
        detected_at=detected_at,
        opened_at=detected_at,
        opened_by="ann",
        due_at=detected_at + 24 * HOUR,
        timeline=(TimelineEntry(detected_at, "detected", "", "ann"),),
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def followed(cases: SqlCaseStore, one: Incident) -> Incident:
    with cases.transaction():
        cases.put_incident(one)
        clockwork(cases).follow(one)
    return one


def told(cases: SqlCaseStore, one: Incident) -> list[tuple[int, datetime]]:
    """What people were told of an incident: percent and when."""
    words = {word: percent for percent, word in LEVELS.items()}
    return sorted((words[notice.level], notice.created_at) for notice in cases.notices(incident_id=one.id))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
    looks=st.lists(st.integers(-600, 2400), min_size=1, max_size=8),
)
def test_whenever_somebody_looks_nothing_is_told_early_twice_or_never(
    cases: SqlCaseStore, start: datetime, looks: Sequence[int]
) -> None:
    """Looks come in any order: minutes after the start, days apart (an outage), earlier than before (a clock step)."""
    one = followed(cases, an_incident(start.replace(tzinfo=UTC)))
    for minutes in looks:
        at = one.detected_at + timedelta(minutes=minutes)
        clockwork(cases, at).ring_due(at)  # a new one each time: nothing may live in memory only
    (timer,) = cases.timers(incident_id=one.id)
    said = told(cases, one)
    assert len({percent for percent, _ in said}) == len(said), "told twice"
    assert all(at >= moment_of(timer, percent) for percent, at in said), "told early"
    latest = one.detected_at + timedelta(minutes=max(looks))
    passed = max((percent for percent in LEVELS if moment_of(timer, percent) <= latest), default=0)
    assert max((percent for percent, _ in said), default=0) == passed, "not told of"
    waiting = [percent for percent in LEVELS if percent > passed]
    assert timer.next_at == (moment_of(timer, waiting[0]) if waiting else None)


def test_after_an_outage_over_the_deadline_one_alarm_is_given_and_it_is_the_overdue_one(cases: SqlCaseStore) -> None:
    one = followed(cases, an_incident())
    clockwork(cases).ring_due(T0 + 13 * HOUR)
    clockwork(cases).ring_due(T0 + 100 * HOUR)
    assert [percent for percent, _ in told(cases, one)] == [50, 100]
    assert "clock.overdue" in {record.verb for record in cases.audit_records(subject=one.id)}


def test_an_acknowledgement_stops_the_clock_and_a_corrected_moment_moves_it(cases: SqlCaseStore) -> None:
    one = followed(cases, an_incident())
    moved = stamped(one, "detected", T0 - 2 * HOUR, "the proxy saw it first", "bob", T0 + HOUR, correct=True)
    followed(cases, moved)
    (timer,) = cases.timers(incident_id=one.id)
    assert timer.due_at == T0 + 22 * HOUR
    stored = cases.incident(one.id)
    assert stored is not None
    assert stored.due_at == T0 + 22 * HOUR
    report = Report(
        id=f"r-{one.id}",
        incident_id=one.id,
        stage=Stage.EARLY,
        state=ReportState.SENT,
        version=1,
        created_at=T0,
        due_at=T0,
        body={},
        stage_id="initial",
        profile="generic-24h",
    )
    cases.put_report(report)
    clockwork(cases).follow_id(one.id)
    assert cases.timers(incident_id=one.id, running=True), "sent is not met"
    receipt = Receipt("1", T0 + 3 * HOUR, "")
    cases.put_report(replace(report, state=ReportState.ACKNOWLEDGED, receipt=receipt))
    clockwork(cases).follow_id(one.id)
    assert not cases.timers(incident_id=one.id, running=True)
    clockwork(cases).ring_due(T0 + 100 * HOUR)
    assert told(cases, one) == []


def test_a_second_profile_runs_from_when_its_conditions_hold(cases: SqlCaseStore) -> None:
    one = followed(cases, an_incident())
    assert len(cases.timers(incident_id=one.id)) == 1
    grave = replace(
        one, facts={"significant": True}, timeline=(*one.timeline, TimelineEntry(T0, "significant", "", "a"))
    )
    followed(cases, grave)
    running = cases.timers(incident_id=one.id, running=True)
    assert {timer.stage_id for timer in running} == {"initial", "early_warning", "notification"}
    followed(cases, replace(grave, facts={"significant": False}))
    assert {timer.stage_id for timer in cases.timers(incident_id=one.id, running=True)} == {"initial"}


def test_the_scheduler_rings_what_came_due_while_it_was_down_and_what_others_change(tmp_path: Path) -> None:
    """With the real time and APScheduler: a store that was last open before the deadline, and one changed meanwhile."""
    store = SqlCaseStore.at(tmp_path / "cases.db")
    now = datetime.now(UTC)
    missed = followed(store, an_incident(now - 30 * HOUR))
    store.close()
    store, other = SqlCaseStore.at(tmp_path / "cases.db"), SqlCaseStore.at(tmp_path / "cases.db")
    ringing = Ringing(store, Clockwork(store, SetClock(now), RULES, lambda _incident: {}))
    ringing.start()
    try:
        later = followed(other, an_incident(now - 12 * HOUR + timedelta(seconds=1)))
        clock = Clockwork(store, SetClock(now), RULES, lambda _incident: {})
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (
            told(store, missed) and store.timer(f"{later.id}/generic-24h/initial")
        ):
            time.sleep(0.05)
        assert [percent for percent, _ in told(store, missed)] == [100]
        clock.ring_due(now + HOUR)
        assert [percent for percent, _ in told(store, later)] == [50]
    finally:
        ringing.shutdown()
        store.close()
        other.close()


def test_many_who_ring_at_once_tell_once(cases: SqlCaseStore) -> None:
    one = followed(cases, an_incident())
    found: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(clockwork(cases).ring(f"{one.id}/generic-24h/initial", T0 + 19 * HOUR))
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 0, 0, 0, 0, 75]
    assert len(told(cases, one)) == 1


class Failing:
    name = "failing"

    def __init__(self, failures: int) -> None:
        self.failures, self.said = failures, list[Notice]()

    def notify(self, notice: Notice) -> None:
        if self.failures:
            self.failures -= 1
            raise ChannelError("away")
        self.said.append(notice)


def test_a_notice_is_tried_until_delivered_and_names_a_drill(cases: SqlCaseStore) -> None:
    one = followed(cases, an_incident(drill=True))
    clockwork(cases).ring_due(T0 + 12 * HOUR)
    clock, notifier = SetClock(T0 + 200 * HOUR), Failing(2)
    queue = NoticeQueue(cases, [notifier], frozenset({"Ann Lee"}), clock=clock, random=Random(1))
    for _ in range(6):
        queue.deliver_due()
        clock.at += HOUR
    (said,) = [notice for notice in notifier.said if notice.incident_id == one.id]
    assert said.subject.startswith("[DRILL] watch:")
    (kept,) = cases.notices(incident_id=one.id)
    assert kept.delivered_at is not None


def test_the_due_list_of_ten_thousand_incidents_takes_less_than_50_ms(tmp_path: Path) -> None:
    store = SqlCaseStore.at(tmp_path / "cases.db")
    incidents = [an_incident(T0 + timedelta(seconds=n)) for n in range(10_000)]
    rules = clockwork(store)
    with store._write() as connection:  # filling it one transaction each would take minutes
        rows = [{name: getattr(one, name) for name in Incident.__slots__} for one in incidents]
        connection.execute(insert(incident_table), rows)
        timers = [
            {
                "id": f"{one.id}/generic-24h/initial",
                "incident_id": one.id,
                "profile": "generic-24h",
                "stage_id": "initial",
                "stage": Stage.EARLY,
                "starts_at": one.detected_at,
                "due_at": one.due_at,
                "warned": 0,
                "next_at": one.detected_at + 12 * HOUR,
                "met_at": None,
                "dropped": "",
                "drill": False,
            }
            for one in incidents
        ]
        connection.execute(insert(stage_timer), timers)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        due = rules.due(limit=100)
        took.append(time.perf_counter() - began)
    assert [timer.due_at for timer in due] == sorted(one.due_at for one in incidents)[:100]
    assert min(took) < 0.05
    store.close()
