"""Standing policies: which sightings concern one, and what it says should happen. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tapwarden.agent.triage.grouping import Sighting
from tapwarden.model.decision import Action, ActionState, Measure, Target, TargetType
from tapwarden.model.incident import AlertGroup, ThreatClass, Verdict


@dataclass(frozen=True, slots=True)
class StandingDecision:
    """What a policy decides in advance. ``targets``: src, dest, attacker (see Roles), domain or connection."""

    measure: Measure
    targets: str
    scope: str
    reason: str
    legal_basis: str
    duration: timedelta


@dataclass(frozen=True, slots=True)
class Policy:
    """Which groups, from how many alerts on; what is opened and decided. Empty conditions do not restrict."""

    name: str
    sids: frozenset[int] = frozenset()
    severity: int | None = None
    signature: str = ""
    category: str = ""
    indicator_source: str = ""
    min_count: int = 1
    threat_class: ThreatClass = ThreatClass.EVENT
    incident_severity: int = 2
    decide: StandingDecision | None = None

    @property
    def opened_by(self) -> str:
        """How incidents name it."""
        return f"policy:{self.name}"

    def concerns(self, sighting: Sighting) -> bool:
        """Whether all its conditions hold; ``sighting.group`` is the group as stored, with its whole count."""
        group = sighting.group
        return (
            group.verdict is not Verdict.FALSE_POSITIVE
            and group.count >= self.min_count
            and (not self.sids or group.sid in self.sids)
            and (self.severity is None or group.severity <= self.severity)
            and self.signature.lower() in group.signature.lower()
            and self.category.lower() in group.category.lower()
            and (not self.indicator_source or self.indicator_source in sighting.sources)
        )


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing a policy wants dealt with: groups that concern the same subject.

    ``subject`` is the target's value, or the address that began the session where nothing is decided. One policy and
    subject have at most one open incident.
    """

    policy: Policy
    subject: str
    target: Target | None
    groups: tuple[AlertGroup, ...]
    confidence: int = 50
    """Of the surest sighting, 0 to 100."""


def matters(sightings: Iterable[Sighting], policies: Sequence[Policy], ours: Callable[[str], bool]) -> Sequence[Matter]:
    """What the policies say about these sightings, each policy and subject once, in order. ``ours``: own addresses."""
    found: dict[tuple[str, str, Target | None], Matter] = {}
    for sighting in sightings:
        for policy in policies:
            if not policy.concerns(sighting):
                continue
            for subject, target in _subjects(policy, sighting, ours):
                before = found.get((policy.name, subject, target))
                groups = (*(before.groups if before else ()), sighting.group)
                surest = max(sighting.confidence, before.confidence if before else 0)
                found[policy.name, subject, target] = Matter(policy, subject, target, groups, surest)
    return tuple(found.values())


def _subjects(policy: Policy, sighting: Sighting, ours: Callable[[str], bool]) -> Iterable[tuple[str, Target | None]]:
    """Whom or what a policy deals with; where it cannot be told whom to act on, there is no target."""
    targets: list[Target] = []
    if policy.decide is not None:
        if policy.decide.targets == "domain":
            # Only the most telling name (the alert's own question, SNI or host): the others may be bystanders.
            targets = [Target(TargetType.DOMAIN, name) for name in sighting.group.badges[:1]]
        elif policy.decide.targets == "connection":
            # One incident for who began them, however many connections there are.
            began = min(({roles.client for roles in sighting.roles} - {""}), default="")
            return [(began or name, Target(TargetType.CONNECTION, name)) for name in sorted(sighting.connections)]
        else:
            sides = sorted({roles.side(policy.decide.targets, ours) for roles in sighting.roles} - {""})
            targets = [Target(TargetType.ADDRESS, side) for side in sides]
    if targets:
        return [(target.value, target) for target in targets]
    clients = sorted({roles.client or roles.server for roles in sighting.roles} - {""})
    return [(client, None) for client in clients]


def is_due(actions: Iterable[Action], target: Target, now: datetime) -> bool:
    """Whether a policy has to decide (again) on a target of its incident, given all the incident's actions.

    Not while an earlier action has not run out, whatever came of it (a refusal would only be repeated), and not once a
    person rolled one back: their word holds for this incident.
    """
    earlier = [action for action in actions if action.target == target]
    return not any(action.state is ActionState.ROLLED_BACK or action.expires_at > now for action in earlier)
