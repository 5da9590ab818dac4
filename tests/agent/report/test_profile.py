"""Clock profiles."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.agent.report.profile import after, moments, read_profiles, shipped_profiles
from tapwarden.model.errors import ConfigError
from tapwarden.model.incident import Incident, IncidentState, ThreatClass, TimelineEntry
from tapwarden.model.report import Stage

T0 = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)


def test_a_duration_counts_calendar_months_held_to_their_last_day() -> None:
    assert after(datetime(2026, 1, 31, 8, tzinfo=UTC), "P1M") == datetime(2026, 2, 28, 8, tzinfo=UTC)
    assert after(datetime(2028, 1, 31, tzinfo=UTC), "P1M") == datetime(2028, 2, 29, tzinfo=UTC)
    assert after(datetime(2026, 12, 15, tzinfo=UTC), "P1M") == datetime(2027, 1, 15, tzinfo=UTC)
    assert after(datetime(2026, 1, 31, tzinfo=UTC), "P1M1DT1H30M") == datetime(2026, 3, 1, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("nonsense", ["", "P", "PT", "24h", "PT24", "P1Y", "PT-1H", "P1.5D"])
def test_what_is_no_duration_is_refused(nonsense: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        after(T0, nonsense)


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1)), st.integers(-14, 14))
def test_twenty_four_hours_are_that_in_every_timezone_and_over_summer_time(naive: datetime, offset: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(hours=offset)))
    assert after(moment, "PT24H") - moment == timedelta(hours=24)


def test_the_default_profile_is_due_24_hours_after_the_first_detection() -> None:
    profile = shipped_profiles()["generic-24h"]
    incident = Incident(
        id="i1",
        title="t",
        threat_class=ThreatClass.EVENT,
        severity=1,
        state=IncidentState.SUSPECTED,
        detected_at=T0,
        opened_at=T0 + timedelta(hours=3),
        opened_by="ann",
        due_at=T0 + timedelta(hours=24),
        timeline=(TimelineEntry(T0 + timedelta(hours=5), "changed", "more hosts", "ann"),),
    )
    assert profile.deadline(Stage.EARLY, moments(incident)) == datetime(2026, 3, 29, 23, 30, tzinfo=UTC)
    assert profile.deadline(Stage.UPDATE, moments(incident)) == datetime(2026, 3, 30, 4, 30, tzinfo=UTC)
    assert profile.deadline(Stage.FINAL, moments(incident)) is None


def test_unknown_is_a_legal_value_and_a_missing_key_is_not() -> None:
    profile = shipped_profiles()["generic-24h"]
    body: dict[str, object] = dict.fromkeys(profile.stage(Stage.EARLY).required, "unknown")
    assert profile.missing(Stage.EARLY, body) == ()
    del body["contact"]
    body["tlp"] = ""
    assert profile.missing(Stage.EARLY, body) == ("contact", "tlp")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[{id: x, start: a_at, stages: [{id: early, kind: early, due: soon, from: a_at, required: []}]}]",
            "due",
        ),
        ("[{id: x, start: detected_at, stages: []}]", "stages"),
        (
            "[{id: x, start: a, stages: [{id: early, kind: early, due: PT1H, from: a, required: [], colour: red}]}]",
            "colour",
        ),
        ("- id: [", "profiles"),
        ("[{id: x, extends: nothing}]", "nothing"),
        ("- id: x\n  extends: generic-24h", "generic-24h"),
    ],
)
def test_a_profile_with_a_mistake_says_where(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_profiles(text, "profiles.yaml")
