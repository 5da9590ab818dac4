"""The table as data: commands that make it, and what a listing of it says is in effect. Pure.

Shape of the table, in nft's ``inet`` family, so IPv4 and IPv6 alike::

    input   (hook, before filter) -> sources                  traffic to this host from a blocked address
    forward (hook, before filter) -> sources, destinations    routed traffic, that of containers included
    output  (hook, before filter) -> destinations             traffic of this host to a blocked address
    sources, destinations: for each set: [address masked to the set's prefix length] in set -> count, drop or reject

A rate limit is in the entries: each address has a token bucket of its own, and what is over it is dropped.

There is one hash set for each measure, address family and prefix length (``block_v4_32``, ``reject_v6_48``, ...) and
one for endpoints (``block_v4_port``: address, protocol and port), the way ipset's hash:net works, and not one interval
set. Reasons: nft reads a whole interval set back before it changes it, a hash set not (one more among 100,000: 2.4 s
against 4 ms with nft 1.0.6); overlapping networks with different expiries are separate entries here and an error there;
each entry keeps its own timeout and counter.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, NamedTuple

from tapwarden.mitigation.target import Endpoint, parse_endpoint, parse_network, target_of
from tapwarden.model.decision import Installed, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError

PRIORITY = -10
"""Just before the usual filter chains (0), after connection tracking (-200) and destination NAT (-100)."""

HOOKS: Mapping[str, tuple[str, ...]] = {
    "input": ("sources",),
    "forward": ("sources", "destinations"),
    "output": ("destinations",),
}
"""Where packets are judged, and by which end of them."""

ENDS: Mapping[str, str] = {"sources": "source", "destinations": "destination"}
"""Which end of a packet each chain judges."""

_SET_NAME = re.compile(r"(block|reject|limit(\d{1,9})x(\d{1,9}))_v([46])_(\d{1,3}|port)\Z")
_TABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")

Json = dict[str, Any]
Batch = list[Json]
"""Commands of libnftables-json(5), committed as one transaction."""


class Family(NamedTuple):
    """What one address family is called in nft."""

    protocol: str
    type: str
    bits: int
    icmp: str


FAMILIES: Mapping[int, Family] = {
    4: Family("ip", "ipv4_addr", 32, "icmp"),
    6: Family("ip6", "ipv6_addr", 128, "icmpv6"),
}


class Rate(NamedTuple):
    """A token bucket (nft's ``limit rate over``): packets a second, and how many may come at once."""

    packets: int = 10
    burst: int = 20


class Slot(NamedTuple):
    """What shares a set: measure, IP version and prefix length; ``length`` is None for endpoints."""

    measure: Measure
    version: int
    length: int | None
    rate: Rate | None = None

    @classmethod
    def of(cls, measure: Measure, target: Target, rate: Rate) -> "Slot":
        """Where a target goes. ValueError for one that is no address, network or endpoint."""
        limit = rate if measure is Measure.RATE_LIMIT else None
        if target.type is TargetType.ENDPOINT:
            return cls(measure, parse_endpoint(target.value).address.version, None, limit)
        network = parse_network(target.value)
        return cls(measure, network.version, network.prefixlen, limit)

    @property
    def set_name(self) -> str:
        verb = f"limit{self.rate.packets}x{self.rate.burst}" if self.rate else self.measure.value
        return f"{verb}_v{self.version}_{'port' if self.length is None else self.length}"

    @property
    def definition(self) -> Json:
        """The set's type, and what each entry carries."""
        address = FAMILIES[self.version].type
        kind: Any = address if self.length is not None else [address, "inet_proto", "inet_service"]
        carried: list[Any] = [{"counter": None}]
        if self.rate:
            # Behind the counter, which counts all then: nft 1.0.6 lists only what an entry carries first.
            bucket = {"rate": self.rate.packets, "burst": self.rate.burst, "per": "second", "inv": True}
            carried.append({"limit": bucket})
        return {"name": self.set_name, "type": kind, "flags": ["timeout"], "stmt": carried}

    def element(self, target: Target) -> Any:
        """The entry of a target in this set."""
        if self.length is not None:
            return str(parse_network(target.value).network_address)
        endpoint = parse_endpoint(target.value)
        return {"concat": [str(endpoint.address), endpoint.protocol, endpoint.port]}

    def target(self, value: Any) -> Target:
        """The target of an entry, as nft lists it."""
        if self.length is None:
            address, protocol, port = value["concat"]
            endpoint = Endpoint(ip_address(str(address)), int(port), str(protocol))
            return Target(TargetType.ENDPOINT, str(endpoint))
        if (self.version, self.length) == (4, 32):
            # Of a hundred thousand entries nearly all are plain IPv4 addresses, which nft prints in the canonical form.
            return Target(TargetType.ADDRESS, str(value))
        return target_of(parse_network(f"{value}/{self.length}"))

    def rules(self, end: str) -> list[list[Json]]:
        """The expressions of the rules that hold a packet's ``end`` ("source", "destination") against this set."""
        match = self._match(end)
        if self.measure is not Measure.REJECT:
            return [[match, {"counter": None}, {"drop": None}]]
        icmp = FAMILIES[self.version].icmp
        tell: list[Json] = [{"counter": None}, {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]
        rules: list[list[Json]] = [
            [_protocol("==", "tcp"), match, {"counter": None}, {"reject": {"type": "tcp reset"}}],
            [_protocol("==", icmp), match, *tell],
            [_protocol("!=", {"set": ["tcp", icmp]}), match, *tell],
        ]
        if end == "destination":
            # What tells the sender goes to a rejected address itself, and has to pass.
            flags = {"&": [_field("tcp", "flags"), "rst"]}
            rules[0].insert(1, {"match": {"op": "==", "left": flags, "right": 0}})
            rules[1].insert(
                1, {"match": {"op": "!=", "left": _field(icmp, "type"), "right": "destination-unreachable"}}
            )
        return rules

    def _match(self, end: str) -> Json:
        """The expression "this packet's address, masked to the length (or its endpoint), is in the set"."""
        of = FAMILIES[self.version]
        left = _field(of.protocol, f"{end[0]}addr")
        if self.length is None:
            left = {"concat": [left, {"meta": {"key": "l4proto"}}, _field("th", f"{end[0]}port")]}
        elif self.length < of.bits:
            mask = (IPv4Network if self.version == 4 else IPv6Network)((0, self.length)).netmask
            left = {"&": [left, str(mask)]}
        return {"match": {"op": "==", "left": left, "right": f"@{self.set_name}"}}


@dataclass(frozen=True, slots=True)
class Table:
    """A table by its name, on the hooks where it judges packets. ValueError for what nft would not take."""

    name: str
    hooks: tuple[str, ...] = tuple(HOOKS)

    def __post_init__(self) -> None:
        if not _TABLE_NAME.match(self.name):
            raise ValueError(f"{self.name!r} is not a table name: letters, digits and _, a letter first, at most 64")
        if not self.hooks or not HOOKS.keys() >= set(self.hooks):
            raise ValueError(f"hooks are some of {', '.join(HOOKS)}, not {', '.join(self.hooks) or 'none'}")

    def structure(self, slots: Iterable[Slot]) -> Batch:
        """Commands that make the table, its sets, hooks and rules what they should be, whatever they are now."""
        own = {"family": "inet", "table": self.name}
        batch: Batch = [{"add": {"table": {"family": "inet", "name": self.name}}}]
        ordered = sorted(slots, key=lambda slot: slot.set_name)
        batch += [{"add": {"set": {**own, **slot.definition}}} for slot in ordered]
        for chain in ENDS:
            batch += [{verb: {"chain": {**own, "name": chain}}} for verb in ("add", "flush")]
            for slot in ordered:
                for expr in slot.rules(ENDS[chain]):
                    batch.append({"add": {"rule": {**own, "chain": chain, "expr": expr}}})
        for hook, chains in HOOKS.items():
            base = {"type": "filter", "hook": hook, "prio": PRIORITY, "policy": "accept"}
            batch.append({"add": {"chain": {**own, "name": hook, **base}}})
            batch.append({"flush": {"chain": {**own, "name": hook}}})
            if hook not in self.hooks:
                batch.append({"delete": {"chain": {**own, "name": hook}}})
                continue
            for chain in chains:
                batch.append({"add": {"rule": {**own, "chain": hook, "expr": [{"jump": {"target": chain}}]}}})
        return batch

    def elements(self, verb: str, slot: Slot, elements: Batch) -> Json:
        """One command on entries of one set."""
        return {verb: {"element": {"family": "inet", "table": self.name, "name": slot.set_name, "elem": elements}}}

    def remove(self) -> Batch:
        """Delete the table; added first, because deleting what is not there fails."""
        table = {"family": "inet", "name": self.name}
        return [{"add": {"table": table}}, {"delete": {"table": table}}]

    def slots(self, answer: str) -> set[Slot]:
        """Which sets there are, from a listing of all sets. Raises MitigationError."""
        return {
            slot
            for kind, item in _items(answer)
            if kind == "set" and item.get("table") == self.name and (slot := _slot_named(item.get("name"))) is not None
        }

    def listing(self, answer: str) -> "Listing":
        """What a listing of the table shows. Raises MitigationError."""
        found = Listing()
        for kind, item in _items(answer):
            found.see(kind, item)
        return found


@dataclass(slots=True)
class Listing:
    """What a listing of the table shows, gathered piece by piece."""

    flagged: bool = False
    sets: dict[Slot, list[Any]] = field(default_factory=dict)
    hooked: set[str] = field(default_factory=set)
    jumps: set[tuple[str, str]] = field(default_factory=set)
    asked: set[tuple[str, str]] = field(default_factory=set)

    def see(self, kind: str, item: Json) -> None:
        if kind == "table":
            # Ours has no flags. Which one somebody set is not to be read: nft 1.0.6 prints memory that was freed there.
            self.flagged = "flags" in item
        elif kind == "set" and (slot := _slot_named(item["name"])) is not None:
            self.sets[slot] = item.get("elem", [])
        elif kind == "chain" and item.get("hook") == item["name"]:
            self.hooked.add(item["name"])
        elif kind == "rule":
            for expression in item["expr"]:
                if "jump" in expression:
                    self.jumps.add((item["chain"], expression["jump"]["target"]))
                elif "match" in expression and _ends(item["expr"]):
                    self.asked.add((item["chain"], str(expression["match"]["right"])))

    def effective(self, hooks: Iterable[str]) -> set[Slot]:
        """The sets that packets are really held against, at both ends and on every one of the hooks."""
        led = all(hook in self.hooked and (hook, chain) in self.jumps for hook in hooks for chain in HOOKS[hook])
        if self.flagged or not led:
            return set()
        return {slot for slot in self.sets if all((chain, f"@{slot.set_name}") in self.asked for chain in ENDS)}

    def installed(self, hooks: Iterable[str]) -> list[Installed]:
        """What is in effect.

        An entry counts only when hooks and rules lead packets to it: one in a set that no rule asks, or in a table
        that was put to sleep, blocks nothing and is not in the list.
        """
        effective = sorted(self.effective(hooks), key=lambda slot: slot.set_name)
        return [_entry(slot, element) for slot in effective for element in self.sets[slot]]


def _field(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


def _protocol(op: str, right: object) -> Json:
    return {"match": {"op": op, "left": {"meta": {"key": "l4proto"}}, "right": right}}


def _ends(expr: Sequence[Json]) -> bool:
    """Whether a rule drops or rejects what it matches."""
    return any("drop" in part or "reject" in part for part in expr)


def _slot_named(name: object) -> Slot | None:
    """The slot of a set, by its name; None for a set that is not one of ours."""
    matched = _SET_NAME.match(str(name))
    if matched is None:
        return None
    verb, packets, burst, version, length = matched.groups()
    rate = Rate(int(packets), int(burst)) if packets else None
    measure = Measure.RATE_LIMIT if rate else Measure(verb)
    slot = Slot(measure, int(version), None if length == "port" else int(length), rate)
    return slot if slot.length is None or slot.length <= FAMILIES[slot.version].bits else None


def _items(answer: str) -> Iterator[tuple[str, Json]]:
    """(kind, object) of nft's answer. Raises MitigationError when it is not JSON of that shape."""
    try:
        listed = json.loads(answer)["nftables"] if answer.strip() else []
        yield from [(kind, item) for each in listed for kind, item in each.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MitigationError("nft answered something that is not its JSON (built without JSON support?)") from None


def _entry(slot: Slot, element: Any) -> Installed:
    """One entry of a set: a bare value, or an object with its timeout and counter."""
    fields = element["elem"] if isinstance(element, dict) and "elem" in element else {"val": element}
    counter = fields.get("counter") or {}
    return Installed(
        target=slot.target(fields["val"]),
        measure=slot.measure,
        expires_in_s=fields.get("expires"),
        packets=counter.get("packets"),
        octets=counter.get("bytes"),
    )
