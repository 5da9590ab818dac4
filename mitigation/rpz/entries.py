"""The entries of the zone, on disk, with the changes that made them: what IXFR needs (RFC 1995).

One SQLite file, because the daemon and the command line write it at the same time, and because one more name among a
million must not rewrite the zone. The serial number (RFC 1982) grows by one with each transaction that changes what is
published.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tapwarden.mitigation.database import transaction
from tapwarden.mitigation.rpz.policy import Record, Response, ResponsePolicy, strongest
from tapwarden.model.decision import Measure

JOURNAL_SERIALS = 1000
"""Changes older than this many serials are forgotten; a resolver further behind gets the whole zone."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    name TEXT NOT NULL, below INTEGER NOT NULL, measure TEXT NOT NULL, ends_at REAL NOT NULL, decision TEXT NOT NULL,
    PRIMARY KEY (name, below, measure)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_ends ON entry (ends_at);
CREATE TABLE IF NOT EXISTS change (
    serial INTEGER NOT NULL, added INTEGER NOT NULL, owner TEXT NOT NULL, type TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS change_serial ON change (serial);
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 0), serial INTEGER NOT NULL, policy TEXT NOT NULL);
"""

Published = tuple[str, str, str]
"""(owner relative to the zone, type, value)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A measure on a name, and with ``below`` on all names below it; ``ends_at`` in seconds since 1970."""

    name: str
    below: bool
    measure: Measure
    ends_at: float
    decision: str


@dataclass(frozen=True, slots=True)
class Step:
    """What changed from the serial before to ``serial``."""

    serial: int
    removed: Sequence[Published]
    added: Sequence[Published]


class Entries:
    """The entries in one file. Each call is a transaction; several processes may use the file. Raises MitigationError.

    ``passthru`` are names that the zone lets pass whatever else it says of names above them.
    """

    def __init__(self, path: Path, policy: ResponsePolicy, passthru: Iterable[str] = ()) -> None:
        self._path, self._policy = path, policy
        self._passthru = tuple(sorted(set(passthru)))
        fingerprint = f"{policy.fingerprint} {' '.join(self._passthru)}"
        with self._transaction() as db:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            row = db.execute("SELECT serial, policy FROM state").fetchone()
            if row is None:
                db.execute("INSERT INTO state VALUES (0, 1, ?)", (fingerprint,))
            elif row[1] != fingerprint:
                # Every record may be another one now: no step leads there, only the whole zone.
                db.execute("DELETE FROM change")
                db.execute("UPDATE state SET serial = serial + 1, policy = ?", (fingerprint,))

    def put(self, entries: Sequence[Entry]) -> None:
        """Add entries, or renew their end and decision."""

        def store(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO entry VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " ends_at = excluded.ends_at, decision = excluded.decision",
                [(entry.name, entry.below, entry.measure, entry.ends_at, entry.decision) for entry in entries],
            )

        self._change({entry.name for entry in entries}, store)

    def remove(self, keys: Iterable[tuple[str, bool, Measure]]) -> None:
        """Take entries away; those that are not there are no error."""
        gone = list(keys)

        def delete(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM entry WHERE name = ? AND below = ? AND measure = ?", gone)

        self._change({name for name, _, _ in gone}, delete)

    def expire(self, at: float) -> int:
        """Take away what has ended; how many."""
        with self._transaction(write=False) as db:
            names = {name for (name,) in db.execute("SELECT DISTINCT name FROM entry WHERE ends_at <= ?", (at,))}
        if names:
            self._change(names, lambda db: db.execute("DELETE FROM entry WHERE ends_at <= ?", (at,)))
        return len(names)

    def clear(self) -> None:
        """Take all away."""
        with self._transaction(write=False) as db:
            names = {name for (name,) in db.execute("SELECT DISTINCT name FROM entry")}
        self._change(names, lambda db: db.execute("DELETE FROM entry"))

    def all(self) -> list[Entry]:
        """Every entry, by name."""
        with self._transaction(write=False) as db:
            rows = db.execute("SELECT name, below, measure, ends_at, decision FROM entry").fetchall()
        return [Entry(name, bool(below), Measure(measure), ends, why) for name, below, measure, ends, why in rows]

    @property
    def serial(self) -> int:
        """The zone's serial number now."""
        with self._transaction(write=False) as db:
            return _serial(db)

    @contextlib.contextmanager
    def zone(self) -> Iterator[tuple[int, Iterator[tuple[str, str, str, str]]]]:
        """(serial, records as (owner, type, value, decisions)) of one moment, one name at a time."""
        with self._transaction(write=False) as db:
            yield (
                _serial(db),
                self._records_of(db.execute("SELECT name, below, measure, decision FROM entry ORDER BY name")),
            )

    def _records_of(self, rows: Iterable[tuple[str, int, str, str]]) -> Iterator[tuple[str, str, str, str]]:
        for name in self._passthru:
            for owner in (name, f"*.{name}"):
                for kind, value in self._policy.records(Response.PASSTHRU):
                    yield owner, kind, value, ""
        for name, same in groupby(rows, key=lambda row: row[0]):  # the primary key keeps them in the order of names
            entries = list(same)
            decisions = " ".join(dict.fromkeys(decision for _, _, _, decision in entries))
            for record in self._published(name, [(bool(below), Measure(measure)) for _, below, measure, _ in entries]):
                yield *record, decisions

    def steps(self, since: int) -> list[Step] | None:
        """The changes after ``since``, oldest first; None where they are not known (any more)."""
        with self._transaction(write=False) as db:
            serial = _serial(db)
            rows = db.execute("SELECT * FROM change WHERE serial > ? ORDER BY serial", (since,)).fetchall()
        steps: dict[int, tuple[list[Published], list[Published]]] = {}
        for number, added, owner, kind, value in rows:
            steps.setdefault(number, ([], []))[added].append((owner, kind, value))
        if since > serial or sorted(steps) != list(range(since + 1, serial + 1)):
            return None
        return [Step(number, *step) for number, step in steps.items()]

    def _change(self, names: set[str], work: Callable[[sqlite3.Connection], object]) -> None:
        """Do ``work``, which touches the entries of ``names``, and note what it changes in what is published."""
        with self._transaction() as db:
            before = self._published_of(db, names)
            work(db)
            after = self._published_of(db, names)
            if before == after:
                return
            serial = _serial(db) + 1
            db.execute("UPDATE state SET serial = ?", (serial,))
            db.execute("DELETE FROM change WHERE serial <= ?", (serial - JOURNAL_SERIALS,))
            db.executemany(
                "INSERT INTO change VALUES (?, ?, ?, ?, ?)",
                [(serial, 0, *record) for record in before - after]
                + [(serial, 1, *record) for record in after - before],
            )

    def _published_of(self, db: sqlite3.Connection, names: set[str]) -> set[Published]:
        records: set[Published] = set()
        for name in names:
            rows = db.execute("SELECT below, measure FROM entry WHERE name = ?", (name,)).fetchall()
            records.update(self._published(name, [(bool(below), Measure(measure)) for below, measure in rows]))
        return records

    def _published(self, name: str, measures: Sequence[tuple[bool, Measure]]) -> list[Published]:
        """The records at a name and, where something reaches below it, at its wildcard."""
        if name in self._passthru:
            return []
        owners: list[tuple[str, list[Measure]]] = [
            (name, [measure for _, measure in measures]),
            (f"*.{name}", [measure for below, measure in measures if below]),
        ]
        return [(owner, kind, value) for owner, wanted in owners if wanted for kind, value in self._records(wanted)]

    def _records(self, measures: Sequence[Measure]) -> tuple[Record, ...]:
        return self._policy.records(self._policy.response(strongest(measures)))

    def _transaction(self, *, write: bool = True) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return transaction(self._path, write=write)


def _serial(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT serial FROM state").fetchone()[0])
