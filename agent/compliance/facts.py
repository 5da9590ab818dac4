"""What compliance looks at: configuration, cases, events and what carries decisions out, read once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tapwarden.agent.config import Config
from tapwarden.agent.report.profile import Profile
from tapwarden.agent.report.reporter import Reporter
from tapwarden.model.appeal import Appeal
from tapwarden.model.decision import Action, AuditRecord, Decision
from tapwarden.model.errors import StoreError
from tapwarden.model.event import EventQuery
from tapwarden.model.incident import Grade, Incident
from tapwarden.model.office import DrillResult, Period, Statistics
from tapwarden.model.order import Order
from tapwarden.model.ports import CaseStore, EventStore, Mitigator
from tapwarden.model.report import Departure, Report, StageTimer

MOST = 20_000
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is judged. ``quiet_hours`` are hours of the last day without any event, None where unknown."""

    now: datetime
    config: Config
    reporter: Reporter
    profiles: Sequence[Profile]
    incidents: Sequence[Incident]
    decisions: Sequence[Decision]
    actions: Sequence[Action]
    reports: Sequence[Report]
    timers: Sequence[StageTimer]
    departures: Sequence[Departure]
    orders: Sequence[Order]
    appeals: Sequence[Appeal]
    drills: Sequence[DrillResult]
    figures: Statistics
    grades: Callable[[Incident], Mapping[str, Grade]]
    mitigators: Sequence[Mitigator]
    last_audit: AuditRecord | None
    broken_audit: int | None
    quiet_hours: int | None
    kept_since: datetime | None
    checkpoints: int

    @property
    def real(self) -> Sequence[Incident]:
        """Incidents that are no drills."""
        return [one for one in self.incidents if not one.drill]


def gather(
    *,
    now: datetime,
    config: Config,
    reporter: Reporter,
    profiles: Sequence[Profile],
    cases: CaseStore,
    events: EventStore,
    orders: Sequence[Order],
    appeals: Sequence[Appeal],
    drills: Sequence[DrillResult],
    figures: Callable[[Period, datetime], Statistics],
    grades: Callable[[Incident], Mapping[str, Grade]],
    mitigators: Sequence[Mitigator],
    checkpoints: int,
) -> Facts:
    """Read everything once. Raises StoreError of the case store; what the event store does not say is unknown."""
    quiet: int | None = None
    oldest: datetime | None = None
    try:
        buckets = events.histogram(EventQuery(since=now - DAY, until=now), interval_s=3600)
        quiet = 24 - min(24, sum(bucket.count > 0 for bucket in buckets))
        oldest = events.status().oldest
    except (StoreError, ValueError):
        pass
    return Facts(
        now=now,
        config=config,
        reporter=reporter,
        profiles=profiles,
        incidents=cases.incidents(limit=MOST),
        decisions=cases.decisions(limit=MOST),
        actions=cases.actions(limit=MOST),
        reports=cases.reports(limit=MOST),
        timers=cases.timers(running=True, limit=MOST),
        departures=cases.departures(limit=MOST),
        orders=orders,
        appeals=appeals,
        drills=drills,
        figures=figures(Period.QUARTER, now),
        grades=grades,
        mitigators=mitigators,
        last_audit=next(iter(cases.audit_records(limit=1)), None),
        broken_audit=cases.verify_audit(),
        quiet_hours=quiet,
        kept_since=oldest,
        checkpoints=checkpoints,
    )
