"""The audit trail: each record's hash covers the one before it, so that no past record can be changed unseen.

The head (last number and hash) is kept beside the records: it serialises writers in every database, and it makes
records cut off at the end visible. Whoever can rewrite the whole table can rewrite the head; an outside anchor (the
head sent to somebody else now and then) is what protects against that.
"""

import hashlib
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update

from tapwarden.agent.store.cases.columns import storable
from tapwarden.agent.store.cases.tables import audit, audit_head
from tapwarden.model.decision import AuditRecord

GENESIS = "0" * 64
"""What the first record names as its predecessor."""


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


def append(
    connection: Connection, *, actor: str, verb: str, subject: str, detail: str = "", at: datetime
) -> AuditRecord:
    """Add a record in the connection's transaction; holds the head's lock until that ends."""
    head = connection.execute(select(audit_head).with_for_update()).one()
    record = AuditRecord(
        seq=head.seq + 1,
        at=at.astimezone(UTC),
        actor=storable(actor),
        verb=storable(verb),
        subject=storable(subject),
        detail=storable(detail),
        previous=head.hash,
        hash="",
    )
    record = replace(record, hash=record_hash(record))
    connection.execute(insert(audit).values(asdict(record)))
    connection.execute(update(audit_head).values(seq=record.seq, hash=record.hash))
    return record


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
    return None
