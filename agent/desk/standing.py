"""Standing policies: the incident of a matter, and what the policy decides on it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tapwarden.agent.desk.deciding import Deciding
from tapwarden.agent.desk.opening import Incidents
from tapwarden.agent.triage.changing import may_act
from tapwarden.agent.triage.opening import joined, open_incident_of
from tapwarden.agent.triage.policy import Matter, is_due
from tapwarden.model.decision import Action, Authority, AuthorityKind, Decision
from tapwarden.model.errors import RefusedError
from tapwarden.model.incident import Incident
from tapwarden.model.ports import CaseStore, Clock

log = logging.getLogger(__name__)

OPEN_INCIDENTS = 100_000


@dataclass(slots=True)
class Outcome:
    """What came of a matter: its incident, whether that changed (a draft is due then), and what was done."""

    matter: Matter
    incident: Incident
    changed: bool
    actions: Sequence[Action] = ()


class Standing:
    """Acts on matters in the place of people; only the path uses it, in one thread of one process."""

    def __init__(
        self, *, cases: CaseStore, incidents: Incidents, deciding: Deciding, clock: Clock, ours: Callable[[str], bool]
    ) -> None:
        self._cases, self._incidents, self._deciding = cases, incidents, deciding
        self._clock, self._ours = clock, ours
        self._by_matter: dict[tuple[str, str], str] | None = None

    def act(self, matters: Sequence[Matter]) -> list[Outcome]:
        """Incidents opened or grown, decisions made and carried out: one transaction and one batch for all matters.

        Clocks and drafts are left for later (``Outcome.changed``): what is decided is to be in effect before the next
        packet. Raises StoreError: nothing is done then, and the matters can be given again.
        """
        outcomes: list[Outcome] = []
        decided: dict[str, Outcome] = {}

        def prepare() -> list[Decision]:
            proposed = []
            for matter in matters:
                incident, changed, new = self._incident_for(matter)
                outcomes.append(outcome := Outcome(matter, incident, changed))
                decision = self._proposal(matter, incident, new=new)
                if decision is not None:
                    outcome.changed = True
                    decided[decision.id] = outcome
                    proposed.append(decision)
            return proposed

        stored = False
        try:
            done = self._deciding.carry_out_all(prepare)
            stored = True
        finally:
            if not stored:
                self._by_matter = None  # it may name incidents that were not stored
        for decision_id, actions in done.items():
            decided[decision_id].actions = actions
        return outcomes

    def _incident_for(self, matter: Matter) -> tuple[Incident, bool, bool]:
        """The open incident of the matter with these groups in it; whether it changed, and whether it is new."""
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
                    follow=False,
                )
                self._matters()[policy.opened_by, matter.subject] = incident.id
                return incident, True, True
            grown = joined(incident, matter.groups, now=now, by=policy.opened_by, ours=self._ours)
            if grown is not incident:
                self._cases.put_incident(grown)
                self._incidents.escalate(grown, matter.groups, policy.opened_by, now)
            changed = grown is not incident or not self._cases.reports(incident_id=incident.id, limit=1)
            return grown, changed, False

    def _proposal(self, matter: Matter, incident: Incident, *, new: bool) -> Decision | None:
        """What the policy decides now; None when it only opens, or what it decided still holds or was undone."""
        standing, now = matter.policy.decide, self._clock.now()
        if standing is None or matter.target is None or may_act(incident):
            return None
        if not new and not is_due(self._cases.actions(incident_id=incident.id), matter.target, now):
            return None
        try:
            return self._deciding.propose(
                incident,
                standing.measure,
                (matter.target,),
                standing.scope,
                standing.reason,
                Authority(AuthorityKind.STANDING_POLICY, matter.policy.name, standing.legal_basis, now),
                standing.duration,
                by=matter.policy.opened_by,
                confidence=matter.confidence,
            )
        except RefusedError as error:
            log.warning("policy=%r decision=refused incident=%s reason=%r", matter.policy.name, incident.id, str(error))
            return None

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
