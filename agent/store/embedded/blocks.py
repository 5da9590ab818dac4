"""Blocks of one partition: which there are, and the pieces of them that a question needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tapwarden.agent.store.embedded.core import core
from tapwarden.agent.store.embedded.layout import COLUMNS, Column

Pieces = list[tuple[int, bytes]]
"""Columns and their octets; none of a column that is empty."""

Span = tuple[int, int]
"""The lowest number asked about, and the one behind the highest."""


class Block(NamedTuple):
    """What a file says of a block."""

    id: int
    first: int
    last: int
    rows: int
    run: int | None

    def cut(self, span: Span) -> Span | None:
        """The span, where only a part of the block is within."""
        return None if span[0] <= self.first and self.last < span[1] else span


def within(connection: sqlite3.Connection, span: Span) -> list[Block]:
    """Blocks that reach into the span."""
    # parameters are signed, 64 bits: the span's end may be one more
    sql = "SELECT id, first, last, rows, run FROM block WHERE last >= ? AND first <= ?"
    return [Block(*row) for row in connection.execute(sql, (span[0], span[1] - 1))] if span[0] < span[1] else []


def pieces(connection: sqlite3.Connection, block: Block, columns: Sequence[int]) -> Pieces:
    """These columns of a block."""
    if not columns:
        return []
    base = block.id * COLUMNS
    if len(columns) == 1:
        row = connection.execute("SELECT data FROM piece WHERE id = ?", (base + columns[0],)).fetchone()
        return [(columns[0], row[0] if row else b"")]
    sql = f"SELECT id, data FROM piece WHERE id IN ({','.join('?' * len(columns))})"
    found = {number - base: data for number, data in connection.execute(sql, [base + one for one in columns])}
    return [(column, found.get(column, b"")) for column in columns]


def piece(connection: sqlite3.Connection, block_id: int, column: Column) -> bytes:
    """One column of a block."""
    row = connection.execute("SELECT data FROM piece WHERE id = ?", (block_id * COLUMNS + column,)).fetchone()
    return bytes(row[0]) if row else b""


class Selection:
    """A question's blocks of a partition and the pieces that it needs of each. Methods raise DamagedBlock."""

    def __init__(
        self, connection: sqlite3.Connection, asked: core.EventFilter, span: Span, columns: Sequence[int]
    ) -> None:
        self._connection, self._asked, self._span = connection, asked, span
        self._blooms = asked.blooms
        self._columns = sorted({*asked.columns, *columns})
        self._cut_columns = sorted({*self._columns, int(Column.NUMBER)})

    def blocks(self) -> Iterator[Block]:
        """Those that reach into the span."""
        return iter(within(self._connection, self._span))

    def possible(self, block: Block) -> bool:
        """Whether a row of the block can match, by its filters."""
        if not self._blooms:
            return True
        return self._asked.possible(pieces(self._connection, block, self._blooms))

    def pieces(self, block: Block, *, filter_only: bool = False) -> tuple[Pieces, Span | None]:
        """What to ask of a block, and the span where only a part of the block is within."""
        cut = block.cut(self._span)
        columns = self._asked.columns if filter_only else self._columns
        return pieces(self._connection, block, columns if cut is None else self._cut_columns), cut
