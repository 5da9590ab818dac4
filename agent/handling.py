"""What people do to an incident itself (the port IncidentDesk): each change checked, stored, audited."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from tapwarden.agent.triage import changing
from tapwarden.agent.triage.grading import Scheme, grades, shipped_schemes
from tapwarden.model.decision import LIVE_STATES
from tapwarden.model.errors import RefusedError
from tapwarden.model.incident import AlertGroup, Grade, Incident, IncidentState, Ownership, ThreatClass
from tapwarden.model.ports import CaseStore, Clock

Undo = Callable[[Sequence[str], str, str], object]
"""Rolls actions back: their ids, who, why."""


class IncidentHandling:
    """The IncidentDesk over a case store.

    ``ours`` tells own addresses; ``followed`` is told of each changed incident (its clocks); ``undo`` rolls back what
    was done about an incident that turns out to be none.
    """

    def __init__(
        self,
        *,
        cases: CaseStore,
        clock: Clock,
        new_id: Callable[[], str],
        ours: Callable[[str], bool],
        undo: Undo,
        followed: Callable[[Incident], object] = lambda _incident: None,
        schemes: Sequence[Scheme] | None = None,
    ) -> None:
        self._cases, self._clock, self._new_id, self._ours = cases, clock, new_id, ours
        self._undo, self._followed = undo, followed
        self._schemes = shipped_schemes() if schemes is None else schemes

    def grades(self, incident: Incident) -> Mapping[str, Grade]:
        """See the port."""
        return grades(incident.facts, self._schemes)

    def classify(
        self, incident_id: str, *, threat_class: ThreatClass, subtype: str, by: str, kind_text: str = ""
    ) -> Incident:
        """See the port."""
        return self._change(
            incident_id,
            by,
            "incident.classify",
            f"{threat_class} {subtype}",
            lambda one, now: changing.classified(one, threat_class, subtype, kind_text, by, now),
        )

    def attribute(self, incident_id: str, *, ownership: Ownership, by: str, reason: str) -> Incident:
        """See the port."""
        return self._change(
            incident_id,
            by,
            "incident.attribute",
            f"{ownership}: {reason}",
            lambda one, now: changing.attributed(one, ownership, reason, by, now),
        )

    def assess(
        self, incident_id: str, *, by: str, facts: Mapping[str, str | int | bool], severity: int | None = None
    ) -> Incident:
        """See the port."""
        said = " ".join(f"{name}={value}" for name, value in facts.items())
        return self._change(
            incident_id,
            by,
            "incident.assess",
            said,
            lambda one, now: changing.assessed(one, facts, severity, by, now),
        )

    def assign(self, incident_id: str, *, responsible: str, by: str) -> Incident:
        """See the port."""
        return self._change(
            incident_id,
            by,
            "incident.assign",
            responsible,
            lambda one, now: changing.assigned(one, responsible, by, now),
        )

    def note(self, incident_id: str, *, text: str, by: str) -> Incident:
        """See the port."""
        return self._change(
            incident_id, by, "incident.note", "", lambda one, now: changing.remarked(one, text, by, now), closed=True
        )

    def stamp(
        self, incident_id: str, *, name: str, at: datetime, by: str, text: str = "", correct: bool = False
    ) -> Incident:
        """See the port."""
        verb = "incident.correct" if correct else "incident.stamp"
        return self._change(
            incident_id,
            by,
            verb,
            f"{name}={at.isoformat()} {text}".strip(),
            lambda one, now: changing.stamped(one, name, at, text, by, now, correct=correct),
            closed=True,
        )

    def submit(self, incident_id: str, *, by: str) -> Incident:
        """See the port."""
        return self._change(
            incident_id, by, "incident.submit", "", lambda one, now: changing.submitted(one, by, now, f"by {by}")
        )

    def determine(self, incident_id: str, *, state: IncidentState, by: str, reason: str) -> Incident:
        """See the port; what was done about a rejected one is rolled back."""
        changed = self._change(
            incident_id,
            by,
            "incident.determine",
            f"{state}: {reason}",
            lambda one, now: changing.determined(one, state, reason, by, now),
        )
        if state is IncidentState.REJECTED:
            live = self._cases.actions(incident_id=incident_id, states=tuple(LIVE_STATES))
            if live:
                self._undo([action.id for action in live], by, f"the incident was rejected: {reason}")
        return changed

    def merge(self, incident_id: str, others: Sequence[str], *, by: str, reason: str) -> Incident:
        """See the port."""
        now = self._clock.now()
        with self._cases.transaction():
            found = [self._open_one(one) for one in dict.fromkeys(others)]
            whole, closed = changing.merged(self._open_one(incident_id), found, reason, by, now)
            for one in (*closed, whole):
                self._cases.put_incident(one)
                self._followed(one)
            for gone in closed:
                ids = [group_id for group_id in gone.group_ids if self._cases.group(group_id)]
                self._cases.set_groups(ids, incident_id=whole.id, by=by, at=now)
                self._cases.audit(
                    actor=by, verb="incident.merge", subject=gone.id, detail=f"into {whole.id}: {reason}", at=now
                )
            detail = f"{', '.join(others)}: {reason}"
            self._cases.audit(actor=by, verb="incident.merge", subject=whole.id, detail=detail, at=now)
        return whole

    def split(self, incident_id: str, group_ids: Sequence[str], *, title: str, by: str, reason: str) -> Incident:
        """See the port."""
        now = self._clock.now()
        with self._cases.transaction():
            incident = self._open_one(incident_id)
            wanted = set(group_ids)
            if missing := sorted(wanted - set(incident.group_ids)):
                raise RefusedError("this group is not of the incident", entry=missing[0])
            groups: list[AlertGroup] = []
            rest: list[AlertGroup] = []
            for group_id in incident.group_ids:
                if (group := self._cases.group(group_id)) is not None:
                    (groups if group_id in wanted else rest).append(group)
            left, part = changing.split(
                incident,
                groups,
                rest,
                new_id=self._new_id(),
                title=title,
                reason=reason,
                by=by,
                now=now,
                ours=self._ours,
            )
            for one in (left, part):
                self._cases.put_incident(one)
                self._followed(one)
            self._cases.set_groups([group.id for group in groups], incident_id=part.id, by=by, at=now)
            self._cases.audit(
                actor=by, verb="incident.split", subject=left.id, detail=f"into {part.id}: {reason}", at=now
            )
            self._cases.audit(
                actor=by, verb="incident.split", subject=part.id, detail=f"from {left.id}: {reason}", at=now
            )
        return part

    def _change(
        self,
        incident_id: str,
        by: str,
        verb: str,
        detail: str,
        change: Callable[[Incident, datetime], Incident],
        *,
        closed: bool = False,
    ) -> Incident:
        now = self._clock.now()
        with self._cases.transaction():
            changed = change(self._one(incident_id) if closed else self._open_one(incident_id), now)
            self._cases.put_incident(changed)
            self._followed(changed)
            self._cases.audit(actor=by, verb=verb, subject=incident_id, detail=detail, at=now)
        return changed

    def _one(self, incident_id: str) -> Incident:
        incident = self._cases.incident(incident_id)
        if incident is None:
            raise KeyError(incident_id)
        return incident

    def _open_one(self, incident_id: str) -> Incident:
        incident = self._one(incident_id)
        if incident.closed_at is not None:
            raise RefusedError(f"the incident was closed on {incident.closed_at:%Y-%m-%d}", entry=incident_id)
        return incident
