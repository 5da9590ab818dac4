"""The Desk: one port over opening, deciding, approving, reporting and standing policies."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tapwarden.agent.desk.approving import Approvals
from tapwarden.agent.desk.deciding import Deciding
from tapwarden.agent.desk.means import Means, ReportingRules
from tapwarden.agent.desk.opening import Incidents
from tapwarden.agent.desk.reporting import Drafts
from tapwarden.agent.desk.standing import Outcome, Standing
from tapwarden.agent.triage.policy import Matter
from tapwarden.model.decision import Action, Authority, AuthorityKind, Decision, Impact, Measure, Target
from tapwarden.model.incident import AlertGroup, GroupState, Incident, ThreatClass, Verdict
from tapwarden.model.ports import CaseStore, Clock, EventStore
from tapwarden.model.report import Report, StageTimer


class CaseDesk:
    """The Desk over a case store. ``ours`` tells own addresses; ``detected_at`` when groups count as detected."""

    def __init__(
        self,
        *,
        cases: CaseStore,
        events: EventStore,
        means: Means,
        rules: ReportingRules,
        clock: Clock,
        new_id: Callable[[], str],
        ours: Callable[[str], bool],
        detected_at: Callable[[Sequence[AlertGroup], datetime], datetime],
        followed: Callable[[Incident], object] = lambda _incident: None,
        judged: Callable[[Sequence[str], Verdict, str], object] = lambda _groups, _verdict, _by: None,
    ) -> None:
        self._cases, self._clock, self._judged = cases, clock, judged
        self._incidents = Incidents(
            cases=cases,
            rules=rules,
            clock=clock,
            new_id=new_id,
            ours=ours,
            detected_at=detected_at,
            followed=followed,
        )
        self._deciding = Deciding(cases=cases, events=events, means=means, clock=clock, new_id=new_id)
        self._approvals = Approvals(cases=cases, ledger=means.ledger, deciding=self._deciding, clock=clock)
        self._drafts = Drafts(cases=cases, events=events, rules=rules, clock=clock, new_id=new_id)
        self._standing = Standing(
            cases=cases, incidents=self._incidents, deciding=self._deciding, clock=clock, ours=ours
        )

    # what people do (see the port)

    def triage(
        self, group_ids: Sequence[str], *, state: GroupState | None = None, verdict: Verdict | None = None, by: str
    ) -> int:
        """See the port."""
        changed = self._cases.set_groups(group_ids, state=state, verdict=verdict, by=by, at=self._clock.now())
        if verdict is not None:
            self._judged(group_ids, verdict, by)
        return changed

    def open_incident(
        self,
        group_ids: Sequence[str],
        *,
        title: str,
        threat_class: ThreatClass,
        severity: int,
        by: str,
        summary: str = "",
        drill: bool = False,
    ) -> Incident:
        """See the port."""
        groups = self._incidents.free_groups(group_ids)
        with self._cases.transaction():
            incident = self._incidents.open(groups, title, threat_class, severity, by, summary=summary, drill=drill)
            self.draft(incident)
        return incident

    def close_incident(self, incident_id: str, *, by: str, reason: str) -> Incident:
        """See the port."""
        return self._incidents.close(incident_id, by=by, reason=reason)

    def decide(
        self,
        incident_id: str,
        *,
        measure: Measure,
        targets: Sequence[Target],
        scope: str,
        reason: str,
        legal_basis: str,
        duration_s: int,
        by: str,
        override: bool = False,
    ) -> Sequence[Action]:
        """See the port."""
        incident = self._incidents.open_one(incident_id)
        proposed = self._deciding.propose(
            incident,
            measure,
            targets,
            scope,
            reason,
            Authority(AuthorityKind.PERSON, by, legal_basis.strip(), self._clock.now()),
            timedelta(seconds=duration_s),
            by=by,
        )
        actions = self.carry_out(self._deciding.settle(proposed, override=override))
        self.draft(incident)
        return actions

    def simulate(self, targets: Sequence[Target], *, since: datetime) -> Impact:
        """See the port."""
        return self._deciding.simulate(targets, since=since)

    def approve(self, decision_id: str, *, by: str, note: str = "") -> Sequence[Action]:
        """See the port."""
        return self._drafted(self._approvals.approve(decision_id, by=by, note=note))

    def reject(self, decision_id: str, *, by: str, note: str) -> Sequence[Action]:
        """See the port."""
        return self._approvals.reject(decision_id, by=by, note=note)

    def confirm(self, action_ids: Sequence[str], *, by: str) -> Sequence[Action]:
        """See the port."""
        return self._approvals.confirm(action_ids, by=by)

    def rollback(self, action_ids: Sequence[str], *, by: str, reason: str) -> Sequence[Action]:
        """See the port."""
        return self._drafted(self._approvals.rollback(action_ids, by=by, reason=reason))

    def edit_report(self, report_id: str, body: Mapping[str, Any], *, by: str) -> Report:
        """See the port."""
        return self._drafts.edit(report_id, body, by=by)

    def redraft(self, report_id: str, *, by: str) -> Report:
        """A draft written anew from what its incident now is."""
        return self._drafts.redraft(report_id, by=by)

    def draft_timer(self, incident: Incident, timer: StageTimer) -> Report | None:
        """The report that a running clock waits for, drafted unless one is under way."""
        return self._drafts.draft_timer(incident, timer)

    def sign_off(self, report_id: str, *, by: str) -> Report:
        """See the port."""
        return self._drafts.sign_off(report_id, by=by)

    # what a standing policy does; ``pipeline`` calls ``act``, then ``write_up``

    def act(self, matters: Sequence[Matter]) -> Sequence[Outcome]:
        """What the policies say on these matters, done: incidents, decisions, effect. See ``Standing.act``."""
        return self._standing.act(matters)

    def write_up(self, outcome: Outcome) -> None:
        """What can wait until it is in effect: clocks, and the draft, released where the configuration says so.

        Raises StoreError, RefusedError where the draft cannot go out.
        """
        incident = self._cases.incident(outcome.incident.id) or outcome.incident
        with self._cases.transaction():
            self._incidents.follow_up(incident)
            self.draft(incident)
        self._drafts.release(incident, outcome.matter.policy.opened_by)

    def carry_out(self, decision: Decision) -> list[Action]:
        """Plan the decision at the mitigators in use, and enact it or hold it for the people it needs."""
        return self._deciding.carry_out(decision)

    def draft(self, incident: Incident) -> Report:
        """The incident's early report: drafted, or drafted again while nobody changed or released it."""
        return self._drafts.draft(incident)

    def _drafted(self, actions: Sequence[Action]) -> Sequence[Action]:
        """The actions, once the drafts of their incidents say so."""
        for incident_id in dict.fromkeys(action.incident_id for action in actions):
            if (incident := self._cases.incident(incident_id)) is not None:
                self.draft(incident)
        return actions
