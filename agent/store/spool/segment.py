"""One segment file: frames of one class in order. Written at its end, read from its beginning, dropped as a whole."""

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tapwarden.agent.store.spool.frame import (
    HEADER_OCTETS,
    KINDS_OCTETS_MAX,
    Frame,
    FrameError,
    events_of,
    frame_at,
    frames,
    header_at,
)
from tapwarden.model.event import Event

SUFFIX = ".seg"


class Segment:
    """``waiting`` counts its events by type that no reader has taken; ``last_seq`` is the batch of its last frame."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_octets = 0
        self.last_seq = 0
        self.waiting: Counter[str] = Counter()
        self.damaged_octets = 0
        self._next = 0
        self._head: Frame | None = None
        self._fd = -1
        self._unsynced = False

    @classmethod
    def found(cls, path: Path, *, after: int, last: bool) -> "Segment":
        """A file that is there; batches up to ``after`` are stored already. Of the last file of a lane, what follows
        the last whole record is cut off. Raises OSError."""
        segment = cls(path)
        data = path.read_bytes()
        whole = 0
        for frame in frames(data, payload=last):
            segment.damaged_octets += frame.begin - whole
            whole = frame.end
            segment.last_seq = max(segment.last_seq, frame.seq)
            if frame.seq <= after:
                segment._next = whole
            else:
                segment.waiting.update(frame.kinds)
        segment.damaged_octets += len(data) - whole
        segment.size_octets = whole
        if last and whole < len(data):
            os.truncate(path, whole)
        return segment

    def head(self) -> Frame | None:
        """The next frame to take, None when all are taken. Raises OSError."""
        if self._head is None and self._next < self.size_octets:
            self._open()
            try:
                found = header_at(os.pread(self._fd, HEADER_OCTETS + KINDS_OCTETS_MAX, self._next), 0)
                self._head = Frame(self._next, self._next + found.end, found.seq, found.kinds)
            except FrameError:
                # what is damaged was left out of the counts as well
                rest = os.pread(self._fd, self.size_octets - self._next, self._next)
                found_next = next(frames(rest, payload=False), None)
                if found_next is None:
                    self._next = self.size_octets
                else:
                    self._next += found_next.begin
                    return self.head()
        return self._head

    def take(self) -> None:
        """The head is taken."""
        if self._head is not None:
            self._next = self._head.end
            self.waiting.subtract(self._head.kinds)
            self._head = None

    def append(self, seq: int, octets: bytes, kinds: "Counter[str]") -> None:
        """Write a frame at the end. Raises OSError, and then nothing of it is there."""
        self._open()
        view, begin = memoryview(octets), self.size_octets
        try:
            while view:
                view = view[os.pwrite(self._fd, view, begin + len(octets) - len(view)) :]
        except OSError:
            with suppress(OSError):  # what is left is found at the next start, and cut off
                os.ftruncate(self._fd, begin)
            raise
        self.size_octets += len(octets)
        self.last_seq = seq
        self.waiting.update(kinds)
        self._unsynced = True

    def read(self, frame: Frame) -> list[Event]:
        """The events of a frame. Raises FrameError, OSError."""
        self._open()
        data = os.pread(self._fd, frame.end - frame.begin, frame.begin)
        return events_of(data, frame_at(data, 0, payload=True))

    def _open(self) -> None:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def sync(self) -> None:
        """What is written survives a power cut from here on. Raises OSError."""
        if self._unsynced and self._fd >= 0:
            os.fdatasync(self._fd)
            self._unsynced = False

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def drop(self) -> None:
        """Remove the file. Raises OSError."""
        self.close()
        self.path.unlink(missing_ok=True)
