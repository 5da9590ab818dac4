"""The gate: may this order be followed? Pure, save for what it is told to have seen before.

In this order: is it an order at all (400), who says so (401), is it new (403 for a count used before), is it for us,
about a cyber threat, in force (403), can it be done (501), is it within its own scope and ours (403).
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tapwarden.agent.orders import document
from tapwarden.agent.orders.canonical import digest
from tapwarden.agent.orders.document import OrderContent
from tapwarden.agent.orders.openc2 import Wish, wish_of
from tapwarden.agent.orders.refusal import BAD_REQUEST, FORBIDDEN, NOT_IMPLEMENTED, UNAUTHORIZED, Refusal
from tapwarden.agent.orders.signature import PublicKeys, is_signed
from tapwarden.mitigation.target import parse_endpoint
from tapwarden.model.decision import Measure, Target, TargetType
from tapwarden.model.order import CATEGORIES, Order, OrderKind

LONGEST = timedelta(days=30)
"""No order lasts longer; a new one does."""

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far an issuer's clock may be ahead of ours."""

WINDOW = 1024
"""How far behind the highest count an order may come (as RFC 4303 section 3.4.3 does): networks reorder."""

NEVER_BLOCKED = ("hidden_danger.", "other.")
"""Categories that take a notice to whom it concerns, or a person's thought, never a block."""


@dataclass(frozen=True, slots=True)
class GateRules:
    """Whom we follow, and how far. ``name`` is what orders call us."""

    name: str
    keys: PublicKeys
    measures: frozenset[Measure] = frozenset({Measure.BLOCK, Measure.REJECT, Measure.SINKHOLE})
    longest: timedelta = LONGEST


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of earlier orders, as look-ups."""

    order: Callable[[str], Order | None]
    at: Callable[[str, int], Order | None]
    last_seq: Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Admitted:
    """An order that may be followed, in our terms. ``repeated`` is the same order received before."""

    content: OrderContent
    digest: str
    kind: OrderKind
    wishes: Sequence[Wish]
    refers_to: str = ""
    repeated: Order | None = None

    @property
    def targets(self) -> tuple[Target, ...]:
        """What it acts on, each once."""
        return tuple(dict.fromkeys(wish.target for wish in self.wishes if wish.target is not None))


def admit(content: Any, signature: Any, rules: GateRules, seen: Seen, now: datetime) -> Admitted:
    """The order, if it may be followed. Raises Refusal."""
    order = document.read(content)
    if not is_signed(content, signature, order.from_, rules.keys):
        known = "" if order.from_ in rules.keys else f": no key of {order.from_} is known here"
        raise Refusal(UNAUTHORIZED, f"the signature does not hold{known}")
    try:
        return _checked(order, digest(content), rules, seen, now)
    except Refusal as refusal:
        refusal.signed = True
        raise


def _checked(order: OrderContent, mark: str, rules: GateRules, seen: Seen, now: datetime) -> Admitted:
    """What is left to check of an order that its issuer signed."""
    if (before := seen.order(order.order_id)) is not None:
        if before.digest == mark:
            return Admitted(order, mark, before.kind, (), before.refers_to, repeated=before)
        raise Refusal(FORBIDDEN, f"another order has the id {order.order_id}")
    _check_count(order, seen)
    if order.to != rules.name:
        raise Refusal(FORBIDDEN, f"it is for {order.to}, this is {rules.name}")
    check_category(order.category)
    _check_time(order, rules, now)
    wishes = [wish_of(command) for command in order.commands]
    kind, refers_to = _kind(order, wishes)
    if kind is not OrderKind.REVOCATION:
        _check_scope(order, wishes, rules)
    return Admitted(order, mark, kind, wishes, refers_to)


def check_category(category: str) -> None:
    """Raise Refusal 403 for anything but a cyber threat that can be acted on."""
    if category not in CATEGORIES:
        raise Refusal(
            FORBIDDEN, f"{category!r} is no cyber threat of the closed list; content is no ground for a measure"
        )
    if category.startswith(NEVER_BLOCKED):
        raise Refusal(FORBIDDEN, f"{category} takes a notice to whom it concerns, not a measure on traffic")


def admit_oral(category: str, commands: Sequence[Mapping[str, Any]], rules: GateRules) -> Sequence[Wish]:
    """The wishes of an order given on the phone, which has no signature to check. Raises Refusal."""
    check_category(category)
    wishes = [wish_of(command) for command in commands]
    if not wishes or any(wish.target is None for wish in wishes):
        raise Refusal(BAD_REQUEST, "an oral order names what is done to which targets")
    for wish in wishes:
        if wish.measure not in rules.measures:
            raise Refusal(FORBIDDEN, f"this site does not {wish.measure} on an order")
    return wishes


def _check_count(order: OrderContent, seen: Seen) -> None:
    if seen.at(order.from_, order.seq) is not None:
        raise Refusal(FORBIDDEN, f"{order.from_} has used the count {order.seq} before: replayed")
    if order.seq <= seen.last_seq(order.from_) - WINDOW:
        raise Refusal(FORBIDDEN, f"the count {order.seq} is too far behind: replayed")


def _check_time(order: OrderContent, rules: GateRules, now: datetime) -> None:
    if order.issued_at > now + CLOCKS_DIFFER:
        raise Refusal(FORBIDDEN, "it was issued in the future")
    if order.expires <= now:
        raise Refusal(FORBIDDEN, f"it expired at {document.stamp(order.expires)}")
    if order.expires <= order.not_before:
        raise Refusal(BAD_REQUEST, "it expires before it begins")
    if order.expires - max(order.not_before, now) > rules.longest:
        raise Refusal(FORBIDDEN, f"it lasts longer than {rules.longest.days} days")


def _kind(order: OrderContent, wishes: Sequence[Wish]) -> tuple[OrderKind, str]:
    cancelled = [wish.cancels for wish in wishes if wish.cancels]
    if cancelled:
        if len(wishes) != 1:
            raise Refusal(BAD_REQUEST, "a revocation names one order and does nothing else")
        return OrderKind.REVOCATION, cancelled[0]
    if any(wish.measure is None for wish in wishes):
        raise Refusal(NOT_IMPLEMENTED, "an order takes measures; what we can do is asked without one")
    return (OrderKind.PAPER, order.paper_for) if order.paper_for else (OrderKind.MEASURE, "")


def _check_scope(order: OrderContent, wishes: Sequence[Wish], rules: GateRules) -> None:
    scope = order.scope
    if len(wishes) > scope.max_targets:
        raise Refusal(FORBIDDEN, f"{len(wishes)} targets are more than its own scope of {scope.max_targets}")
    try:
        networks = [ipaddress.ip_network(each) for each in scope.networks if _is_network(each)]
    except ValueError as error:
        raise Refusal(BAD_REQUEST, f"scope.networks: {error}") from None
    names = [each.lower().strip(".") for each in scope.networks if not _is_network(each)]
    for wish in wishes:
        if wish.measure not in rules.measures:
            raise Refusal(FORBIDDEN, f"this site does not {wish.measure} on an order")
        assert wish.target is not None
        if scope.target_types and wish.target.type not in scope.target_types:
            raise Refusal(FORBIDDEN, f"a {wish.target.type} is outside its own scope")
        if scope.networks and not _within(wish.target, networks, names):
            raise Refusal(FORBIDDEN, f"{wish.target.value} is outside its own scope")


def _is_network(text: str) -> bool:
    return text[:1].isdigit() or ":" in text


def _within(
    target: Target, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network], names: Sequence[str]
) -> bool:
    if target.type in {TargetType.DOMAIN, TargetType.HOSTNAME}:
        return any(target.value == name or target.value.endswith(f".{name}") for name in names)
    if target.type is TargetType.URL:
        return False
    is_endpoint = target.type is TargetType.ENDPOINT
    inner = ipaddress.ip_network(parse_endpoint(target.value).address if is_endpoint else target.value)
    return any(
        inner.version == outer.version
        and int(outer.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(outer.broadcast_address)
        for outer in networks
    )
