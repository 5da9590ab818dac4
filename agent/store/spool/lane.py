"""The segments of one class of event."""

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from tapwarden.agent.store.spool.frame import Frame
from tapwarden.agent.store.spool.segment import SUFFIX, Segment


class Lane:
    """Frames in the order of their batches, in files named ``<class>-<first batch>.seg``. Methods raise OSError."""

    def __init__(self, folder: Path, name: str, *, after: int, segment_octets: int) -> None:
        self._folder, self._name, self._segment_octets = folder, name, segment_octets
        self._segments: deque[Segment] = deque()
        self.damaged_octets = 0
        paths = sorted(folder.glob(f"{name}-*{SUFFIX}"))
        for path in paths:
            segment = Segment.found(path, after=after, last=path == paths[-1])
            self.damaged_octets += segment.damaged_octets
            self._segments.append(segment)

    @property
    def size_octets(self) -> int:
        """What its files take."""
        return sum(segment.size_octets for segment in self._segments)

    @property
    def paths(self) -> Sequence[Path]:
        """Its files, oldest first."""
        return [segment.path for segment in self._segments]

    @property
    def segments(self) -> int:
        """How many files there are."""
        return len(self._segments)

    @property
    def last_seq(self) -> int:
        """The last batch it has a frame of; 0 when it has none."""
        return max((segment.last_seq for segment in self._segments), default=0)

    @property
    def waiting(self) -> "Counter[str]":
        """Events by type that are not taken yet."""
        total = Counter[str]()
        for segment in self._segments:
            total.update(segment.waiting)
        return total

    def head(self) -> Frame | None:
        """The next frame to take."""
        found = self._readable()
        return found.head() if found else None

    def take(self) -> Segment | None:
        """The segment that holds the head, which is then taken; read it with ``Segment.read``."""
        found = self._readable()
        if found is not None:
            found.take()
        return found

    def append(self, seq: int, octets: bytes, kinds: "Counter[str]") -> None:
        """Write a frame, into a new segment when the last one is full."""
        last = self._segments[-1] if self._segments else None
        if last is None or (last.size_octets and last.size_octets + len(octets) > self._segment_octets):
            made = Segment(self._folder / f"{self._name}-{seq:016x}{SUFFIX}")
            try:
                made.append(seq, octets, kinds)
            except OSError:
                made.drop()
                raise
            if last is not None:
                last.sync()
                last.close()
            self._segments.append(made)
        else:
            last.append(seq, octets, kinds)

    def shed(self) -> "Counter[str] | None":
        """Drop the oldest segment; the events by type that were not taken, None when there is no segment."""
        if not self._segments:
            return None
        oldest = self._segments[0]
        lost = oldest.waiting
        oldest.drop()
        self._segments.popleft()
        return lost

    def forget(self, stored: int) -> None:
        """Drop segments whose batches are all stored; the one being written only once it is half full."""
        while self._segments and self._segments[0].last_seq <= stored and self._segments[0].head() is None:
            first = self._segments[0]
            if len(self._segments) == 1 and first.size_octets < self._segment_octets // 2:
                return
            first.drop()
            self._segments.popleft()

    def sync(self) -> None:
        """What is written survives a power cut from here on."""
        if self._segments:
            self._segments[-1].sync()

    def close(self) -> None:
        """Let go of all files."""
        for segment in self._segments:
            segment.close()

    def _readable(self) -> Segment | None:
        return next((segment for segment in self._segments if segment.head() is not None), None)
