"""Counts kept as events are stored say what counting the events would say, whatever the bounds."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.model.event import Event, EventQuery

T0 = datetime(2026, 11, 22, tzinfo=UTC)
KINDS = ("flow", "dns", "http", "alert", "tls")


class Clock:
    def now(self) -> datetime:
        return T0 + timedelta(days=2)


def made(choose: random.Random, number: int) -> Event:
    kind = choose.choice(KINDS)
    at = T0 + timedelta(microseconds=choose.randrange(2 * 86_400_000_000))
    if number % 10 == 0:
        at = T0 + timedelta(hours=choose.randrange(48), minutes=choose.choice((0, 59)))
    record = {
        "timestamp": at.isoformat(),
        "event_type": kind,
        "src_ip": f"192.0.2.{choose.randrange(6)}",
        "dest_ip": f"2001:db8::{1 + choose.randrange(6):x}",
        "dest_port": choose.randrange(3),
        "app_proto": choose.choice(("http", "tls", "")),
    }
    if kind == "alert":
        record["alert"] = {"signature_id": choose.randrange(4), "signature": "x"}
    if kind == "dns":
        record["dns"] = {"rrname": f"{choose.randrange(9)}.example"}
    return Event(json.dumps(record).encode(), f"{number}")


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[tuple[EmbeddedEventStore, Sequence[Event]]]:
    choose = random.Random(11)
    events = [made(choose, number) for number in range(3000)]
    store = EmbeddedEventStore(tmp_path, Clock())
    for begin in range(0, 3000, 250):
        store.append(events[begin : begin + 250])
    store.append(events[:500])  # again
    yield store, events
    store.close()


def within(events: Sequence[Event], query: EventQuery) -> list[Event]:
    return [
        event
        for event in events
        if (query.since is None or event.timestamp >= query.since)
        and (query.until is None or event.timestamp < query.until)
        and (not query.kinds or event.kind in query.kinds)
    ]


def bounds() -> Iterator[EventQuery]:
    choose = random.Random(7)
    whole = [T0 + timedelta(hours=h) for h in (0, 1, 23, 24, 25, 48)]
    odd = [T0 + timedelta(seconds=choose.randrange(172_800), microseconds=choose.randrange(10**6)) for _ in range(8)]
    odd += [odd[0] + timedelta(seconds=1), odd[1] + timedelta(minutes=1)]
    moments = [None, *whole, *odd]
    for _ in range(60):
        kinds = tuple(choose.sample(KINDS, choose.choice((0, 1, 2))))
        yield EventQuery(since=choose.choice(moments), until=choose.choice(moments), kinds=kinds)
    yield EventQuery(kinds=("none",))


def test_counts_histograms_and_rankings_are_those_of_the_events(
    stored: tuple[EmbeddedEventStore, Sequence[Event]],
) -> None:
    store, events = stored
    for query in bounds():
        matching = within(events, query)
        assert store.count(query) == len(matching), query
        for interval_s in (60, 900, 7):
            expected = Counter(int(event.timestamp.timestamp()) // interval_s for event in matching)
            told = {
                int(bar.start.timestamp()) // interval_s: bar.count
                for bar in store.histogram(query, interval_s=interval_s)
            }
            assert told == expected, (query, interval_s)
        for field in ("src_ip", "dest_ip", "dest_port", "app_proto"):
            values = Counter(str(event.eve[field]) for event in matching if event.eve[field] != "")
            assert {line.value: line.count for line in store.top(query, field, limit=50)} == values, (query, field)
        names = Counter(event.eve["dns"]["rrname"] for event in matching if event.kind == "dns")
        ranked = sorted(names.items(), key=lambda item: (-item[1], item[0]))[:4]
        assert [(line.value, line.count) for line in store.top(query, "domain", limit=4)] == ranked
        rare = sorted(names.items(), key=lambda item: (item[1], item[0]))[:4]
        assert [(line.value, line.count) for line in store.rare(query, "domain", limit=4)] == rare
        rules = Counter(str(event.eve["alert"]["signature_id"]) for event in matching if event.kind == "alert")
        assert {line.value: line.count for line in store.top(query, "sid")} == rules
