"""Drafting and writing the early report."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tapwarden.agent.report.draft import draft_early
from tapwarden.agent.report.formats import FORMATTERS
from tapwarden.agent.report.profile import shipped_profiles
from tapwarden.agent.report.reporter import Reporter
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
from tapwarden.model.event import Event
from tapwarden.model.incident import AlertGroup, Incident, IncidentState, ThreatClass
from tapwarden.model.report import Report, ReportState, Stage

T0 = datetime(2026, 11, 24, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROFILE = shipped_profiles()["generic-24h"]
REPORTER = Reporter("Example Networks", "Ann Lee", "+86 10 0000 0000", tlp="AMBER", email="soc@example.org")
INCIDENT = Incident(
    id="i1",
    title="beacon to evil.example",
    threat_class=ThreatClass.MALICIOUS_RESOURCE,
    severity=1,
    state=IncidentState.SUSPECTED,
    detected_at=T0,
    opened_at=T0 + HOUR,
    opened_by="policy:beacon",
    due_at=T0 + 24 * HOUR,
    affected=("192.0.2.10",),
    indicators=("evil.example",),
)
GROUP = AlertGroup(
    id="g1",
    gid=1,
    sid=2000001,
    signature="ET MALWARE beacon",
    category="trojan",
    severity=1,
    src_ip="192.0.2.10",
    dest_ip="198.51.100.9",
    count=41,
    first_seen=T0,
    last_seen=T0 + HOUR,
    event_id="e",
)
DECISION = Decision(
    id="d1",
    incident_id="i1",
    measure=Measure.BLOCK,
    targets=(Target(TargetType.ADDRESS, "198.51.100.9"),),
    scope="this network",
    reason="control end",
    authority=Authority(AuthorityKind.PERSON, "ann", "Cybersecurity Law art. 25", T0),
    decided_at=T0 + HOUR,
    expires_at=T0 + 48 * HOUR,
)
ACTION = Action(
    id="a1",
    decision_id="d1",
    incident_id="i1",
    measure=Measure.BLOCK,
    target=DECISION.targets[0],
    mitigator="nftables",
    state=ActionState.APPLIED,
    created_at=T0,
    expires_at=T0 + HOUR,
    dry_run=False,
    applied_at=T0 + HOUR,
)
EVENT = Event(b'{"timestamp":"2026-11-24T08:00:00Z","payload_printable":"the secret payload"}')


def drafted(incident: Incident = INCIDENT, reporter: Reporter = REPORTER, **evidence: Any) -> Report:
    given = {"groups": [GROUP], "events": [EVENT], "decisions": [DECISION], "actions": [ACTION]} | evidence
    return draft_early(incident, reporter=reporter, profile=PROFILE, report_id="r1", now=T0 + 2 * HOUR, **given)


def test_the_draft_says_all_the_profile_asks_and_is_due_a_day_after_detection() -> None:
    report = drafted()
    assert (report.state, report.stage, report.due_at) == (ReportState.DRAFT, Stage.EARLY, T0 + 24 * HOUR)
    assert PROFILE.missing(Stage.EARLY, report.body) == ()
    assert report.body["detected_at"] == "2026-11-24T08:00:00Z"
    assert report.body["category"] == {"code": 1, "class": "malicious_resource", "subtype": "unknown"}
    assert report.body["severity"] == "high"
    assert report.body["affected"] == ["192.0.2.10"]
    assert "41 alerts" in report.body["summary"]
    (measure,) = report.body["measures_taken"]
    assert measure["authority"]["legal_basis"] == "Cybersecurity Law art. 25"
    assert measure["results"][0]["effect"] == "in effect"
    assert report.body["evidence"]["event_ids"] == [EVENT.id]


def test_a_rehearsed_action_is_never_reported_as_in_effect() -> None:
    (measure,) = drafted(actions=[replace(ACTION, dry_run=True)]).body["measures_taken"]
    assert measure["results"][0]["effect"] == "none, a rehearsal"


def test_with_nothing_known_every_required_key_is_still_there() -> None:
    bare = replace(INCIDENT, affected=(), indicators=(), title="", severity=9)
    report = drafted(bare, Reporter("", "", ""), groups=[], events=[], decisions=[], actions=[])
    assert PROFILE.missing(Stage.EARLY, report.body) == ()
    assert report.body["affected"] == report.body["severity"] == report.body["summary"] == "unknown"
    assert report.body["measures_taken"] == "none"
    assert report.body["contact"]["responsible_person"] == "unknown"


def test_no_payload_leaves_in_a_report() -> None:
    for formatter in FORMATTERS.values():
        assert b"secret payload" not in formatter.format(drafted(), INCIDENT)


def test_the_evidence_listed_is_bounded() -> None:
    groups = [replace(GROUP, id=f"g{n}", sid=n) for n in range(500)]
    evidence = drafted(groups=groups).body["evidence"]
    assert len(evidence["alerts"]) == 50
    assert evidence["alert_count"] == 500 * 41


@pytest.mark.parametrize("name", FORMATTERS)
def test_every_format_is_deterministic_and_takes_hostile_text(name: str) -> None:
    incident = replace(INCIDENT, title='</script>\ud800\0"\x1b[2J', affected=("\udfff",))
    report = drafted(incident)
    assert FORMATTERS[name].format(report, incident) == FORMATTERS[name].format(report, incident)
    assert FORMATTERS[name].name == name


def test_an_editor_cannot_change_whose_report_it_is_or_hide_a_drill() -> None:
    drill = replace(INCIDENT, drill=True)
    report = replace(drafted(drill), body={**drafted(drill).body, "report_id": "r999", "drill": False}, version=3)
    document = json.loads(FORMATTERS["json"].format(report, drill))
    assert (document["report_id"], document["drill"], document["version"]) == ("r1", True, 3)


def test_reporting_cannot_start_without_a_responsible_person_and_a_contact() -> None:
    assert REPORTER.obstacle() == ""
    assert Reporter("Example", " ", "").missing() == ("responsible person", "24x7 contact")
    assert "24x7 contact" in Reporter("Example", "Ann", "").obstacle()
    with pytest.raises(ValueError, match="AMBER"):
        Reporter("Example", "Ann", "1", tlp="SECRET")
