"""Spool: batches of events on the disk, bounded, in order, each known by its number."""

import errno
import fcntl
import logging
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tapwarden.agent.store.classes import EventClass, class_of, kind_of
from tapwarden.agent.store.spool.frame import Frame, FrameError, encode
from tapwarden.agent.store.spool.identity import identity_of
from tapwarden.agent.store.spool.lane import Lane
from tapwarden.agent.store.spool.position import Position
from tapwarden.agent.store.spool.segment import Segment
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event

log = logging.getLogger(__name__)

SEGMENT_OCTETS_MAX = 8 << 20
SEGMENTS_MIN = 16
"""The bound holds at least so many segments: what is shed at once is a small part of it."""

REMEMBERED_OCTETS_MAX = 32 << 20
"""Text of the latest batches kept in memory, so that a drain that keeps up reads nothing back."""


class Fsync(StrEnum):
    """When what is appended is made to survive a power cut. A killed process loses nothing with any of them."""

    ALWAYS = "always"
    INTERVAL = "interval"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one or several appends, in order; ``last_seq`` is the number to confirm when they are stored."""

    last_seq: int
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """What waits: events by type, octets on the disk, the bound."""

    waiting: Mapping[str, int]
    size_octets: int
    max_octets: int
    counters: Mapping[str, int]


class Spool:
    """Appended to by one thread, taken from by another; ``folder`` belongs to this process until ``close``.

    ``identity`` is the folder's for as long as it exists, ``last_seq`` the number of the latest batch, ``found_seq``
    the one it had when it was opened. Whoever does more with alerts than store them holds them (``hold_alerts``) until
    they are settled, and finds them again after a crash (``alerts_after``).

    Methods raise StoreError. Counters: ``appended``, ``shed.<type>`` (dropped over the bound), ``damaged_octets`` (cut
    off or left out as damaged), ``lost.<type>`` (in frames that could not be read back).
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_octets: int,
        fsync: Fsync = Fsync.INTERVAL,
        fsync_interval_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._max_octets, self._fsync, self._interval_s, self._monotonic = (
            max_octets,
            fsync,
            fsync_interval_s,
            monotonic,
        )
        self._lock = threading.Condition()
        self._counters: Counter[str] = Counter()
        self._remembered: OrderedDict[int, Sequence[Event]] = OrderedDict()
        self._remembered_octets = 0
        self._synced_at = monotonic()
        self._closed = False
        segment_octets = min(SEGMENT_OCTETS_MAX, max(4096, max_octets // SEGMENTS_MIN))
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.identity = identity_of(folder / "identity", entropy)
                self._position = Position(folder / "position")
                after = self._position.value
                self._lanes = {
                    one: Lane(folder, one.name.lower(), after=after, segment_octets=segment_octets)
                    for one in sorted(EventClass)
                }
            except OSError:
                os.close(self._held)
                raise
        except BlockingIOError as error:
            raise StoreError(f"the spool {folder} is in use by another process") from error
        except OSError as error:
            raise StoreError(f"the spool {folder}: {error.strerror}") from error
        self._stored = self._taken_seq = after
        self.last_seq = self.found_seq = max(after, *(lane.last_seq for lane in self._lanes.values()))
        self._settled: int | None = None
        self._count_damage(sum(lane.damaged_octets for lane in self._lanes.values()))

    # appending

    def append(self, events: Sequence[Event]) -> int:
        """Put a batch on the disk, all or nothing as far as the disk allows; returns how many events were taken.

        Over the bound, or on a disk without room, older context events are dropped first, then DNS, then alerts.
        """
        if not events:
            return 0
        by_class: dict[EventClass, tuple[list[Event], Counter[str]]] = {}
        for event in events:
            kind = kind_of(event)
            chosen, kinds = by_class.setdefault(class_of(kind), ([], Counter()))
            chosen.append(event)
            kinds[kind] += 1
        with self._lock:
            seq = self.last_seq + 1
            taken = 0
            for one in sorted(by_class, reverse=True):  # alerts first: the most room is for them
                chosen, kinds = by_class[one]
                if self._write(one, seq, encode(seq, chosen, kinds), kinds):
                    taken += len(chosen)
                self.last_seq = seq  # a number once on the disk is never used again
            if self._fsync is Fsync.ALWAYS:
                self._sync()
            self._counters["appended"] += taken
            if taken == len(events):
                self._remember(seq, events)
            self._lock.notify_all()
        return taken

    def _write(self, one: EventClass, seq: int, octets: bytes, kinds: "Counter[str]") -> bool:
        """Whether the frame was written; otherwise it was shed. Raises StoreError when the disk does not take it."""
        while self._size() + len(octets) > self._max_octets:
            if len(octets) > self._max_octets or not self._shed(one):
                self._count_shed(kinds)
                return False
        while True:
            try:
                self._lanes[one].append(seq, octets, kinds)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT} and self._shed(one, below=True):
                    continue
                raise StoreError(f"the spool cannot be written: {error.strerror}") from error
            return True

    def _shed(self, up_to: EventClass, *, below: bool = False) -> bool:
        """Drop the oldest segment of the lowest class that has one, no higher than ``up_to`` (or only ``below`` it).

        Alerts that are only held, stored already, go before anything else does.
        """
        if self._forget_stored_alerts():
            return True
        for one, lane in self._lanes.items():
            if one > up_to or (below and one == up_to):
                return False
            try:
                lost = lane.shed()
            except OSError as error:
                raise StoreError(f"the spool cannot be shortened: {error.strerror}") from error
            if lost is not None:
                self._count_shed(lost)
                self._remembered.clear()  # what is shed is not stored after all because it is still in memory
                self._remembered_octets = 0
                return True
        return False

    def _forget_stored_alerts(self) -> bool:
        lane = self._lanes[EventClass.ALERT]
        before = lane.segments
        try:
            lane.forget(self._stored)
        except OSError as error:
            raise StoreError(f"the spool cannot be shortened: {error.strerror}") from error
        return lane.segments < before

    def _count_shed(self, kinds: Mapping[str, int]) -> None:
        for kind, count in kinds.items():
            self._counters[f"shed.{kind}"] += count

    def _size(self) -> int:
        return sum(lane.size_octets for lane in self._lanes.values())

    def _remember(self, seq: int, events: Sequence[Event]) -> None:
        self._remembered[seq] = events
        self._remembered_octets += sum(len(event.raw) for event in events)
        while self._remembered_octets > REMEMBERED_OCTETS_MAX:
            self._forget(next(iter(self._remembered)))

    def _forget(self, seq: int) -> Sequence[Event] | None:
        events = self._remembered.pop(seq, None)
        if events is not None:
            self._remembered_octets -= sum(len(event.raw) for event in events)
        return events

    # taking

    def take(self, timeout_s: float, *, events_max: int = 4000) -> Batch | None:
        """The next batches that are not stored, about ``events_max`` events; None when nothing came in time."""
        with self._lock:
            if self._head() is None and not self._closed:
                self._lock.wait(timeout_s)
            events: list[Event] = []
            seq = 0
            while len(events) < events_max and (head := self._head()) is not None:
                self._taken_seq = seq = head
                events += self._taken(seq)
            return Batch(seq, events) if seq else None

    def _head(self) -> int | None:
        heads = [frame.seq for lane in self._lanes.values() if (frame := lane.head()) is not None]
        return min(heads, default=None)

    def _taken(self, seq: int) -> Sequence[Event]:
        remembered = self._forget(seq)
        found: list[Event] = []
        whole = True
        for lane in self._lanes.values():
            frame = lane.head()
            if frame is None or frame.seq != seq:
                continue
            segment = lane.take()
            if remembered is None and segment is not None:
                try:
                    found += segment.read(frame)
                except (OSError, FrameError) as error:
                    whole = False
                    log.error("spool=damaged file=%s octet=%d error=%r", segment.path.name, frame.begin, str(error))
                    self._count_damage(frame.end - frame.begin)
                    for kind, count in frame.kinds.items():
                        self._counters[f"lost.{kind}"] += count
        return found if remembered is None or not whole else remembered

    def confirm(self, seq: int) -> None:
        """Everything up to this batch is stored; durable from the next ``commit`` on."""
        with self._lock:
            self._stored = max(self._stored, seq)

    def commit(self) -> None:
        """Write down what is confirmed and drop the segments that are stored."""
        with self._lock:
            try:
                if self._stored != self._position.value:
                    self._position.advance(self._stored, sync=self._fsync is not Fsync.NEVER)
                for one, lane in self._lanes.items():
                    held = one is EventClass.ALERT and self._settled is not None
                    lane.forget(min(self._stored, self._settled or 0) if held else self._stored)
                if self._fsync is Fsync.INTERVAL and self._monotonic() - self._synced_at >= self._interval_s:
                    self._sync()
            except OSError as error:
                raise StoreError(f"the spool cannot be written: {error.strerror}") from error

    # what else is done with alerts

    def hold_alerts(self) -> None:
        """Keep the alerts of all batches until they are settled, stored or not."""
        with self._lock:
            self._settled = 0

    def settle(self, seq: int) -> None:
        """Nothing up to this batch is held any longer."""
        with self._lock:
            self._settled = max(self._settled or 0, seq)

    def alerts_after(self, seq: int) -> Iterator[tuple[int, Sequence[Event]]]:
        """Batch by batch the alerts that were found at the opening, of batches behind this one."""
        for path in self._lanes[EventClass.ALERT].paths:
            try:
                segment = Segment.found(path, after=seq, last=False)
                while (frame := segment.head()) is not None and frame.seq <= self.found_seq:
                    segment.take()
                    yield frame.seq, self._read_again(segment, frame)
                segment.close()
            except FileNotFoundError:
                log.warning("spool=shed file=%s: its alerts were not looked at again", path.name)
            except OSError as error:
                raise StoreError(f"the spool cannot be read: {error.strerror}") from error

    def _read_again(self, segment: Segment, frame: Frame) -> Sequence[Event]:
        try:
            return segment.read(frame)
        except FrameError as error:
            log.error("spool=damaged file=%s octet=%d error=%r", segment.path.name, frame.begin, str(error))
            return ()

    def _sync(self) -> None:
        try:
            for lane in self._lanes.values():
                lane.sync()
        except OSError as error:
            raise StoreError(f"the spool cannot be written: {error.strerror}") from error
        self._synced_at = self._monotonic()

    # around it

    @property
    def empty(self) -> bool:
        """Whether everything appended is taken and confirmed."""
        with self._lock:
            return self._head() is None and self._stored >= self._taken_seq

    def status(self) -> SpoolStatus:
        """What waits and what was lost."""
        with self._lock:
            waiting = Counter[str]()
            for lane in self._lanes.values():
                waiting.update(lane.waiting)
            return SpoolStatus(dict(+waiting), self._size(), self._max_octets, dict(self._counters))

    def wake(self) -> None:
        """Let a ``take`` that waits return."""
        with self._lock:
            self._lock.notify_all()

    def close(self) -> None:
        """Let go of the folder; what is not stored is found at the next start."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with suppress(StoreError):
                if self._fsync is not Fsync.NEVER:
                    self._sync()
            for lane in self._lanes.values():
                lane.close()
            self._position.close()
            os.close(self._held)
            self._lock.notify_all()

    def _count_damage(self, octets: int) -> None:
        if octets:
            self._counters["damaged_octets"] += octets
            log.error("spool=damaged octets=%d: what was not whole is left out", octets)
