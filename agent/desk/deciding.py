"""Decisions: made, weighed by what they would have hit, carried out or held for the people they need."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tapwarden.agent.desk.means import Means
from tapwarden.agent.desk.weighing import Look, Weighing
from tapwarden.agent.foresight import MOST_EVENTS, foresee
from tapwarden.agent.triage.changing import may_act
from tapwarden.mitigation.approval import Need, people_at_least, people_needed, still_needed
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

    def propose(
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
        confidence: int = 100,
    ) -> Decision:
        """A decision as it would be, not stored, with the people it takes at least. Raises RefusedError."""
        if measure is not Measure.NOTIFY and (obstacle := may_act(incident)):
            raise RefusedError(obstacle, entry=incident.id)
        now = self._clock.now()
        least = people_at_least(authority.kind, targets, incident.threat_class, confidence, self._means.rules)
        if measure is Measure.NOTIFY:
            least = Need(0, "")
        try:
            return Decision(
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
                people_needed=least.people,
                needed_because=least.because,
                confirm_within_s=least.confirm_within_s,
            )
        except (ValueError, OverflowError) as error:
            raise RefusedError(str(error)) from error

    def settle(self, decision: Decision, *, override: bool = False) -> Decision:
        """The decision, stored with how many people its impact takes. Raises RefusedError."""
        person = decision.authority.kind is AuthorityKind.PERSON
        impact = self._weighed(decision)
        if impact.protected and person and not override:
            raise RefusedError(
                f"{len(impact.protected)} protected hosts had to do with it and would be cut off from it: "
                "override this, and somebody else has to approve",
                entry=impact.protected[0],
            )
        decision = self._needing(decision, impact)
        self._store(decision)
        return decision

    def carry_out_all(self, prepare: Callable[[], Sequence[Decision]]) -> dict[str, list[Action]]:
        """Standing decisions, stored and carried out in one go; their actions, by decision.

        ``prepare`` gives them as proposed, and may write what they belong to, in the transaction that stores them: the
        record comes before the effect, and one commit holds for all. Raises StoreError: nothing is done then.
        """
        now = self._clock.now()
        done: dict[str, list[Action]] = {}
        enacting: list[str] = []

        def asked() -> list[tuple[list[Action], str]]:
            proposed = prepare()
            began = time.monotonic()
            for decision in proposed:
                self._begin(decision)
            actions = []
            lifted = self._means.lifted()
            for decision in proposed:
                settled = self._needing(decision, self._weighed(decision, since=began), lifted)
                self._store(settled)
                planned = plan(settled, self._means.mitigators, now, dry_run=self._means.dry_run)
                if missing := still_needed(settled, 0):
                    self._looks.pop(settled.id, None)
                    because = waits(missing, settled.needed_because)
                    by = settled.requested_by
                    done[settled.id] = self._means.ledger.hold(planned, now, by=by, because=because)
                else:
                    enacting.append(settled.id)
                    actions.append((_on_trial(settled, planned, now), settled.requested_by))
            return actions

        done |= zip(enacting, self._means.ledger.enact_burst(asked, now), strict=True)
        for decision_id in enacting:
            if (look := self._looks.pop(decision_id, None)) is not None:
                look.follow(self._weighed_late)
        return done

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
        return self._means.ledger.enact(_on_trial(decision, actions, now), now, by=by)

    def _store(self, decision: Decision) -> None:
        names = ", ".join(target.value for target in decision.targets[:20])
        authority, until = decision.authority, f"{decision.expires_at:%Y-%m-%dT%H:%M:%SZ}"
        detail = f"{decision.measure} {names} until {until} under {authority.legal_basis}"
        with self._cases.transaction():
            self._cases.put_decision(decision)
            subject, at = decision.incident_id, decision.decided_at
            self._cases.audit(actor=authority.name, verb="decide", subject=subject, detail=detail, at=at)

    def _needing(self, decision: Decision, impact: Impact, lifted: Collection[str] | None = None) -> Decision:
        """The decision with how many people it needs, and why; ``lifted`` where that was asked for already."""
        need = self._needed(decision, impact, self._means.lifted() if lifted is None else lifted)
        if decision.people_needed and need.people <= decision.people_needed:
            return decision
        return replace(
            decision,
            people_needed=need.people,
            needed_because=need.because,
            confirm_within_s=need.confirm_within_s,
        )

    def _begin(self, decision: Decision) -> None:
        """Start looking up what a standing decision would have hit."""
        if decision.measure is not Measure.NOTIFY and decision.authority.kind is not AuthorityKind.PERSON:
            self._looks[decision.id] = self._weighing.begin(decision)

    def _weighed(self, decision: Decision, *, since: float | None = None) -> Impact:
        """What the decision would have hit lately, as far as it may be waited for (from ``since``, monotonic)."""
        unknown = Impact(0, 0, (), (), decision.decided_at - LOOK_BACK, complete=False)
        if decision.measure is Measure.NOTIFY:  # a letter cuts nobody off
            return replace(unknown, complete=True)
        if decision.authority.kind is AuthorityKind.PERSON:
            try:
                return self._impact(decision, MOST_EVENTS)
            except (StoreError, ValueError):
                return unknown  # a malformed target is refused by the plan
        if decision.id not in self._looks:
            self._begin(decision)
        impact = self._weighing.known(self._looks[decision.id], since)
        if impact is not None:
            del self._looks[decision.id]
        return impact or unknown

    def _needed(self, decision: Decision, impact: Impact, lifted: Collection[str]) -> Need:
        """How many people the decision takes: two for what a complaint let go, however little it reaches."""
        need = people_needed(decision, impact, self._means.rules)
        if need.people >= 2 or decision.measure is Measure.NOTIFY or not lifted:
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
            changed = self._needing(decision, impact)
            hit = f"{impact.flows} flows of {impact.hosts} hosts, {len(impact.protected)} of them protected"
            detail = f"{decision.id}: known after it was carried out: would have hit {hit}"
            with self._cases.transaction():
                self._cases.audit(actor=WEIGHING, verb="weigh", subject=decision.incident_id, detail=detail, at=now)
                if changed.people_needed <= decision.people_needed:
                    return
                self._cases.put_decision(changed)
            because = waits(still_needed(changed, 0), changed.needed_because)
            actions = self._cases.actions(decision_id=decision.id)
            self._means.ledger.suspend([action.id for action in actions], now, by=WEIGHING, because=because)
        except StoreError as error:
            log.warning("weighing=not_recorded decision=%s error=%r", decision.id, str(error))


def _on_trial(decision: Decision, actions: Sequence[Action], now: datetime) -> list[Action]:
    """The actions, to be undone again unless confirmed where the decision says so."""
    if not decision.confirm_within_s:
        return list(actions)
    confirm_by = now + timedelta(seconds=decision.confirm_within_s)
    return [replace(action, confirm_by=confirm_by) for action in actions]


def waits(people: int, because: str) -> str:
    """What an action says that waits for people."""
    return f"waits for {people} more {'person' if people == 1 else 'people'}: {because}"
