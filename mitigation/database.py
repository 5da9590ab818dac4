"""Small SQLite files that a mitigator keeps and that daemon and command line write at the same time."""

import contextlib
import sqlite3
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


@contextlib.contextmanager
def transaction(path: Path, *, write: bool = True) -> Iterator[sqlite3.Connection]:
    """One transaction on the file: all of it or, after an error or a kill, nothing. Raises MitigationError."""
    try:
        db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # rolls back what was not committed
    except sqlite3.Error as problem:
        raise MitigationError(f"{path}: {problem}") from problem
