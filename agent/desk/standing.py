"""Standing policies: the incident of a matter, and what the policy decides on it."""

from collections.abc import Callable

from tapwarden.agent.desk.deciding import Deciding
from tapwarden.agent.desk.opening import Incidents
from tapwarden.agent.triage.changing import may_act
from tapwarden.agent.triage.opening import joined, open_incident_of
from tapwarden.agent.triage.policy import Matter, is_due
from tapwarden.model.decision import Authority, AuthorityKind, Decision
from tapwarden.model.incident import Incident
from tapwarden.model.ports import CaseStore, Clock

OPEN_INCIDENTS = 100_000


class Standing:
    """Acts on matters in the place of people; only the path uses it, in one thread of one process."""

    def __init__(
        self, *, cases: CaseStore, incidents: Incidents, deciding: Deciding, clock: Clock, ours: Callable[[str], bool]
    ) -> None:
        self._cases, self._incidents, self._deciding = cases, incidents, deciding
        self._clock, self._ours = clock, ours
        self._by_matter: dict[tuple[str, str], str] | None = None

    def incident_for(self, matter: Matter) -> tuple[Incident, bool]:
        """The open incident of the matter with these groups in it, opened now if there is none; whether it changed."""
        policy, now = matter.policy, self._clock.now()
        with self._cases.transaction():
            incident = self._known(matter)
            if incident is None:
                gravest = min(matter.groups, key=lambda group: group.severity)
                title = f"{gravest.signature or policy.name}: {matter.subject}"[:200]
                incident = self._incidents.open(
                    matter.groups,
                    title,
                    policy.threat_class,
                    policy.incident_severity,
                    policy.opened_by,
                    subject=matter.subject,
                )
                self._matters()[policy.opened_by, matter.subject] = incident.id
                return incident, True
            grown = joined(incident, matter.groups, now=now, by=policy.opened_by, ours=self._ours)
            if grown is not incident:
                self._cases.put_incident(grown)
                self._incidents.escalate(grown, matter.groups, policy.opened_by, now)
            return grown, grown is not incident or not self._cases.reports(incident_id=incident.id, limit=1)

    def decision(self, matter: Matter, incident: Incident) -> Decision | None:
        """What the policy decides now; None when it only opens, or what it decided still holds or was undone."""
        standing, now = matter.policy.decide, self._clock.now()
        if standing is None or matter.target is None or may_act(incident):
            return None
        if not is_due(self._cases.actions(incident_id=incident.id), matter.target, now):
            return None
        return self._deciding.decide(
            incident,
            standing.measure,
            (matter.target,),
            standing.scope,
            standing.reason,
            Authority(AuthorityKind.STANDING_POLICY, matter.policy.name, standing.legal_basis, now),
            standing.duration,
            by=matter.policy.opened_by,
        )

    def _known(self, matter: Matter) -> Incident | None:
        """The open incident of a matter: one look-up, however many incidents are open."""
        incident_id = self._matters().get((matter.policy.opened_by, matter.subject))
        incident = self._cases.incident(incident_id) if incident_id else None
        return open_incident_of(matter, [incident]) if incident else None

    def _matters(self) -> dict[tuple[str, str], str]:
        """Incidents by policy and subject, read once: only the path, in one process, opens incidents for policies."""
        if self._by_matter is None:
            there = self._cases.incidents(open_only=True, limit=OPEN_INCIDENTS)
            self._by_matter = {(one.opened_by, one.indicators[0]): one.id for one in reversed(there) if one.indicators}
        return self._by_matter
