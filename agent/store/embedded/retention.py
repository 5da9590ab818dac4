"""Dropping old day files, by age and by the room all of them take."""

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tapwarden.agent.store.embedded.files import SIDE_FILES, Files
from tapwarden.model.errors import StoreError


def expire(folder: Path, now: datetime, *, keep: timedelta, max_octets: int) -> list[str]:
    """Drop the day files last written to longer ago than ``keep``, then the oldest while all are beyond ``max_octets``.

    The time of the last write counts, so that old traffic replayed today stays as long as any other. A file written to
    within the last day is never dropped. Stores that have the folder open notice. Returns the names of what was
    dropped. Raises StoreError.
    """
    files = Files(folder)
    ages = sorted((_written(files, name), name) for name in files.partitions())
    total = sum(files.size_octets(name) for _, name in ages)
    dropped = []
    for written, name in ages:
        if written > now - timedelta(days=1) or (written > now - keep and total <= max_octets):
            continue
        total -= files.size_octets(name)
        try:
            for side in reversed(SIDE_FILES):  # the log first: it must never be taken for that of a new file
                with suppress(FileNotFoundError):
                    os.unlink(f"{files.path(name)}{side}")
        except OSError as error:
            raise StoreError(f"cannot drop {files.path(name)}: {error.strerror}") from error
        dropped.append(name)
    return dropped


def _written(files: Files, partition: str) -> datetime:
    times = [datetime.fromtimestamp(0, UTC)]
    for side in ("", "-wal"):
        with suppress(OSError):
            stat = os.stat(f"{files.path(partition)}{side}")
            if stat.st_size:  # whoever only reads makes an empty log
                times.append(datetime.fromtimestamp(stat.st_mtime, UTC))
    return max(times)
