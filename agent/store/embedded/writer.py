"""Writing to one partition: blocks, put together as they come to be many, and counts. One transaction an append."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tapwarden.agent.store.embedded import counts, layout
from tapwarden.agent.store.embedded.blocks import Block, piece, pieces, within
from tapwarden.agent.store.embedded.core import core
from tapwarden.agent.store.embedded.files import BUSY_TIMEOUT_S, UnknownFormat
from tapwarden.agent.store.embedded.layout import COLUMNS, Column
from tapwarden.agent.store.embedded.reading import read
from tapwarden.model.event import Event

TIERS = (16, 128, 1024, 4096)
"""Rows of blocks below which they are of one size; those of the last size and above stay as they are."""

TIER_BLOCKS = 8
"""Blocks of one size or below it that are put together: an event is written at most once a size."""

RUN_BLOCKS = 16
"""Blocks whose counts are put together, so that a list over days looks at their sum."""


RUN_BLOCKS_LAST = 4
"""The same when the file is let go of: most often its day is over."""

RUNS_MAX = 6
"""Runs of which one is made: a list over days looks at few, and what a day has is counted anew a few times."""


class Writer:
    """The one writing connection to a partition. Methods raise sqlite3.Error, and then nothing of theirs is stored."""

    def __init__(self, path: Path, partition: str) -> None:
        self.partition = partition
        self._log = Path(f"{path}-wal")
        self._unflushed = False
        self.identity: int | None = None
        """Of the file written to, set by the owner: to notice when the name stands for another file."""
        self._left: set[int] = set()
        """Blocks found damaged: they stay as they are."""
        self._runs_damaged = False
        self._connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA page_size=4096")  # pieces of a block fill several: little of the last is lost
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")  # a killed process loses nothing; a power cut at most the last moments
        run("PRAGMA cache_size=-8000")
        run("PRAGMA wal_autocheckpoint=2000")
        run("BEGIN IMMEDIATE")
        try:
            version = run("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in layout.tables():
                    run(statement)
                run(f"PRAGMA user_version={layout.FORMAT}")
            elif version != layout.FORMAT:
                raise UnknownFormat(self.partition, version)
            run("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def close(self) -> None:
        """Count what is here as a whole, write the log back into the file and let go of it."""
        with suppress(sqlite3.Error):  # without it, lists take longer
            self._in_one(self._count_whole)
        with suppress(OSError):  # while others read, closing leaves the log as it is
            self.flush()
        self._connection.close()

    def flush(self) -> None:
        """Force the log to the disk, unless nothing was added since. Raises OSError."""
        if self._unflushed:
            descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            self._unflushed = False

    def append(self, part: core.EventPart) -> int:
        """Store those events that are not there yet; how many they were."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._leave_out_known(part)
            if len(part):
                self._insert(part)
                minutes = part.stretches(60_000_000 // layout.unit_us(self.partition))
                counts.note(minutes, self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._unflushed = True
        return len(part)

    def tidy(self) -> None:
        """Put small blocks together, and the counts of large ones. What is stored stays; so does what is damaged."""
        if self._untidy():
            self._in_one(self._put_together)

    def _put_together(self) -> None:
        for blocks in self._untidy():
            self._join(blocks)
        self._tally(RUN_BLOCKS)
        self._join_runs(RUNS_MAX)

    def _count_whole(self) -> None:
        self._tally(RUN_BLOCKS_LAST)
        self._join_runs(2)

    def _in_one(self, work: Callable[[], None]) -> None:
        """All of it in one transaction, or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            work()
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._unflushed = True

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _leave_out_known(self, part: core.EventPart) -> None:
        """Drop events that are stored, and give those whose number another one has the next.

        A stored event is at its own number, or behind others without a gap: whatever meets another goes on to the next.
        """
        while len(part):
            known, met = self._meetings(part)
            part.settle(known, met)
            if not met and not part.tell_apart():
                return

    def _meetings(self, part: core.EventPart) -> tuple[list[int], list[int]]:
        """Places of events that are stored, and of those whose number another event has."""
        known: list[int] = []
        met: list[int] = []
        first, last = part.span() or (0, 0)
        for block in within(self._connection, (first, last + 1)):
            try:
                meetings = part.meet(piece(self._connection, block.id, Column.NUMBER))
                if not meetings:
                    continue
                rows = [row for _, row in meetings]
                stored = core.block_records(piece(self._connection, block.id, Column.RECORD), rows)
            except core.DamagedBlock:
                self._left.add(block.id)
                continue
            for (at, _), record in zip(meetings, stored, strict=True):
                (known if part.record(at) == record else met).append(at)
        return known, met

    def _insert(self, part: core.EventPart) -> None:
        for first, last, rows, columns in part.packed():
            sql = "INSERT INTO block (first, last, rows) VALUES (?, ?, ?)"
            number = self._connection.execute(sql, (first, last, rows)).lastrowid or 0
            kept = sorted((number * COLUMNS + column, data) for column, data in columns)
            self._connection.executemany("INSERT INTO piece VALUES (?, ?)", kept)

    def _untidy(self) -> list[list[Block]]:
        """Blocks to be put together; an empty list among them where there is only something to count."""
        sql = "SELECT id, first, last, rows, run FROM block WHERE run IS NULL ORDER BY id"
        blocks = [Block(*row) for row in self._connection.execute(sql) if row[0] not in self._left]
        below: list[Block] = []
        chosen: list[Block] = []
        lowest = 0
        for size in TIERS:
            of_size = [block for block in blocks if lowest <= block.rows < size]
            below += of_size
            lowest = size
            if len(of_size) >= TIER_BLOCKS:
                chosen = list(below)
        if chosen:
            return [sorted(chosen, key=lambda block: block.first)]
        large = sum(block.rows >= TIERS[-1] for block in blocks)
        return [[]] if large >= RUN_BLOCKS else []

    def _join(self, blocks: Sequence[Block]) -> None:
        events: list[Event] = []
        numbers: list[int] = []
        for block in blocks:
            try:
                of_block = core.block_numbers(piece(self._connection, block.id, Column.NUMBER))
                whole = piece(self._connection, block.id, Column.RECORD)
                stored = core.block_records(whole, list(range(len(of_block))))
            except core.DamagedBlock:
                self._left.add(block.id)
                continue
            events += [Event(raw, origin.decode("utf-8", "surrogatepass")) for raw, origin in stored]
            numbers += of_block
            low = block.id * COLUMNS
            self._connection.execute("DELETE FROM piece WHERE id >= ? AND id < ?", (low, low + COLUMNS))
            self._connection.execute("DELETE FROM block WHERE id = ?", (block.id,))
        if events:
            records, _ = read(events)
            places = [(day, kind) for day, kind, _ in records.places()]
            since_us, unit_us = layout.since_us(self.partition), layout.unit_us(self.partition)
            self._insert(records.part(places, since_us, unit_us, numbers))

    def _tally(self, least: int) -> None:
        """Count what is in so many large blocks or more together."""
        run = self._connection.execute
        sql = "SELECT id, first, last, rows, run FROM block WHERE run IS NULL AND rows >= ? ORDER BY first"
        blocks = [Block(*row) for row in run(sql, (TIERS[-1],)) if row[0] not in self._left]
        for begin in range(0, len(blocks), RUN_BLOCKS):
            together = blocks[begin : begin + RUN_BLOCKS]
            if len(together) < least:
                continue
            columns = [pieces(self._connection, block, core.TALLIED_COLUMNS) for block in together]
            try:
                tallies = core.tally_blocks(columns)
            except core.DamagedBlock:
                self._left.update(block.id for block in together)
                continue
            number = self._insert_run(min(block.first for block in together), max(block.last for block in together))
            self._insert_tallies(number, tallies)
            run(f"UPDATE block SET run = ? WHERE id IN ({_marks(together)})", (number, *(one.id for one in together)))

    def _join_runs(self, least: int) -> None:
        """Make one run of all there are, once they are so many."""
        run = self._connection.execute
        runs = run("SELECT id, first, last FROM run").fetchall()
        if len(runs) < least or self._runs_damaged:
            return
        columns = [self._tallies_of(number) for number, _, _ in runs]
        try:
            tallies = core.join_tallies(columns)
        except core.DamagedBlock:
            self._runs_damaged = True
            return
        run("DELETE FROM run")
        run("DELETE FROM tally")
        number = self._insert_run(min(first for _, first, _ in runs), max(last for _, _, last in runs))
        self._insert_tallies(number, tallies)
        run("UPDATE block SET run = ? WHERE run IS NOT NULL", (number,))

    def _insert_run(self, first: int, last: int) -> int:
        sql = "INSERT INTO run (first, last) VALUES (?, ?)"
        return self._connection.execute(sql, (first, last)).lastrowid or 0

    def _insert_tallies(self, number: int, tallies: Sequence[tuple[int, bytes]]) -> None:
        kept = [(number * COLUMNS + column, data) for column, data in tallies]
        self._connection.executemany("INSERT INTO tally VALUES (?, ?)", kept)

    def _tallies_of(self, number: int) -> list[tuple[int, bytes]]:
        base = number * COLUMNS
        sql = "SELECT id - ?, data FROM tally WHERE id >= ? AND id < ?"
        return self._connection.execute(sql, (base, base, base + COLUMNS)).fetchall()


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
