"""The clocks of an incident's stages: when each runs out, when people are told. Pure; ``clockwork`` keeps them.

not begun -> running -> met (acknowledged)      a repeated stage runs again from the next change
                |  50, 75, 90 % and overdue: a notice each, only the highest after an outage
                '-> dropped (merged away, rejected, no longer of this profile)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tapwarden.agent.report.profile import Facts, Profile, StageRule, moments
from tapwarden.agent.report.workdays import Calendar
from tapwarden.model.incident import Incident, IncidentState
from tapwarden.model.report import Report, ReportState, Stage, StageTimer

LEVELS = {50: "watch", 75: "warning", 90: "critical", 100: "overdue"}
"""Parts of the time (percent) at which people are told, and the word for it."""


@dataclass(frozen=True, slots=True)
class _Run:
    stage_id: str
    kind: Stage
    starts_at: datetime
    due_at: datetime | None


def timers_of(
    incident: Incident, profile: Profile, reports: Sequence[Report], calendar: Calendar
) -> Sequence[StageTimer]:
    """The clocks that this profile has running or met for the incident; those of stages not begun are not among them.

    ``reports`` are the incident's, of all profiles.
    """
    met = _met(profile, reports)
    times = dict(moments(incident)) | {f"stage.{stage_id}.sent_at": at for stage_id, at in met.items()}
    found = []
    for rule in profile.stages:
        if rule.when and incident.facts.get(rule.when) is not True:
            continue
        for run in _runs(rule, profile, incident, times, met, calendar):
            met_at = met.get(run.stage_id)
            if rule.repeat and met_at is not None and met_at < run.starts_at:
                met_at = None
            found.append(
                StageTimer(
                    id=f"{incident.id}/{profile.id}/{run.stage_id}",
                    incident_id=incident.id,
                    profile=profile.id,
                    stage_id=run.stage_id,
                    stage=run.kind,
                    starts_at=run.starts_at,
                    due_at=run.due_at,
                    met_at=met_at,
                    dropped=_dropped(incident),
                    drill=incident.drill,
                )
            )
    return found


def merged(stored: StageTimer | None, wanted: StageTimer) -> StageTimer:
    """The timer to keep: as wanted, with what people were told of it; told anew where its time has changed.

    A deadline that moves on after people were told is a new one; one that was met stays met.
    """
    same = stored is not None and (stored.starts_at, stored.due_at) == (wanted.starts_at, wanted.due_at)
    warned = stored.warned if stored is not None and same else 0
    return armed(replace(wanted, warned=warned))


def armed(timer: StageTimer) -> StageTimer:
    """The timer with its next moment to tell people; None once it is met, dropped, overdue and told of, or without
    a fixed end."""
    if timer.met_at is not None or timer.dropped or timer.due_at is None:
        return replace(timer, next_at=None)
    later = next((percent for percent in LEVELS if percent > timer.warned), None)
    return replace(timer, next_at=None if later is None else moment_of(timer, later))


def rung(timer: StageTimer, now: datetime) -> tuple[StageTimer, int]:
    """The timer after people are told what is to be told now, and of how many percent (0: of nothing)."""
    if timer.met_at is not None or timer.dropped or timer.due_at is None:
        return armed(timer), 0
    passed = max((percent for percent in LEVELS if moment_of(timer, percent) <= now), default=0)
    if passed <= timer.warned:
        return armed(timer), 0
    return armed(replace(timer, warned=passed)), passed


def moment_of(timer: StageTimer, percent: int) -> datetime:
    """When this part of the time is used up. Raises ValueError for a timer without end."""
    if timer.due_at is None:
        raise ValueError("a stage without a fixed time has no parts of it")
    span = max(timer.due_at - timer.starts_at, timedelta(0))
    return timer.due_at if percent >= 100 else timer.starts_at + span * percent / 100


def _runs(
    rule: StageRule,
    profile: Profile,
    incident: Incident,
    times: Mapping[str, datetime],
    met: Mapping[str, datetime],
    calendar: Calendar,
) -> Sequence[_Run]:
    facts: Facts = incident.facts
    if rule.repeat:
        times = {**times, **_unreported(rule, incident, met.get(rule.id))}
    found = profile.due(rule, times, facts, calendar)
    if found is None:
        return ()
    if rule.if_ongoing is None or (rule.id in met and rule.if_ongoing.send not in met):
        return (_Run(rule.id, rule.kind, *found),)
    goes_on = facts.get("ongoing") is True and incident.moment("handled") is None
    if not goes_on and rule.if_ongoing.send not in met:
        return (_Run(rule.id, rule.kind, *found),)
    runs = [_Run(rule.if_ongoing.send, Stage.UPDATE, *found)]
    then = profile.due(
        rule.model_copy(update={"due": rule.if_ongoing.then.due, "since": rule.if_ongoing.then.since, "cap": None}),
        times,
        facts,
        calendar,
    )
    if then is not None:
        runs.append(_Run(rule.id, rule.kind, *then))
    return runs


def _unreported(rule: StageRule, incident: Incident, met_at: datetime | None) -> Mapping[str, datetime]:
    """The first change that no acknowledged report tells of; else the last one."""
    name = rule.since.removesuffix("_at")
    changes = sorted(entry.at for entry in incident.timeline if entry.name == name)
    if not changes:
        return {}
    return {rule.since: next((at for at in changes if met_at is None or at > met_at), changes[-1])}


def _met(profile: Profile, reports: Sequence[Report]) -> Mapping[str, datetime]:
    """When each stage was acknowledged: the first time, of a repeated stage the last."""
    found: dict[str, datetime] = {}
    for report in sorted(reports, key=lambda one: one.created_at):
        if report.state is not ReportState.ACKNOWLEDGED or report.receipt is None:
            continue
        if report.profile and report.profile != profile.id:
            continue
        stage_id = report.stage_id or next((rule.id for rule in profile.stages if rule.kind == report.stage), "")
        repeat = any(rule.id == stage_id and rule.repeat for rule in profile.stages)
        if stage_id and (repeat or stage_id not in found):
            found[stage_id] = report.receipt.received_at
    return found


def _dropped(incident: Incident) -> str:
    for kind, other in incident.related:
        if kind == "merged_into":
            return f"merged into {other}"
    if incident.drill and incident.closed_at is not None:
        return "the drill is over"
    return f"rejected by {incident.determined_by}" if incident.state is IncidentState.REJECTED else ""
