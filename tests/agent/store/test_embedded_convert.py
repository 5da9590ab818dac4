"""Event files of the format before blocks are taken over, whole, also when that is interrupted."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from tapwarden.agent.store import block
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.agent.store.embedded.convert import convert, old_files
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event, EventQuery

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Noon:
    def now(self) -> datetime:
        return NOON


def an_old_file(folder: Path, numbers: range) -> list[Event]:
    """A file as the version before made it, as far as it is looked at."""
    events = [
        Event(
            json.dumps({"timestamp": f"2026-11-24T11:{n // 60:02}:{n % 60:02}Z", "event_type": "dns", "n": n}).encode(),
            f"engine:{n}",
        )
        for n in numbers
    ]
    connection = sqlite3.connect(folder / "events-2026-11-24.dns.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE block (id INTEGER PRIMARY KEY, codec INTEGER NOT NULL, data BLOB NOT NULL)")
    for begin in range(0, len(events), 100):
        data = block.pack(events[begin : begin + 100], zstandard.ZstdCompressor(write_checksum=True))
        connection.execute("INSERT INTO block (codec, data) VALUES (1, ?)", (data,))
    connection.execute("PRAGMA user_version=3")
    connection.commit()
    connection.close()
    return events


def test_an_old_file_is_named_left_alone_and_taken_over_when_asked(tmp_path: Path) -> None:
    events = an_old_file(tmp_path, range(250))
    store = EmbeddedEventStore(tmp_path, Noon())
    assert store.count(EventQuery()) == 0
    assert "store convert" in store.status().problem
    with pytest.raises(StoreError, match="store convert"):
        store.append(events[:1])
    assert [path.name for path in old_files(tmp_path)] == ["events-2026-11-24.dns.db"]
    assert convert(old_files(tmp_path)[0], store) == (250, 0)
    assert old_files(tmp_path) == []
    assert set(store.search(EventQuery(), limit=300).events) == set(events)
    assert store.append(events) == 0
    store.close()
    again = EmbeddedEventStore(tmp_path, Noon())
    assert (again.status().events, again.status().problem) == (250, "")
    again.close()


def test_a_conversion_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    events = an_old_file(tmp_path, range(250))
    (tmp_path / "events-2026-11-24.dns.db").rename(tmp_path / "converting-2026-11-24.dns.db")
    store = EmbeddedEventStore(tmp_path, Noon())
    store.append(events[:120])
    (path,) = old_files(tmp_path)
    convert(path, store)
    assert store.count(EventQuery()) == 250
    assert list(tmp_path.glob("converting-*")) == []
    store.close()


def test_what_is_damaged_of_an_old_file_is_counted_and_the_file_is_kept(tmp_path: Path) -> None:
    an_old_file(tmp_path, range(250))
    with sqlite3.connect(tmp_path / "events-2026-11-24.dns.db") as connection:
        connection.execute("UPDATE block SET data = x'00' WHERE id = 2")
    connection.close()
    store = EmbeddedEventStore(tmp_path, Noon())
    assert convert(old_files(tmp_path)[0], store) == (150, 1)
    assert store.count(EventQuery()) == 150
    assert (tmp_path / "converting-2026-11-24.dns.db.damaged").exists()
    assert old_files(tmp_path) == []
    store.close()
