"""Every event store in the table keeps the port's promises; a new entry is covered for free."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.agent.store.stores import EVENT_STORES
from tapwarden.model.event import Event, EventQuery
from tapwarden.model.ports import EventStore

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return NOW


@pytest.fixture(params=EVENT_STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    opened = EVENT_STORES[request.param](tmp_path, FixedClock())
    yield opened
    opened.close()


def an_event(n: int) -> Event:
    moment = NOW - n * timedelta(hours=5)
    record = {"timestamp": moment.isoformat(), "event_type": "dns", "dns": {"rrname": f"h{n % 3}.example"}, "n": n}
    return Event(json.dumps(record).encode(), str(n))


def test_events_are_stored_once_found_paged_counted_and_ranked(store: EventStore) -> None:
    events = [an_event(n) for n in range(20)]
    assert store.append(events) == 20
    assert store.append(events) == 0
    assert store.get(events[7].id) == events[7]
    page = store.search(EventQuery(), limit=15)
    assert list(page.events) == events[:15]
    last = store.search(EventQuery(), limit=15, cursor=page.cursor)
    assert (list(last.events), last.cursor) == (events[15:], "")
    assert store.count(EventQuery(domain="h1.example")) == 7
    assert sum(bucket.count for bucket in store.histogram(EventQuery(), interval_s=3600)) == 20
    assert [(entry.value, entry.count) for entry in store.top(EventQuery(), "domain", limit=2)] == [
        ("h0.example", 7),
        ("h1.example", 7),
    ]
    status = store.status()
    assert (status.events, status.newest, status.oldest) == (20, NOW, NOW - timedelta(hours=95))
    assert status.writable
