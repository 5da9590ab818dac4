"""Alerts with the same signature, source and destination become one sighting a batch."""

import hashlib
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tapwarden.agent.triage.roles import Roles, canonical_address, roles_of
from tapwarden.model.event import Event
from tapwarden.model.incident import AlertGroup

MAX_TEXT = 512
"""Characters kept of a signature's or category's text; Suricata's own limit for msg is far below."""

MAX_BADGES = 8

CONFIDENCES = {"low": 25, "unknown": 50, "medium": 60, "high": 90}
"""The words of rules as numbers, as STIX 2.1 appendix A has them (Low 15 to 30, Med 50 to 60, High 85 and more)."""

MAX_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a batch says about one group: ``group.count`` is the batch's; ``sources`` name the indicator feeds.

    ``roles`` say who is who in the sessions behind the alerts, which source and destination of a group do not: an alert
    on a response has the server as its source.
    """

    group: AlertGroup
    sources: frozenset[str] = frozenset()
    roles: frozenset[Roles] = frozenset()
    connections: frozenset[str] = frozenset()
    """The TCP and UDP connections the alerts are about, as a target's text; at most MAX_CONNECTIONS."""
    confidence: int = 50
    """Of the surest of the alerts: 0 to 100, 50 where their rules say nothing."""


def group_alerts(events: Iterable[Event], badges: Callable[[Event], Iterable[str]]) -> Sequence[Sighting]:
    """The sightings of a batch, in order of first appearance. Alerts without a readable sid are passed over."""
    found: dict[str, Sighting] = {}
    for event in events:
        if event.kind != "alert":
            continue
        sighting = _sighting(event, badges)
        if sighting is None:
            continue
        before = found.get(sighting.group.id)
        found[sighting.group.id] = sighting if before is None else _joined(before, sighting)
    return tuple(found.values())


def group_id(gid: int, sid: int, src_ip: str, dest_ip: str) -> str:
    """The same for the same key, always: 24 hex digits."""
    return hashlib.blake2b(f"{gid}|{sid}|{src_ip}|{dest_ip}".encode(), digest_size=12).hexdigest()


def _sighting(event: Event, badges: Callable[[Event], Iterable[str]]) -> Sighting | None:
    alert = event.eve.get("alert")
    if not isinstance(alert, dict):
        return None
    gid, sid = _integer(alert.get("gid"), 1), _integer(alert.get("signature_id"), 0)
    if sid <= 0:
        return None
    src_ip, dest_ip = canonical_address(event.eve.get("src_ip")), canonical_address(event.eve.get("dest_ip"))
    group = AlertGroup(
        id=group_id(gid, sid, src_ip, dest_ip),
        gid=gid,
        sid=sid,
        signature=str(alert.get("signature", ""))[:MAX_TEXT],
        category=str(alert.get("category", ""))[:MAX_TEXT],
        severity=min(4, max(1, _integer(alert.get("severity"), 3))),
        src_ip=src_ip,
        dest_ip=dest_ip,
        count=1,
        first_seen=event.timestamp,
        last_seen=event.timestamp,
        event_id=event.id,
        badges=tuple(badges(event))[:MAX_BADGES],
        sensor=str(event.eve.get("host", ""))[:MAX_TEXT],
    )
    roles = roles_of(event.eve, alert, src_ip, dest_ip)
    return Sighting(
        group,
        frozenset(_sources(event)),
        frozenset({roles}),
        frozenset(_connections(event, src_ip, dest_ip)),
        _confidence(alert),
    )


def _joined(one: Sighting, other: Sighting) -> Sighting:
    a, b = one.group, other.group
    latest = b if b.last_seen >= a.last_seen else a
    group = replace(
        a,
        count=a.count + b.count,
        first_seen=min(a.first_seen, b.first_seen),
        last_seen=latest.last_seen,
        event_id=latest.event_id,
        badges=tuple(dict.fromkeys((*a.badges, *b.badges)))[:MAX_BADGES],
    )
    connections = one.connections
    if len(connections) < MAX_CONNECTIONS:
        connections |= other.connections
    confidence = max(one.confidence, other.confidence)
    return Sighting(group, one.sources | other.sources, one.roles | other.roles, connections, confidence)


def _confidence(alert: Mapping[str, Any]) -> int:
    """What the rule's metadata says (``metadata: confidence High``, as Emerging Threats writes it)."""
    metadata = alert.get("metadata")
    words = metadata.get("confidence") if isinstance(metadata, dict) else None
    word = words[0] if isinstance(words, list) and words else words
    return CONFIDENCES.get(str(word).lower(), CONFIDENCES["unknown"])


def _connections(event: Event, src_ip: str, dest_ip: str) -> Iterable[str]:
    """The connection of an alert: both ends, the lower one first, as targets write it."""
    protocol, ports = str(event.eve.get("proto", "")).lower(), (event.eve.get("src_port"), event.eve.get("dest_port"))
    if protocol not in {"tcp", "udp"} or not all(type(port) is int and 0 < port < 65536 for port in ports):
        return
    ends = sorted((ipaddress.ip_address(ip), port) for ip, port in zip((src_ip, dest_ip), ports, strict=True) if ip)
    if len(ends) == 2 and ends[0][0].version == ends[1][0].version:
        low, high = (f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}" for ip, port in ends)
        yield f"{low}-{high}/{protocol}"


def _sources(event: Event) -> Iterable[str]:
    """Indicator feeds named by an alert: ``tapwarden.indicator.source``."""
    own = event.eve.get("tapwarden")
    indicator = own.get("indicator") if isinstance(own, dict) else None
    for entry in indicator if isinstance(indicator, list) else [indicator]:
        if isinstance(entry, dict) and isinstance(entry.get("source"), str):
            yield entry["source"]


def _integer(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
