"""What becomes of an incident: the rules people and programs meet."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.agent.triage import changing
from tapwarden.agent.triage.grading import grades, shipped_schemes
from tapwarden.model.errors import RefusedError
from tapwarden.model.incident import (
    FACTS,
    SUBTYPES,
    AlertGroup,
    Incident,
    IncidentState,
    Ownership,
    ThreatClass,
    TimelineEntry,
)

T0 = datetime(2026, 11, 24, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = T0 + 5 * HOUR
INCIDENT = Incident(
    id="i1",
    title="beacon",
    threat_class=ThreatClass.EVENT,
    severity=2,
    state=IncidentState.SUSPECTED,
    detected_at=T0 + HOUR,
    opened_at=T0 + HOUR,
    opened_by="ann",
    due_at=T0 + 25 * HOUR,
    group_ids=("g1", "g2"),
    affected=("10.0.0.1", "10.0.0.2"),
    indicators=("198.51.100.9", "198.51.100.10"),
    timeline=(TimelineEntry(T0, "occurred", "", "ann"), TimelineEntry(T0 + HOUR, "detected", "", "ann")),
)


def group(n: int) -> AlertGroup:
    return AlertGroup(f"g{n}", 1, n, "s", "c", 1, f"10.0.0.{n}", f"198.51.100.{8 + n}", 1, T0, T0, "e")


def ours(address: str) -> bool:
    return address.startswith("10.")


@pytest.mark.parametrize("threat", ThreatClass)
def test_a_class_takes_its_own_subtypes_and_no_others(threat: ThreatClass) -> None:
    for kind in SUBTYPES[threat]:
        assert changing.classified(INCIDENT, threat, kind, "a text", "bob", NOW).subtype == kind
    foreign = next(kind for other, kinds in SUBTYPES.items() if other is not threat for kind in kinds)
    with pytest.raises(RefusedError, match="no sub-type"):
        changing.classified(INCIDENT, threat, foreign, "a text", "bob", NOW)


def test_what_is_of_no_class_takes_a_text() -> None:
    with pytest.raises(RefusedError, match="says what it is"):
        changing.classified(INCIDENT, ThreatClass.OTHER, "other", " ", "bob", NOW)


def test_who_detected_or_submitted_an_incident_does_not_determine_it() -> None:
    with pytest.raises(RefusedError, match="only what was submitted"):
        changing.determined(INCIDENT, IncidentState.CONFIRMED, "seen", "cid", NOW)
    submitted = changing.submitted(INCIDENT, "bob", NOW)
    for detector in ("ann", "bob"):
        with pytest.raises(RefusedError, match="somebody else"):
            changing.determined(submitted, IncidentState.CONFIRMED, "seen", detector, NOW)
    asked = changing.determined(submitted, IncidentState.NEEDS_INFORMATION, "which host?", "cid", NOW)
    assert asked.determined_at is None
    again = changing.submitted(asked, "bob", NOW)
    confirmed = changing.determined(again, IncidentState.CONFIRMED, "host found", "cid", NOW)
    assert (confirmed.state, confirmed.determined_by, confirmed.determined_at) == ("confirmed", "cid", NOW)
    with pytest.raises(RefusedError):
        changing.determined(confirmed, IncidentState.REJECTED, "no", "dan", NOW)


def test_a_moment_is_set_once_and_a_correction_leaves_what_it_corrects() -> None:
    aware = changing.stamped(INCIDENT, "aware", T0 + 2 * HOUR, "told by phone", "ann", NOW)
    with pytest.raises(RefusedError, match="never changed"):
        changing.stamped(aware, "aware", T0 + 3 * HOUR, "later", "ann", NOW)
    with pytest.raises(RefusedError, match="takes a text"):
        changing.stamped(aware, "aware", T0 + 3 * HOUR, "", "ann", NOW, correct=True)
    with pytest.raises(RefusedError, match="not happened yet"):
        changing.stamped(INCIDENT, "aware", NOW + HOUR, "x", "ann", NOW)
    corrected = changing.stamped(aware, "aware", T0 + 3 * HOUR, "the call was at eleven", "bob", NOW, correct=True)
    assert corrected.moment("aware") == T0 + 3 * HOUR
    assert [entry.at for entry in corrected.timeline if entry.name == "aware"] == [T0 + 2 * HOUR, T0 + 3 * HOUR]
    assert corrected.timeline[-1].recorded_at == NOW


def test_merging_keeps_all_members_the_earliest_detection_and_says_so_on_both_sides() -> None:
    other = replace(INCIDENT, id="i2", detected_at=T0, group_ids=("g3",), severity=1, timeline=())
    whole, closed = changing.merged(INCIDENT, [other], "same host", "bob", NOW)
    assert whole.group_ids == ("g1", "g2", "g3")
    assert (whole.detected_at, whole.moment("detected"), whole.severity) == (T0, T0, 1)
    assert whole.timeline[: len(INCIDENT.timeline)] == INCIDENT.timeline
    assert whole.related == (("merged_from", "i2"),)
    assert (closed[0].state, closed[0].related) == (IncidentState.CLOSED, (("merged_into", "i1"),))
    for unlike in (replace(other, drill=True), replace(other, ownership=Ownership.THIRD_PARTY)):
        with pytest.raises(RefusedError):
            changing.merged(INCIDENT, [unlike], "same", "bob", NOW)


def test_a_split_off_incident_keeps_the_clock_of_the_old_one() -> None:
    left, part = changing.split(
        INCIDENT, [group(2)], [group(1)], new_id="i9", title="", reason="other", by="bob", now=NOW, ours=ours
    )
    assert (left.group_ids, part.group_ids) == (("g1",), ("g2",))
    assert (left.affected, part.affected) == (("10.0.0.1",), ("10.0.0.2",))
    assert (part.detected_at, part.due_at) == (INCIDENT.detected_at, INCIDENT.due_at)
    assert part.moment("detected") == INCIDENT.detected_at
    assert (left.related, part.related) == ((("split_into", "i9"),), (("split_from", "i1"),))
    with pytest.raises(RefusedError):
        changing.split(INCIDENT, [group(1)], [], new_id="i", title="", reason="r", by="b", now=NOW, ours=ours)


@pytest.mark.parametrize(
    ("facts", "miit", "national"),
    [
        ({"people_data": 100_000_000}, "special", "particularly-major"),
        ({"people_data": 99_999_999}, "major", "major"),
        ({"people_data": 1_000_000}, "larger", "relatively-large"),
        ({"people_data": 100_000}, "general", "general"),
        ({"loss_cny": 5_000_000}, "none", "relatively-large"),
        ({"cii_outage_minutes": 10, "cii_function_minutes": 31}, "none", "relatively-large"),
        ({"cii_outage_minutes": 10, "cii_function_minutes": 30}, "none", "none"),
        ({"nationwide": True, "people_data": "unknown"}, "special", "none"),
        ({"provinces": 2}, "major", "none"),
        ({}, "none", "none"),
    ],
)
def test_four_levels_by_the_thresholds_of_both_schemes(facts: changing.Facts, miit: str, national: str) -> None:
    found = grades(facts, shipped_schemes())
    assert (found["miit-2017"].word, found["cn-nir-2025"].word) == (miit, national)
    assert found["cn-nir-2025"].reportable == (national in {"particularly-major", "major", "relatively-large"})


@given(st.sampled_from(sorted(FACTS)), st.text(max_size=30))
def test_any_text_is_a_value_of_its_kind_or_refused(name: str, text: str) -> None:
    try:
        value = changing.fact(name, text)
    except RefusedError:
        return
    assert value == "unknown" or isinstance(value, {"flag": bool, "count": int, "text": str}[FACTS[name][0]])


def test_nothing_is_done_in_a_third_partys_network_or_about_what_was_rejected() -> None:
    assert changing.may_act(INCIDENT) == ""
    assert "third party" in changing.may_act(replace(INCIDENT, ownership=Ownership.THIRD_PARTY))
    assert "rejected by cid" in changing.may_act(replace(INCIDENT, state=IncidentState.REJECTED, determined_by="cid"))
