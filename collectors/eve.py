"""Suricata's eve.json, followed as it grows, across rotation by renaming and by truncating.

A file is known by its first line (its *mark*), not by its inode: that is the same after a rename, a copy and a restart,
and different after a truncation. Position and mark are the bookmark; it moves when a batch is stored.
"""

import logging
import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from tapwarden.collectors.bookmark import Bookmark, read_bookmark, write_bookmark
from tapwarden.collectors.lines import Lines, end_of_lines, mark_of
from tapwarden.collectors.source import Source
from tapwarden.model.errors import SourceError
from tapwarden.model.event import Event

log = logging.getLogger(__name__)

POLL_S = 0.2
HEARTBEAT_S = 0.9
BATCH_LINES = 1000
BOOKMARK_S = 0.5
MAX_PENDING = 10_000
"""Batches whose storing is awaited; older ones are covered by the next bookmark, or read again after a restart."""


class EveCollector:
    """A Collector on a growing file.

    Bad lines (not a JSON object with an event_type) are counted, not fatal; a half-written last line waits for its end.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pending: dict[str, Bookmark] = {}  # by the origin of a batch's last event, in order
        self._reached: Bookmark | None = None
        self._written = 0.0
        self._skip_to_end = not source.from_start
        self._counts = dict.fromkeys(
            ("eve.lines", "eve.bad_lines", "eve.octets", "eve.rotations", "eve.truncations", "eve.lost_files"), 0
        )

    def batches(self) -> Iterator[Sequence[Event]]:
        """See ``Collector``. Raises SourceError (retry) when the file is not there or cannot be read."""
        bookmark = read_bookmark(self._source.bookmark) if self._source.bookmark else None
        missed = self._missed(bookmark)
        if bookmark is not None and not missed and mark_of(self._source.path) != bookmark.mark:
            self._counts["eve.lost_files"] += 1
            log.warning("eve bookmark=lost file=%s: its file is gone; reading from the start", self._source.path)
        followed = 0
        try:
            while not self._stop.is_set():
                self._counts["eve.rotations"] += max(0, len(missed) - followed)
                for path in missed:
                    yield from self._remainder(path, bookmark)
                    bookmark = None
                    self._skip_to_end = False
                bookmark, followed = (yield from self._follow(bookmark)), 1
                # A file can come and be renamed between two looks: it is then among the rotated ones.
                missed = self._missed(bookmark)
        except OSError as error:
            # What appears later, or is read again after an error, is new from its first line.
            self._skip_to_end = False
            raise SourceError(f"{self._source.path}: {error.strerror or error}", retry=True) from error

    def stop(self) -> None:
        """See ``Collector``."""
        self._stop.set()

    def counters(self) -> Mapping[str, int]:
        """Lines, octets, bad lines, rotations."""
        return dict(self._counts)

    def acknowledge(self, batch: Sequence[Event]) -> None:
        """Move the bookmark behind this batch."""
        if not batch or self._source.bookmark is None:
            return
        with self._lock:
            while batch[-1].origin in self._pending:
                first = next(iter(self._pending))
                self._reached = self._pending.pop(first)
        if self._stop.is_set() or time.monotonic() - self._written >= BOOKMARK_S:
            self._keep_bookmark()

    def _keep_bookmark(self) -> None:
        with self._lock:
            reached, self._reached = self._reached, None
            if reached is not None and self._source.bookmark is not None:
                self._written = time.monotonic()
                write_bookmark(self._source.bookmark, reached)

    def _missed(self, bookmark: Bookmark | None) -> list[Path]:
        """Rotated files that hold what was written since the bookmark, oldest first."""
        path = self._source.path
        if bookmark is None or mark_of(path) == bookmark.mark:
            return []
        rotated = [
            p for p in path.parent.glob(path.name + "?*") if p.is_file() and p.suffix not in {".gz", ".xz", ".zst"}
        ]
        rotated.sort(key=lambda p: p.stat().st_mtime)
        for number, candidate in enumerate(rotated):
            if mark_of(candidate) == bookmark.mark:
                return rotated[number:]
        return []

    def _remainder(self, path: Path, bookmark: Bookmark | None) -> Iterator[Sequence[Event]]:
        with path.open("rb") as file:
            lines = Lines(file, offset=bookmark.offset if bookmark else 0)
            while not self._stop.is_set() and (batch := self._read(lines)):
                yield batch
            yield self._last(lines)

    def _follow(self, bookmark: Bookmark | None) -> Generator[Sequence[Event], None, Bookmark | None]:
        """The file that now has the name, until another one has it or ``stop``; returns where it was left."""
        with self._source.path.open("rb") as file:
            lines = Lines(file)
            if bookmark is not None and lines.mark == bookmark.mark:
                lines.offset = bookmark.offset
            elif bookmark is None and self._skip_to_end:
                lines.offset = end_of_lines(file)
            self._skip_to_end = False
            yield from self._until_rotated(lines, file)
            return Bookmark(lines.mark, lines.offset) if lines.mark else None

    def _until_rotated(self, lines: Lines, file: BinaryIO) -> Iterator[Sequence[Event]]:
        beat = time.monotonic()
        while not self._stop.is_set():
            if lines.truncated():
                self._counts["eve.truncations"] += 1
                lines.restart()
            # Asked before reading, so that what was written up to the rotation is read before the file is left.
            rotated = self._rotated(file)
            batch = self._read(lines)
            if batch or time.monotonic() - beat >= HEARTBEAT_S:
                beat = time.monotonic()
                yield batch
            if batch:
                continue
            self._keep_bookmark()
            if rotated:
                self._counts["eve.rotations"] += 1
                yield self._last(lines)
                return
            self._stop.wait(POLL_S)

    def _rotated(self, file: BinaryIO) -> bool:
        """Whether another file now has the name (a missing one: not yet)."""
        try:
            there = self._source.path.stat()
        except FileNotFoundError:
            return False
        return not os.path.samestat(there, os.fstat(file.fileno()))

    def _read(self, lines: Lines) -> tuple[Event, ...]:
        return self._events(lines, lines.complete(BATCH_LINES))

    def _last(self, lines: Lines) -> tuple[Event, ...]:
        """A last line without its newline, in a file that will not grow any more."""
        rest = lines.rest()
        return self._events(lines, [rest]) if rest is not None else ()

    def _events(self, lines: Lines, found: Sequence[tuple[int, bytes]]) -> tuple[Event, ...]:
        events = []
        for offset, raw in found:
            self._counts["eve.lines"] += 1
            self._counts["eve.octets"] += len(raw) + 1
            event = Event(raw, f"eve:{lines.mark}:{offset}")
            if _is_record(event):
                events.append(event)
            else:
                self._counts["eve.bad_lines"] += 1
        self._counts["eve.bad_lines"] += lines.take_oversized()
        if events and self._source.bookmark is not None:
            with self._lock:
                self._pending[events[-1].origin] = Bookmark(lines.mark, lines.offset)
                if len(self._pending) > MAX_PENDING:
                    self._pending.pop(next(iter(self._pending)))
        return tuple(events)


def _is_record(event: Event) -> bool:
    try:
        record = event.eve
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and isinstance(record.get("event_type"), str)
