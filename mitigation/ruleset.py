"""The table as data: commands that make it, and what a listing of it says is in effect. Pure.

Shape of the table, in nft's ``inet`` family, so IPv4 and IPv6 alike::

    input   (hook, before filter) -> sources                  traffic to this host from a blocked address
    forward (hook, before filter) -> sources, destinations    routed traffic, that of containers included
    output  (hook, before filter) -> destinations             traffic of this host to a blocked address
    sources, destinations: for each set: [address masked to the set's prefix length] in set -> count, drop

There is one hash set for each address family and prefix length (``block_v4_32``, ``block_v6_48``, ...), the way
ipset's hash:net works, and not one interval set. Reasons: nft reads a whole interval set back before it changes it, a
hash set not (one more among 100,000: 2.4 s against 4 ms with nft 1.0.6); overlapping networks with different expiries
are separate entries here and an error there; each entry keeps its own timeout and counter.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

from tapwarden.mitigation.target import Network, parse_network, target_of
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

FIELDS: Mapping[str, str] = {"sources": "saddr", "destinations": "daddr"}

_SET_NAME = re.compile(r"block_v([46])_(\d{1,3})\Z")
_TABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")

Json = dict[str, Any]
Batch = list[Json]
"""Commands of libnftables-json(5), committed as one transaction."""


class Family(NamedTuple):
    """What one address family is called in nft."""

    protocol: str
    type: str
    bits: int


FAMILIES: Mapping[int, Family] = {4: Family("ip", "ipv4_addr", 32), 6: Family("ip6", "ipv6_addr", 128)}


class Size(NamedTuple):
    """The networks that share a set: IP version and prefix length."""

    version: int
    length: int

    @classmethod
    def of(cls, network: Network) -> "Size":
        return cls(network.version, network.prefixlen)

    @property
    def set_name(self) -> str:
        return f"block_v{self.version}_{self.length}"


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

    def structure(self, sizes: Iterable[Size]) -> Batch:
        """Commands that make the table, its sets, hooks and rules what they should be, whatever they are now."""
        own = {"family": "inet", "table": self.name}
        batch: Batch = [{"add": {"table": {"family": "inet", "name": self.name}}}]
        for size in sorted(sizes):
            of = FAMILIES[size.version]
            counted = {"flags": ["timeout"], "stmt": [{"counter": None}]}
            batch.append({"add": {"set": {**own, "name": size.set_name, "type": of.type, **counted}}})
        for chain in FIELDS:
            batch += [{verb: {"chain": {**own, "name": chain}}} for verb in ("add", "flush")]
            for size in sorted(sizes):
                expr = [_match(size, FIELDS[chain]), {"counter": None}, {"drop": None}]
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

    def elements(self, verb: str, size: Size, elements: Batch) -> Json:
        """One command on entries of one set."""
        return {verb: {"element": {"family": "inet", "table": self.name, "name": size.set_name, "elem": elements}}}

    def remove(self) -> Batch:
        """Delete the table; added first, because deleting what is not there fails."""
        table = {"family": "inet", "name": self.name}
        return [{"add": {"table": table}}, {"delete": {"table": table}}]

    def sizes(self, answer: str) -> set[Size]:
        """Which sets there are, from a listing of all sets. Raises MitigationError."""
        return {
            size
            for kind, item in _items(answer)
            if kind == "set" and item.get("table") == self.name and (size := _size_named(item.get("name"))) is not None
        }

    def installed(self, answer: str) -> list[Installed]:
        """What is in effect, from the listing of the table. Raises MitigationError.

        An entry counts only when hooks and rules lead packets to it: one in a set that no rule asks, or in a table
        that was put to sleep, blocks nothing and is not in the list.
        """
        listing = _Listing()
        for kind, item in _items(answer):
            listing.see(kind, item)
        effective = sorted(listing.effective(self.hooks))
        return [_entry(size, element) for size in effective for element in listing.sets[size]]


@dataclass(slots=True)
class _Listing:
    """What a listing of the table shows, gathered piece by piece."""

    flagged: bool = False
    sets: dict[Size, list[Any]] = field(default_factory=dict)
    hooked: set[str] = field(default_factory=set)
    jumps: set[tuple[str, str]] = field(default_factory=set)
    asked: set[tuple[str, str]] = field(default_factory=set)

    def see(self, kind: str, item: Json) -> None:
        if kind == "table":
            # Ours has no flags. Which one somebody set is not to be read: nft 1.0.6 prints memory that was freed there.
            self.flagged = "flags" in item
        elif kind == "set" and (size := _size_named(item["name"])) is not None:
            self.sets[size] = item.get("elem", [])
        elif kind == "chain" and item.get("hook") == item["name"]:
            self.hooked.add(item["name"])
        elif kind == "rule":
            for expression in item["expr"]:
                if "jump" in expression:
                    self.jumps.add((item["chain"], expression["jump"]["target"]))
                elif "match" in expression and {"drop": None} in item["expr"]:
                    self.asked.add((item["chain"], str(expression["match"]["right"])))

    def effective(self, hooks: Iterable[str]) -> set[Size]:
        """The sets that packets are really held against, at both ends and on every one of the hooks."""
        led = all(hook in self.hooked and (hook, chain) in self.jumps for hook in hooks for chain in HOOKS[hook])
        if self.flagged or not led:
            return set()
        return {size for size in self.sets if all((chain, f"@{size.set_name}") in self.asked for chain in FIELDS)}


def by_size(networks: Iterable[Network]) -> dict[Size, set[Network]]:
    """Networks by the set they belong to."""
    grouped: dict[Size, set[Network]] = defaultdict(set)
    for network in networks:
        grouped[Size.of(network)].add(network)
    return grouped


def _size_named(name: object) -> Size | None:
    """The size a set holds, by its name; None for a set that is not one of ours."""
    matched = _SET_NAME.match(str(name))
    if matched is None:
        return None
    size = Size(int(matched[1]), int(matched[2]))
    return size if size.length <= FAMILIES[size.version].bits else None


def _match(size: Size, field: str) -> Json:
    """The expression "this packet's address, masked to the length, is in the set"."""
    of = FAMILIES[size.version]
    address: Json = {"payload": {"protocol": of.protocol, "field": field}}
    if size.length < of.bits:
        mask = (IPv4Network if size.version == 4 else IPv6Network)((0, size.length)).netmask
        address = {"&": [address, str(mask)]}
    return {"match": {"op": "==", "left": address, "right": f"@{size.set_name}"}}


def _items(answer: str) -> Iterator[tuple[str, Json]]:
    """(kind, object) of nft's answer. Raises MitigationError when it is not JSON of that shape."""
    try:
        listed = json.loads(answer)["nftables"] if answer.strip() else []
        yield from [(kind, item) for each in listed for kind, item in each.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MitigationError("nft answered something that is not its JSON (built without JSON support?)") from None


def _entry(size: Size, element: Any) -> Installed:
    """One entry of a set: a bare value, or an object with its timeout and counter."""
    fields = element["elem"] if isinstance(element, dict) else {"val": element}
    counter = fields.get("counter") or {}
    value = str(fields["val"])
    # Of a hundred thousand entries nearly all are plain IPv4 addresses, which nft prints in the canonical form.
    plain = size == (4, 32)
    return Installed(
        target=Target(TargetType.ADDRESS, value) if plain else target_of(parse_network(f"{value}/{size.length}")),
        measure=Measure.BLOCK,
        expires_in_s=fields.get("expires"),
        packets=counter.get("packets"),
        octets=counter.get("bytes"),
    )
