"""Retro-hunt over one partition: indicators as look-ups in its indexes, a few microseconds each."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from tapwarden.agent.store.embedded import layout
from tapwarden.agent.store.embedded.columns import (
    NAMES,
    Term,
    address_key,
    domain_key,
    network_range,
    print_key,
    url_key,
    whole,
)
from tapwarden.model.event import Event
from tapwarden.model.hunt import HuntMatch, HuntResult, TimeSpan
from tapwarden.model.indicator import Indicator, IndicatorType

SAMPLES = 5
"""Newest events shown of each match."""

NUMBER_END = (1 << 63) - 1

Place = tuple[int, int, int]
"""An event's number, its block, and its slot there."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One indicator as a condition on the table ``event``."""

    indicator: Indicator
    sql: str
    values: tuple[object, ...]


def lookup(indicator: Indicator) -> Lookup | None:
    """How it is looked up; None for a value that is not what its type says."""
    value = indicator.value.strip()
    try:
        condition = _condition(indicator.type, value) if value else None
    except ValueError:
        return None
    return None if condition is None else Lookup(indicator, *condition)


def _condition(kind: IndicatorType, value: str) -> tuple[str, tuple[object, ...]] | None:
    if kind in _TERMS:
        field, key = _TERMS[kind]
        if field in NAMES:
            return _NAMED.format("value = ?"), (field, key(value))
        return "seq IN (SELECT event FROM print WHERE value = ?)", (print_key(field, key(value)),)
    if kind is IndicatorType.IP:
        return _sides("IN (SELECT id FROM address WHERE key = ?)", (address_key(str(ip_address(value))),))
    if kind is IndicatorType.NETWORK:
        return _sides("IN (SELECT id FROM address WHERE key BETWEEN ? AND ?)", network_range(value))
    if kind is IndicatorType.DOMAIN:
        name = domain_key(value)
        return _NAMED.format("value >= ? AND value < ?"), (Term.DOMAIN, name, name[:-1] + "/")  # "/" follows "."
    address, _, port = value.rpartition(":")
    end = address_key(str(ip_address(address.strip("[]")))), whole(int(port))
    side = "({0} IN (SELECT id FROM address WHERE key = ?) AND {0}_port = ?)"
    return f"({side.format('src')} OR {side.format('dest')})", end * 2


_NAMED = "seq IN (SELECT event FROM term WHERE name IN (SELECT id FROM name WHERE field = ? AND {}))"

_TERMS: Mapping[IndicatorType, tuple[Term, Callable[[str], str]]] = {
    IndicatorType.URL: (Term.URL, url_key),
    IndicatorType.FILE_HASH: (Term.FILE_HASH, str.lower),
    IndicatorType.JA3: (Term.JA, str.lower),
    IndicatorType.JA4: (Term.JA, str.lower),
    IndicatorType.CERT_SHA1: (Term.CERTIFICATE, lambda value: value.lower().replace(":", "")),
}


def _sides(inside: str, values: tuple[object, ...]) -> tuple[str, tuple[object, ...]]:
    return f"(src {inside} OR dest {inside})", values * 2


class Hunt:
    """A hunt as it goes from partition to partition, newest first, until its time is up."""

    def __init__(
        self,
        indicators: Sequence[Indicator],
        *,
        since: datetime | None,
        until: datetime | None,
        time_left: Callable[[], bool],
        read: Callable[[Sequence[Place], sqlite3.Connection], Sequence[Event]],
    ) -> None:
        looked_up = [(indicator, lookup(indicator)) for indicator in dict.fromkeys(indicators)]
        self.unsupported = tuple(indicator for indicator, found in looked_up if found is None)
        self._lookups = [found for _, found in looked_up if found is not None]
        self._since, self._until, self._time_left, self._read = since, until, time_left, read
        self._matches: dict[Indicator, HuntMatch] = {}

    def search(self, partition: str, connection: sqlite3.Connection) -> bool:
        """Look for all of them in one partition; whether there was time to."""
        first = 0 if self._since is None else max(layout.first_number(self._since, partition), 0)
        end = NUMBER_END if self._until is None else min(layout.first_number(self._until, partition), NUMBER_END)
        within = "seq >= ? AND seq < ?"
        for each in self._lookups:
            if not self._time_left():
                return False
            sql, values = f"FROM event WHERE {each.sql} AND {within}", (*each.values, first, end)
            count, lowest, highest = connection.execute(f"SELECT count(*), min(seq), max(seq) {sql}", values).fetchone()
            if not count:
                continue
            times = layout.time_of(lowest, partition), layout.time_of(highest, partition)
            known = self._matches.get(each.indicator)
            events = known.events if known else ()
            if len(events) < SAMPLES:
                newest = f"SELECT seq, block, slot {sql} ORDER BY seq DESC LIMIT ?"
                places = connection.execute(newest, (*values, SAMPLES - len(events))).fetchall()
                events = (*events, *self._read(places, connection))
            self._matches[each.indicator] = HuntMatch(
                each.indicator,
                count + (known.count if known else 0),
                min(times[0], known.first) if known else times[0],
                max(times[1], known.last) if known else times[1],
                events,
            )
        return True

    def result(self, unsearched: Sequence[TimeSpan]) -> HuntResult:
        """What was found, and where there was no time to look."""
        matches = sorted(self._matches.values(), key=lambda match: match.last, reverse=True)
        return HuntResult(tuple(matches), tuple(unsearched), self.unsupported)


def span(partition: str) -> TimeSpan:
    """The time that a partition's events are of."""
    if partition == layout.UNDATED:
        return TimeSpan(None, None)
    start = layout.beginning(partition)
    return TimeSpan(start, start + timedelta(days=1))
