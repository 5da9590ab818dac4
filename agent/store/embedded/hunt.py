"""Retro-hunt: what each block has is looked up among all indicators at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address, ip_network

from tapwarden.agent.store.embedded import layout
from tapwarden.agent.store.embedded.blocks import Block, pieces, within
from tapwarden.agent.store.embedded.core import core
from tapwarden.agent.store.embedded.question import text_of
from tapwarden.model.event import Event
from tapwarden.model.hunt import HuntMatch, HuntResult, TimeSpan
from tapwarden.model.indicator import Indicator, IndicatorType

SAMPLES = 5
"""Newest events shown of each match."""

Read = Callable[[str, Block, Sequence[int], sqlite3.Connection], Sequence[Event]]
"""Gives the events in these rows of a partition's block."""


def lookup(indicator: Indicator) -> tuple[str, str] | None:
    """What is looked for, as the core takes it; None for a value that is not what its type says."""
    value = indicator.value.strip()
    if not value:
        return None
    kind = indicator.type
    try:
        if kind is IndicatorType.IP:
            value = str(ip_address(value))
        elif kind is IndicatorType.NETWORK:
            value = str(ip_network(value, strict=False))
        elif kind is IndicatorType.IP_PORT:
            address, _, port = value.rpartition(":")
            value = f"{ip_address(address.strip('[]'))} {int(port)}"
        value = text_of(value)
        core.EventHunt([(kind.value, value)])
    except ValueError:
        return None
    return kind.value, value


class Hunt:
    """A hunt as it goes from partition to partition, newest first, until its time is up."""

    def __init__(
        self,
        indicators: Sequence[Indicator],
        *,
        since: datetime | None,
        until: datetime | None,
        time_left: Callable[[], bool],
        read: Read,
        damage: Callable[[str, int], None],
    ) -> None:
        looked_up = [(indicator, lookup(indicator)) for indicator in dict.fromkeys(indicators)]
        self.unsupported = tuple(indicator for indicator, found in looked_up if found is None)
        self._indicators = [indicator for indicator, found in looked_up if found is not None]
        self._hunt = core.EventHunt([found for _, found in looked_up if found is not None])
        self._since, self._until, self._time_left = since, until, time_left
        self._read, self._damage = read, damage
        self._matches: dict[int, HuntMatch] = {}

    def search(self, partition: str, connection: sqlite3.Connection) -> bool:
        """Look for all of them in one partition; whether there was time to."""
        span = layout.span(self._since, self._until, partition)
        for block in sorted(within(connection, span), key=lambda block: -block.last):
            if not self._time_left():
                return False
            try:
                found = self._hunt.search(pieces(connection, block, core.EventHunt.COLUMNS), block.cut(span))
            except core.DamagedBlock:
                self._damage(partition, block.id)
                continue
            for number, count, first, last, newest in found:
                times = layout.time_of(first, partition), layout.time_of(last, partition)
                self._add(number, count, times, partial(self._read, partition, block, newest, connection))
        return self._time_left()

    def _add(
        self, number: int, count: int, times: tuple[datetime, datetime], newest: Callable[[], Sequence[Event]]
    ) -> None:
        known = self._matches.get(number)
        events = known.events if known else ()
        if len(events) < SAMPLES or times[1] > events[-1].timestamp:
            events = tuple(sorted((*events, *newest()), key=lambda event: event.timestamp, reverse=True)[:SAMPLES])
        self._matches[number] = HuntMatch(
            self._indicators[number],
            count + (known.count if known else 0),
            min(times[0], known.first) if known else times[0],
            max(times[1], known.last) if known else times[1],
            events,
        )

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
