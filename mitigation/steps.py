"""One action's step to its next state, as the ledger takes it. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime

from tapwarden.model.decision import Action, ActionState, Installed, Measure, Target

TOLERANCE_S = 10.0
"""How far the expiry in effect may be from the recorded one before it is renewed."""

GUARD, LEDGER = "mitigation guard", "mitigation ledger"
"""Who acts, in the audit trail, when no person does."""


@dataclass(frozen=True, slots=True)
class Change:
    """One action's step to its next state: recorded only if it is still in the state it was seen in."""

    before: Action
    after: Action
    verb: str
    actor: str


def ended(action: Action, state: ActionState, detail: str, now: datetime) -> Action:
    """The action at its end."""
    return replace(action, state=state, detail=detail, ended_at=now)


def tried(action: Action, failure: str | None, now: datetime) -> Change:
    """The step after trying to apply."""
    if failure is None:
        after = replace(action, state=ActionState.APPLIED, detail="", applied_at=now)
        return Change(action, after, "apply", LEDGER)
    return Change(action, replace(action, state=ActionState.FAILED, detail=failure), "fail", LEDGER)


def judged(action: Action, failure: str | None, seen: Installed | None, now: datetime) -> Change:
    """The step after reading back (``seen``: what was found of it); the same action when nothing changed."""
    if seen is not None and seen.effective:
        if action.state is ActionState.VERIFIED and action.detail == seen.note:
            return Change(action, action, "verify", LEDGER)
        after = replace(action, state=ActionState.VERIFIED, detail=seen.note, applied_at=action.applied_at or now)
        return Change(action, after, "verify", LEDGER)
    if failure is None and seen is not None and seen.failed:
        failure = seen.note
    if failure is not None:
        return Change(action, replace(action, state=ActionState.FAILED, detail=failure), "fail", LEDGER)
    doubt = "in place, but not seen to work (yet)"
    detail = "not seen when read back" if seen is None else seen.note or doubt
    after = replace(action, state=ActionState.APPLIED, detail=detail, applied_at=action.applied_at or now)
    return Change(action, after, "doubt", LEDGER)


def lasts(entry: Installed, action: Action, now: datetime) -> bool:
    """Whether an entry in effect ends when the action does."""
    if entry.expires_in_s is None:
        return False
    return abs(entry.expires_in_s - (action.expires_at - now).total_seconds()) <= TOLERANCE_S


def was_in_effect(action: Action, now: datetime) -> bool:
    """Whether an action was in effect before this pass began, so that its absence is somebody else's doing."""
    applied = action.state in (ActionState.APPLIED, ActionState.VERIFIED)
    return applied and action.applied_at is not None and action.applied_at < now


def stand_in(name: str, measure: Measure, target: Target, now: datetime) -> Action:
    """An action for something in effect that has none, for ``withdraw``."""
    state = ActionState.ROLLED_BACK
    return Action("", "", "", measure, target, name, state, created_at=now, expires_at=now, dry_run=False)
