"""EmbeddedEventStore: the EventStore port on day files."""

import logging
import os
import sqlite3
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from tapwarden.agent.store import block
from tapwarden.agent.store.classes import EventClass, class_of
from tapwarden.agent.store.embedded import hunt as hunting
from tapwarden.agent.store.embedded import layout, rollup, summary
from tapwarden.agent.store.embedded.columns import address_text, columns_of
from tapwarden.agent.store.embedded.files import Files, UnknownFormat, is_damage
from tapwarden.agent.store.embedded.query import condition
from tapwarden.agent.store.embedded.writer import Row, Writer
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Bucket, Event, EventGroup, EventOrder, EventPage, EventQuery, StoreStatus, TopEntry
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


class EmbeddedEventStore:
    """Events in SQLite files, one for each UTC day of the events' time and each class of event, in ``folder``.

    ``append`` is one transaction a file: events on both sides of a midnight may be stored one file at a time, and a
    repeated call stores what is missing. Reading needs no lock of the writer's, from other threads and processes as
    well. A damaged file is set aside under another name, counted, and named in ``status``; the other days still answer.
    Records that are no JSON object are counted as rejected and left out. ValueError for a query that makes no sense (an
    address that is none, a cursor that is none).
    """

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

    def _sorted_out(self, events: Sequence[Event]) -> dict[str, list[Row]]:
        found: dict[tuple[date, EventClass], dict[str, Row]] = {}
        rejected = 0
        for event in events:
            try:
                columns = columns_of(event.eve)
                place = (layout.day_of(event), class_of(columns.kind))
                found.setdefault(place, {})[event.id] = (event, columns)
                event.forget()
            except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
                rejected += 1
        self._count("rejected", rejected)
        by_partition: dict[str, list[Row]] = {}
        if found:
            there = {layout.day_part(partition) for partition in self._files.partitions()}
            for (day, one), rows in sorted(found.items()):
                known = self._is_kept_apart(day, there)
                if known:
                    there.add(day.isoformat())
                partition = layout.name_of(day, one) if known else layout.UNDATED
                by_partition.setdefault(partition, []).extend(rows.values())
        return by_partition

    def _is_kept_apart(self, day: date, there: set[str]) -> bool:
        """Whether this day has files of its own."""
        if day.isoformat() in there:
            return True
        today = self._clock.now().date()
        if today - timedelta(days=1) <= day <= today + timedelta(days=1):
            return True
        return layout.EARLIEST <= day < today and len(there) < self._partitions_max

    def _append_to(self, partition: str, rows: Sequence[Row]) -> int:
        for last_try in (False, True):
            try:
                added = self._writer(partition).append(rows)
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
            self._count("duplicates", len(rows) - added)
            if partition == layout.UNDATED:
                self._count("undated", added)
            return added
        raise StoreError(f"{partition} cannot be used")  # pragma: no cover - the loop returns or raises

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
        last = min(last, hunting.NUMBER_END)
        statement = (
            "SELECT codec, data, slot FROM event JOIN block ON block.id = event.block"
            f" WHERE seq BETWEEN ? AND ? AND ((seq & {layout.HASH_MASK}) - ?) & {layout.HASH_MASK} < 8"
        )
        for codec, data, slot in connection.execute(statement, (first, last, low)):
            event = self._event(self._records(data, codec), slot)
            if event is not None and event.id == event_id:
                return event
        return None

    def search(
        self, query: EventQuery, *, limit: int = 100, cursor: str = "", order: EventOrder = EventOrder.NEWEST
    ) -> EventPage:
        """Events of the undated file count as the oldest. ``limit`` is held between 1 and 10,000."""
        limit = min(max(limit, 1), PAGE_MAX)
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
                rows += self._ask(partition, partial(self._page, partition, query, after, wanted, newest)) or ()
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
        after: int | None,
        limit: int,
        newest: bool,
        connection: sqlite3.Connection,
    ) -> list[tuple[int, Event | None]]:
        where = condition(query, partition, connection)
        if where is None:
            return []
        if after is not None:
            where.add("seq < ?" if newest else "seq > ?", after)
        direction = "DESC" if newest else "ASC"
        statement = f"SELECT seq, event.block, slot {where.sql} ORDER BY seq {direction} LIMIT ?"
        places = connection.execute(statement, (*where.values, limit)).fetchall()
        return self._events_at(places, connection)

    def _events_at(
        self, places: Sequence[tuple[int, int, int]], connection: sqlite3.Connection
    ) -> list[tuple[int, Event | None]]:
        blocks: dict[int, block.Records | None] = {}
        for number in {place[1] for place in places}:
            codec, data = connection.execute("SELECT codec, data FROM block WHERE id = ?", (number,)).fetchone()
            blocks[number] = self._records(data, codec)
        return [(seq, self._event(blocks[number], slot)) for seq, number, slot in places]

    def _records(self, data: bytes, codec: int) -> block.Records | None:
        try:
            return block.Records(data, codec)
        except block.BlockError:
            self._count("damaged_blocks", 1)
            return None

    def _event(self, records: block.Records | None, slot: int) -> Event | None:
        try:
            return None if records is None else records.event(slot)
        except block.BlockError:
            self._count("damaged_blocks", 1)
            return None

    def count(self, query: EventQuery) -> int:
        """How many events match."""
        if rollup.answers(query):
            return sum(n for _, n in self._buckets(query, summary.EVER_MINUTES))
        return sum(row[0] for _, row in self._each(query, summary.COUNT_SQL))

    def histogram(self, query: EventQuery, *, interval_s: int) -> Sequence[Bucket]:
        """Counts by interval (multiples of it since 1970, UTC), oldest first; intervals without events are left out."""
        if interval_s < 1:
            raise ValueError("an interval is at least one second")
        counted: Counter[int] = Counter()
        if interval_s % 60 == 0 and rollup.answers(query):
            for bucket, count in self._buckets(query, interval_s // 60):
                counted[bucket] += count
        else:
            for partition, (start, count) in self._each(query, summary.histogram_sql(interval_s)):
                offset_s = int(layout.beginning(partition).timestamp())
                counted[(offset_s + start) // interval_s] += count
        return [Bucket(_moment(bucket * interval_s * 1000), counted[bucket]) for bucket in sorted(counted)]

    def _buckets(self, query: EventQuery, each: int) -> Iterator[tuple[int, int]]:
        for partition in self._within(query):
            yield from self._ask(partition, partial(rollup.buckets, query, each, partition)) or ()

    def top(self, query: EventQuery, field: str, *, limit: int = 10) -> Sequence[TopEntry]:
        """See the port."""
        return self._ranked(query, field, limit, most=summary.TOP_MAX)

    def rare(self, query: EventQuery, field: str, *, limit: int = 10) -> Sequence[TopEntry]:
        """See the port; exact while a day has no more than 1,000,000 values."""
        return self._ranked(query, field, limit, most=-summary.RARE_MAX)

    def _ranked(self, query: EventQuery, field: str, limit: int, *, most: int) -> Sequence[TopEntry]:
        """The most frequent values, or (``most`` negative) the rarest; of each file so many are counted."""
        if field not in summary.TOP_SQL:
            raise ValueError(f"top lists and rare lists are made of {', '.join(summary.TOP_SQL)}, not of {field!r}")
        if rollup.ranks(query, field):
            ranked = partial(rollup.ranked, query, field, most)
            rows = (row for name in self._within(query) for row in self._ask(name, partial(ranked, name)) or ())
        else:
            column, sql = summary.TOP_SQL[field]
            sql += f" ORDER BY n {'DESC' if most > 0 else 'ASC'} LIMIT {abs(most)}"
            rows = (row for _, row in self._each(query, sql, column))
        counted: Counter[Any] = Counter()
        for value, count in rows:
            counted[value] += count
        return summary.lines(counted, field, max(limit, 0), descending=most > 0)

    def groups(self, query: EventQuery, *, limit: int = 100) -> Sequence[EventGroup]:
        """See the port."""
        found: dict[tuple[int, str, str], EventGroup] = {}
        for partition, (sid, signature, src, dest, count, lowest, highest) in self._each(
            query, summary.GROUPS_SQL, "sid"
        ):
            key = sid, address_text(src) if src else "", address_text(dest) if dest else ""
            times = layout.time_of(lowest, partition), layout.time_of(highest, partition)
            known = found.get(key)
            if known is None:
                found[key] = EventGroup(sid, signature or "", key[1], key[2], count, *times)
            else:
                first, last = min(known.first, times[0]), max(known.last, times[1])
                found[key] = replace(known, count=known.count + count, first=first, last=last)
        ranked = sorted(found.values(), key=lambda group: (-group.count, group.sid, group.src_ip, group.dest_ip))
        return ranked[: max(limit, 0)]

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

        def read(places: Sequence[hunting.Place], connection: sqlite3.Connection) -> Sequence[Event]:
            return [event for _, event in self._events_at(places, connection) if event is not None]

        hunt = hunting.Hunt(indicators, since=since, until=until, time_left=lambda: self._monotonic() < end, read=read)
        unsearched = {
            hunting.span(partition): None
            for partition in self._within(EventQuery(since=since, until=until))
            if self._ask(partition, partial(hunt.search, partition)) is False
        }
        return hunt.result(list(unsearched))

    def _each(
        self, query: EventQuery, sql: str | Callable[[str], str], column: str = ""
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The rows of a statement, over all partitions; ``{}`` in it stands for the query's FROM and WHERE.

        Rows where ``column`` is NULL are left out.
        """
        for partition in self._within(query):
            text = sql if isinstance(sql, str) else sql(partition)
            for row in self._ask(partition, partial(summary.counted, query, partition, text, column)) or ():
                yield partition, row

    def _within(self, query: EventQuery) -> list[str]:
        """Partitions that may have what is asked for."""
        classes = {class_of(kind) for kind in query.kinds} or set(EventClass)
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
            row = self._ask(partition, summary.tally)
            if row is not None:
                events += row[0]
                times += [layout.time_of(number, partition) for number in row[1:] if number is not None]
        with self._count_lock:
            counters = dict(self._counters)
            damaged = list(self._damaged.values())
        return StoreStatus(
            backend="embedded",
            events=events,
            size_octets=size,
            partitions=tuple(partitions),
            oldest=min(times, default=None),
            newest=max(times, default=None),
            rejected=counters.get("rejected", 0),
            writable=not self._problem and os.access(self._files.folder, os.W_OK),
            problem="; ".join(filter(None, [problem, *damaged])),
            counters=counters,
        )

    # trouble

    def _ask(self, partition: str, question: Callable[[sqlite3.Connection], T]) -> T | None:
        """The answer of a partition; None when it is gone or damaged (then it is set aside). Raises StoreError."""
        asked = self._files.identity(partition)
        try:
            with self._files.reader(partition) as connection:
                return question(connection)
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

    def _count(self, name: str, number: int) -> None:
        if number:
            with self._count_lock:
                self._counters[name] += number


def _number(row: tuple[int, Event | None]) -> int:
    return row[0]


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
