"""The audit trail: each record's hash covers the one before it, so that no past record can be changed unseen.

The head (last number and hash) is kept beside the records: it serialises writers in every database, and it makes
records cut off at the end visible. Whoever can rewrite the whole table can rewrite the head; an outside anchor (the
head sent to somebody else now and then) is what protects against that.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from tapwarden.agent.store.cases.columns import storable
from tapwarden.agent.store.cases.people import People, unmasked
from tapwarden.agent.store.cases.tables import audit, audit_head
from tapwarden.model.decision import AuditRecord

ERASURE = "person.erase"
"""The verb of the record that says a key was destroyed; one destroyed without such a record is a misfit."""

GENESIS = "0" * 64
"""What the first record names as its predecessor."""

_COLUMNS = tuple(field.name for field in fields(AuditRecord))
_HEAD = select(audit_head).with_for_update()
_RECORD = insert(audit)
_MOVE = update(audit_head).values(seq=bindparam("last"), hash=bindparam("sum"))


def record_hash(record: AuditRecord) -> str:
    """SHA-256 hex of all but the hash, as canonical JSON.

    RFC 8785; the values are integers and strings only, so sorting the keys is all it takes.
    """
    covered = {
        "seq": record.seq,
        "at": record.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": record.actor,
        "verb": record.verb,
        "subject": record.subject,
        "detail": record.detail,
        "previous": record.previous,
    }
    canonical = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class Chain:
    """The records of one transaction: linked as they come, written together by ``flush`` before it commits.

    Holds the head's lock until the transaction ends.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        head = connection.execute(_HEAD).one()
        self._seq, self._hash = head.seq, head.hash
        self._waiting: list[AuditRecord] = []
        self.people = People(connection)

    def append(self, *, actor: str, verb: str, subject: str, detail: str = "", at: datetime) -> AuditRecord:
        """Add a record. It is written with tokens for people; what is returned has their names."""
        actor, subject, detail = storable(actor), storable(subject), storable(detail)
        names = _names(actor, subject)
        mask = self.people.mask
        bare = AuditRecord(
            seq=self._seq + 1,
            at=at.astimezone(UTC),
            actor=mask(actor, *names),
            verb=storable(verb),
            subject=mask(subject, *names),
            detail=mask(detail, *names),
            previous=self._hash,
            hash="",
        )
        record = replace(bare, hash=record_hash(bare))
        self._seq, self._hash = record.seq, record.hash
        self._waiting.append(record)
        return replace(record, actor=actor, subject=subject, detail=detail)

    def flush(self) -> None:
        """Write what was added since the last time: one statement for all of it, and one for the head."""
        if not self._waiting:
            return
        self.people.flush()
        self._connection.execute(_RECORD, [_row(record) for record in self._waiting])
        self._connection.execute(_MOVE, {"last": self._seq, "sum": self._hash})
        self._waiting.clear()


def _names(actor: str, subject: str) -> tuple[str, ...]:
    """Who a record names beyond mailboxes and addresses: its actor, unless that is a policy, and ``user:NAME``."""
    named = (actor if ":" not in actor else "", subject.removeprefix("user:") if subject.startswith("user:") else "")
    return tuple(name for name in named if name)


def masked_subject(connection: Connection, subject: str) -> str:
    """How records of a subject have it."""
    return People(connection).known(subject, *_names("", subject))


def readable(connection: Connection, records: Sequence[AuditRecord]) -> list[AuditRecord]:
    """The records with names in place of tokens; those whose key was destroyed are ``[erased]``."""
    names = People(connection).reveal(
        text for one in records for text in (one.actor, one.subject, one.detail) if "{person:" in text
    )
    if not names:
        return list(records)
    return [
        replace(
            one,
            actor=unmasked(one.actor, names),
            subject=unmasked(one.subject, names),
            detail=unmasked(one.detail, names),
        )
        for one in records
    ]


def count_naming(connection: Connection, text: str) -> int:
    """How many records have this text in them, as they are stored."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    columns = (audit.c.actor, audit.c.subject, audit.c.detail)
    named = or_(*(column.like(f"%{escaped}%", escape="\\") for column in columns))
    return int(connection.execute(select(func.count()).select_from(audit).where(named)).scalar_one())


def _row(record: AuditRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _COLUMNS}


def first_misfit(connection: Connection) -> int | None:
    """The number of the first record that was changed, is missing or follows no predecessor; None when all fit."""
    head = connection.execute(select(audit_head)).one_or_none()
    seq, previous = 0, GENESIS
    # up to the head as read first: records that others append meanwhile are theirs to link
    statement = select(audit).where(audit.c.seq <= (head.seq if head else 0)).order_by(audit.c.seq)
    with connection.execution_options(yield_per=1000).execute(statement) as rows:
        for row in rows:
            seq += 1
            record = AuditRecord(**row._mapping)
            if record.seq != seq or record.previous != previous or record.hash != record_hash(record):
                return seq
            previous = record.hash
    if head is None or (head.seq, head.hash) != (seq, previous):
        return seq + 1
    people = People(connection)
    told = select(audit.c.subject).where(audit.c.verb == ERASURE)
    erased = {subject.removeprefix("person:") for subject in connection.execute(told).scalars()}
    return first_naming(connection, [*people.changed(), *(people.keyless() - erased)])


def first_naming(connection: Connection, tokens: Iterable[str]) -> int | None:
    """The number of the first record with one of these tokens; None where none has."""
    found = []
    for token in tokens:
        pattern = f"%{{person:{token}}}%"
        columns = (audit.c.actor, audit.c.subject, audit.c.detail)
        named = or_(*(column.like(pattern) for column in columns))
        found.append(connection.execute(select(func.min(audit.c.seq)).where(named)).scalar())
    return min((seq for seq in found if seq is not None), default=None)
