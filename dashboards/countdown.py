"""The reporting clock of an incident, stage by stage: how much of the time is used, and whether it was met."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tapwarden.model.incident import Incident
from tapwarden.model.report import Report, ReportState, Stage, StageTimer

LEVELS = ((1.0, "overdue"), (0.9, "critical"), (0.75, "warning"), (0.5, "watch"), (0.0, "calm"))
"""Share of the time used -> level; people are escalated to at 50, 75 and 90 percent."""


@dataclass(frozen=True, slots=True)
class StageClock:
    """One stage. ``used`` is 0.0 to 1.0; ``level`` is a word for it, or met / missed once acknowledged."""

    stage: Stage
    starts_at: datetime
    due_at: datetime
    state: ReportState
    report_id: str
    used: float
    left_s: float
    level: str
    stopped_at: datetime | None
    name: str = ""
    """The profile and its own name of the stage."""


def stage_clocks(
    incident: Incident, reports: Sequence[Report], now: datetime, timers: Sequence[StageTimer] = ()
) -> tuple[StageClock, ...]:
    """The clocks of all stages that run or were met, in order of their due time.

    Without timers (an incident of an older version) those of all stages that have a report, and the early one's.
    """
    if timers:
        found = [_of_timer(timer, reports, now) for timer in timers if timer.due_at and not timer.dropped]
        return tuple(sorted(found, key=lambda clock: clock.due_at))
    clocks = [_clock(report.stage, incident, report.due_at, report, now) for report in reports]
    if not any(report.stage is Stage.EARLY for report in reports):
        clocks.append(_clock(Stage.EARLY, incident, incident.due_at, None, now))
    return tuple(sorted(clocks, key=lambda clock: clock.due_at))


def most_urgent(clocks: Sequence[StageClock]) -> StageClock | None:
    """The running clock that ends first; None when every stage is acknowledged."""
    running = [clock for clock in clocks if clock.stopped_at is None]
    return min(running, key=lambda clock: clock.due_at, default=None)


def _of_timer(timer: StageTimer, reports: Sequence[Report], now: datetime) -> StageClock:
    own = [one for one in reports if (one.profile or timer.profile) == timer.profile]
    report = next(
        (one for one in own if (one.stage_id or one.stage.value) in (timer.stage_id, timer.stage.value)), None
    )
    due_at = timer.due_at or now
    span = max(1.0, (due_at - timer.starts_at).total_seconds())
    at = timer.met_at or now
    used = (at - timer.starts_at).total_seconds() / span
    if timer.met_at is not None:
        level = "met" if timer.met_at <= due_at else "missed"
    else:
        level = next((word for share, word in LEVELS if used >= share), "calm")
    return StageClock(
        stage=timer.stage,
        starts_at=timer.starts_at,
        due_at=due_at,
        state=report.state if report else ReportState.DRAFT,
        report_id=report.id if report else "",
        used=round(min(1.0, max(0.0, used)), 4),
        left_s=(due_at - at).total_seconds(),
        level=level,
        stopped_at=timer.met_at,
        name=f"{timer.profile} {timer.stage_id}",
    )


def _clock(stage: Stage, incident: Incident, due_at: datetime, report: Report | None, now: datetime) -> StageClock:
    starts_at = incident.detected_at if stage is Stage.EARLY or report is None else report.created_at
    state = report.state if report else ReportState.DRAFT
    acknowledged = report is not None and report.state is ReportState.ACKNOWLEDGED
    stopped_at = (report.receipt.received_at if report.receipt else now) if report and acknowledged else None
    at = stopped_at or now
    span = max(1.0, (due_at - starts_at).total_seconds())
    used = (at - starts_at).total_seconds() / span
    if stopped_at is not None:
        level = "met" if stopped_at <= due_at else "missed"
    else:
        level = next((word for share, word in LEVELS if used >= share), "calm")
    return StageClock(
        stage=stage,
        starts_at=starts_at,
        due_at=due_at,
        state=state,
        report_id=report.id if report else "",
        used=round(min(1.0, max(0.0, used)), 4),
        left_s=(due_at - at).total_seconds(),
        level=level,
        stopped_at=stopped_at,
    )
