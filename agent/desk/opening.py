"""Incidents at the desk: opened by a person or a policy, grown, closed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tapwarden.agent.desk.means import ReportingRules
from tapwarden.agent.report.profile import moments
from tapwarden.agent.triage.opening import opened
from tapwarden.model.errors import RefusedError
from tapwarden.model.incident import AlertGroup, GroupState, Incident, IncidentState, ThreatClass, TimelineEntry
from tapwarden.model.ports import CaseStore, Clock
from tapwarden.model.report import Stage


class Incidents:
    """Opens and closes incidents in the case store; ``followed`` is told of each that changed (its clocks)."""

    def __init__(
        self,
        *,
        cases: CaseStore,
        rules: ReportingRules,
        clock: Clock,
        new_id: Callable[[], str],
        ours: Callable[[str], bool],
        detected_at: Callable[[Sequence[AlertGroup], datetime], datetime],
        followed: Callable[[Incident], object],
    ) -> None:
        self._cases, self._rules, self._clock, self._new_id = cases, rules, clock, new_id
        self._ours, self._detected_at, self._followed = ours, detected_at, followed

    def free_groups(self, group_ids: Sequence[str]) -> list[AlertGroup]:
        """The groups, each once. KeyError for one that does not exist, RefusedError where one belongs elsewhere."""
        groups = [self._group(group_id) for group_id in dict.fromkeys(group_ids)]
        if not groups:
            raise RefusedError("an incident needs at least one alert group")
        if taken := next((group.incident_id for group in groups if group.incident_id), ""):
            incident = self._cases.incident(taken)
            if incident is not None and incident.closed_at is None:
                raise RefusedError("one of these groups belongs to an open incident already", entry=taken)
        return groups

    def open(
        self,
        groups: Sequence[AlertGroup],
        title: str,
        threat_class: ThreatClass,
        severity: int,
        by: str,
        *,
        summary: str = "",
        drill: bool = False,
        subject: str = "",
        follow: bool = True,
    ) -> Incident:
        """A new incident of these groups, stored, its clocks running (without ``follow``: once ``follow_up`` is)."""
        now = self._clock.now()
        detected_at = self._detected_at(groups, now)
        incident = opened(
            groups,
            incident_id=self._new_id(),
            title=title,
            threat_class=threat_class,
            severity=severity,
            by=by,
            now=now,
            detected_at=detected_at,
            due_after=timedelta(hours=24),
            profile=self._rules.profile.id,
            ours=self._ours,
            summary=summary,
            drill=drill,
            subject=subject,
        )
        due = self._rules.profile.deadline(Stage.EARLY, moments(incident))
        incident = replace(incident, due_at=due or incident.due_at)
        with self._cases.transaction():
            self._cases.put_incident(incident)
            if follow:
                self._followed(incident)
            self.escalate(incident, groups, by, now)
            self._cases.audit(actor=by, verb="incident.open", subject=incident.id, detail=title, at=now)
        return incident

    def follow_up(self, incident: Incident) -> None:
        """Let the incident's clocks run."""
        self._followed(incident)

    def escalate(self, incident: Incident, groups: Sequence[AlertGroup], by: str, now: datetime) -> None:
        """The groups are this incident's from now on."""
        ids = [group.id for group in groups]
        self._cases.set_groups(ids, state=GroupState.ESCALATED, incident_id=incident.id, by=by, at=now)

    def close(self, incident_id: str, *, by: str, reason: str) -> Incident:
        """See the port."""
        incident = self.open_one(incident_id)
        if not reason.strip():
            raise RefusedError("closing an incident needs a reason")
        now = self._clock.now()
        closed = replace(
            incident,
            state=IncidentState.CLOSED,
            closed_at=now,
            timeline=(*incident.timeline, TimelineEntry(now, "closed", reason, by, now)),
        )
        with self._cases.transaction():
            self._cases.put_incident(closed)
            self._followed(closed)
            self._cases.audit(actor=by, verb="incident.close", subject=incident_id, detail=reason, at=now)
        return closed

    def open_one(self, incident_id: str) -> Incident:
        """The incident. KeyError where there is none, RefusedError where it was closed."""
        incident = self._cases.incident(incident_id)
        if incident is None:
            raise KeyError(incident_id)
        if incident.closed_at is not None:
            raise RefusedError(f"the incident was closed on {incident.closed_at:%Y-%m-%d}", entry=incident_id)
        return incident

    def _group(self, group_id: str) -> AlertGroup:
        group = self._cases.group(group_id)
        if group is None:
            raise KeyError(group_id)
        return group
