"""Small SQLite files that a mitigator keeps and that daemon and command line write at the same time."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from tapwarden.model.errors import MitigationError

PATIENCE_S = 10
"""How long a transaction waits for one of another process."""


def folder_for(path: Path) -> Path:
    """``path``, made if it is not there, for the group to read. Raises MitigationError."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as problem:
        raise MitigationError(f"{path}: {problem.strerror}") from problem
    return path


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch the file to its write-ahead log, once in its life; SQLite itself does not wait for others here."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextlib.contextmanager
def transaction(path: Path, *, write: bool = True) -> Iterator[sqlite3.Connection]:
    """One transaction on the file: all of it or, after an error or a kill, nothing. Raises MitigationError."""
    try:
        db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
        try:
            _write_ahead(db)
            db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # rolls back what was not committed
    except sqlite3.Error as problem:
        raise MitigationError(f"{path}: {problem}") from problem
