"""Counts kept up to date as events are stored, so that what the dashboard shows of a day needs no look at events.

``minute``: events by type and minute. ``hourly``: events by type, hour and the value of a field. Questions about time
and type alone are answered from these, and from the events of the part of a minute or an hour at either end.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import repeat

from tapwarden.agent.store.embedded import layout
from tapwarden.agent.store.embedded.columns import Term, word
from tapwarden.model.event import EventQuery

NUMBER_END = (1 << 63) - 1
MINUTES_PER_HOUR = 60

FIELDS = {"src_ip": 1, "dest_ip": 2, "dest_port": 3, "sid": 4, "signature": 5, "app_proto": 6, "sensor": 7, "domain": 8}
"""Numbers in the files: never change them."""

COLUMNS = {
    "src_ip": ("src", 4),
    "dest_ip": ("dest", 5),
    "dest_port": ("dest_port", 7),
    "sid": ("sid", 8),
    "signature": ("signature", 9),
    "app_proto": ("app_proto", 10),
    "sensor": ("sensor", 11),
}
"""By field: its column of the table ``event``, and its place in a row of it."""

TEXTS = {
    "src_ip": ("address", "key"),
    "dest_ip": ("address", "key"),
    "signature": ("word", "text"),
    "app_proto": ("word", "text"),
    "sensor": ("word", "text"),
    "domain": ("name", "value"),
    "event_type": ("word", "text"),
}
"""Where the numbers of these fields' values stand for texts."""

Record = Sequence[int | None]


class Rollup:
    """The counts of one append."""

    def __init__(self, unit_us: int) -> None:
        self._shift = layout.HASH_BITS
        self._per_minute = 60_000_000 // unit_us
        self.domains: list[tuple[int | None, int, int]] = []
        self._minutes: Counter[tuple[int | None, int]] = Counter()
        self._values: Counter[tuple[int, int | None, int | None, int]] = Counter()

    def add(self, records: Sequence[Record]) -> None:
        """Count rows of ``event``, and ``domains`` (type, name, number)."""
        shift, per_minute, per_hour = self._shift, self._per_minute, self._per_minute * MINUTES_PER_HOUR
        times = [(record[0] or 0) >> shift for record in records]
        kinds = [record[3] for record in records]
        hours = [time // per_hour for time in times]
        self._minutes.update(zip(kinds, [time // per_minute for time in times], strict=True))
        for name, (_, place) in COLUMNS.items():
            values = [record[place] for record in records]
            self._values.update(zip(repeat(FIELDS[name]), values, kinds, hours, strict=False))
        field = FIELDS["domain"]
        self._values.update([(field, name, kind, (at >> shift) // per_hour) for kind, name, at in self.domains])

    def write(self, connection: sqlite3.Connection) -> None:
        """Add the counts to the files'."""
        connection.executemany(
            "INSERT INTO minute VALUES (?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            sorted((*key, count) for key, count in self._minutes.items()),
        )
        connection.executemany(
            "INSERT INTO hourly VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            sorted((*key, count) for key, count in self._values.items() if key[1] is not None),
        )


def answers(query: EventQuery) -> bool:
    """Whether the query is about time and type alone."""
    return query == EventQuery(since=query.since, until=query.until, kinds=query.kinds)


def ranks(query: EventQuery, field: str) -> bool:
    """Whether ``ranked`` can answer."""
    return answers(query) and field in FIELDS


def buckets(query: EventQuery, each: int, partition: str, connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Counts by stretches of ``each`` minutes since 1970: (which, how many events)."""
    kinds = _kinds(query, connection)
    if kinds is None:
        return []
    per_minute = 60_000_000 // layout.unit_us(partition)
    since = int(layout.beginning(partition).timestamp()) // 60
    first, end = _range(query, partition, connection)
    whole, edges = _cut(first, end, per_minute << layout.HASH_BITS)
    sql = f"SELECT (minute + {since}) / {each}, sum(n) FROM minute WHERE minute >= ? AND minute < ?{kinds} GROUP BY 1"
    counted = Counter(dict(connection.execute(sql, whole).fetchall()))
    which = f"((seq >> {layout.HASH_BITS}) / {per_minute} + {since}) / {each}"
    sql = f"SELECT {which}, count(*) FROM event WHERE seq >= ? AND seq < ?{kinds} GROUP BY 1"
    for edge in edges:
        counted.update(dict(connection.execute(sql, edge).fetchall()))
    return list(counted.items())


def ranked(
    query: EventQuery, field: str, most: int, partition: str, connection: sqlite3.Connection
) -> list[tuple[object, int]]:
    """Values of a field as they are kept, and how many events have them; the ``most`` frequent (negative: rarest)."""
    kinds = _kinds(query, connection)
    if kinds is None:
        return []
    per_hour = MINUTES_PER_HOUR * 60_000_000 // layout.unit_us(partition)
    first, end = _range(query, partition, connection)
    whole, edges = _cut(first, end, per_hour << layout.HASH_BITS)
    order = f"ORDER BY n {'DESC' if most > 0 else 'ASC'} LIMIT {abs(most)}"
    counts = (
        f"SELECT value AS v, sum(n) AS n FROM hourly WHERE field = ? AND hour >= ? AND hour < ?{kinds} GROUP BY value"
    )
    values: list[int] = [FIELDS[field], *whole]
    if edges:
        part = f"{_edge_sql(field, kinds)} GROUP BY v"
        counts = " UNION ALL ".join([counts, *(part for _ in edges)])
        counts = f"SELECT v, sum(n) AS n FROM ({counts}) GROUP BY v"
        values += [number for edge in edges for number in edge]
    if field in TEXTS:
        table, text = TEXTS[field]
        counts = f"SELECT {text}, n FROM (SELECT v, n FROM ({counts}) {order}) JOIN {table} ON id = v"
    else:
        counts = f"{counts} {order}"
    return connection.execute(counts, values).fetchall()


def _edge_sql(field: str, kinds: str) -> str:
    """The values of a field in a part of an hour, from the events themselves."""
    if field in COLUMNS:
        column = COLUMNS[field][0]
        return (
            f"SELECT {column} AS v, count(*) AS n FROM event WHERE seq >= ? AND seq < ? AND {column} IS NOT NULL{kinds}"
        )
    of_kind = f" AND event IN (SELECT seq FROM event WHERE seq = term.event{kinds})" if kinds else ""
    names = f"SELECT id FROM name WHERE field = {int(Term.DOMAIN)}"
    return f"SELECT name AS v, count(*) AS n FROM term WHERE event >= ? AND event < ? AND name IN ({names}){of_kind}"


def _kinds(query: EventQuery, connection: sqlite3.Connection) -> str | None:
    """The types as a condition; None when the partition has none of them."""
    if not query.kinds:
        return ""
    marks = ",".join("?" * len(query.kinds))
    texts = [word(kind) or "" for kind in query.kinds]
    ids = [str(row[0]) for row in connection.execute(f"SELECT id FROM word WHERE text IN ({marks})", texts)]
    return f" AND kind IN ({','.join(ids)})" if ids else None


def _range(query: EventQuery, partition: str, connection: sqlite3.Connection) -> tuple[int, int]:
    """First number and the one behind the last; where all events are on one side of a bound, there is no bound."""
    lowest, highest = connection.execute("SELECT min(seq), max(seq) FROM event").fetchone()
    first = 0 if query.since is None else max(layout.first_number(query.since, partition), 0)
    end = NUMBER_END if query.until is None else min(layout.first_number(query.until, partition), NUMBER_END)
    if lowest is None or first > highest or end <= lowest:
        return 0, 0
    return 0 if first <= lowest else first, NUMBER_END if end > highest else end


def _cut(first: int, end: int, step: int) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Whole steps (first, end) and the parts of steps before and behind them as numbers."""
    low, high = -(-first // step), end // step if end < NUMBER_END else NUMBER_END // step + 1
    if low > high:
        return (0, 0), [(first, end)]
    edges = [(first, low * step), (high * step, end)]
    return (low, high), [(begin, until) for begin, until in edges if begin < until]
