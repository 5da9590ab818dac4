"""Decisions: made, weighed by what they would have hit, carried out or held for the people they need."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tapwarden.agent.desk.means import Means
from tapwarden.agent.desk.weighing import Look, Weighing
from tapwarden.agent.foresight import MOST_EVENTS, foresee
from tapwarden.agent.triage.changing import may_act
from tapwarden.mitigation.approval import Need, people_needed, still_needed
from tapwarden.mitigation.plan import plan
from tapwarden.model.decision import Action, Authority, AuthorityKind, Decision, Impact, Measure, Target
from tapwarden.model.errors import RefusedError, StoreError
from tapwarden.model.incident import Incident
from tapwarden.model.ports import CaseStore, Clock, EventStore

log = logging.getLogger(__name__)

WEIGHING = "impact simulation"
"""Who acts, in the audit trail, when it becomes known late what a decision would have hit."""

LOOK_BACK = timedelta(hours=24)
"""How far back the impact of a decision is counted."""
EVENTS_IN_HASTE = 2000
"""Events looked at for the decision of a policy."""


class Deciding:
    """Makes decisions on incidents and has the ledger carry them out."""

    def __init__(
        self, *, cases: CaseStore, events: EventStore, means: Means, clock: Clock, new_id: Callable[[], str]
    ) -> None:
        self._cases, self._events, self._means, self._clock, self._new_id = cases, events, means, clock, new_id
        self._weighing = Weighing(lambda decision: self._impact(decision, EVENTS_IN_HASTE))
        self._looks: dict[str, Look] = {}
        """Looks of decisions not carried out yet that have not come back."""

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
        impact = self._weighed(decision)
        if impact.protected and authority.kind is AuthorityKind.PERSON and not override:
            raise RefusedError(
                f"{len(impact.protected)} protected hosts had to do with it and would be cut off from it: "
                "override this, and somebody else has to approve",
                entry=impact.protected[0],
            )
        need = self._needed(decision, impact)
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
        now, look = self._clock.now(), self._looks.pop(decision.id, None)
        # A drill rehearses what it decides, whatever the mode: nothing of it touches traffic.
        incident = self._cases.incident(decision.incident_id)
        rehearsed = self._means.dry_run or (incident is not None and incident.drill)
        actions = plan(decision, self._means.mitigators, now, dry_run=rehearsed)
        if missing := still_needed(decision, 0):
            because = waits(missing, decision.needed_because)
            return self._means.ledger.hold(actions, now, by=decision.requested_by, because=because)
        enacted = self.enact(decision, actions, decision.requested_by)
        if look is not None:
            look.follow(self._weighed_late)
        return enacted

    def enact(self, decision: Decision, actions: Sequence[Action], by: str) -> list[Action]:
        """Have the ledger carry out what enough people stand behind."""
        now = self._clock.now()
        if decision.confirm_within_s:
            confirm_by = now + timedelta(seconds=decision.confirm_within_s)
            actions = [replace(action, confirm_by=confirm_by) for action in actions]
        return self._means.ledger.enact(actions, now, by=by)

    def _weighed(self, decision: Decision) -> Impact:
        """What the decision would have hit lately, as far as it may be waited for; nothing where that is not known."""
        unknown = Impact(0, 0, (), (), decision.decided_at - LOOK_BACK, complete=False)
        if decision.measure is Measure.NOTIFY:  # a letter cuts nobody off
            return replace(unknown, complete=True)
        if decision.authority.kind is AuthorityKind.PERSON:
            try:
                return self._impact(decision, MOST_EVENTS)
            except (StoreError, ValueError):
                return unknown  # a malformed target is refused by the plan
        look = self._weighing.begin(decision)
        impact = self._weighing.known(look)
        if impact is None:
            self._looks[decision.id] = look
        return impact or unknown

    def _needed(self, decision: Decision, impact: Impact) -> Need:
        """How many people the decision takes: two for what a complaint let go, however little it reaches."""
        need = people_needed(decision, impact, self._means.rules)
        if need.people >= 2 or decision.measure is Measure.NOTIFY or not (lifted := self._means.lifted()):
            return need
        again = [target for target in decision.targets if f"{target.type.value} {target.value}" in lifted]
        return replace(need, people=2, because=f"{again[0].value} was let go because of a complaint") if again else need

    def _impact(self, decision: Decision, most: int) -> Impact:
        """What it would have hit, from the event store. Raises StoreError, ValueError."""
        now = decision.decided_at
        guard = self._means.guard()
        return foresee(self._events, decision.targets, since=now - LOOK_BACK, guard=guard, now=now, most=most)

    def _weighed_late(self, look: Look) -> None:
        """What became known of a decision after it was carried out: recorded, and held where it takes people."""
        decision, impact, now = look.decision, look.impact, self._clock.now()
        try:
            if impact is None:
                detail = f"{decision.id}: what it would have hit is not known: {look.problem}"
                self._cases.audit(actor=WEIGHING, verb="weigh", subject=decision.incident_id, detail=detail, at=now)
                return
            need = self._needed(decision, impact)
            hit = f"{impact.flows} flows of {impact.hosts} hosts, {len(impact.protected)} of them protected"
            detail = f"{decision.id}: known after it was carried out: would have hit {hit}"
            with self._cases.transaction():
                self._cases.audit(actor=WEIGHING, verb="weigh", subject=decision.incident_id, detail=detail, at=now)
                if need.people <= decision.people_needed:
                    return
                changed = replace(decision, people_needed=need.people, needed_because=need.because)
                changed = replace(changed, confirm_within_s=need.confirm_within_s)
                self._cases.put_decision(changed)
            because = waits(still_needed(changed, 0), need.because)
            actions = self._cases.actions(decision_id=decision.id)
            self._means.ledger.suspend([action.id for action in actions], now, by=WEIGHING, because=because)
        except StoreError as error:
            log.warning("weighing=not_recorded decision=%s error=%r", decision.id, str(error))


def waits(people: int, because: str) -> str:
    """What an action says that waits for people."""
    return f"waits for {people} more {'person' if people == 1 else 'people'}: {because}"
