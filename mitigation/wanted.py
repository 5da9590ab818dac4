"""What a mitigator is to keep in effect, in a file that daemon and command line share, with what became of each entry.

For mitigators whose effect is brought about by a thread of the daemon (a speaker, a queue of messages, a watch on the
wire): any process writes what is wanted, that thread does it and reports.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tapwarden.mitigation.database import folder_for, transaction
from tapwarden.mitigation.target import normalise
from tapwarden.model.decision import Action, Installed, Measure, Target, TargetType

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    measure TEXT NOT NULL, type TEXT NOT NULL, value TEXT NOT NULL, since REAL NOT NULL, ends_at REAL NOT NULL,
    action TEXT NOT NULL, incident TEXT NOT NULL, reason TEXT NOT NULL,
    effective INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '', PRIMARY KEY (measure, type, value));
CREATE INDEX IF NOT EXISTS entry_ends ON entry (ends_at);
CREATE TABLE IF NOT EXISTS life (
    id INTEGER PRIMARY KEY CHECK (id = 0), change INTEGER NOT NULL, heard_at REAL NOT NULL);
INSERT OR IGNORE INTO life VALUES (0, 0, 0);
"""

Key = tuple[Measure, Target]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing wanted; times in seconds since 1970. ``note`` says in words what became of it."""

    measure: Measure
    target: Target
    since: float
    ends_at: float
    action_id: str
    incident_id: str
    reason: str
    effective: bool = False
    note: str = ""

    @property
    def key(self) -> Key:
        return self.measure, self.target

    def installed(self, now: float, *, effective: bool) -> Installed:
        """The entry as the port shows it."""
        return Installed(
            self.target, self.measure, expires_in_s=self.ends_at - now, effective=effective, note=self.note
        )


class Wanted:
    """The entries of one mitigator. Each call is a transaction. Raises MitigationError.

    ``clock`` gives seconds since 1970: entries end by it, whatever ``now`` an action was applied at.
    """

    def __init__(self, folder: Path, name: str, measures: frozenset[Measure], clock: Callable[[], float]) -> None:
        self._path, self._name = folder_for(folder) / f"{name}.db", name
        self._measures, self._clock = measures, clock
        with self._transaction() as db:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)

    def put(self, actions: Sequence[Action], now: datetime, *, most: int = 0) -> Sequence[Entry]:
        """Want what the actions say, until they end; what has expired is left out. The entries as they are now.

        ``most``: that many entries may be there in all (0: any number); beyond it nothing is changed and OverflowError
        says how many there would be. ValueError for a dry run or another's measure.
        """
        at = self._clock()
        given: dict[Key, Entry] = {}
        for action in actions:
            if action.dry_run:
                raise ValueError(f"action {action.id} is a dry run")
            if action.measure not in self._measures:
                raise ValueError(f"{self._name} cannot {action.measure} a {action.target.type}")
            seconds = (action.expires_at - now).total_seconds()
            target = normalise(action.target)
            known = given.get((action.measure, target))
            if seconds > 0 and (known is None or known.ends_at < at + seconds):
                given[action.measure, target] = Entry(
                    action.measure, target, at, at + seconds, action.id, action.incident_id, action.reason
                )
        with self._transaction() as db:
            for entry in given.values():
                db.execute(
                    "INSERT INTO entry (measure, type, value, since, ends_at, action, incident, reason)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET ends_at = excluded.ends_at, action = excluded.action,"
                    " incident = excluded.incident, reason = excluded.reason",
                    (*_words(entry.key), entry.since, entry.ends_at, entry.action_id, entry.incident_id, entry.reason),
                )
            count = int(db.execute("SELECT count(*) FROM entry WHERE ends_at > ?", (at,)).fetchone()[0])
            if most and given and count > most:
                raise OverflowError(count)
            _touch(db)
            return [_entry(row) for key in given for row in db.execute(_SELECT + _ONE, _words(key))]

    def remove(self, keys: Iterable[Key]) -> None:
        """Want these no more; those that are not there are no error."""
        with self._transaction() as db:
            for key in keys:
                db.execute("DELETE FROM entry" + _ONE, _words(key))
            _touch(db)

    def clear(self) -> None:
        """Want nothing."""
        with self._transaction() as db:
            db.execute("DELETE FROM entry")
            _touch(db)

    def expire(self) -> None:
        """Drop what has ended."""
        with self._transaction() as db:
            if db.execute("DELETE FROM entry WHERE ends_at <= ?", (self._clock(),)).rowcount:
                _touch(db)

    def entries(self) -> list[Entry]:
        """What is wanted now, oldest first."""
        with self._transaction(write=False) as db:
            rows = db.execute(_SELECT + " WHERE ends_at > ? ORDER BY since, value", (self._clock(),)).fetchall()
        return [_entry(row) for row in rows]

    def change(self) -> int:
        """Grows whenever anybody wants something else."""
        with self._transaction(write=False) as db:
            return int(db.execute("SELECT change FROM life").fetchone()[0])

    def report(self, became: Mapping[Key, tuple[bool, str]]) -> None:
        """What became of entries: whether each is in effect, and in words; also says that somebody is at work."""
        with self._transaction() as db:
            for key, (effective, note) in became.items():
                db.execute("UPDATE entry SET effective = ?, note = ?" + _ONE, (effective, note, *_words(key)))
            db.execute("UPDATE life SET heard_at = ?", (self._clock(),))

    def heard_s_ago(self) -> float:
        """How long ago anybody reported."""
        with self._transaction(write=False) as db:
            return self._clock() - float(db.execute("SELECT heard_at FROM life").fetchone()[0])

    def _transaction(self, *, write: bool = True) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return transaction(self._path, write=write)


_SELECT = "SELECT measure, type, value, since, ends_at, action, incident, reason, effective, note FROM entry"
_ONE = " WHERE measure = ? AND type = ? AND value = ?"


def _words(key: Key) -> tuple[str, str, str]:
    return key[0].value, key[1].type.value, key[1].value


def _entry(row: tuple[str, str, str, float, float, str, str, str, int, str]) -> Entry:
    measure, kind, value, since, ends_at, action, incident, reason, effective, note = row
    target = Target(TargetType(kind), value)
    return Entry(Measure(measure), target, since, ends_at, action, incident, reason, bool(effective), note)


def _touch(db: sqlite3.Connection) -> None:
    db.execute("UPDATE life SET change = change + 1")
