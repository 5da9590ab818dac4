"""What a measure would have hit, had it been in effect: counted over stored events."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from tapwarden.mitigation.guard import Guard
from tapwarden.mitigation.plan import proposed
from tapwarden.mitigation.target import (
    Connection,
    Endpoint,
    Network,
    parse_connection,
    parse_domain,
    parse_endpoint,
    parse_network,
    url_host,
)
from tapwarden.model.decision import Impact, Target, TargetType
from tapwarden.model.event import Event, EventQuery
from tapwarden.model.ports import EventStore

MOST_EVENTS = 20_000
"""Events looked at for one target; beyond it the numbers are lower bounds."""
PAGE = 1000

NAMED = ("dns", "http", "tls", "quic")
"""Events that say which name was meant."""

Hit = Callable[[Event], str]
"""The host that would have been cut off from the target in this event; "" where the event is not about it."""


def foresee(
    events: EventStore,
    targets: Sequence[Target],
    *,
    since: datetime,
    guard: Guard,
    now: datetime,
    most: int = MOST_EVENTS,
) -> Impact:
    """The impact of a measure on ``targets``. Raises StoreError; ValueError for a malformed target."""
    flows: set[object] = set()
    hosts: set[str] = set()
    refused: list[str] = []
    complete = True
    for target in targets:
        if refusal := guard.check_target(proposed(target, now)):
            refused.append(f"{target.value}: {refusal.message} [{refusal.entry}]")
        query, hit = _question(target, since)
        for seen, event in enumerate(_matching(events, query)):
            if seen >= most:
                complete = False
                break
            if host := hit(event):
                hosts.add(host)
                flows.add(event.eve.get("flow_id") or event.id)
    protected = tuple(
        f"{host} [{entry}]" for host in sorted(hosts) if (entry := guard.find(parse_network(host))) is not None
    )
    return Impact(len(flows), len(hosts), protected, tuple(refused), since, complete)


def _matching(events: EventStore, query: EventQuery) -> Iterator[Event]:
    cursor = ""
    while True:
        page = events.search(query, limit=PAGE, cursor=cursor)
        yield from page.events
        cursor = page.cursor
        if not cursor or not page.events:
            return


def _question(target: Target, since: datetime) -> tuple[EventQuery, Hit]:
    """Which events to look at, and what each says."""
    if target.type in (TargetType.ADDRESS, TargetType.NETWORK):
        network = parse_network(target.value)
        return EventQuery(since=since, kinds=("flow",), address=target.value), lambda event: _other_end(event, network)
    if target.type is TargetType.ENDPOINT:
        endpoint = parse_endpoint(target.value)
        query = EventQuery(since=since, kinds=("flow",), address=str(endpoint.address), port=endpoint.port)
        return query, lambda event: _peer_of(event, endpoint)
    if target.type is TargetType.CONNECTION:
        connection = parse_connection(target.value)
        query = EventQuery(since=since, kinds=("flow",), address=str(connection.low.address), port=connection.low.port)
        return query, lambda event: _peer_within(event, connection)
    name = parse_domain(target.value) if target.type is not TargetType.URL else str(url_host(target.value))
    alone = target.type is TargetType.HOSTNAME
    return EventQuery(since=since, kinds=NAMED, domain=name), lambda event: _asker(event, name, alone=alone)


def _other_end(event: Event, network: Network) -> str:
    source, destination = _address(event.eve.get("src_ip")), _address(event.eve.get("dest_ip"))
    if source is None or destination is None:
        return ""
    if destination.version == network.version and destination in network:
        return str(source)
    if source.version == network.version and source in network:
        return str(destination)
    return ""


def _peer_of(event: Event, endpoint: Endpoint) -> str:
    eve, address = event.eve, str(endpoint.address)
    if str(eve.get("proto", "")).lower() != endpoint.protocol:
        return ""
    if (eve.get("dest_ip"), eve.get("dest_port")) == (address, endpoint.port):
        return _text(eve.get("src_ip"))
    if (eve.get("src_ip"), eve.get("src_port")) == (address, endpoint.port):
        return _text(eve.get("dest_ip"))
    return ""


def _peer_within(event: Event, connection: Connection) -> str:
    """Who began the session, where it is this very one."""
    if _peer_of(event, connection.low) and _peer_of(event, connection.high):
        return _text(event.eve.get("src_ip"))
    return ""


def _asker(event: Event, name: str, *, alone: bool) -> str:
    """The client, from whose side these records are written, answers included."""
    if alone and name not in _names(event.eve):
        return ""
    return _text(event.eve.get("src_ip"))


def _names(eve: Mapping[str, Any]) -> set[str]:
    """The names a record is about: the question, the SNI, the Host."""
    dns, http = _object(eve.get("dns")), _object(eve.get("http"))
    questions = [dns, *(_object(one) for one in dns.get("queries") or dns.get("query") or ())]
    found = [one.get("rrname") for one in questions]
    found += [_object(eve.get(kind)).get("sni") for kind in ("tls", "quic")]
    found.append(str(http.get("hostname", "")).partition(":")[0])
    return {str(name).rstrip(".").lower() for name in found if name}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _address(value: object) -> Any:
    try:
        return ip_address(str(value))
    except ValueError:
        return None


def _text(value: object) -> str:
    address = _address(value)
    return str(address) if address is not None else ""
