"""What is asked about all incidents together: figures of a period, requirements of the law, drills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Period(StrEnum):
    """How long figures are counted over; calendar ones, in UTC."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something took, in seconds, over ``count`` times that it happened."""

    count: int
    median_s: float
    p90_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of a period: incidents that were detected in it, and what became of them. Drills are counted apart.

    ``by_class`` is class -> sub-type -> incidents, ``by_measure`` measure -> state of its actions -> how many.
    ``latencies`` are ``detect_to_report`` (to the first acknowledgement), ``report_to_determination`` and
    ``order_to_effective``; one that never happened is left out. ``series`` is the count by part of the period.
    """

    period: Period
    since: datetime
    until: datetime
    incidents: int
    drills: int
    by_class: Mapping[str, Mapping[str, int]]
    by_severity: Mapping[int, int]
    by_state: Mapping[str, int]
    by_ownership: Mapping[str, int]
    by_measure: Mapping[str, Mapping[str, int]]
    reports: Mapping[str, int]
    latencies: Mapping[str, Latency]
    series: Sequence[tuple[datetime, int]]
    false_positives: float | None
    """Rejected part of what was determined; None where nothing was."""


class Standing(StrEnum):
    """How a requirement stands on this system."""

    MET = "met"
    PARTLY = "partly"
    NOT_MET = "not_met"
    NOT_USED = "not_used"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of the sources, how it stands here, and what that was read from."""

    id: str
    source: str
    text: str
    standing: Standing
    evidence: str


@dataclass(frozen=True, slots=True)
class DrillStep:
    """One step of a drill: what should happen, whether it did, what was seen, how long it took."""

    name: str
    expected: str
    passed: bool
    seen: str
    took_s: float


@dataclass(frozen=True, slots=True)
class DrillResult:
    """A drill: a synthetic incident through the whole chain, scored step by step."""

    id: str
    incident_id: str
    by: str
    started_at: datetime
    ended_at: datetime
    profile: str
    steps: tuple[DrillStep, ...]

    @property
    def score(self) -> float:
        """The part of the steps that passed, 0 to 1."""
        return sum(step.passed for step in self.steps) / len(self.steps) if self.steps else 0.0


class Office(Protocol):
    """Answers these questions. Methods raise StoreError."""

    def statistics(self, period: Period, at: datetime) -> Statistics:
        """Figures of the period that ``at`` lies in."""
        ...

    def compliance(self) -> Sequence[Requirement]:
        """Every requirement, read from the system now."""
        ...

    def drills(self, *, limit: int = 20) -> Sequence[DrillResult]:
        """Newest first."""
        ...
