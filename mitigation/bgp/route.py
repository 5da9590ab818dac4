"""What is announced for a target: ExaBGP's words for it, and how ExaBGP lists it afterwards. Pure.

A black hole is a host route with the community that asks to drop what goes there (RFC 7999), and NO_EXPORT so that it
goes no further than to whom it was said. A flow specification says what traffic is meant (RFC 8955, RFC 8956) and drops
or limits it; both directions are two of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tapwarden.mitigation.target import Endpoint, Network, parse_endpoint, parse_network
from tapwarden.model.decision import Measure, Target, TargetType

BLACKHOLE = "65535:666"
"""RFC 7999 section 5."""

PortName = Callable[[int], str]
"""How ExaBGP writes a port when it lists what it announces (it uses IANA's names)."""


@dataclass(frozen=True, slots=True)
class BlackHole:
    """How black holes are asked for: their next hops, and communities the provider wants beside the well-known ones.

    ``self`` is the address of the session, which fits its own family only; an empty next hop is none for that family.
    """

    next_hop_v4: str = "self"
    next_hop_v6: str = ""
    communities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One route. ``listed`` is its line among those ExaBGP has sent, ``family`` what a neighbour agrees to."""

    family: str
    announce: str
    withdraw: str
    listed: str


def black_hole(target: Target, how: BlackHole) -> Route | None:
    """The route for an address; None for another target, or where this family has no next hop."""
    if target.type is not TargetType.ADDRESS:
        return None
    network = parse_network(target.value)
    next_hop = how.next_hop_v4 if network.version == 4 else how.next_hop_v6
    if not next_hop:
        return None
    family = f"ipv{network.version} unicast"
    communities = " ".join((BLACKHOLE, "no-export", *how.communities))
    words = f"route {network} next-hop {next_hop}"
    return Route(family, f"announce {words} community [{communities}]", f"withdraw {words}", f"{family} {network}")


def flows(target: Target, measure: Measure, *, octets_per_second: int, port_name: PortName = str) -> Iterator[Route]:
    """What goes to the target and what comes from it: an address, a network or an endpoint."""
    endpoint = parse_endpoint(target.value) if target.type is TargetType.ENDPOINT else None
    network = parse_network(str(endpoint.address)) if endpoint else parse_network(target.value)
    what = "discard" if measure is Measure.BLOCK else f"rate-limit {octets_per_second}"
    for side in ("destination", "source"):
        match, listed = _match(side, network, endpoint, port_name)
        words = f"flow route {{ match {{ {match} }} then {{ {what}; community [no-export]; }} }}"
        family = f"ipv{network.version} flow"
        yield Route(family, f"announce {words}", f"withdraw {words}", f"{family} flow {listed}")


def _match(side: str, network: Network, endpoint: Endpoint | None, port_name: PortName) -> tuple[str, str]:
    """The conditions as ExaBGP reads them, and as it lists them."""
    offset = "/0" if network.version == 6 else ""  # RFC 8956 section 3.1: a prefix that begins at bit 0
    match, listed = f"{side} {network};", f"{side}-ipv{network.version} {network}{offset}"
    if endpoint is None:
        return match, listed
    protocol = "protocol" if network.version == 4 else "next-header"
    match += f" {protocol} {endpoint.protocol}; {side}-port ={endpoint.port};"
    return match, f"{listed} {protocol} ={endpoint.protocol} {side}-port ={port_name(endpoint.port)}"
