"""From groups to an incident, and later groups joining it. Pure: time, id and profile are arguments."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tapwarden.agent.triage.policy import Matter
from tapwarden.model.incident import AlertGroup, Incident, IncidentState, ThreatClass, TimelineEntry

MAX_MEMBERS = 1000
"""Groups, affected hosts and indicators kept in one incident; a scan can have far more."""


def opened(
    groups: Sequence[AlertGroup],
    *,
    incident_id: str,
    title: str,
    threat_class: ThreatClass,
    severity: int,
    by: str,
    now: datetime,
    detected_at: datetime,
    due_after: timedelta,
    profile: str,
    ours: Callable[[str], bool],
    summary: str = "",
    drill: bool = False,
    subject: str = "",
) -> Incident:
    """A new incident of these groups. Its clock starts at ``detected_at``; what happened before stands in the timeline.

    ``ours`` tells own addresses from others; ``subject`` is what a policy acts on, "" for a person's incident.
    Raises ValueError without groups.
    """
    if not groups:
        raise ValueError("an incident needs at least one alert group")
    occurred = min(group.first_seen for group in groups)
    signatures = ", ".join(dict.fromkeys(group.signature for group in groups))
    return Incident(
        id=incident_id,
        title=title,
        threat_class=threat_class,
        severity=severity,
        state=IncidentState.SUSPECTED,
        detected_at=detected_at,
        opened_at=now,
        opened_by=by,
        due_at=detected_at + due_after,
        profile=profile,
        summary=summary or f"{sum(group.count for group in groups)} alerts: {signatures}"[:2000],
        group_ids=tuple(group.id for group in groups)[:MAX_MEMBERS],
        affected=_affected(groups, subject, ours),
        indicators=_indicators(groups, subject, ours),
        timeline=(
            TimelineEntry(occurred, "occurred", "first alert, by the packets' time", by, now),
            TimelineEntry(detected_at, "detected", "the reporting clock starts", by, now),
            TimelineEntry(now, "aware", f"incident opened by {by}", by, now),
        ),
        drill=drill,
    )


def joined(
    incident: Incident, groups: Sequence[AlertGroup], *, now: datetime, by: str, ours: Callable[[str], bool]
) -> Incident:
    """The incident with further groups; the same object when all are already in it."""
    new = [group for group in groups if group.id not in incident.group_ids]
    if not new or len(incident.group_ids) >= MAX_MEMBERS:
        return incident
    subject = incident.indicators[0] if incident.indicators else ""
    text = f"{len(new)} more alert group{'s' if len(new) > 1 else ''}: {new[0].signature}"
    return replace(
        incident,
        group_ids=(*incident.group_ids, *(group.id for group in new))[:MAX_MEMBERS],
        affected=tuple(dict.fromkeys((*incident.affected, *_affected(new, subject, ours))))[:MAX_MEMBERS],
        indicators=tuple(dict.fromkeys((*incident.indicators, *_indicators(new, subject, ours))))[:MAX_MEMBERS],
        timeline=(*incident.timeline, TimelineEntry(now, "joined", text, by, now)),
    )


def open_incident_of(matter: Matter, incidents: Sequence[Incident]) -> Incident | None:
    """The open incident that is already about this matter."""
    by = matter.policy.opened_by
    for incident in incidents:
        if incident.opened_by == by and incident.closed_at is None and incident.indicators[:1] == (matter.subject,):
            return incident
    return None


def members(
    groups: Sequence[AlertGroup], subject: str, ours: Callable[[str], bool]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who is affected, and the observables to act on, in these groups."""
    return _affected(groups, subject, ours), _indicators(groups, subject, ours)


def _affected(groups: Sequence[AlertGroup], subject: str, ours: Callable[[str], bool]) -> tuple[str, ...]:
    """Our own hosts among the sides; where there is none, the sides that are not what the incident acts on."""
    sides = [side for group in groups for side in (group.src_ip, group.dest_ip) if side and side != subject]
    return tuple(dict.fromkeys([side for side in sides if ours(side)] or sides))[:MAX_MEMBERS]


def _indicators(groups: Sequence[AlertGroup], subject: str, ours: Callable[[str], bool]) -> tuple[str, ...]:
    """Observables to act on; the subject first (``open_incident_of`` relies on it)."""
    strangers = [side for group in groups for side in (group.src_ip, group.dest_ip) if side and not ours(side)]
    names = [name for group in groups for name in group.badges]
    return tuple(dict.fromkeys(value for value in (subject, *strangers, *names) if value))[:MAX_MEMBERS]
