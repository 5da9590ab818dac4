"""The desk of orders: takes them in, has them decided, watches what comes of them, lets people approve and refuse.

Nothing here needs the coordinating centre again once an order is in: expiry, approval and proof go on without it. What
a kill interrupts is taken up by ``advance``: an order is recorded before anything is done about it, and decisions have
the same ids when they are made again.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from tapwarden.agent.orders import feedback, gate
from tapwarden.agent.orders.canonical import digest
from tapwarden.agent.orders.decisions import LOOK_BACK, decisions_of, incident_of, needing
from tapwarden.agent.orders.document import read
from tapwarden.agent.orders.effect import WAITING_STATES, Shown, effect_of, summed
from tapwarden.agent.orders.gate import GateRules, Seen
from tapwarden.agent.orders.openc2 import Wish
from tapwarden.agent.orders.record import ORAL_LASTS, admitted_order, rejected_order, targets_of, wishes_of
from tapwarden.agent.orders.refusal import BAD_REQUEST, FORBIDDEN, NOT_FOUND, OK, PROCESSING, Refusal
from tapwarden.mitigation.approval import ApprovalRules, Need, people_at_least, people_needed
from tapwarden.model.decision import Action, ActionState, Decision, Impact, Installed, Target
from tapwarden.model.errors import MitigationError, RefusedError
from tapwarden.model.incident import ThreatClass
from tapwarden.model.order import OVER, Message, Order, OrderKind, OrderState, OrderStore
from tapwarden.model.ports import CaseStore, Clock, Mitigator

log = logging.getLogger(__name__)

AT_ONCE = 1000
CONFIDENCE = 100
"""Of an order's: its issuer has determined the threat."""
OPEN_STATES = tuple(state for state in OrderState if state not in OVER)


class Deciding(Protocol):
    """What of the agent's desk orders need."""

    def simulate(self, targets: Sequence[Target], *, since: datetime) -> Impact: ...
    def carry_out(self, decision: Decision) -> Sequence[Action]: ...
    def approve(self, decision_id: str, *, by: str, note: str = "") -> Sequence[Action]: ...
    def reject(self, decision_id: str, *, by: str, note: str) -> Sequence[Action]: ...
    def rollback(self, action_ids: Sequence[str], *, by: str, reason: str) -> Sequence[Action]: ...


@dataclass(frozen=True, slots=True)
class OrderRules:
    """Whom we follow (``gate``), how many people agree at least, and where the site's own rules ask for more.

    ``tells`` is False where nobody is there to take feedback: who orders by OpenC2 is answered at once.
    """

    gate: GateRules
    people: int = 1
    approval: ApprovalRules = ApprovalRules()  # noqa: RUF009 - frozen
    tells: bool = True


class Orders:
    """The OrderDesk, and what brings orders in and on."""

    def __init__(
        self,
        *,
        store: OrderStore,
        cases: CaseStore,
        desk: Deciding,
        mitigators: Sequence[Mitigator],
        rules: OrderRules,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._store, self._cases, self._desk = store, cases, desk
        self._mitigators = {mitigator.name: mitigator for mitigator in mitigators}
        self._rules, self._clock, self._new_id = rules, clock, new_id
        self._seen = Seen(store.order, store.order_at, store.last_seq)

    # coming in

    def receive(self, content: Any, signature: Any, *, via: str) -> Order:
        """Take a signed order; the same one again is the same. Raises Refusal when it is not followed."""
        now = self._clock.now()
        try:
            admitted = gate.admit(content, signature, self._rules.gate, self._seen, now)
        except Refusal as refusal:
            self._refused(content, refusal, via, now)
            raise
        if admitted.repeated is not None:
            return admitted.repeated
        order = admitted_order(admitted, dict(content), signature, via, now)
        with self._store.transaction():
            if (there := self._store.order(order.id)) is not None:  # another way in was quicker
                return there
            self._store.put_order(order)
            self._audit(order, "order.receive", f"{via}: {order.kind} from {order.issuer}", now, order.issuer)
        return self._begin(order, admitted.wishes, now)

    def enter_oral(
        self,
        *,
        order_id: str,
        issuer: str,
        category: str,
        legal_basis: str,
        scope: str,
        reason: str,
        commands: Sequence[Mapping[str, Any]],
        confirmed_by: str,
        by: str,
    ) -> Order:
        """See the port."""
        now = self._clock.now()
        said = {"order_id": order_id, "legal_basis": legal_basis, "scope": scope, "reason": reason}
        said |= {"issuer": issuer, "confirmed_by": confirmed_by}
        if missing := [name for name, value in said.items() if not value.strip()]:
            raise RefusedError(f"an oral order needs {', '.join(missing)}", entry="orders")
        if issuer not in self._rules.gate.keys:
            raise RefusedError(
                f"{issuer} is nobody whose orders are followed: its paper could not be checked", entry="orders"
            )
        if self._store.order(order_id) is not None:
            raise RefusedError("an order with this id is here already", entry=order_id)
        try:
            wishes = gate.admit_oral(category, commands, self._rules.gate)
        except Refusal as refusal:
            raise RefusedError(refusal.text, entry=str(refusal.code)) from refusal
        content = {**said, "category": category, "commands": [dict(command) for command in commands]}
        order = Order(
            id=order_id,
            issuer=issuer,
            seq=0,
            kind=OrderKind.MEASURE,
            state=OrderState.RECEIVED,
            code=PROCESSING,
            detail="",
            received_at=now,
            not_before=now,
            expires_at=now + ORAL_LASTS,
            due_at=now + ORAL_LASTS,
            category=category,
            legal_basis=legal_basis,
            scope=scope,
            reason=reason,
            targets=targets_of(wishes),
            digest=digest(content),
            document=content,
            via=f"oral, entered by {by}",
            confirmed_by=confirmed_by,
            paper_due_at=now + ORAL_LASTS,
        )
        with self._store.transaction():
            self._store.put_order(order)
            self._audit(order, "order.enter", f"oral order of {issuer}, confirmed by {confirmed_by}", now, by)
        return self._begin(order, wishes, now, entered_by=by)

    # going on

    def advance(self) -> None:
        """Take up what was interrupted, begin what has to begin now, and tell what changed. Raises StoreError."""
        now = self._clock.now()
        shown = self._shown()
        for order in reversed(self._store.orders(states=OPEN_STATES, limit=AT_ONCE)):
            if order.kind is OrderKind.REVOCATION:
                self._begin(order, (), now)
            elif not order.decision_ids or self._undone(order):
                self._begin(order, wishes_of(order), now)
            elif order.state is not OrderState.EFFECTIVE or not self._holds(order):
                self._judge(order, shown, now)

    def overdue(self) -> int:
        """How many orders wait for people here beyond the time their answer is due. Raises StoreError."""
        now = self._clock.now()
        waiting = self._store.orders(states=(OrderState.PENDING_APPROVAL,), limit=AT_ONCE)
        return sum(order.due_at <= now for order in waiting)

    def forget(self, before: datetime) -> int:
        """Forget what was told before then; how much. The orders stay. Raises StoreError."""
        return self._store.drop_sent(before)

    # what people do (see the port)

    def orders(self, *, limit: int = 100) -> Sequence[Order]:
        """See the port."""
        return self._store.orders(limit=limit)

    def order(self, order_id: str) -> Order:
        """See the port."""
        found = self._store.order(order_id)
        if found is None:
            raise KeyError(order_id)
        return found

    def actions(self, order_id: str) -> Sequence[Action]:
        """See the port."""
        return self._actions(self.order(order_id))

    def approve(self, order_id: str, *, by: str, note: str = "") -> Order:
        """See the port."""
        order = self._waiting(order_id)
        for decision_id in self._waiting_decisions(order):
            self._desk.approve(decision_id, by=by, note=note or f"order {order.id}")
        return self._judge(order, self._shown(), self._clock.now())

    def reject(self, order_id: str, *, by: str, note: str) -> Order:
        """See the port."""
        order = self._waiting(order_id)
        for decision_id in self._waiting_decisions(order):
            self._desk.reject(decision_id, by=by, note=note)
        return self._judge(order, self._shown(), self._clock.now())

    # steps

    def _begin(self, order: Order, wishes: Sequence[Wish], now: datetime, *, entered_by: str = "") -> Order:
        """What an order asks for, unless its time has not come."""
        if order.not_before > now:
            return self._settle(order, OrderState.RECEIVED, PROCESSING, f"begins at {order.not_before:%Y-%m-%dT%H:%MZ}")
        try:
            match order.kind:
                case OrderKind.REVOCATION:
                    return self._revoke(order, now)
                case OrderKind.PAPER:
                    return self._paper(order, wishes, now)
                case _:
                    return self._decide(order, wishes, now, entered_by=entered_by)
        except Refusal as refusal:
            return self._settle(order, OrderState.REJECTED, refusal.code, refusal.text)

    def _decide(self, order: Order, wishes: Sequence[Wish], now: datetime, *, entered_by: str = "") -> Order:
        if any(each.kind is OrderKind.REVOCATION and each.issuer == order.issuer for each in self._referring(order)):
            raise Refusal(FORBIDDEN, "it was revoked before it came")
        expires_at = min(order.expires_at, order.paper_due_at or order.expires_at)
        if expires_at <= now:
            return self._settle(order, OrderState.EXPIRED, FORBIDDEN, "it was over before it could be carried out")
        order = self._with_incident(order, now)
        requested_by = entered_by or f"order:{order.id}"
        decisions = [
            self._needed(order, decision, wants=self._rules.people)
            for decision in decisions_of(order, wishes, expires_at, now, requested_by=requested_by)
        ]
        return self._enact(order, decisions, now)

    def _paper(self, order: Order, wishes: Sequence[Wish], now: datetime) -> Order:
        """The paper of an oral order: what it did goes on until the paper's end, without being approved again."""
        oral = self._store.order(order.refers_to)
        if oral is None or oral.paper_due_at is None:
            raise Refusal(NOT_FOUND, f"no oral order {order.refers_to} is known here")
        if not set(order.targets) <= set(oral.targets) or oral.issuer != order.issuer:
            raise Refusal(FORBIDDEN, f"it goes beyond the oral order {oral.id}")
        approved = oral.state in {OrderState.APPROVED, OrderState.APPLIED, OrderState.EFFECTIVE}
        order = replace(self._with_incident(order, now), confirmed_by=oral.confirmed_by)
        people = 0 if approved else self._rules.people
        decisions = [
            self._needed(order, decision, wants=people, approved=approved)
            for decision in decisions_of(order, wishes, order.expires_at, now, requested_by=f"order:{order.id}")
        ]
        with self._store.transaction():
            self._store.put_order(replace(oral, paper_id=order.id))
            self._audit(oral, "order.paper", f"its paper is {order.id}", now, order.issuer)
        return self._enact(order, decisions, now)

    def _revoke(self, order: Order, now: datetime) -> Order:
        revoked = self._store.order(order.refers_to)
        if revoked is None:
            raise Refusal(NOT_FOUND, f"no order {order.refers_to} is known here; should it come, it is not followed")
        if revoked.issuer != order.issuer:
            raise Refusal(FORBIDDEN, f"{order.refers_to} is an order of {revoked.issuer}")
        for each in (revoked, *self._referring(revoked)):
            if each.kind is OrderKind.REVOCATION or each.state in OVER:
                continue
            ids = [action.id for action in self._actions(each)]
            if ids:
                self._desk.rollback(ids, by=f"order:{order.id}", reason=order.reason)
            self._judge(each, self._shown(), now, revoked_by=order.id)
        return self._settle(order, OrderState.EFFECTIVE, OK, f"{revoked.id} is revoked")

    def _enact(self, order: Order, decisions: Sequence[Decision], now: datetime) -> Order:
        order = replace(order, decision_ids=tuple(decision.id for decision in decisions))
        for decision in decisions:
            if self._cases.actions(decision_id=decision.id, limit=1):
                continue  # carried out before we were killed
            targets = ", ".join(target.value for target in decision.targets[:20])
            with self._store.transaction():
                self._store.put_order(order)
                self._cases.put_decision(decision)
                said = f"{decision.measure} {targets} until {decision.expires_at:%Y-%m-%dT%H:%M:%SZ}"
                self._audit(order, "decide", f"{said} under {order.legal_basis}", now, order.id)
            self._desk.carry_out(decision)
        return self._judge(order, self._shown(), now)

    def _needed(self, order: Order, decision: Decision, *, wants: int, approved: bool = False) -> Decision:
        """With the people it takes: those orders take here, what it is about or whom it would hit ask for, the most."""
        try:
            impact = self._desk.simulate(decision.targets, since=decision.decided_at - LOOK_BACK)
        except RefusedError as error:
            raise Refusal(BAD_REQUEST, str(error)) from error
        need = people_needed(decision, impact, self._rules.approval)
        asked = Need(wants, "orders take a person here", need.confirm_within_s)
        if not approved:
            threat_class = ThreatClass(order.category.partition(".")[0])
            about = people_at_least(
                decision.authority.kind, decision.targets, threat_class, CONFIDENCE, self._rules.approval
            )
            asked = max(asked, need, about, key=lambda each: each.people)
        return needing(decision, asked.people, asked.because, asked.confirm_within_s)

    def _with_incident(self, order: Order, now: datetime) -> Order:
        """The order with its incident: ours that it names, where that is open, else one of its own."""
        if order.incident_id and (known := self._cases.incident(order.incident_id)) and known.closed_at is None:
            return order
        incident = incident_of(order, self._new_id(), now)
        order = replace(order, incident_id=incident.id)
        with self._store.transaction():
            self._cases.put_incident(incident)
            self._store.put_order(order)
        return order

    def _judge(self, order: Order, shown: Shown, now: datetime, *, revoked_by: str = "") -> Order:
        """The order as its actions show it now, recorded and told when that is news."""
        revoked = bool(revoked_by) or any(each.kind is OrderKind.REVOCATION for each in self._referring(order))
        effects = tuple(effect_of(action, shown, now, revoked=revoked) for action in self._actions(order))
        state, code, detail = summed(effects)
        if revoked_by and not effects:
            state, code, detail = OrderState.REVOKED, OK, "revoked before anything was done"
        same = _essence(effects) == _essence(order.effects)
        if (state, code, detail) == (order.state, order.code, order.detail) and same:
            return order
        return self._settle(replace(order, effects=effects), state, code, detail)

    def _settle(self, order: Order, state: OrderState, code: int, detail: str) -> Order:
        now = self._clock.now()
        settled = replace(order, state=state, code=code, detail=detail[:2000])
        before = self._store.order(order.id)
        if before is not None and before == settled:
            return settled
        with self._store.transaction():
            self._store.put_order(settled)
            self._tell(feedback.message_of(settled, self._rules.gate.name, now))
            self._audit(settled, "order.state", f"{state} ({code}) {settled.detail}".strip(), now, "orders")
        log.info("order=%s state=%s code=%d detail=%r", order.id, state, code, settled.detail)
        return settled

    def _refused(self, content: Any, refusal: Refusal, via: str, now: datetime) -> None:
        """Record and answer what is not followed. What nobody signed is answered, but never kept as an order."""
        given = content if isinstance(content, Mapping) else {}
        order_id, issuer = str(given.get("order_id", ""))[:128], str(given.get("from", ""))[:128]
        said = f"{refusal.code} {refusal.text}"
        with self._store.transaction():
            known = self._store.order(order_id) is not None
            self._cases.audit(
                actor=issuer or "unknown", verb="order.refuse", subject=order_id or "?", detail=f"{via}: {said}", at=now
            )
            if known or not order_id:
                return
            name = self._rules.gate.name
            if refusal.signed and self._store.order_at(issuer, int(given["seq"])) is None:
                order = rejected_order(read(content), dict(given), via, refusal, now)
                self._store.put_order(order)
                self._tell(feedback.message_of(order, name, now))
            else:
                message = feedback.refusal_message(order_id, issuer, refusal.code, refusal.text, name, now)
                self._tell(message)

    def _tell(self, message: Message) -> None:
        if self._rules.tells:
            self._store.put_message(message)

    def _waiting(self, order_id: str) -> Order:
        order = self.order(order_id)
        if order.state is not OrderState.PENDING_APPROVAL:
            raise RefusedError(f"this order does not wait: it is {order.state.value}", entry=order_id)
        return order

    def _waiting_decisions(self, order: Order) -> list[str]:
        waiting = [action.decision_id for action in self._actions(order) if action.state in WAITING_STATES]
        return list(dict.fromkeys(waiting))

    def _holds(self, order: Order) -> bool:
        """Whether the ledger still says of all of it that it works; it reads that back every few seconds."""
        return order.code == OK and all(action.state is ActionState.VERIFIED for action in self._actions(order))

    def _undone(self, order: Order) -> bool:
        """Whether a decision under it was never carried out: we were killed before."""
        return any(not self._cases.actions(decision_id=each, limit=1) for each in order.decision_ids)

    def _actions(self, order: Order) -> list[Action]:
        found = [action for each in order.decision_ids for action in self._cases.actions(decision_id=each)]
        return sorted(found, key=lambda action: (action.target.value, action.mitigator))

    def _referring(self, order: Order) -> Sequence[Order]:
        return self._store.referring(order.id)

    def _shown(self) -> Shown:
        """What mitigators show, each read once, when it is first asked for: 100,000 entries take seconds."""
        read: dict[str, Sequence[Installed] | None] = {}

        def shown(name: str) -> Sequence[Installed] | None:
            if name not in read:
                try:
                    read[name] = self._mitigators[name].list() if name in self._mitigators else None
                except MitigationError as error:
                    log.warning("mitigator=%s cannot be read back error=%r", name, str(error))
                    read[name] = None
            return read[name]

        return shown

    def _audit(self, order: Order, verb: str, detail: str, now: datetime, actor: str) -> None:
        self._cases.audit(actor=actor, verb=verb, subject=order.id, detail=detail, at=now)


def _essence(effects: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What of the effects is news when it changes; counters are not."""
    return [(each.target, each.mitigator, each.state, each.code, each.detail) for each in effects]
