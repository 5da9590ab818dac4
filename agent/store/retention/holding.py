"""Holdings: the partitions of whatever is kept. Each is dropped as a whole or not at all."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from pathlib import Path

from tapwarden.agent.store.classes import EventClass
from tapwarden.agent.store.embedded import layout
from tapwarden.agent.store.embedded.files import SIDE_FILES, Files
from tapwarden.model.errors import StoreError


class Kept(IntEnum):
    """What is kept, in the order in which it is given up when there is no room."""

    LOGS = 0
    DETAIL = 1
    NETWORK = 2
    EVIDENCE = 3
    DNS = 4
    ALERTS = 5
    SPOOL = 6
    """Bounded by itself, never dropped from here."""


_OF_CLASS = {
    EventClass.DETAIL: Kept.DETAIL,
    EventClass.NETWORK: Kept.NETWORK,
    EventClass.DNS: Kept.DNS,
    EventClass.ALERT: Kept.ALERTS,
}


@dataclass(frozen=True, slots=True)
class Holding:
    """One partition: its files, what they take, when they were last written to.

    ``day`` is the day it is about, where it is about one. ``fixed`` ones are never dropped: in use, bounded by
    themselves, or under a legal hold.
    """

    kept: Kept
    name: str
    paths: tuple[Path, ...]
    octets: int
    written: datetime
    day: date | None = None
    fixed: bool = False

    def drop(self) -> None:
        """Remove its files. Raises StoreError."""
        for path in self.paths:
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"cannot drop {path}: {error.strerror}") from error


def find_events(folder: Path) -> Iterator[Holding]:
    """The embedded store's files. The undated one has events of all classes and counts as network logs."""
    if not folder.is_dir():
        return
    files = Files(folder)
    for partition in files.partitions():
        # the log first: it must never be taken for that of a new file
        paths = tuple(Path(f"{files.path(partition)}{side}") for side in reversed(SIDE_FILES))
        one = layout.class_part(partition)
        day = None if one is None else date.fromisoformat(layout.day_part(partition))
        kept = Kept.NETWORK if one is None else _OF_CLASS[one]
        octets, written = _measure(paths, main=files.path(partition))
        yield Holding(kept, partition, paths, octets, written, day)


def find_files(kept: Kept, paths: Sequence[Path], *, fixed: bool = False) -> Iterator[Holding]:
    """Files that each are a partition of their own."""
    for path in sorted(paths):
        octets, written = _measure((path,), main=path)
        yield Holding(kept, path.name, (path,), octets, written, fixed=fixed)


def find_folders(kept: Kept, folder: Path) -> Iterator[Holding]:
    """Folders named by a day."""
    for path in sorted(folder.glob("????-??-??")):
        try:
            day = date.fromisoformat(path.name)
        except ValueError:
            continue
        inside = tuple(path.rglob("*"))
        octets, written = _measure(inside, main=path)
        yield Holding(kept, path.name, (path,), octets, written, day)


def _measure(paths: Sequence[Path], *, main: Path) -> tuple[int, datetime]:
    octets, newest = 0, 0.0
    for path in {*paths, main}:
        with suppress(OSError):  # gone since it was listed
            stat = os.lstat(path)
            octets += stat.st_blocks * 512
            if stat.st_size and path.suffix != ".db-shm":  # whoever only reads makes an empty log
                newest = max(newest, stat.st_mtime)
    return octets, datetime.fromtimestamp(newest, UTC)
