"""EmbeddedEventStore: the EventStore port on day files."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from tapwarden.agent.store.classes import EventClass, class_of
from tapwarden.agent.store.embedded import counts, layout
from tapwarden.agent.store.embedded import hunt as hunting
from tapwarden.agent.store.embedded.blocks import Block, Selection, piece, within
from tapwarden.agent.store.embedded.core import core
from tapwarden.agent.store.embedded.files import Files, UnknownFormat, is_damage
from tapwarden.agent.store.embedded.layout import Column
from tapwarden.agent.store.embedded.question import filter_of
from tapwarden.agent.store.embedded.reading import read
from tapwarden.agent.store.embedded.writer import Writer
from tapwarden.model.errors import StoreError
from tapwarden.model.event import (
    RANKED_FIELDS,
    Bucket,
    Event,
    EventGroup,
    EventOrder,
    EventPage,
    EventQuery,
    StoreStatus,
    TopEntry,
)
from tapwarden.model.hunt import HuntResult
from tapwarden.model.indicator import Indicator
from tapwarden.model.ports import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

PARTITIONS_MAX = 800
"""Day files kept for replayed captures to be added to; further days go to the undated file. Recent days always fit."""

WRITERS_MAX = 8
"""Day files open for writing at the same time; the least recently used one is closed for another."""

PAGE_MAX = 10_000
"""Events of one page at most."""

BATCH_EVENTS = 16_384
"""Events that make whole blocks of what there is most of."""

INTERVAL_MAX_S = 10_000_000_000
"""More seconds than there have been since 1970."""

DAMAGED_MAX = 10_000
"""Damaged blocks told apart; further ones are left out uncounted."""

LIST_MAX = 1_000_000
"""Lines of one list at most."""


class EmbeddedEventStore:
    """Events in SQLite files, one for each UTC day of the events' time and each class of event, in ``folder``.

    ``append`` is one transaction a file: events on both sides of a midnight may be stored one file at a time, and a
    repeated call stores what is missing. Reading needs no lock of the writer's, from other threads and processes as
    well. A damaged file is set aside under another name, counted, and named in ``status``; the other days still answer.
    Records that are no JSON object are counted as rejected and left out. ValueError for a query that makes no sense (an
    address that is none, a cursor that is none).
    """

    batch_events = BATCH_EVENTS

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        partitions_max: int = PARTITIONS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = Files(folder)
        self._clock = clock
        self._partitions_max = partitions_max
        self._monotonic = monotonic
        self._writers: OrderedDict[str, Writer] = OrderedDict()
        self._write_lock = threading.Lock()
        self._count_lock = threading.Lock()
        self._counters: Counter[str] = Counter()
        self._damaged: dict[str, str] = {}
        self._damaged_blocks: set[tuple[str, int]] = set()
        self._problem = ""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise StoreError(f"cannot make {folder}: {error.strerror}") from error

    # writing

    def append(self, events: Sequence[Event]) -> int:
        """See the port."""
        with self._write_lock:
            by_partition = self._sorted_out(events)
            return sum(self._append_to(partition, rows) for partition, rows in by_partition.items())

    def _sorted_out(self, events: Sequence[Event]) -> dict[str, core.EventPart]:
        records, rejected = read(events)
        self._count("rejected", rejected)
        found: dict[str, list[tuple[int, str]]] = {}
        places = records.places()
        if places:
            there = {layout.day_part(partition) for partition in self._files.partitions()}
            for number, kind, count in sorted(places):
                partition = self._partition(number, kind, there)
                found.setdefault(partition, []).append((number, kind))
                if partition == layout.UNDATED:
                    self._count("undated", count)
        return {
            partition: records.part(chosen, layout.since_us(partition), layout.unit_us(partition))
            for partition, chosen in found.items()
        }

    def _partition(self, number: int, kind: str, there: set[str]) -> str:
        """Where events of this type are kept that are of the day so many days after 1970-01-01."""
        try:
            day = layout.day_number(number)
        except OverflowError:
            return layout.UNDATED
        if not self._is_kept_apart(day, there):
            return layout.UNDATED
        there.add(day.isoformat())
        return layout.name_of(day, class_of(kind))

    def _is_kept_apart(self, day: date, there: set[str]) -> bool:
        """Whether this day has files of its own."""
        if day.isoformat() in there:
            return True
        today = self._clock.now().date()
        if today - timedelta(days=1) <= day <= today + timedelta(days=1):
            return True
        return layout.EARLIEST <= day < today and len(there) < self._partitions_max

    def _append_to(self, partition: str, part: core.EventPart) -> int:
        offered = len(part)
        for last_try in (False, True):
            try:
                writer = self._writer(partition)
                added = writer.append(part)
            except sqlite3.Error as error:
                self._drop_writer(partition)
                if is_damage(error) and not last_try and self._set_aside(partition, error):
                    continue  # into a new file
                self._problem = f"cannot store events of {partition}: {error}"
                raise StoreError(self._problem) from error
            except UnknownFormat as error:
                raise StoreError(str(error)) from error
            self._problem = ""
            self._count("appended", added)
            self._count("duplicates", offered - added)
            self._tidy(writer)
            return added
        raise StoreError(f"{partition} cannot be used")  # pragma: no cover - the loop returns or raises

    def _tidy(self, writer: Writer) -> None:
        """What is stored is stored: where there is no room to put it together, it is done another time."""
        try:
            writer.tidy()
        except sqlite3.Error as error:
            self._count("untidy", 1)
            log.info("store=embedded partition=%s untidy=%r", writer.partition, str(error))

    def _writer(self, partition: str) -> Writer:
        writer = self._writers.get(partition)
        if writer is not None and writer.identity != self._files.identity(partition):
            self._drop_writer(partition)  # another process dropped the file or set it aside
            writer = None
        if writer is None:
            while len(self._writers) >= WRITERS_MAX:
                self._writers.popitem(last=False)[1].close()
            writer = self._writers[partition] = Writer(self._files.path(partition), partition)
            writer.identity = self._files.identity(partition)
        self._writers.move_to_end(partition)
        return writer

    def _drop_writer(self, partition: str) -> None:
        writer = self._writers.pop(partition, None)
        if writer is not None:
            writer.close()

    def flush(self) -> None:
        """What was appended survives a power cut from here on."""
        with self._write_lock:
            for writer in self._writers.values():
                try:
                    writer.flush()
                except (sqlite3.Error, OSError) as error:
                    raise StoreError(f"cannot write events of {writer.partition} to the disk: {error}") from error

    def close(self) -> None:
        """Close all files."""
        with self._write_lock:
            while self._writers:
                self._writers.popitem()[1].close()
        self._files.close()

    # reading

    def get(self, event_id: str) -> Event | None:
        """The event with this id, or None."""
        try:
            milliseconds, low = int(event_id[:12], 16), int(event_id[-7:], 16) & layout.HASH_MASK
        except ValueError:
            return None
        if len(event_id) != 32:
            return None
        # the id's milliseconds were rounded from a float: one more on either side
        moments = [_moment(milliseconds - 1), _moment(milliseconds + 2)]
        for partition in self._files.partitions():
            if layout.day_part(partition) not in {layout.UNDATED, *(moment.date().isoformat() for moment in moments)}:
                continue
            found = self._ask(partition, partial(self._with_id, partition, event_id, moments, low))
            if found is not None:
                return found
        return None

    def _with_id(
        self, partition: str, event_id: str, moments: Sequence[datetime], low: int, connection: sqlite3.Connection
    ) -> Event | None:
        first, last = (layout.first_number(moment, partition) for moment in moments)
        if partition == layout.UNDATED:
            first, last = max(first - (2 << layout.HASH_BITS), 0), last + (2 << layout.HASH_BITS)
        last = min(last, layout.NUMBER_END - 1)
        for block in within(connection, (max(first, 0), last + 1)):
            try:
                numbers = core.block_numbers(piece(connection, block.id, Column.NUMBER))
            except core.DamagedBlock:
                self._damage(partition, block.id)
                continue
            begin, end = bisect_left(numbers, first), bisect_left(numbers, last + 1)
            rows = [row for row in range(begin, end) if (numbers[row] - low) & layout.HASH_MASK < 8]
            for event in self._read(partition, block, rows, connection) if rows else ():
                if event is not None and event.id == event_id:
                    return event
        return None

    def search(
        self, query: EventQuery, *, limit: int = 100, cursor: str = "", order: EventOrder = EventOrder.NEWEST
    ) -> EventPage:
        """Events of the undated file count as the oldest. ``limit`` is held between 1 and 10,000."""
        limit = min(max(limit, 1), PAGE_MAX)
        asked = filter_of(query)
        after_day, after_number = _read_cursor(cursor)
        found: list[tuple[str, int, Event | None]] = []  # None: a damaged record, which takes a place
        newest = order is EventOrder.NEWEST
        days = self._days_within(query)
        for day, partitions in days if newest else reversed(days):
            if after_day and not _at_or_after(day, after_day, newest=newest):
                continue
            after = after_number if day == after_day else None
            wanted = limit + 1 - len(found)
            rows: list[tuple[int, Event | None]] = []
            for partition in partitions:
                rows += self._ask(partition, partial(self._page, partition, query, asked, after, wanted, newest)) or ()
            if len(partitions) > 1:
                rows = sorted(rows, key=_number, reverse=newest)[:wanted]
            found += [(day, number, event) for number, event in rows]
            if len(found) > limit:
                last = found[limit - 1]
                return EventPage(_whole(found[:limit]), f"{last[0]}:{last[1]}")
        return EventPage(_whole(found))

    def _page(
        self,
        partition: str,
        query: EventQuery,
        asked: core.EventFilter,
        after: int | None,
        limit: int,
        newest: bool,
        connection: sqlite3.Connection,
    ) -> list[tuple[int, Event | None]]:
        span = layout.span(query.since, query.until, partition)
        if after is not None:
            span = (span[0], min(span[1], after)) if newest else (max(span[0], after + 1), span[1])
        selection = Selection(connection, asked, span, (Column.NUMBER,))
        found: list[tuple[int, int, Block]] = []  # number, row, block
        for block in sorted(selection.blocks(), key=lambda block: -block.last if newest else block.first):
            if len(found) >= limit:
                reached = found[limit - 1][0]
                if block.last < reached if newest else block.first > reached:
                    break  # neither this nor any further block has what belongs before it
            try:
                if not selection.possible(block):
                    continue
                pieces, cut = selection.pieces(block)
                rows = asked.page(pieces, block.rows, cut, limit, newest)
            except core.DamagedBlock:
                self._damage(partition, block.id)
                continue
            if rows:
                found += [(number, row, block) for number, row in rows]
                found.sort(key=_first, reverse=newest)
                del found[limit:]
        return self._events_at(partition, found, connection)

    def _events_at(
        self, partition: str, places: Sequence[tuple[int, int, Block]], connection: sqlite3.Connection
    ) -> list[tuple[int, Event | None]]:
        by_block: dict[Block, list[tuple[int, int]]] = {}
        for number, row, block in places:
            by_block.setdefault(block, []).append((row, number))
        events: dict[int, Event | None] = {}
        for block, rows in by_block.items():
            rows.sort()
            read_rows = self._read(partition, block, [row for row, _ in rows], connection)
            events.update(zip((number for _, number in rows), read_rows, strict=True))
        return [(number, events[number]) for number, _, _ in places]

    def _read(
        self, partition: str, block: Block, rows: Sequence[int], connection: sqlite3.Connection
    ) -> list[Event | None]:
        """The events in these rows, ascending; None for those that are damaged."""
        data = piece(connection, block.id, Column.RECORD)
        try:
            stored = core.block_records(data, rows)
        except core.DamagedBlock:
            self._damage(partition, block.id)
            if len(rows) == 1:
                return [None]
            # others of the block may be whole
            return [event for row in rows for event in self._read(partition, block, [row], connection)]
        return [Event(raw, origin.decode("utf-8", "surrogatepass")) for raw, origin in stored]

    def count(self, query: EventQuery) -> int:
        """How many events match."""
        if counts.by_minute(query):
            return sum(n for _, n in self._buckets(query, counts.EVER_MINUTES))
        return self._counted(query, core.EventSummary("rows")).rows

    def histogram(self, query: EventQuery, *, interval_s: int) -> Sequence[Bucket]:
        """Counts by interval (multiples of it since 1970, UTC), oldest first; intervals without events are left out."""
        if interval_s < 1:
            raise ValueError("an interval is at least one second")
        if interval_s % 60 == 0 and counts.by_minute(query):
            counted: Counter[int] = Counter()
            for bucket, count in self._buckets(query, interval_s // 60):
                counted[bucket] += count
            stretches = sorted(counted.items())
        else:
            interval_us = min(interval_s, INTERVAL_MAX_S) * 1_000_000
            stretches = self._counted(query, core.EventSummary("stretches", interval_us=interval_us)).stretches()
        return [Bucket(_moment(bucket * interval_s * 1000), count) for bucket, count in stretches]

    def _buckets(self, query: EventQuery, each: int) -> list[tuple[int, int]]:
        ask = partial(counts.buckets, query, each, filter_of(query), self._damage)
        return [
            bucket
            for partition in self._within(query)
            for bucket in self._ask(partition, partial(ask, partition)) or ()
        ]

    def top(self, query: EventQuery, field: str, *, limit: int = 10) -> Sequence[TopEntry]:
        """See the port; exact while there are no more than 2,000,000 values."""
        return self._ranked(query, field, limit, ascending=False)

    def rare(self, query: EventQuery, field: str, *, limit: int = 10) -> Sequence[TopEntry]:
        """See the port; exact while there are no more than 2,000,000 values."""
        return self._ranked(query, field, limit, ascending=True)

    def _ranked(self, query: EventQuery, field: str, limit: int, *, ascending: bool) -> Sequence[TopEntry]:
        if field not in RANKED_FIELDS:
            raise ValueError(f"top lists and rare lists are made of {', '.join(RANKED_FIELDS)}, not of {field!r}")
        counted = self._counted(query, core.EventSummary("values", field=field, ascending=ascending))
        return [TopEntry(value, count) for value, count in counted.values(min(max(limit, 0), LIST_MAX))]

    def groups(self, query: EventQuery, *, limit: int = 100) -> Sequence[EventGroup]:
        """See the port; exact while there are no more than 2,000,000 groups."""
        lines = self._counted(query, core.EventSummary("groups"), {EventClass.ALERT}).groups(
            min(max(limit, 0), LIST_MAX)
        )
        return [
            EventGroup(sid, signature, src, dest, count, _at(first), _at(last))
            for sid, signature, src, dest, count, first, last in lines
        ]

    def _counted(
        self, query: EventQuery, summary: core.EventSummary, classes: Collection[EventClass] = tuple(EventClass)
    ) -> core.EventSummary:
        add = partial(counts.add, summary, filter_of(query), query, self._damage)
        for partition in self._within(query, classes):
            self._ask(partition, partial(add, partition))
        return summary

    def hunt(
        self,
        indicators: Sequence[Indicator],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        budget_s: float = 30.0,
    ) -> HuntResult:
        """See the port."""
        end = self._monotonic() + budget_s

        def read_rows(
            partition: str, block: Block, rows: Sequence[int], connection: sqlite3.Connection
        ) -> Sequence[Event]:
            return [event for event in self._read(partition, block, sorted(rows), connection) if event is not None]

        hunt = hunting.Hunt(
            indicators,
            since=since,
            until=until,
            time_left=lambda: self._monotonic() < end,
            read=read_rows,
            damage=self._damage,
        )
        unsearched = {
            hunting.span(partition): None
            for partition in self._within(EventQuery(since=since, until=until))
            if self._ask(partition, partial(hunt.search, partition)) is False
        }
        return hunt.result(list(unsearched))

    def _within(self, query: EventQuery, of: Collection[EventClass] = tuple(EventClass)) -> list[str]:
        """Partitions that may have what is asked for."""
        classes = set(of).intersection(map(class_of, query.kinds)) if query.kinds else set(of)
        if query.sid is not None or query.signature:
            classes &= {EventClass.ALERT}  # only alerts have one

        def can_match(partition: str) -> bool:
            one = layout.class_part(partition)
            if one is None:
                return True
            if one not in classes:
                return False
            day = date.fromisoformat(layout.day_part(partition))
            if query.since is not None and day < query.since.astimezone(UTC).date():
                return False
            return query.until is None or day <= query.until.astimezone(UTC).date()

        return [partition for partition in self._files.partitions() if can_match(partition)]

    def _days_within(self, query: EventQuery) -> list[tuple[str, list[str]]]:
        return [(day, list(names)) for day, names in groupby(self._within(query), layout.day_part)]

    def status(self) -> StoreStatus:
        """What is there; ``problem`` says what the last append failed of, and which files are damaged."""
        events, size = 0, 0
        times: list[datetime] = []
        try:
            partitions, problem = self._files.partitions(), self._problem
        except StoreError as error:
            partitions, problem = [], str(error)
        for partition in partitions:
            size += self._files.size_octets(partition)
            row = self._ask(partition, counts.tally)
            if row is not None:
                events += row[0]
                times += [layout.time_of(number, partition) for number in row[1:] if number is not None]
        with self._count_lock:
            counters = dict(self._counters)
            damaged = list(self._damaged.values())
            blocks = Counter(partition for partition, _ in self._damaged_blocks)
        return StoreStatus(
            backend="embedded",
            events=events,
            size_octets=size,
            partitions=tuple(partitions),
            oldest=min(times, default=None),
            newest=max(times, default=None),
            rejected=counters.get("rejected", 0),
            writable=not self._problem and os.access(self._files.folder, os.W_OK),
            problem="; ".join(filter(None, [problem, *damaged, *_named(blocks)])),
            counters=counters,
        )

    # trouble

    def _ask(self, partition: str, question: Callable[[sqlite3.Connection], T]) -> T | None:
        """The answer of a partition; None when it is gone or damaged (then it is set aside). Raises StoreError."""
        asked = self._files.identity(partition)
        try:
            with self._files.reader(partition) as connection:
                connection.execute("BEGIN")  # what the writer puts together meanwhile stays where it is
                try:
                    return question(connection)
                finally:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if is_damage(error):
                with self._write_lock:
                    if (
                        self._files.identity(partition) == asked
                    ):  # else another thread was quicker, and this is a new one
                        self._drop_writer(partition)
                        self._set_aside(partition, error)
                return None
            if not self._files.path(partition).exists():
                return None  # dropped by retention since it was listed
            raise StoreError(f"cannot read events of {partition}: {error}") from error
        except UnknownFormat as error:
            self._note(partition, str(error))
            return None

    def _set_aside(self, partition: str, error: sqlite3.Error) -> bool:
        kept = self._files.set_aside(partition)
        where = f"set aside as {kept.name}" if kept else "left out, the folder cannot be written"
        self._note(partition, f"{self._files.path(partition).name} is damaged ({error}): {where}")
        return kept is not None

    def _note(self, partition: str, problem: str) -> None:
        with self._count_lock:
            known = self._damaged.get(partition)
            if known == problem:
                return
            self._damaged[partition] = problem
            self._counters["damaged_files"] += 1
        log.error("store=embedded problem=%r", problem)

    def _damage(self, partition: str, number: int) -> None:
        """Note a block (or, negative, a tally) that is damaged: the rest of the file answers."""
        with self._count_lock:
            if (partition, number) in self._damaged_blocks or len(self._damaged_blocks) >= DAMAGED_MAX:
                return
            self._damaged_blocks.add((partition, number))
            self._counters["damaged_blocks"] += 1
        log.error("store=embedded partition=%s block=%d damaged", partition, number)

    def _count(self, name: str, number: int) -> None:
        if number:
            with self._count_lock:
                self._counters[name] += number


def _number(row: tuple[int, Event | None]) -> int:
    return row[0]


def _named(blocks: Counter[str]) -> list[str]:
    return [f"{partition} has {count} damaged blocks" for partition, count in sorted(blocks.items())]


def _first(place: tuple[int, int, Block]) -> int:
    return place[0]


def _at(microseconds: int) -> datetime:
    return layout.beginning(layout.UNDATED) + timedelta(microseconds=microseconds)


def _whole(found: Sequence[tuple[str, int, Event | None]]) -> tuple[Event, ...]:
    return tuple(event for _, _, event in found if event is not None)


def _moment(milliseconds: int) -> datetime:
    latest = 253402300799999
    return layout.beginning(layout.UNDATED) + timedelta(milliseconds=min(max(milliseconds, 0), latest))


def _read_cursor(cursor: str) -> tuple[str, int]:
    if not cursor:
        return "", 0
    day, _, number = cursor.partition(":")
    try:
        if layout.day_part(day) != day:
            raise ValueError(day)
        layout.beginning(day)
        return day, int(number)
    except ValueError as error:
        raise ValueError(f"{cursor!r} is no cursor of this store") from error


def _at_or_after(day: str, reached: str, *, newest: bool) -> bool:
    return day == layout.order({day, reached})[-1 if newest else 0]
