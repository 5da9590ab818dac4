"""The partitions' files: which there are, connections to them, and setting a damaged one aside."""

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tapwarden.agent.store.embedded import layout
from tapwarden.model.errors import StoreError

PREFIX, SUFFIX = "events-", ".db"
SIDE_FILES = ("", "-wal", "-shm")

READERS_IDLE_MAX = 64
"""Idle reading connections kept open, over all partitions."""

BUSY_TIMEOUT_S = 5.0
"""A reader waits only for another process's recovery or checkpoint; a writer only for another writer."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged (SQLITE_CORRUPT, SQLITE_NOTADB), not just unusable now."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Files:
    """The day files of one folder. Other processes may use the same folder, so what is there is asked each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[str, int | None, sqlite3.Connection]] = OrderedDict()
        self._closed = False

    def path(self, partition: str) -> Path:
        """The partition's main file."""
        return self.folder / f"{PREFIX}{partition}{SUFFIX}"

    def partitions(self) -> list[str]:
        """Names of what is there, days in the order of paging. Raises StoreError."""
        found = set()
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(PREFIX) and name.endswith(SUFFIX):
                        found.add(name[len(PREFIX) : -len(SUFFIX)])
        except OSError as error:
            raise StoreError(f"cannot read {self.folder}: {error.strerror}") from error
        named: dict[str, list[str]] = {}
        for name in sorted(filter(_is_partition, found)):
            named.setdefault(layout.day_part(name), []).append(name)
        return [name for day in layout.order(set(named)) for name in named[day]]

    def identity(self, partition: str) -> int | None:
        """A number that differs between the partition's file and one made later under its name; None: gone."""
        try:
            return os.stat(self.path(partition)).st_ino
        except OSError:
            return None

    def size_octets(self, partition: str) -> int:
        """Size of the partition's files together."""
        size = 0
        for side in SIDE_FILES:
            with suppress(FileNotFoundError):
                size += os.stat(f"{self.path(partition)}{side}").st_size
        return size

    def set_aside(self, partition: str) -> Path | None:
        """Rename the partition's files so that they are kept but no longer used; the new name, None if not possible."""
        self.forget(partition)
        path = self.path(partition)
        for number in range(1, 1000):
            kept = path.with_name(f"{path.name}.damaged-{number}")
            if not kept.exists():
                break
        try:
            for side in reversed(SIDE_FILES):  # the log first: it must never be taken for that of a new file
                with suppress(FileNotFoundError):
                    os.rename(f"{path}{side}", f"{kept}{side}")
        except OSError:
            return None
        return kept

    # reading

    @contextmanager
    def reader(self, partition: str) -> Iterator[sqlite3.Connection]:
        """A connection for reading, by this thread alone; given back unless something went wrong."""
        identity = self.identity(partition)
        while (taken := self._take(partition)) is not None and taken[0] != identity:
            taken[1].close()  # of a file dropped or set aside since
        connection = taken[1] if taken is not None else self._open_reader(partition)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        evicted: sqlite3.Connection | None = connection
        with self._lock:
            if not self._closed:
                self._idle[id(connection)] = (partition, identity, connection)
                evicted = None
                if len(self._idle) > READERS_IDLE_MAX:
                    evicted = self._idle.popitem(last=False)[1][2]
        if evicted is not None:
            evicted.close()

    def forget(self, partition: str) -> None:
        """Close the partition's idle connections."""
        while (taken := self._take(partition)) is not None:
            taken[1].close()

    def close(self) -> None:
        """Close all idle connections; those in use are closed when given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, OrderedDict()
        for _, _, connection in idle.values():
            connection.close()

    def _take(self, partition: str) -> tuple[int | None, sqlite3.Connection] | None:
        with self._lock:
            for key, (name, identity, connection) in reversed(self._idle.items()):
                if name == partition:
                    del self._idle[key]
                    return identity, connection
        return None

    def _open_reader(self, partition: str) -> sqlite3.Connection:
        uri = self.path(partition).resolve().as_uri()
        try:
            connection = self._connect(f"{uri}?mode=ro")
        except sqlite3.OperationalError:
            if os.access(self.folder, os.W_OK):
                raise
            # on a read-only file system there can be no writer: the file is as it is
            connection = self._connect(f"{uri}?immutable=1")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != layout.FORMAT:
            connection.close()
            raise UnknownFormat(self.path(partition).name, version)
        return connection

    def _connect(self, uri: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA query_only=1")
            connection.execute("PRAGMA cache_size=-8000")
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        return connection


class UnknownFormat(Exception):
    """A file that another version wrote. It is left as it is."""

    def __init__(self, name: str, version: int) -> None:
        advice = "tapwarden store convert takes it over" if version == 3 else "another version of Tapwarden made it"
        super().__init__(f"{name} has format {version}, this version has {layout.FORMAT}: left as it is; {advice}")


def _is_partition(name: str) -> bool:
    if name == layout.UNDATED:
        return True
    try:
        layout.class_part(name)
        layout.beginning(name)
    except ValueError:
        return False
    return len(layout.day_part(name)) == len("YYYY-MM-DD")
