"""What came of an order: from the actions under it, and what the mitigators show, to states, codes and proof. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime

from tapwarden.agent.orders.refusal import (
    FORBIDDEN,
    INTERNAL_ERROR,
    NOT_IMPLEMENTED,
    OK,
    PROCESSING,
    UNAVAILABLE,
)
from tapwarden.model.decision import Action, ActionState, Installed
from tapwarden.model.order import OrderState, TargetEffect

Shown = Callable[[str], Sequence[Installed] | None]
"""What a mitigator has in effect, by its name; None for one that cannot be read back."""

WAITING_STATES = frozenset({ActionState.PROPOSED, ActionState.SIMULATED})


def effect_of(action: Action, shown: Shown, now: datetime, *, revoked: bool) -> TargetEffect:
    """What came of one action."""
    state, code, detail = _state(action, revoked=revoked)
    proof: dict[str, object] = {}
    if action.state in {ActionState.APPLIED, ActionState.VERIFIED} and not action.dry_run:
        entries = shown(action.mitigator)
        if entries is None:
            state, code, detail = OrderState.APPLIED, UNAVAILABLE, f"{action.mitigator} cannot be read back"
        else:
            found = next((e for e in entries if (e.measure, e.target) == (action.measure, action.target)), None)
            if found is not None:
                proof = _proof(found, now)
            if found is not None and found.effective:
                state, code, detail = OrderState.EFFECTIVE, OK, ""
            else:
                state, code = OrderState.APPLIED, PROCESSING
                detail = "installed, not seen to work yet" if found is not None else "not read back yet"
    return TargetEffect(action.target, state, code, detail, action.mitigator, proof)


def summed(effects: Sequence[TargetEffect]) -> tuple[OrderState, int, str]:
    """The order's state, code and a sentence, from those of its targets."""
    if not effects:
        return OrderState.REJECTED, NOT_IMPLEMENTED, "nothing could be planned"
    states = {each.state for each in effects}
    if len(states) == 1:
        worst = _worst(effects)
        detail = worst.detail if worst.code != OK or len(effects) == 1 else ""
        return worst.state, worst.code, detail
    for state in (OrderState.PENDING_APPROVAL, OrderState.APPROVED):
        if state in states:
            there = [each for each in effects if each.state is state]
            worst = _worst(there)
            words = f"{len(there)} of {len(effects)} {state.value.replace('_', ' ')}"
            return state, worst.code, f"{words}: {worst.detail}" if worst.detail else words
    working = sum(each.state is OrderState.EFFECTIVE for each in effects)
    over = [each for each in effects if each.state in (OrderState.EXPIRED, OrderState.REVOKED, OrderState.ROLLED_BACK)]
    if len(over) == len(effects):
        return over[-1].state, OK, ""
    if working or OrderState.APPLIED in states:
        worst = _worst(effects)
        detail = f"{working} of {len(effects)} effective; {worst.target.value}: {worst.detail}"
        return (OrderState.EFFECTIVE if working else OrderState.APPLIED), worst.code, detail
    worst = _worst(effects)
    return worst.state, worst.code, worst.detail


_BY_STATE = {
    ActionState.PROPOSED: (OrderState.PENDING_APPROVAL, PROCESSING),
    ActionState.SIMULATED: (OrderState.PENDING_APPROVAL, PROCESSING),
    ActionState.APPROVED: (OrderState.APPROVED, PROCESSING),
    ActionState.APPLIED: (OrderState.APPLIED, PROCESSING),
    ActionState.VERIFIED: (OrderState.EFFECTIVE, OK),
    ActionState.EXPIRED: (OrderState.EXPIRED, OK),
    ActionState.ROLLED_BACK: (OrderState.ROLLED_BACK, OK),
    ActionState.REFUSED: (OrderState.REJECTED, FORBIDDEN),
    ActionState.FAILED: (OrderState.FAILED, INTERNAL_ERROR),
}


def _state(action: Action, *, revoked: bool) -> tuple[OrderState, int, str]:
    if action.dry_run and action.state in {ActionState.APPROVED, ActionState.APPLIED, ActionState.VERIFIED}:
        return OrderState.APPROVED, UNAVAILABLE, "enforcement is off here (dry run): nothing is changed"
    if action.state is ActionState.REFUSED and not action.mitigator:
        return OrderState.REJECTED, NOT_IMPLEMENTED, action.detail
    ended = action.state in {ActionState.EXPIRED, ActionState.ROLLED_BACK}
    if ended and revoked:
        return OrderState.REVOKED, OK, action.detail
    if ended and action.applied_at is None:  # it waited for people, who said no or nothing
        return OrderState.REJECTED, FORBIDDEN, action.detail
    return (*_BY_STATE[action.state], action.detail)


def _proof(found: Installed, now: datetime) -> dict[str, object]:
    """What was read back, where it works."""
    values = {
        "read_at": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "installed": True,
        "effective": found.effective,
        "expires_in_s": None if found.expires_in_s is None else round(found.expires_in_s),
        "packets": found.packets,
        "octets": found.octets,
    }
    return {name: value for name, value in values.items() if value is not None}


def _worst(effects: Sequence[TargetEffect]) -> TargetEffect:
    order = (INTERNAL_ERROR, UNAVAILABLE, NOT_IMPLEMENTED, FORBIDDEN, PROCESSING, OK)
    return min(effects, key=lambda each: order.index(each.code) if each.code in order else 0)
