"""The last check before anything is put into effect, the same for manual, automatic and ordered actions. Pure.

It answers one question, "may this target be hit?", with no or with the entry that forbids it. What must never be hit:

- addresses that stand for no single host or that the link itself lives on (``NEVER``);
- the protected entries: the operator's never-block list and, always, the host's own addresses, its gateways and
  resolvers, the coordinating centre and the event store (``tapwarden.mitigation.protected`` reads them);
- any network that contains one of these, in whatever form it is written (v4-mapped, NAT64, 6to4);
- networks wider than the limit, actions that last too long, more actions in an hour than the limit.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network

from tapwarden.mitigation.target import (
    MAPPED,
    Connection,
    Network,
    embedded_v4,
    normalise,
    parse_connection,
    parse_domain,
    parse_endpoint,
    parse_network,
    url_host,
)
from tapwarden.model.decision import Action, Measure, TargetType


@dataclass(frozen=True, slots=True)
class Protected:
    """One entry that must not be hit: a network (an address is one of full length) or a domain with all below it.

    ``origin`` says where the entry comes from, in words an operator finds again: "never_block", "own address (eth0)".
    """

    value: Network | str
    origin: str

    def __str__(self) -> str:
        value = self.value
        if not isinstance(value, str) and value.prefixlen == value.max_prefixlen:
            value = str(value.network_address)
        return f"{self.origin}: {value}"


NEVER: tuple[Protected, ...] = tuple(
    Protected(ip_network(text), origin)
    for text, origin in (
        ("0.0.0.0/8", "this host on this network (RFC 1122 3.2.1.3)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("::/128", "unspecified address"),
        ("::1/128", "loopback"),
        # Neighbour discovery and router advertisements speak from here: blocking one cuts the link's IPv6.
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How far actions may reach. A prefix shorter than the largest one allowed covers too many hosts."""

    largest_prefix_v4: int = 24
    largest_prefix_v6: int = 48
    actions_per_hour: int = 1000
    longest: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an action may not be carried out; ``entry`` names the list entry or the limit that said no."""

    message: str
    entry: str


def protect(values: Iterable[str], origin: str) -> list[Protected]:
    """Protected entries from text: addresses, networks, domain names. ValueError names what is none of these."""
    entries = []
    for value in values:
        text = value.strip()
        try:
            entries.append(Protected(parse_network(text), origin))
        except ValueError:
            if "/" in text or ":" in text:
                raise
            entries.append(Protected(parse_domain(text), origin))
    return entries


class Guard:
    """Protected entries and limits, indexed. Look-ups cost the number of different prefix lengths, not of entries."""

    def __init__(self, protected: Iterable[Protected] = (), limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.protected = tuple(protected)
        self._by_prefix: dict[int, dict[int, dict[int, Protected]]] = {4: {}, 6: {}}
        self._domains: dict[str, Protected] = {}
        for entry in (*NEVER, *self.protected):
            if isinstance(entry.value, str):
                self._domains.setdefault(entry.value, entry)
            else:
                lengths = self._by_prefix[entry.value.version]
                lengths.setdefault(entry.value.prefixlen, {}).setdefault(int(entry.value.network_address), entry)
        # (first address, entry) sorted: a wide target asks for the first entry that starts inside it.
        self._starts = {
            version: sorted(
                ((start, entry) for entries in lengths.values() for start, entry in entries.items()),
                key=lambda pair: pair[0],
            )
            for version, lengths in self._by_prefix.items()
        }
        self._parents: dict[str, Protected] = {}
        for name, entry in self._domains.items():
            for parent in _above(name):
                self._parents.setdefault(parent, entry)

    def check(self, action: Action, now: datetime, *, in_last_hour: int = 0) -> Refusal | None:
        """None when the action may be carried out; ``in_last_hour`` counts the actions already carried out then."""
        if action.expires_at <= now:
            return Refusal("it has expired already", "expiry")
        if action.expires_at - now > self.limits.longest:
            return Refusal(
                f"it would last until {action.expires_at:%Y-%m-%d %H:%M} UTC", f"longest: {self.limits.longest}"
            )
        if in_last_hour >= self.limits.actions_per_hour:
            limit = self.limits.actions_per_hour
            return Refusal(f"{in_last_hour} actions in the last hour", f"actions_per_hour: {limit}")
        return self.check_target(action)

    def check_target(self, action: Action) -> Refusal | None:  # noqa: PLR0911 - one answer a kind
        """Only the question whether the target may be hit; asked again whenever the protected entries change."""
        target = action.target
        try:
            if action.measure is Measure.NOTIFY:  # telling its owner hits nothing
                normalise(target)
                return None
            if target.type in (TargetType.ADDRESS, TargetType.NETWORK):
                return self._check_network(parse_network(target.value.strip()))
            if target.type is TargetType.ENDPOINT:
                return self._check_network(ip_network(parse_endpoint(target.value.strip()).address))
            if target.type is TargetType.CONNECTION:
                return self._check_connection(parse_connection(target.value.strip()))
            target = normalise(target)
            host = url_host(target.value) if target.type is TargetType.URL else target.value
        except ValueError as problem:
            return Refusal(str(problem), "malformed target")
        if not isinstance(host, str):
            return self._check_network(host)
        return self._check_domain(host, below=target.type is not TargetType.HOSTNAME)

    def find(self, network: Network) -> Protected | None:
        """The protected entry that a network is part of, contains, or reaches in another form."""
        forms: list[Network] = [network]
        if (behind := embedded_v4(network)) is not None:
            forms.append(behind)
        if isinstance(network, IPv6Network) and MAPPED.subnet_of(network):
            forms.append(IPv4Network("0.0.0.0/0"))
        for form in forms:
            if (entry := self._containing(form)) is not None:
                return entry
            # An address contains nothing but itself, and that was looked up.
            if form.prefixlen < form.max_prefixlen and (entry := self._contained(form)) is not None:
                return entry
        return None

    def _check_network(self, network: Network) -> Refusal | None:
        if (entry := self.find(network)) is not None:
            verb = "is" if network.prefixlen == network.max_prefixlen else "touches what is"
            return Refusal(f"{_short(network)} {verb} protected", str(entry))
        v4 = network.version == 4
        largest = self.limits.largest_prefix_v4 if v4 else self.limits.largest_prefix_v6
        if network.prefixlen < largest:
            name = "largest_prefix_v4" if v4 else "largest_prefix_v6"
            return Refusal(f"{network} covers more than a /{largest}", f"{name}: {largest}")
        return None

    def _check_connection(self, connection: Connection) -> Refusal | None:
        """One end may be protected (it is whom the other is kept from), not both."""
        ends = [self._check_network(ip_network(end.address)) for end in (connection.low, connection.high)]
        return ends[0] if all(ends) else None

    def _check_domain(self, name: str, *, below: bool) -> Refusal | None:
        if "." not in name:
            return Refusal(f"{name} is a whole top-level domain", "top-level domain")
        for candidate in (name, *_above(name)):
            if (entry := self._domains.get(candidate)) is not None:
                return Refusal(f"{name} is protected", str(entry))
        if below and (entry := self._parents.get(name)) is not None:
            return Refusal(f"a protected name is below {name}", str(entry))
        return None

    def _containing(self, network: Network) -> Protected | None:
        first, bits = int(network.network_address), network.max_prefixlen
        for length, entries in self._by_prefix[network.version].items():
            if length <= network.prefixlen:
                masked = first >> (bits - length) << (bits - length)
                if (entry := entries.get(masked)) is not None:
                    return entry
        return None

    def _contained(self, network: Network) -> Protected | None:
        starts = self._starts[network.version]
        index = bisect_left(starts, int(network.network_address), key=lambda pair: pair[0])
        if index < len(starts) and starts[index][0] <= int(network.broadcast_address):
            return starts[index][1]
        return None


def _above(name: str) -> list[str]:
    """The parents of a name, nearest first, down to the top-level domain."""
    labels = name.split(".")
    return [".".join(labels[index:]) for index in range(1, len(labels))]


def _short(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
