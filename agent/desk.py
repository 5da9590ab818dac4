"""What people do with cases, and what standing policies do in their stead: open, decide, undo, report.

Every step is recorded in the audit trail under who did it. The order is the one of ``pipeline``: plan, guard, apply,
ledger, report; the guard has the last word whoever decides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tapwarden.agent.foresight import MOST_EVENTS, foresee
from tapwarden.agent.report.draft import draft_early
from tapwarden.agent.report.profile import Profile, moments
from tapwarden.agent.report.reporter import Reporter
from tapwarden.agent.triage.changing import may_act
from tapwarden.agent.triage.opening import joined, open_incident_of, opened
from tapwarden.agent.triage.policy import Matter, Policy, is_due
from tapwarden.mitigation.approval import ApprovalRules, people_needed, still_needed
from tapwarden.mitigation.guard import Guard
from tapwarden.mitigation.ledger import WAITING, Ledger
from tapwarden.mitigation.plan import plan
from tapwarden.model.decision import (
    Action,
    Approval,
    Authority,
    AuthorityKind,
    Decision,
    Impact,
    Measure,
    Target,
)
from tapwarden.model.errors import RefusedError, StoreError
from tapwarden.model.event import Event
from tapwarden.model.incident import (
    AlertGroup,
    GroupState,
    Incident,
    IncidentState,
    ThreatClass,
    TimelineEntry,
    Verdict,
)
from tapwarden.model.ports import CaseStore, Clock, EventStore, Mitigator
from tapwarden.model.report import Report, ReportState, Stage

EVIDENCE_EVENTS = 20
"""Alerts named as evidence in a draft: the latest of each group."""

OPEN_INCIDENTS = 100_000

LOOK_BACK = timedelta(hours=24)
"""How far back the impact of a decision is counted."""
EVENTS_IN_HASTE = 2000
"""Events looked at for the decision of a policy: it is to be in effect before the next packet."""


@dataclass(frozen=True, slots=True)
class ReportingRules:
    """Whose clock runs, who reports, and whether a policy's report goes out without a person's sign-off."""

    profile: Profile
    reporter: Reporter
    auto_send: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """How decisions are carried out."""

    ledger: Ledger
    mitigators: Sequence[Mitigator]
    guard: Callable[[], Guard]
    dry_run: bool = True
    rules: ApprovalRules = field(default_factory=ApprovalRules)


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
    ) -> None:
        self._cases, self._events, self._means, self._rules = cases, events, means, rules
        self._clock, self._new_id, self._ours, self._detected_at = clock, new_id, ours, detected_at
        self._followed = followed
        self._by_matter: dict[tuple[str, str], str] | None = None

    # what people do (see the port)

    def triage(
        self, group_ids: Sequence[str], *, state: GroupState | None = None, verdict: Verdict | None = None, by: str
    ) -> int:
        """See the port."""
        return self._cases.set_groups(group_ids, state=state, verdict=verdict, by=by, at=self._clock.now())

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
        groups = [self._group(group_id) for group_id in dict.fromkeys(group_ids)]
        if not groups:
            raise RefusedError("an incident needs at least one alert group")
        if taken := next((group.incident_id for group in groups if group.incident_id), ""):
            incident = self._cases.incident(taken)
            if incident is not None and incident.closed_at is None:
                raise RefusedError("one of these groups belongs to an open incident already", entry=taken)
        with self._cases.transaction():
            incident = self._open(groups, title, threat_class, severity, by, summary=summary, drill=drill)
            self.draft(incident)
        return incident

    def close_incident(self, incident_id: str, *, by: str, reason: str) -> Incident:
        """See the port."""
        incident = self._open_one(incident_id)
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
        now = self._clock.now()
        incident = self._open_one(incident_id)
        authority = Authority(AuthorityKind.PERSON, by, legal_basis.strip(), now)
        decision = self._decision(
            incident,
            measure,
            targets,
            scope,
            reason,
            authority,
            timedelta(seconds=duration_s),
            by=by,
            override=override,
        )
        actions = self.carry_out(decision)
        self.draft(incident)
        return actions

    def simulate(self, targets: Sequence[Target], *, since: datetime) -> Impact:
        """See the port."""
        try:
            return foresee(self._events, targets, since=since, guard=self._means.guard(), now=self._clock.now())
        except ValueError as error:
            raise RefusedError(str(error)) from error

    def approve(self, decision_id: str, *, by: str, note: str = "") -> Sequence[Action]:
        """See the port."""
        now = self._clock.now()
        decision, waiting = self._waiting(decision_id, now)
        if by == decision.requested_by:
            raise RefusedError(
                "nobody approves what they asked for: somebody else has to", entry=decision.needed_because
            )
        approvals = self._cases.approvals(decision_id)
        if any(approval.by == by for approval in approvals):
            raise RefusedError(
                "you have approved it already; it waits for somebody else", entry=decision.needed_because
            )
        with self._cases.transaction():
            self._cases.put_approval(Approval(decision_id, by, now, granted=True, note=note))
            self._cases.audit(actor=by, verb="approve", subject=decision_id, detail=note, at=now)
        missing = still_needed(decision, len(approvals) + 1)
        if missing:
            return self._means.ledger.hold(waiting, now, by=by, because=_waits(missing, decision.needed_because))
        actions = self._enact(decision, waiting, by)
        self.draft(self._open_one(decision.incident_id))
        return actions

    def reject(self, decision_id: str, *, by: str, note: str) -> Sequence[Action]:
        """See the port."""
        if not note.strip():
            raise RefusedError("rejecting needs a reason")
        now = self._clock.now()
        decision, waiting = self._waiting(decision_id, now)
        with self._cases.transaction():
            self._cases.put_approval(Approval(decision.id, by, now, granted=False, note=note.strip()))
            self._cases.audit(actor=by, verb="reject", subject=decision_id, detail=note.strip(), at=now)
        ids = [action.id for action in waiting]
        return self._means.ledger.rollback(ids, now, by=by, reason=f"rejected: {note.strip()}")

    def confirm(self, action_ids: Sequence[str], *, by: str) -> Sequence[Action]:
        """See the port."""
        return self._means.ledger.confirm(action_ids, self._clock.now(), by=by)

    def rollback(self, action_ids: Sequence[str], *, by: str, reason: str) -> Sequence[Action]:
        """See the port."""
        if not reason.strip():
            raise RefusedError("undoing needs a reason")
        actions = self._means.ledger.rollback(action_ids, self._clock.now(), by=by, reason=reason)
        for incident_id in dict.fromkeys(action.incident_id for action in actions):
            incident = self._cases.incident(incident_id)
            if incident is not None:
                self.draft(incident)
        return actions

    def edit_report(self, report_id: str, body: Mapping[str, Any], *, by: str) -> Report:
        """See the port."""
        report = self._draft(report_id, "changed")
        changed = replace(report, body=dict(body), version=report.version + 1)
        with self._cases.transaction():
            self._cases.put_report(changed)
            detail = f"version={changed.version}"
            self._cases.audit(actor=by, verb="report.edit", subject=report_id, detail=detail, at=self._clock.now())
        return changed

    def sign_off(self, report_id: str, *, by: str) -> Report:
        """See the port."""
        report = self._draft(report_id, "signed off")
        if obstacle := self._rules.reporter.obstacle():
            raise RefusedError(obstacle, entry="reporting")
        if missing := self._rules.profile.missing(report.stage, report.body):
            raise RefusedError(f"the report lacks {', '.join(missing)}", entry=self._rules.profile.id)
        now = self._clock.now()
        ready = replace(report, state=ReportState.READY, signed_off_by=by, next_attempt_at=now)
        with self._cases.transaction():
            self._cases.put_report(ready)
            self._cases.audit(actor=by, verb="report.sign_off", subject=report_id, detail="", at=now)
        return ready

    # what a standing policy does; ``pipeline`` calls these in order

    def incident_for(self, matter: Matter) -> tuple[Incident, bool]:
        """The open incident of the matter with these groups in it, opened now if there is none; whether it changed."""
        policy, now = matter.policy, self._clock.now()
        with self._cases.transaction():
            incident = self._known(matter)
            if incident is None:
                gravest = min(matter.groups, key=lambda group: group.severity)
                title = f"{gravest.signature or policy.name}: {matter.subject}"[:200]
                incident = self._open(
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
                self._escalate(grown, matter.groups, policy.opened_by, now)
            return grown, grown is not incident or not self._cases.reports(incident_id=incident.id, limit=1)

    def standing_decision(self, matter: Matter, incident: Incident) -> Decision | None:
        """What the policy decides now; None when it only opens, or what it decided still holds or was undone."""
        standing, now = matter.policy.decide, self._clock.now()
        if standing is None or matter.target is None or may_act(incident):
            return None
        if not is_due(self._cases.actions(incident_id=incident.id), matter.target, now):
            return None
        authority = Authority(AuthorityKind.STANDING_POLICY, matter.policy.name, standing.legal_basis, now)
        targets = (matter.target,)
        return self._decision(
            incident,
            standing.measure,
            targets,
            standing.scope,
            standing.reason,
            authority,
            standing.duration,
            by=matter.policy.opened_by,
        )

    def carry_out(self, decision: Decision) -> list[Action]:
        """Plan the decision at the mitigators in use, and enact it or hold it for the people it needs."""
        now = self._clock.now()
        actions = plan(decision, self._means.mitigators, now, dry_run=self._means.dry_run)
        if missing := still_needed(decision, 0):
            because = _waits(missing, decision.needed_because)
            return self._means.ledger.hold(actions, now, by=decision.requested_by, because=because)
        return self._enact(decision, actions, decision.requested_by)

    def draft(self, incident: Incident) -> Report:
        """The incident's early report: drafted, or drafted again while nobody changed or released it."""
        reports = self._cases.reports(incident_id=incident.id)
        early = next((report for report in reports if report.stage is Stage.EARLY), None)
        if early is not None and (early.state is not ReportState.DRAFT or early.version > 1):
            return early
        groups = [group for group_id in incident.group_ids[:100] if (group := self._cases.group(group_id))]
        report = draft_early(
            incident,
            groups=groups,
            events=self._evidence(groups),
            decisions=self._cases.decisions(incident_id=incident.id),
            actions=self._cases.actions(incident_id=incident.id),
            reporter=self._rules.reporter,
            profile=self._rules.profile,
            report_id=early.id if early else self._new_id(),
            now=early.created_at if early else self._clock.now(),
        )
        if early is None or early.body != report.body:
            self._cases.put_report(report)
        return report

    def release(self, incident: Incident, policy: Policy) -> Report | None:
        """Sign the incident's draft off in the policy's name where the configuration says so; None where not."""
        report = self.draft(incident)
        if not self._rules.auto_send or report.state is not ReportState.DRAFT or self._rules.reporter.obstacle():
            return None
        return self.sign_off(report.id, by=policy.opened_by)

    # steps

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

    def _open(
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
    ) -> Incident:
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
            self._followed(incident)
            self._escalate(incident, groups, by, now)
            self._cases.audit(actor=by, verb="incident.open", subject=incident.id, detail=title, at=now)
        return incident

    def _escalate(self, incident: Incident, groups: Sequence[AlertGroup], by: str, now: datetime) -> None:
        ids = [group.id for group in groups]
        self._cases.set_groups(ids, state=GroupState.ESCALATED, incident_id=incident.id, by=by, at=now)

    def _decision(
        self,
        incident: Incident,
        measure: Measure,
        targets: Sequence[Target],
        scope: str,
        reason: str,
        authority: Authority,
        duration: timedelta,
        *,
        by: str,
        override: bool = False,
    ) -> Decision:
        """A decision, stored with how many people its impact takes. Raises RefusedError."""
        if measure is not Measure.NOTIFY and (obstacle := may_act(incident)):
            raise RefusedError(obstacle, entry=incident.id)
        now = self._clock.now()
        try:
            decision = Decision(
                id=self._new_id(),
                incident_id=incident.id,
                measure=measure,
                targets=tuple(targets),
                scope=scope.strip(),
                reason=reason.strip(),
                authority=authority,
                decided_at=now,
                expires_at=now + duration,
                requested_by=by,
            )
        except (ValueError, OverflowError) as error:
            raise RefusedError(str(error)) from error
        impact = self._impact(decision, now)
        if impact.protected and authority.kind is AuthorityKind.PERSON and not override:
            raise RefusedError(
                f"{len(impact.protected)} protected hosts had to do with it and would be cut off from it: "
                "override this, and somebody else has to approve",
                entry=impact.protected[0],
            )
        need = people_needed(decision, impact, self._means.rules)
        decision = replace(
            decision,
            people_needed=need.people,
            needed_because=need.because,
            confirm_within_s=need.confirm_within_s,
        )
        names = ", ".join(target.value for target in targets[:20])
        with self._cases.transaction():
            self._cases.put_decision(decision)
            detail = f"{measure} {names} until {decision.expires_at:%Y-%m-%dT%H:%M:%SZ} under {authority.legal_basis}"
            self._cases.audit(actor=authority.name, verb="decide", subject=incident.id, detail=detail, at=now)
        return decision

    def _impact(self, decision: Decision, now: datetime) -> Impact:
        """What the decision would have hit lately; nothing is known while the events cannot be looked at."""
        since, guard = now - LOOK_BACK, self._means.guard()
        if decision.measure is Measure.NOTIFY:  # a letter cuts nobody off
            return Impact(0, 0, (), (), since)
        most = MOST_EVENTS if decision.authority.kind is AuthorityKind.PERSON else EVENTS_IN_HASTE
        try:
            return foresee(self._events, decision.targets, since=since, guard=guard, now=now, most=most)
        except (StoreError, ValueError):
            # A store that is away must not hold up a block; a malformed target is refused by the plan.
            return Impact(0, 0, (), (), since, complete=False)

    def _enact(self, decision: Decision, actions: Sequence[Action], by: str) -> list[Action]:
        now = self._clock.now()
        if decision.confirm_within_s:
            confirm_by = now + timedelta(seconds=decision.confirm_within_s)
            actions = [replace(action, confirm_by=confirm_by) for action in actions]
        return self._means.ledger.enact(actions, now, by=by)

    def _waiting(self, decision_id: str, now: datetime) -> tuple[Decision, list[Action]]:
        """A decision that waits for people, and its actions that do. Raises KeyError, RefusedError."""
        decision = self._cases.decision(decision_id)
        if decision is None:
            raise KeyError(decision_id)
        actions = self._cases.actions(decision_id=decision_id, states=WAITING)
        if not actions or decision.expires_at <= now:
            raise RefusedError("this decision does not wait (any more)", entry=decision_id)
        return decision, list(actions)

    def _evidence(self, groups: Sequence[AlertGroup]) -> list[Event]:
        """The latest alert of each group; none while the event store is away, which must not hold up a report."""
        try:
            found = [self._events.get(group.event_id) for group in groups[:EVIDENCE_EVENTS]]
        except StoreError:
            return []
        return [event for event in found if event is not None]

    def _group(self, group_id: str) -> AlertGroup:
        group = self._cases.group(group_id)
        if group is None:
            raise KeyError(group_id)
        return group

    def _open_one(self, incident_id: str) -> Incident:
        incident = self._cases.incident(incident_id)
        if incident is None:
            raise KeyError(incident_id)
        if incident.closed_at is not None:
            raise RefusedError(f"the incident was closed on {incident.closed_at:%Y-%m-%d}", entry=incident_id)
        return incident

    def _draft(self, report_id: str, what: str) -> Report:
        report = self._cases.report(report_id)
        if report is None:
            raise KeyError(report_id)
        if report.state is not ReportState.DRAFT:
            raise RefusedError(f"only a draft can be {what}; this report is {report.state.value}", entry=report_id)
        return report


def _waits(people: int, because: str) -> str:
    return f"waits for {people} more {'person' if people == 1 else 'people'}: {because}"
