"""What is to be blocked, on disk, with the changes each puller has not had yet.

Every change has a number that only grows. A puller's position is the number it has got everything up to; what came
after it is its next answer.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tapwarden.mitigation.database import transaction
from tapwarden.model.decision import Target, TargetType

REMEMBERED = 200_000
"""Changes that are kept for pullers that were away; one further behind gets everything again."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    change INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, value TEXT NOT NULL,
    ends_at REAL NOT NULL, reason TEXT NOT NULL, UNIQUE (type, value));
CREATE INDEX IF NOT EXISTS entry_ends ON entry (ends_at);
CREATE TABLE IF NOT EXISTS removed (
    change INTEGER PRIMARY KEY, id INTEGER NOT NULL, type TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS puller (name TEXT PRIMARY KEY, position INTEGER NOT NULL, at REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry; ``id`` is the number of the change that made it, ``ends_at`` is in seconds since 1970."""

    id: int
    target: Target
    ends_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a puller gets: all that is in effect (``complete``), or what changed since it last asked."""

    new: Sequence[Listed]
    deleted: Sequence[Listed]
    complete: bool


class Listing:
    """The entries in one file. Each call is a transaction; several processes may use it. Raises MitigationError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._transaction() as db:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)

    def put(self, entries: Iterable[tuple[Target, float, str]]) -> None:
        """Add (target, end, reason); one that is there with another end is told to the pullers again."""
        with self._transaction() as db:
            for target, ends_at, reason in entries:
                key = (target.type.value, target.value)
                known = db.execute("SELECT ends_at FROM entry WHERE type = ? AND value = ?", key).fetchone()
                if known is not None and known[0] == ends_at:
                    continue
                db.execute("DELETE FROM entry WHERE type = ? AND value = ?", key)
                db.execute(
                    "INSERT INTO entry (type, value, ends_at, reason) VALUES (?, ?, ?, ?)", (*key, ends_at, reason)
                )

    def remove(self, targets: Iterable[Target]) -> None:
        """Take entries away; those that are not there are no error."""
        with self._transaction() as db:
            for target in targets:
                _remove(db, "type = ? AND value = ?", (target.type.value, target.value))

    def expire(self, at: float) -> None:
        """Take away what has ended."""
        with self._transaction() as db:
            _remove(db, "ends_at <= ?", (at,))

    def clear(self) -> None:
        """Take all away."""
        with self._transaction() as db:
            _remove(db, "1", ())

    def all(self, kinds: Sequence[TargetType] = ()) -> list[Listed]:
        """What is listed, oldest first."""
        with self._transaction(write=False) as db:
            rows = db.execute("SELECT change, type, value, ends_at, reason FROM entry ORDER BY change").fetchall()
        return [listed for listed in map(_listed, rows) if not kinds or listed.target.type in kinds]

    def version(self) -> int:
        """Changes whenever anything does: the number of the last change."""
        with self._transaction(write=False) as db:
            return _last(db)

    def pull(self, puller: str, at: float, *, startup: bool) -> Pulled:
        """What ``puller`` has to know, and remember that it was told."""
        with self._transaction() as db:
            last = _last(db)
            row = db.execute("SELECT position FROM puller WHERE name = ?", (puller,)).fetchone()
            complete = startup or row is None or int(row[0]) < last - REMEMBERED
            since = 0 if complete else int(row[0])
            new = db.execute(
                "SELECT change, type, value, ends_at, reason FROM entry WHERE change > ? ORDER BY change", (since,)
            ).fetchall()
            gone = db.execute(
                "SELECT id, type, value, 0, reason FROM removed WHERE change > ? ORDER BY change",
                (last if complete else since,),
            ).fetchall()
            db.execute("INSERT OR REPLACE INTO puller VALUES (?, ?, ?)", (puller, last, at))
        return Pulled([_listed(row) for row in new], [_listed(row) for row in gone], complete)

    def told(self, puller: str, at: float) -> None:
        """Remember that ``puller`` has got everything."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO puller VALUES (?, ?, ?)", (puller, _last(db), at))

    def positions(self, since: float) -> dict[str, int]:
        """The positions of the pullers that were heard of after ``since``."""
        with self._transaction(write=False) as db:
            return dict(db.execute("SELECT name, position FROM puller WHERE at > ?", (since,)).fetchall())

    def _transaction(self, *, write: bool = True) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return transaction(self._path, write=write)


def _remove(db: sqlite3.Connection, condition: str, values: tuple[object, ...]) -> None:
    rows = db.execute(f"SELECT change, type, value, reason FROM entry WHERE {condition}", values).fetchall()
    if not rows:
        return
    db.execute(f"DELETE FROM entry WHERE {condition}", values)
    for row in rows:
        # Both tables draw from one sequence, so that a position says what of either a puller knows.
        change = _last(db) + 1
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'entry'", (change,))
        db.execute("INSERT INTO removed VALUES (?, ?, ?, ?, ?)", (change, *row))
    db.execute("DELETE FROM removed WHERE change <= ?", (_last(db) - REMEMBERED,))


def _last(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entry'").fetchone()
    return int(row[0]) if row else 0


def _listed(row: tuple[int, str, str, float, str]) -> Listed:
    change, kind, value, ends_at, reason = row
    return Listed(change, Target(TargetType(kind), value), ends_at, reason)
