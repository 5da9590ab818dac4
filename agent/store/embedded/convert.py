"""Files of format 3, which had a row for each event, taken over into blocks. Nothing is removed before it is stored.

A file is renamed first, so that a new one can take its name: ``events-2026-11-24.dns.db`` becomes
``converting-2026-11-24.dns.db``, its events are stored like any others, and then it is removed. What was interrupted
goes on with the next call; events that were stored already are known by their ids.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from tapwarden.agent.store import block
from tapwarden.agent.store.embedded.files import PREFIX, SIDE_FILES, SUFFIX
from tapwarden.agent.store.embedded.store import BATCH_EVENTS, EmbeddedEventStore
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event

OLD_FORMAT = 3
UNDER_WAY = "converting-"


def old_files(folder: Path) -> list[Path]:
    """Files of the old format, and those of which the conversion was interrupted. Raises StoreError."""
    waiting = [path for path in folder.glob(f"{PREFIX}*{SUFFIX}") if _format(path) == OLD_FORMAT]
    return sorted([*waiting, *folder.glob(f"{UNDER_WAY}*{SUFFIX}")])


def convert(path: Path, store: EmbeddedEventStore) -> tuple[int, int]:
    """Take one file over: how many events it had, and how many blocks of it were damaged. Raises StoreError.

    A file with damaged blocks is kept beside the others, under the name that it had while it was converted and
    ``.damaged`` behind it.
    """
    if not path.name.startswith(UNDER_WAY):
        path = _renamed(path)
    events, damaged = 0, 0
    batch: list[Event] = []
    try:
        with closing(sqlite3.connect(path)) as connection:
            for codec, data in connection.execute("SELECT codec, data FROM block ORDER BY id"):
                try:
                    batch += _events(data, codec)
                except block.BlockError:
                    damaged += 1
                if len(batch) >= BATCH_EVENTS:
                    store.append(batch)
                    events, batch = events + len(batch), []
        store.append(batch)
        store.flush()
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {path.name}: {error}") from error
    try:
        if damaged:
            path.rename(path.with_name(f"{path.name}.damaged"))
        else:
            path.unlink()
        for side in SIDE_FILES[1:]:
            Path(f"{path}{side}").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}") from error
    return events + len(batch), damaged


def _format(path: Path) -> int:
    """0 for what cannot be read: the store says what is the matter with it."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:
        return 0


def _renamed(path: Path) -> Path:
    """The file under another name, with all that its log has."""
    name = path.with_name(UNDER_WAY + path.name.removeprefix(PREFIX))
    try:
        with closing(sqlite3.connect(path)) as connection:
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise StoreError(f"{path.name} is in use: stop whatever has it open")
        os.rename(path, name)
        for side in SIDE_FILES[1:]:
            with suppress(FileNotFoundError):
                os.unlink(f"{path}{side}")  # empty: never to be taken for that of the new file
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot convert {path.name}: {error}") from error
    return name


def _events(data: bytes, codec: int) -> list[Event]:
    records = block.Records(data, codec)
    return [records.event(slot) for slot in range(len(records))]
