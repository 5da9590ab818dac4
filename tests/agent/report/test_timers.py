"""The clocks of all shipped profiles, from an incident's recorded moments."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tapwarden.agent.report.profile import applies, read_profiles, shipped_profiles
from tapwarden.agent.report.timers import armed, moment_of, rung, timers_of
from tapwarden.agent.report.workdays import Calendar
from tapwarden.model.incident import Grade, Incident, IncidentState, ThreatClass, TimelineEntry
from tapwarden.model.report import Receipt, Report, ReportState, Stage, StageTimer

T0 = datetime(2026, 1, 31, 8, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PROFILES = shipped_profiles()


def incident(facts: Mapping[str, Any] | None = None, **moments: datetime) -> Incident:
    return Incident(
        id="i1",
        title="t",
        threat_class=ThreatClass.EVENT,
        severity=1,
        state=IncidentState.SUSPECTED,
        detected_at=T0,
        opened_at=T0,
        opened_by="ann",
        due_at=T0 + DAY,
        facts=facts or {},
        closed_at=moments.get("closed"),
        timeline=tuple(TimelineEntry(at, name, "", "ann") for name, at in moments.items()),
    )


def acknowledged(profile: str, stage_id: str, at: datetime, stage: Stage = Stage.UPDATE) -> Report:
    return Report(
        id=f"{stage_id}-{at.isoformat()}",
        incident_id="i1",
        stage=stage,
        state=ReportState.ACKNOWLEDGED,
        version=1,
        created_at=at,
        due_at=at,
        body={},
        receipt=Receipt("1", at, ""),
        profile=profile,
        stage_id=stage_id,
    )


def clocks(name: str, one: Incident, *reports: Report, calendar: Calendar | None = None) -> dict[str, StageTimer]:
    timers = timers_of(one, PROFILES[name], reports, calendar or Calendar())
    return {timer.stage_id: timer for timer in timers}


def test_seven_profiles_are_shipped_and_the_one_that_sources_disagree_on_is_off() -> None:
    assert set(PROFILES) == {
        "generic-24h",
        "cn-nir-2025",
        "eu-nis2",
        "in-certin",
        "eu-dora",
        "eu-gdpr-33",
        "us-circia",
    }
    assert [name for name, profile in PROFILES.items() if not profile.enabled] == ["us-circia"]


@pytest.mark.parametrize(
    ("facts", "hours"), [({}, 4), ({"entity_kind": "cii"}, 1), ({"entity_kind": "central-organ"}, 2)]
)
def test_the_national_measures_give_one_two_or_four_hours_by_whose_it_is(facts: dict[str, str], hours: int) -> None:
    assert clocks("cn-nir-2025", incident(facts, aware=T0))["initial"].due_at == T0 + hours * HOUR


def test_a_clock_begins_with_its_own_moment_and_not_before() -> None:
    assert clocks("eu-nis2", incident()) == {}
    found = clocks("eu-nis2", incident(significant=T0 + HOUR))
    assert {stage: timer.due_at for stage, timer in found.items()} == {
        "early_warning": T0 + 25 * HOUR,
        "notification": T0 + 73 * HOUR,
    }
    trust = incident({"entity_kind": "trust-service-provider"}, significant=T0)
    assert clocks("eu-nis2", trust)["notification"].due_at == T0 + 24 * HOUR


def test_a_month_after_the_notification_was_received_is_held_to_the_months_last_day() -> None:
    notified = acknowledged("eu-nis2", "notification", T0)
    final = clocks("eu-nis2", incident(significant=T0), notified)["final"]
    assert final.due_at == datetime(2026, 2, 28, 8, tzinfo=UTC)


def test_while_it_goes_on_a_progress_report_stands_in_for_the_final_one() -> None:
    notified = acknowledged("eu-nis2", "notification", T0)
    going = clocks("eu-nis2", incident({"ongoing": True}, significant=T0), notified)
    assert "final" not in going
    assert going["progress"].due_at == datetime(2026, 2, 28, 8, tzinfo=UTC)
    progress = acknowledged("eu-nis2", "progress", T0 + 20 * DAY)
    over = incident({"ongoing": False}, significant=T0, handled=T0 + 60 * DAY)
    ended = clocks("eu-nis2", over, notified, progress)
    assert ended["progress"].met_at == T0 + 20 * DAY
    assert ended["final"].due_at == datetime(2026, 5, 1, 8, tzinfo=UTC)


def test_dora_counts_from_the_classification_but_never_beyond_a_day_of_awareness() -> None:
    assert clocks("eu-dora", incident(classified=T0 + 2 * HOUR, aware=T0))["initial"].due_at == T0 + 6 * HOUR
    assert clocks("eu-dora", incident(classified=T0 + 23 * HOUR, aware=T0))["initial"].due_at == T0 + 24 * HOUR


def test_a_stage_that_depends_on_a_fact_runs_only_with_it() -> None:
    paid = incident({"ransom_paid": True}, believed=T0, ransom_paid=T0 + HOUR)
    assert clocks("us-circia", paid)["ransom"].due_at == T0 + 25 * HOUR
    assert "ransom" not in clocks("us-circia", incident(believed=T0, ransom_paid=T0 + HOUR))


def test_a_stage_without_a_fixed_time_runs_and_rings_nobody() -> None:
    supplement = clocks("in-certin", incident(aware=T0))["supplement"]
    assert supplement.due_at is None
    assert rung(supplement, T0 + 1000 * DAY) == (supplement, 0)


def test_each_change_starts_the_update_clock_that_the_last_update_stopped() -> None:
    change = TimelineEntry(T0 + 2 * HOUR, "changed", "more hosts", "ann")
    one = incident(changed=T0 + HOUR)
    assert clocks("generic-24h", one)["update"].due_at == T0 + 25 * HOUR
    two = replace(one, timeline=(*one.timeline, change))
    assert clocks("generic-24h", two)["update"].due_at == T0 + 25 * HOUR, "the first unreported change counts"
    first = acknowledged("generic-24h", "update", T0 + 90 * timedelta(minutes=1))
    again = clocks("generic-24h", two, first)["update"]
    assert (again.met_at, again.due_at) == (None, T0 + 26 * HOUR)
    second = acknowledged("generic-24h", "update", T0 + 3 * HOUR)
    assert clocks("generic-24h", two, first, second)["update"].met_at == T0 + 3 * HOUR


def test_only_an_acknowledgement_meets_a_stage() -> None:
    for state in ReportState:
        report = replace(acknowledged("generic-24h", "initial", T0 + HOUR, Stage.EARLY), state=state)
        met = clocks("generic-24h", incident(), report)["initial"].met_at
        assert met == (T0 + HOUR if state is ReportState.ACKNOWLEDGED else None)


def test_a_rejected_or_merged_incident_has_no_running_clock() -> None:
    rejected = replace(incident(), state=IncidentState.REJECTED, determined_by="cid")
    merged = replace(incident(), related=(("merged_into", "i2"),))
    for one, why in ((rejected, "rejected by cid"), (merged, "merged into i2")):
        timer = clocks("generic-24h", one)["initial"]
        assert (timer.dropped, armed(timer).next_at) == (why, None)


def test_profiles_apply_by_facts_and_grades() -> None:
    grade = {"cn-nir-2025": Grade("cn-nir-2025", 3, "relatively-large")}
    assert applies(PROFILES["cn-nir-2025"], incident(), grade)
    assert not applies(PROFILES["cn-nir-2025"], incident(), {"cn-nir-2025": Grade("cn-nir-2025")})
    breach = {"personal_data_breach": True}
    assert applies(PROFILES["eu-gdpr-33"], incident(breach), {})
    assert not applies(PROFILES["eu-gdpr-33"], incident({**breach, "risk_unlikely": True}), {})
    assert applies(PROFILES["in-certin"], incident({"annexure1_type": "iii"}), {})
    assert not applies(PROFILES["in-certin"], incident({"annexure1_type": "unknown"}), {})
    everything = incident({"covered_entity": True, "covered_incident": True})
    assert not applies(PROFILES["us-circia"], everything, {}), "it is switched off"


def test_what_is_required_depends_on_the_facts_and_unknown_is_an_answer() -> None:
    profile = PROFILES["cn-nir-2025"]
    body: dict[str, Any] = dict.fromkeys(profile.rule("initial").required, "unknown")
    assert profile.missing("initial", body) == ()
    body["facts"] = {"ransomware": True}
    assert profile.missing("initial", body) == ("ransom_amount", "ransom_method", "ransom_date")


def test_a_profile_of_ones_own_takes_over_another() -> None:
    text = """
- id: chongqing
  extends: cn-nir-2025
  authority: {name: the municipality}
  stages: [{id: final, due: P15D}, {id: paper, kind: update, due_working_days: 2, from: aware_at, required: [seal]}]
"""
    own = read_profiles(text, "own.yaml", PROFILES)["chongqing"]
    assert [rule.id for rule in own.stages] == ["initial", "supplement", "final", "paper"]
    assert (own.rule("final").due, own.rule("final").since) == ("P15D", "handled_at")
    assert own.variants == PROFILES["cn-nir-2025"].variants
    # Friday; the Saturday is worked, Monday is a holiday.
    calendar = Calendar(
        timezone="Asia/Shanghai", holidays=frozenset({date(2026, 2, 2)}), working=frozenset({date(2026, 1, 31)})
    )
    friday = datetime(2026, 1, 30, 3, tzinfo=UTC)
    (paper,) = [one for one in timers_of(incident(aware=friday), own, [], calendar) if one.stage_id == "paper"]
    assert paper.due_at == datetime(2026, 2, 3, 15, 59, 59, tzinfo=UTC), "Saturday and Tuesday, until midnight there"


def test_people_are_told_at_50_75_and_90_percent_and_when_it_is_over() -> None:
    timer = armed(clocks("generic-24h", incident())["initial"])
    assert [moment_of(timer, percent) - T0 for percent in (50, 75, 90, 100)] == [
        12 * HOUR,
        18 * HOUR,
        21.6 * HOUR,
        24 * HOUR,
    ]
    told = []
    for hour in range(30):
        timer, percent = rung(timer, T0 + hour * HOUR)
        told += [(hour, percent)] if percent else []
    assert told == [(12, 50), (18, 75), (22, 90), (24, 100)]
    assert timer.next_at is None


def test_a_calendar_without_any_working_day_ends() -> None:
    never = Calendar(weekend=(0, 1, 2, 3, 4, 5, 6))
    assert never.after(T0, 1) > T0
