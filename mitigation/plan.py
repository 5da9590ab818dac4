"""From a decision to actions: one action for each target at each mitigator that can carry it out. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from tapwarden.mitigation.target import normalise
from tapwarden.model.decision import Action, ActionState, Decision, Measure, Target, TargetType


class Capability(Protocol):
    """What planning has to know of a mitigator (every ``Mitigator`` is one)."""

    @property
    def name(self) -> str: ...
    @property
    def measures(self) -> frozenset[Measure]: ...
    @property
    def target_types(self) -> frozenset[TargetType]: ...


@dataclass(frozen=True, slots=True)
class Ability:
    """A capability written down: for planning without the mitigators themselves (simulation)."""

    name: str
    measures: frozenset[Measure]
    target_types: frozenset[TargetType]


def plan(decision: Decision, mitigators: Iterable[Capability], now: datetime, *, dry_run: bool) -> list[Action]:
    """The actions of a decision, in the order of its targets, all ``proposed``.

    A target that is malformed, or that no mitigator can serve, is an action too: ``refused``, with the reason in
    ``detail`` and no mitigator, so that nobody takes silence for effect. Targets that name the same thing are one.
    Planning a decision again gives the same ids.
    """
    able = [mitigator for mitigator in mitigators if decision.measure in mitigator.measures]
    actions: dict[str, Action] = {}
    for given in decision.targets:
        try:
            target = normalise(given)
        except ValueError as problem:
            refused = _action(decision, given, "", now, dry_run, refusal=str(problem))
            actions.setdefault(refused.id, refused)
            continue
        serving = [mitigator.name for mitigator in able if target.type in mitigator.target_types]
        if not serving:
            refusal = f"no mitigator in use can {decision.measure.value} a {target.type.value}"
            refused = _action(decision, target, "", now, dry_run, refusal=refusal)
            actions.setdefault(refused.id, refused)
        for name in serving:
            action = _action(decision, target, name, now, dry_run)
            actions.setdefault(action.id, action)
    return list(actions.values())


def proposed(target: Target, now: datetime) -> Action:
    """An action that is never carried out, to ask the guard about a target."""
    moment = now + timedelta(seconds=1)
    return Action("", "", "", Measure.BLOCK, target, "", ActionState.PROPOSED, now, moment, dry_run=True)


def action_id(decision_id: str, mitigator: str, measure: Measure, target: Target) -> str:
    """24 hex digits that are the same whenever the same thing is planned."""
    text = "\0".join((decision_id, mitigator, measure, target.type, target.value))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()


def _action(
    decision: Decision, target: Target, mitigator: str, now: datetime, dry_run: bool, *, refusal: str = ""
) -> Action:
    return Action(
        id=action_id(decision.id, mitigator, decision.measure, target),
        decision_id=decision.id,
        incident_id=decision.incident_id,
        measure=decision.measure,
        target=target,
        mitigator=mitigator,
        state=ActionState.REFUSED if refusal else ActionState.PROPOSED,
        created_at=now,
        expires_at=decision.expires_at,
        dry_run=dry_run,
        reason=decision.reason,
        detail=refusal,
        ended_at=now if refusal else None,
    )
