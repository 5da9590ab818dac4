"""Counts over one partition: the statements behind count, histogram, top lists and the status."""

import heapq
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from tapwarden.agent.store.embedded import layout
from tapwarden.agent.store.embedded.columns import Term, address_text, domain_name
from tapwarden.agent.store.embedded.query import condition
from tapwarden.model.event import EventQuery, TopEntry

COUNT_SQL = "SELECT count(*) {}"
EVER_MINUTES = 1 << 40
"""More minutes than there are: one stretch for all of time."""

TOP_MAX = 10_000
"""Values counted of one partition in ``top``; where a day has more, the rarest of them are not counted."""

RARE_MAX = 1_000_000
"""Values counted of one partition in ``rare``; where a day has more, the most frequent of them are not counted."""

TOP_SQL = {
    "src_ip": (
        "src",
        "SELECT address.key, n FROM (SELECT src AS v, count(*) AS n {} GROUP BY src) JOIN address ON id = v",
    ),
    "dest_ip": (
        "dest",
        "SELECT address.key, n FROM (SELECT dest AS v, count(*) AS n {} GROUP BY dest) JOIN address ON id = v",
    ),
    "dest_port": ("dest_port", "SELECT dest_port AS v, count(*) AS n {} GROUP BY v"),
    "sid": ("sid", "SELECT sid AS v, count(*) AS n {} GROUP BY v"),
    "domain": (
        "",
        f"SELECT value, n FROM (SELECT term.name AS v, count(*) AS n FROM term JOIN name ON id = term.name"
        f" WHERE field={int(Term.DOMAIN)} AND event IN (SELECT seq {{}}) GROUP BY v) JOIN name ON id = v",
    ),
} | {
    name: (column, f"SELECT text, n FROM (SELECT {column} AS v, count(*) AS n {{}} GROUP BY v) JOIN word ON id = v")
    for name, column in {
        "signature": "signature",
        "event_type": "kind",
        "app_proto": "app_proto",
        "sensor": "sensor",
    }.items()
}
"""By field: the column that must not be NULL (which lets its index answer), and the statement."""

SHOWN: Mapping[str, Callable[[Any], str]] = {
    "src_ip": address_text,
    "dest_ip": address_text,
    "domain": domain_name,
}
"""How values that are kept otherwise are written."""


def lines(counted: Mapping[Any, int], field: str, limit: int, *, descending: bool) -> list[TopEntry]:
    """The ``limit`` most or least frequent values as they are written; equals by their text, empty ones left out."""
    shown: Callable[[Any], str] = SHOWN.get(field, str)
    sign = -1 if descending else 1
    present = [(sign * count, value) for value, count in counted.items() if value not in {"", b"", b"t", "."}]
    if len(present) > limit:
        # only those that can be among them are written out
        bound = heapq.nsmallest(limit, (count for count, _ in present))
        present = [one for one in present if bound and one[0] <= bound[-1]]
    return [TopEntry(text, sign * count) for count, text in sorted((count, shown(value)) for count, value in present)][
        :limit
    ]


def counted(
    query: EventQuery, partition: str, sql: str, column: str, connection: sqlite3.Connection
) -> list[tuple[Any, ...]]:
    """The rows of a statement in which ``{}`` stands for the query's FROM and WHERE; those where ``column`` is NULL are
    left out."""
    where = condition(query, partition, connection)
    if where is None:
        return []
    if column:
        where.add(f"{column} IS NOT NULL")
    elif not where.terms:
        sql = sql.replace(" AND event IN (SELECT seq {})", "")  # all of them: nothing to look up
    return connection.execute(sql.replace("{}", where.sql), where.values).fetchall()


GROUPS_SQL = (
    "SELECT g.sid, word.text, s.key, d.key, n, lowest, highest FROM (SELECT sid, src, dest,"
    " max(signature) AS signature, count(*) AS n, min(seq) AS lowest, max(seq) AS highest {}"
    " GROUP BY sid, src, dest) AS g"
    " LEFT JOIN word ON word.id = g.signature"
    " LEFT JOIN address AS s ON s.id = g.src LEFT JOIN address AS d ON d.id = g.dest"
)
"""Alerts by rule, source and destination: count, lowest and highest number."""


def histogram_sql(interval_s: int) -> Callable[[str], str]:
    """By partition: counts by interval, as seconds from the partition's beginning to the interval's."""

    def sql(partition: str) -> str:
        per_second = 1_000_000 // layout.unit_us(partition)
        offset_s = int(layout.beginning(partition).timestamp()) % interval_s
        # seconds since the partition's beginning, cut to whole intervals since 1970
        seconds = f"((seq >> {layout.HASH_BITS}) / {per_second})"
        return (
            f"SELECT ({seconds} + {offset_s}) / {interval_s} * {interval_s} - {offset_s} AS s, count(*) {{}} GROUP BY s"
        )

    return sql


def tally(connection: sqlite3.Connection) -> tuple[int, int | None, int | None]:
    """How many events there are, the lowest and the highest number."""
    row: tuple[int, int | None, int | None] = connection.execute(
        "SELECT events, (SELECT min(seq) FROM event), (SELECT max(seq) FROM event) FROM tally"
    ).fetchone()
    return row
