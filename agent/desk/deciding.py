"""Decisions: made, weighed by what they would have hit, carried out or held for the people they need."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tapwarden.agent.desk.means import Means
from tapwarden.agent.foresight import MOST_EVENTS, foresee
from tapwarden.agent.triage.changing import may_act
from tapwarden.mitigation.approval import people_needed, still_needed
from tapwarden.mitigation.plan import plan
from tapwarden.model.decision import Action, Authority, AuthorityKind, Decision, Impact, Measure, Target
from tapwarden.model.errors import RefusedError, StoreError
from tapwarden.model.incident import Incident
from tapwarden.model.ports import CaseStore, Clock, EventStore

LOOK_BACK = timedelta(hours=24)
"""How far back the impact of a decision is counted."""
EVENTS_IN_HASTE = 2000
"""Events looked at for the decision of a policy: it is to be in effect before the next packet."""


class Deciding:
    """Makes decisions on incidents and has the ledger carry them out."""

    def __init__(
        self, *, cases: CaseStore, events: EventStore, means: Means, clock: Clock, new_id: Callable[[], str]
    ) -> None:
        self._cases, self._events, self._means, self._clock, self._new_id = cases, events, means, clock, new_id

    def decide(
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

    def simulate(self, targets: Sequence[Target], *, since: datetime) -> Impact:
        """See the port."""
        try:
            return foresee(self._events, targets, since=since, guard=self._means.guard(), now=self._clock.now())
        except ValueError as error:
            raise RefusedError(str(error)) from error

    def carry_out(self, decision: Decision) -> list[Action]:
        """Plan the decision at the mitigators in use, and enact it or hold it for the people it needs."""
        now = self._clock.now()
        actions = plan(decision, self._means.mitigators, now, dry_run=self._means.dry_run)
        if missing := still_needed(decision, 0):
            because = waits(missing, decision.needed_because)
            return self._means.ledger.hold(actions, now, by=decision.requested_by, because=because)
        return self.enact(decision, actions, decision.requested_by)

    def enact(self, decision: Decision, actions: Sequence[Action], by: str) -> list[Action]:
        """Have the ledger carry out what enough people stand behind."""
        now = self._clock.now()
        if decision.confirm_within_s:
            confirm_by = now + timedelta(seconds=decision.confirm_within_s)
            actions = [replace(action, confirm_by=confirm_by) for action in actions]
        return self._means.ledger.enact(actions, now, by=by)

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


def waits(people: int, because: str) -> str:
    """What an action says that waits for people."""
    return f"waits for {people} more {'person' if people == 1 else 'people'}: {because}"
