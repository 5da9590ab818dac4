"""How many people have to stand behind a decision before it is carried out. Pure.

Impact decides, not rank: what reaches far is seen by two people, and whoever asked for it cannot be
the second. A standing policy acts alone only within the reach it was given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tapwarden.mitigation.target import parse_network
from tapwarden.model.decision import AuthorityKind, Decision, Impact, Measure, Target, TargetType
from tapwarden.model.incident import ThreatClass


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """Where one person, and where two are needed.

    ``automatic_hosts``: a policy or an order acts alone while no more hosts than this had to do with its targets.
    ``high_hosts``, ``high_addresses``: more hosts, or a wider network, is high impact. ``two_people``: measures that
    always are. ``confirm_within_s``: high impact is undone after so long unless confirmed; 0 leaves it.
    ``automatic_confidence``: a policy acts alone on alerts of at least this confidence (0 to 100). ``classes`` and
    ``kinds``: how many people a threat class, and a kind of target, takes at least.
    """

    automatic_hosts: int = 20
    high_hosts: int = 100
    high_addresses: int = 64
    two_people: frozenset[Measure] = frozenset()
    confirm_within_s: int = 0
    automatic_confidence: int = 0
    classes: Mapping[ThreatClass, int] = field(default_factory=dict)
    kinds: Mapping[TargetType, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Need:
    """How many people are needed, why, and how long it may stand unconfirmed (0: as long as it lasts)."""

    people: int
    because: str
    confirm_within_s: int = 0


def people_needed(decision: Decision, impact: Impact, rules: ApprovalRules) -> Need:
    """What a decision of this impact needs."""
    if high := _high(decision, impact, rules):
        return Need(2, high, rules.confirm_within_s)
    if decision.authority.kind is AuthorityKind.PERSON:
        return Need(1, "a person decides")
    if impact.hosts > rules.automatic_hosts:
        return Need(1, f"{impact.hosts} hosts had to do with it, {rules.automatic_hosts} is the most without a person")
    return Need(0, "within the reach of a standing policy")


def people_at_least(
    kind: AuthorityKind,
    targets: Sequence[Target],
    threat_class: ThreatClass,
    confidence: int,
    rules: ApprovalRules,
) -> Need:
    """What a decision needs for what it is about, before it is known whom it would hit."""
    asked = [(rules.classes.get(threat_class, 0), f"threats of the class {threat_class.value}")]
    asked += [(rules.kinds.get(target.type, 0), f"targets of the kind {target.type.value}") for target in targets]
    people, about = max(asked, key=lambda pair: pair[0])
    if people:
        number = f"{people} people" if people > 1 else "a person"
        return Need(people, f"{about} take {number}", rules.confirm_within_s if people > 1 else 0)
    if kind is not AuthorityKind.PERSON and confidence < rules.automatic_confidence:
        least = rules.automatic_confidence
        return Need(1, f"the alert's confidence is {confidence}, {least} is the least without a person")
    return Need(0, "")


def still_needed(decision: Decision, approvers: int) -> int:
    """How many more people have to approve, when ``approvers`` others have."""
    own = 1 if decision.authority.kind is AuthorityKind.PERSON else 0
    return max(0, decision.people_needed - own - approvers)


def _high(decision: Decision, impact: Impact, rules: ApprovalRules) -> str:
    """Why this is high impact; "" where it is not."""
    if impact.protected:
        return f"{len(impact.protected)} protected hosts had to do with it: {impact.protected[0]}"
    if decision.measure in rules.two_people:
        return f"{decision.measure} always takes two people"
    if impact.hosts > rules.high_hosts:
        return f"{impact.hosts} hosts had to do with it"
    for target in decision.targets:
        if target.type is TargetType.NETWORK:
            network = parse_network(target.value)
            # Of an IPv6 network the /64 is what one address is of IPv4: a site gives its hosts one.
            size = network.num_addresses if network.version == 4 else 1 << max(0, 64 - network.prefixlen)
            if size > rules.high_addresses:
                return f"{network} is wider than {rules.high_addresses} addresses"
    return ""
