"""Figures, compliance, drills: read from the system, and different where the system is."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tapwarden.agent.compliance import RULES
from tapwarden.agent.composition import Parts, composed
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.drill import Drill
from tapwarden.agent.report.statistics import bounds, statistics
from tapwarden.model.decision import (
    Action,
    ActionState,
    Authority,
    AuthorityKind,
    Decision,
    Measure,
    Target,
    TargetType,
)
from tapwarden.model.incident import Incident, IncidentState, Ownership, ThreatClass
from tapwarden.model.office import Period, Standing
from tapwarden.model.report import Receipt, Report, ReportState, Stage

T0 = datetime(2026, 11, 24, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Post:
    def __init__(self) -> None:
        self.mails: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails.append(envelope.content.decode())
        return "250 OK"


class Centre:
    """A channel that acknowledges at once and keeps what it got."""

    name = "centre"

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def send(self, report: Report, payload: bytes, media_type: str) -> Receipt:
        del media_type
        self.got.append(payload)
        return Receipt(f"CC-{report.id}", datetime.now(UTC), "")


@pytest.fixture
def post() -> Iterator[tuple[Post, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    handler = Post()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Callable[..., Parts]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Parts:
            return stack.enter_context(composed(Config.model_validate(settings), Layout.at(tmp_path)))

        yield make


def test_a_drill_goes_through_the_whole_chain_marked_in_every_message(
    compose: Callable[..., Parts], post: tuple[Post, int]
) -> None:
    handler, port = post
    parts = compose(
        mitigation={"mode": "enforce"},
        reporting={
            "organisation": "Example",
            "responsible": "Ann",
            "contact": {"phone": "+1", "email": "soc@example.org"},
            "coordinator": {"url": "http://127.0.0.1:9"},
            "people": [{"name": "Ann", "email": "ann@example.org"}],
            "smtp": {"host": "127.0.0.1", "port": port, "security": "none", "sender": "tw@example.org"},
        },
    )
    centre = Centre()
    assert parts.outbox is not None
    parts.outbox._routes[""] = replace(parts.outbox._routes[""], channel=centre)
    result = Drill(parts, by="ann", drill_id="d1").run()
    assert [(step.name, step.seen) for step in result.steps if not step.passed] == []
    assert all(b'"drill":true' in payload for payload in centre.got)
    assert not any(b"10.255.255.254" in payload for payload in centre.got)
    assert all("[DRILL]" in mail for mail in handler.mails)
    assert len(handler.mails) == len(centre.got) == 1
    assert all(action.dry_run for action in parts.cases.actions()), "nothing of a drill touches traffic"
    (kept,) = parts.office.drills()
    assert (kept.id, kept.score, kept.by) == ("d1", 1.0, "ann")
    again = Drill(parts, by="ann", drill_id="d2").run()
    assert again.score == 1
    figures = parts.office.statistics(Period.DAY, datetime.now(UTC))
    assert (figures.incidents, figures.drills) == (0, 2), "drills are never counted among what is real"


def test_a_drill_without_a_centre_says_where_the_chain_ends(compose: Callable[..., Parts]) -> None:
    parts = compose()
    result = Drill(parts, by="ann", drill_id="d1").run()
    failed = {step.name: step.seen for step in result.steps if not step.passed}
    assert set(failed) == {"warning", "acknowledgement"}
    assert not parts.cases.timers(running=True), "no clock of a drill rings on after it"
    assert "nothing is reported until the configuration names" in failed["acknowledgement"]


def test_there_is_one_line_for_each_requirement_of_the_sources() -> None:
    names = [f"M{n}" for n in range(1, 18)] + [f"D{n}" for n in range(1, 11)] + [f"I{n}" for n in range(1, 4)]
    assert [rule.id for rule in RULES] == names


def test_compliance_is_read_from_the_system_and_changes_with_it(compose: Callable[..., Parts]) -> None:
    parts = compose()
    before = {one.id: one for one in parts.office.compliance()}
    assert before["M6"].standing is Standing.NOT_MET
    assert before["I1"].standing is Standing.NOT_MET
    assert before["M7"].standing is Standing.MET
    parts.cases.put_incident(an_incident(1, ownership=Ownership.THIRD_PARTY))
    parts.cases.put_decision(a_decision(1))
    Drill(parts, by="ann", drill_id="d1").run()
    after = {one.id: one for one in parts.office.compliance()}
    assert after["M7"].standing is Standing.NOT_MET
    assert "1 measures decided on them" in after["M7"].evidence
    assert after["M3"].evidence.startswith("0 of 1 incidents")
    assert after["I1"].standing is Standing.PARTLY
    changed = [key for key in after if after[key].evidence != before[key].evidence]
    assert {"M2", "M3", "M7", "M14", "I1", "D2"} <= set(changed)


def an_incident(n: int, **changes: Any) -> Incident:
    one = Incident(
        f"i{n}", "t", ThreatClass.EVENT, 1, IncidentState.SUSPECTED, T0 + n * HOUR, T0, "policy:x", T0 + 24 * HOUR
    )
    return replace(one, **changes)


def a_decision(n: int, kind: AuthorityKind = AuthorityKind.PERSON) -> Decision:
    authority = Authority(kind, "order-1", "Measures art. 8", T0)
    target = (Target(TargetType.ADDRESS, "198.51.100.9"),)
    return Decision(f"d{n}", f"i{n}", Measure.BLOCK, target, "s", "r", authority, T0, T0 + 9 * HOUR)


def an_action(n: int, applied_after_s: float) -> Action:
    return Action(
        id=f"a{n}",
        decision_id=f"d{n}",
        incident_id=f"i{n}",
        measure=Measure.BLOCK,
        target=Target(TargetType.ADDRESS, "198.51.100.9"),
        mitigator="nftables",
        state=ActionState.VERIFIED,
        created_at=T0,
        expires_at=T0 + 9 * HOUR,
        dry_run=False,
        applied_at=T0 + timedelta(seconds=applied_after_s),
    )


def a_report(n: int, received_at: datetime) -> Report:
    return Report(
        f"r{n}",
        f"i{n}",
        Stage.EARLY,
        ReportState.ACKNOWLEDGED,
        1,
        T0,
        T0 + 24 * HOUR,
        {},
        receipt=Receipt("1", received_at, ""),
    )


@pytest.mark.parametrize(
    ("period", "since", "until"),
    [
        (Period.DAY, "2026-11-24", "2026-11-25"),
        (Period.WEEK, "2026-11-23", "2026-11-30"),
        (Period.MONTH, "2026-11-01", "2026-12-01"),
        (Period.QUARTER, "2026-10-01", "2027-01-01"),
        (Period.YEAR, "2026-01-01", "2027-01-01"),
    ],
)
def test_periods_are_those_of_the_calendar(period: Period, since: str, until: str) -> None:
    assert [f"{moment:%Y-%m-%d}" for moment in bounds(period, T0)] == [since, until]


def test_figures_count_by_class_measure_and_how_long_it_took() -> None:
    incidents = [
        an_incident(1, subtype="data_leak", state=IncidentState.CONFIRMED, determined_at=T0 + 9 * HOUR),
        an_incident(2, subtype="data_leak", state=IncidentState.REJECTED, determined_at=T0 + 5 * HOUR),
        an_incident(3, drill=True),
        an_incident(4, detected_at=T0 - timedelta(days=200)),
    ]
    found = statistics(
        Period.QUARTER,
        T0,
        incidents=incidents,
        reports=[a_report(1, T0 + 3 * HOUR), a_report(2, T0 + 30 * HOUR), a_report(3, T0)],
        decisions=[a_decision(1, AuthorityKind.ORDER), a_decision(2)],
        actions=[an_action(1, 12), an_action(2, 99)],
    )
    assert (found.incidents, found.drills) == (2, 1)
    assert found.by_class == {"event": {"data_leak": 2}}
    assert found.by_measure == {"block": {"verified": 2}}
    assert (found.reports["acknowledged"], found.reports["late"]) == (2, 1)
    assert found.latencies["detect_to_report"].median_s == 2 * 3600
    assert found.latencies["detect_to_report"].most_s == 28 * 3600
    assert found.latencies["order_to_effective"].most_s == 12
    assert found.latencies["report_to_determination"].count == 2
    assert found.false_positives == 0.5
    assert sum(count for _, count in found.series) == 2
