"""EventQuery as SQL over one partition."""

import ipaddress
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from tapwarden.agent.store.embedded.columns import (
    Term,
    address_key,
    community_key,
    domain_key,
    network_range,
    print_key,
    url_key,
    whole,
    word,
)
from tapwarden.agent.store.embedded.layout import STRETCHES, first_number
from tapwarden.model.event import EventQuery


@dataclass
class Condition:
    """A condition on the table ``event``."""

    terms: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, term: str, *values: Any) -> None:
        """One more thing that has to hold."""
        self.terms.append(term)
        self.values.extend(values)

    @property
    def sql(self) -> str:
        """FROM and WHERE."""
        return "FROM event" + (f" WHERE {' AND '.join(self.terms)}" if self.terms else "")


def condition(query: EventQuery, partition: str, connection: sqlite3.Connection) -> Condition | None:
    """The query as a condition on this partition's rows; None when nothing in it can match.

    Texts are looked up in the partition's dictionaries first. Raises ValueError for an address that is none.
    """
    found = Condition()
    if query.until is not None and first_number(query.until, partition) <= 0:
        return None
    for sides, text in (("src dest", query.address), ("src", query.src_ip), ("dest", query.dest_ip)):
        if text and not _address(found, sides.split(), text, connection):
            return None
    if query.kinds and not _words(found, "kind", query.kinds, connection):
        return None
    if query.sensor and not _words(found, "sensor", (query.sensor,), connection):
        return None
    if query.sid is not None:
        found.add("sid = ?", whole(query.sid))
    if query.flow_id is not None:
        found.add(f"{STRETCHES} AND flow_id = ?", whole(query.flow_id))
    if query.community_id:
        found.add(f"{STRETCHES} AND community_id = ?", community_key(query.community_id))
    if query.port is not None:
        found.add("(src_port = ? OR dest_port = ?)", whole(query.port), whole(query.port))
    if query.signature:
        found.add("signature IN (SELECT id FROM word WHERE text LIKE ? ESCAPE '!')", _contains(query.signature))
    _times(found, query, partition)
    _terms(found, query)
    if query.text:
        found.add("record_has(block, slot, ?)", query.text.encode("utf-8", "replace").lower())
    return found


def _times(found: Condition, query: EventQuery, partition: str) -> None:
    if query.since is not None:
        found.add("seq >= ?", min(max(first_number(query.since, partition), 0), (1 << 63) - 1))
    if query.until is not None:
        found.add("seq < ?", min(first_number(query.until, partition), (1 << 63) - 1))


def _terms(found: Condition, query: EventQuery) -> None:
    listed = "seq IN (SELECT event FROM term WHERE name IN (SELECT id FROM name WHERE field = ? AND "
    printed = "seq IN (SELECT event FROM print WHERE value = ?)"
    if query.domain:
        key = domain_key(query.domain)
        found.add(listed + "value >= ? AND value < ?))", Term.DOMAIN, key, key[:-1] + "/")  # "/" follows "."
    if query.url:
        found.add(listed + "value LIKE ? ESCAPE '!'))", Term.URL, _contains(url_key(query.url)))
    if query.file_hash:
        found.add(printed, print_key(Term.FILE_HASH, query.file_hash.lower()))
    if query.ja:
        found.add(printed, print_key(Term.JA, query.ja.lower()))


def _contains(text: str) -> str:
    escaped = text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{word(escaped) or ''}%"


def _words(found: Condition, column: str, texts: tuple[str, ...], connection: sqlite3.Connection) -> bool:
    marks = ",".join("?" * len(texts))
    chosen = [word(text) or "" for text in texts]
    ids = [row[0] for row in connection.execute(f"SELECT id FROM word WHERE text IN ({marks})", chosen)]
    if ids:
        found.add(f"{column} IN ({','.join(map(str, ids))})")
    return bool(ids)


def _address(found: Condition, sides: list[str], text: str, connection: sqlite3.Connection) -> bool:
    if "/" in text:
        try:
            first, last = network_range(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is no network: {error}") from error
        inside = "IN (SELECT id FROM address WHERE key BETWEEN ? AND ?)"
        found.add("(" + " OR ".join(f"{side} {inside}" for side in sides) + ")", *(first, last) * len(sides))
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: {error}") from error
    row = connection.execute("SELECT id FROM address WHERE key = ?", (address_key(text),)).fetchone()
    if row is not None:
        found.add("(" + " OR ".join(f"{side} = ?" for side in sides) + ")", *row * len(sides))
    return row is not None
