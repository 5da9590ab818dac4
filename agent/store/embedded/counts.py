"""Counts over one partition: from what was counted as events were stored where that will do, else from its blocks."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from tapwarden.agent.store.embedded import layout
from tapwarden.agent.store.embedded.blocks import Selection, Span
from tapwarden.agent.store.embedded.core import core
from tapwarden.agent.store.embedded.layout import COLUMNS
from tapwarden.agent.store.embedded.question import text_of
from tapwarden.model.event import EventQuery

EVER_MINUTES = 1 << 36
"""More minutes than there are: one stretch for all of time."""

Damage = Callable[[str, int], None]
"""Called with a partition and the number of a block that is damaged."""


def by_minute(query: EventQuery) -> bool:
    """Whether the query is about time and type alone, which are counted as events are stored."""
    return query == EventQuery(since=query.since, until=query.until, kinds=query.kinds)


def add(
    summary: core.EventSummary,
    asked: core.EventFilter,
    query: EventQuery,
    damage: Damage,
    partition: str,
    connection: sqlite3.Connection,
) -> None:
    """Count the partition's matching events."""
    span = layout.span(query.since, query.until, partition)
    tallied: frozenset[int] = frozenset()
    if by_minute(query):
        tallied = _add_tallies(summary, query.kinds, span, damage, partition, connection)
    _add_blocks(summary, asked, span, tallied, damage, partition, connection)


def _add_tallies(
    summary: core.EventSummary,
    kinds: Sequence[str],
    span: Span,
    damage: Damage,
    partition: str,
    connection: sqlite3.Connection,
) -> frozenset[int]:
    """Count whole runs of blocks; which."""
    column = summary.tallied
    if column is None or span[0] >= span[1]:
        return frozenset()
    counted = set()
    sql = f"SELECT run.id, data FROM run JOIN tally ON tally.id = run.id * {COLUMNS} + ? WHERE first >= ? AND last <= ?"
    for run, data in connection.execute(sql, (column, span[0], span[1] - 1)):
        try:
            summary.add_tally(data, [text_of(kind) for kind in kinds])
        except core.DamagedBlock:
            damage(partition, -run)  # its blocks are counted one by one
        else:
            counted.add(run)
    return frozenset(counted)


def _add_blocks(
    summary: core.EventSummary,
    asked: core.EventFilter,
    span: Span,
    tallied: frozenset[int],
    damage: Damage,
    partition: str,
    connection: sqlite3.Connection,
) -> None:
    selection = Selection(connection, asked, span, summary.columns)
    since_us, unit_us = layout.since_us(partition), layout.unit_us(partition)
    for block in selection.blocks():
        if block.run in tallied:
            continue
        try:
            if not selection.possible(block):
                continue
            stretch = summary.stretch(block.first, block.last, since_us, unit_us)
            pieces, cut = selection.pieces(block, filter_only=stretch is not None)
            if stretch is None:
                summary.add(asked, pieces, block.rows, cut, since_us, unit_us)
            else:
                summary.add_in(asked, pieces, block.rows, cut, stretch)
        except core.DamagedBlock:
            damage(partition, block.id)


def buckets(
    query: EventQuery,
    each: int,
    asked: core.EventFilter,
    damage: Damage,
    partition: str,
    connection: sqlite3.Connection,
) -> Iterable[tuple[int, int]]:
    """Counts by stretches of ``each`` minutes since 1970: (which, how many events), of a query ``by_minute``."""
    kinds = _kinds(query, connection)
    if kinds is None:
        return []
    per_minute = 60_000_000 // layout.unit_us(partition)
    since = int(layout.beginning(partition).timestamp()) // 60
    whole, edges = _cut(_range(query, partition, connection), per_minute << layout.HASH_BITS)
    sql = f"SELECT (minute + {since}) / {each}, sum(n) FROM minute WHERE minute >= ? AND minute < ?{kinds} GROUP BY 1"
    counted = Counter(dict(connection.execute(sql, whole).fetchall()))
    for edge in edges:
        summary = core.EventSummary("stretches", interval_us=min(each, EVER_MINUTES) * 60_000_000)
        _add_blocks(summary, asked, edge, frozenset(), damage, partition, connection)
        counted.update(dict(summary.stretches()))
    return counted.items()


def note(counts: Iterable[tuple[str, int, int]], connection: sqlite3.Connection) -> None:
    """Add to the counts by type and minute."""
    ids: dict[str, int] = {}
    for kind in {kind for kind, _, _ in counts}:
        connection.execute("INSERT INTO kind (text) VALUES (?) ON CONFLICT DO NOTHING", (kind,))
        (ids[kind],) = connection.execute("SELECT id FROM kind WHERE text = ?", (kind,)).fetchone()
    connection.executemany(
        "INSERT INTO minute VALUES (?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
        sorted((ids[kind], minute, count) for kind, minute, count in counts),
    )


def tally(connection: sqlite3.Connection) -> tuple[int, int | None, int | None]:
    """How many events there are, the lowest and the highest number."""
    row: tuple[int, int | None, int | None] = connection.execute(
        "SELECT coalesce(sum(rows), 0), min(first), max(last) FROM block"
    ).fetchone()
    return row


def _kinds(query: EventQuery, connection: sqlite3.Connection) -> str | None:
    """The types as a condition; None when the partition has none of them."""
    if not query.kinds:
        return ""
    marks = ",".join("?" * len(query.kinds))
    texts = [text_of(kind) for kind in query.kinds]
    ids = [str(row[0]) for row in connection.execute(f"SELECT id FROM kind WHERE text IN ({marks})", texts)]
    return f" AND kind IN ({','.join(ids)})" if ids else None


def _range(query: EventQuery, partition: str, connection: sqlite3.Connection) -> Span:
    """The query's span; where all events are on one side of a bound, there is no bound."""
    _, lowest, highest = tally(connection)
    first, end = layout.span(query.since, query.until, partition)
    if lowest is None or highest is None or first > highest or end <= lowest:
        return 0, 0
    return 0 if first <= lowest else first, layout.NUMBER_END if end > highest else end


def _cut(span: Span, step: int) -> tuple[tuple[int, int], list[Span]]:
    """Whole steps (first, end) and the parts of steps before and behind them as numbers."""
    first, end = span
    low, high = -(-first // step), end // step if end < layout.NUMBER_END else (layout.NUMBER_END - 1) // step + 1
    if low > high:
        return (0, 0), [span]
    edges = [(first, low * step), (high * step, end)]
    return (low, high), [(begin, until) for begin, until in edges if begin < until]
