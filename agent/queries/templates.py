"""The questions that are answered, and how: counts with a threshold, rows by pseudonyms.

| template | parameters | counts | rows |
|---|---|---|---|
| indicator-seen | indicator, days (180) | events, hosts of ours, first, last seen | a host of ours each, by pseudonym |
| top-classes | days (180) | incidents by class and sub-type | none |
| order-status | order_id | state, code and effects of an order of the asker | none |

A count below the threshold is never told exactly, and then only the days of first and last sight are: who knows how
many hosts there were would otherwise know which.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tapwarden.agent.orders.document import stamp
from tapwarden.model.event import EventOrder, EventQuery
from tapwarden.model.order import OrderStore
from tapwarden.model.ports import CaseStore, EventStore

DAYS, DAYS_MAX = 180, 366
"""How far back is looked unless asked otherwise (as long as logs are kept), and at most."""
HOSTS_MAX = 10_000
INCIDENTS_MAX = 10_000
NAME = re.compile(r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}")
HASH = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers come from. ``ours`` tells own addresses; ``pseudonym`` hides a host from one asker."""

    events: EventStore
    cases: CaseStore
    orders: OrderStore
    ours: Callable[[str], bool]
    pseudonym: Callable[[str, str], str]
    smallest: int
    most_rows: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Counts, and rows that a person has to release."""

    counts: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...] = ()


def answer(template: str, parameters: Mapping[str, Any], asker: str, sources: Sources, now: datetime) -> Answer:
    """The answer to a question. Raises ValueError for one that is not on the list or makes no sense, StoreError."""
    templates = {"indicator-seen": _indicator_seen, "top-classes": _top_classes, "order-status": _order_status}
    if template not in templates:
        raise ValueError(f"{template!r} is none of {', '.join(templates)}")
    return templates[template](parameters, asker, sources, now)


def _indicator_seen(parameters: Mapping[str, Any], asker: str, sources: Sources, now: datetime) -> Answer:
    _only(parameters, {"indicator", "days"})
    since = _since(parameters, now)
    query = _query(str(parameters.get("indicator", "")).strip(), since)
    hosts: Counter[str] = Counter()
    for field in ("src_ip", "dest_ip"):
        for entry in sources.events.top(query, field, limit=HOSTS_MAX):
            if sources.ours(entry.value):
                hosts[entry.value] += entry.count
    events = sources.events.count(query)
    exact = len(hosts) >= sources.smallest
    counts: dict[str, Any] = {
        "seen": events > 0,
        "events": _counted(events, sources.smallest) if exact or not events else _counted(1, sources.smallest),
        "hosts": _counted(len(hosts), sources.smallest),
        "searched_since": stamp(since),
    }
    for name, order in (("first", EventOrder.OLDEST), ("last", EventOrder.NEWEST)):
        found = sources.events.search(query, limit=1, order=order).events
        if found:
            at = stamp(found[0].timestamp)
            counts[name] = at if exact else at[:10]
    rows = tuple(
        {"host": sources.pseudonym(asker, host), "events": count}
        for host, count in hosts.most_common(sources.most_rows)
    )
    return Answer(counts, rows)


def _top_classes(parameters: Mapping[str, Any], asker: str, sources: Sources, now: datetime) -> Answer:
    _only(parameters, {"days"})
    since = _since(parameters, now)
    found = [
        each for each in sources.cases.incidents(limit=INCIDENTS_MAX) if each.opened_at >= since and not each.drill
    ]
    classes = Counter(f"{each.threat_class}.{each.subtype or 'unknown'}" for each in found)
    counts = {name: _counted(count, sources.smallest) for name, count in classes.most_common()}
    return Answer({"classes": counts, "searched_since": stamp(since)})


def _order_status(parameters: Mapping[str, Any], asker: str, sources: Sources, now: datetime) -> Answer:
    _only(parameters, {"order_id"})
    order = sources.orders.order(str(parameters.get("order_id", "")))
    if order is None or order.issuer != asker:
        raise ValueError("there is no such order of yours")
    effects = [
        {"target": each.target.value, "state": each.state.value, "code": each.code, "proof": dict(each.proof)}
        for each in order.effects
    ]
    return Answer({"state": order.state.value, "code": order.code, "detail": order.detail, "effects": effects})


def _query(indicator: str, since: datetime) -> EventQuery:
    text = indicator.lower().rstrip(".")
    try:
        return EventQuery(since=since, address=str(ipaddress.ip_network(text, strict=False)).removesuffix("/32"))
    except ValueError:
        pass
    if HASH.fullmatch(text):
        return EventQuery(since=since, file_hash=text)
    if indicator.startswith(("http://", "https://")):
        return EventQuery(since=since, url=indicator[:2048])
    if NAME.fullmatch(text):
        return EventQuery(since=since, domain=text)
    raise ValueError("an indicator is an address, a network, a domain name, a URL or a hash")


def _since(parameters: Mapping[str, Any], now: datetime) -> datetime:
    days = parameters.get("days", DAYS)
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= DAYS_MAX:
        raise ValueError(f"days is a number from 1 to {DAYS_MAX}")
    return now - timedelta(days=days)


def _only(parameters: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(parameters) - known):
        raise ValueError(f"unknown parameters: {', '.join(unknown)}")


def _counted(count: int, smallest: int) -> int | str:
    return count if count == 0 or count >= smallest else f"fewer than {smallest}"
