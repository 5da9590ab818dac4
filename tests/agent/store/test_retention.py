"""Old day files are dropped by age and by size; what was written lately stays, whatever day it is about."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.agent.clock import SystemClock
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.agent.store.embedded.retention import expire
from tapwarden.model.event import Event, EventQuery

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five days of events, each file last written to on its day."""
    store = EmbeddedEventStore(tmp_path, SystemClock())
    for age in range(5):
        when = NOW - timedelta(days=age * 10)
        store.append([event(when)])
    store.close()
    for path in tmp_path.iterdir():
        day = datetime.strptime(path.name[7:17], "%Y-%m-%d").replace(tzinfo=UTC)
        os.utime(path, (day.timestamp(), day.timestamp()))
    return tmp_path


def event(when: datetime) -> Event:
    return Event(json.dumps({"timestamp": when.isoformat(), "event_type": "flow"}).encode())


def days(folder: Path) -> int:
    return len([path for path in folder.iterdir() if path.suffix == ".db"])


def test_files_older_than_kept_are_dropped(folder: Path) -> None:
    assert len(expire(folder, NOW, keep=timedelta(days=25), max_octets=10**12)) == 2
    assert days(folder) == 3


def test_the_oldest_are_dropped_while_all_take_too_much_room_but_never_the_present_one(folder: Path) -> None:
    for path in folder.glob(f"*{NOW:%Y-%m-%d}*"):
        os.utime(path)
    expire(folder, NOW, keep=timedelta(days=365), max_octets=0)
    assert days(folder) == 1


def test_old_traffic_replayed_today_stays(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path)
    assert expire(folder, NOW, keep=timedelta(days=25), max_octets=0) == []


def test_a_store_that_is_open_goes_on_without_what_was_dropped(folder: Path) -> None:
    store = EmbeddedEventStore(folder, SystemClock())
    assert store.count(EventQuery()) == 5
    expire(folder, NOW, keep=timedelta(days=25), max_octets=10**12)
    assert store.count(EventQuery()) == 3
    assert store.append([event(NOW - timedelta(days=40))]) == 1
    assert store.count(EventQuery()) == 4
    store.close()
