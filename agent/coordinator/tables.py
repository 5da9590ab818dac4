"""The centre's tables, in SQLite or PostgreSQL."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()
Number = BigInteger().with_variant(Integer, "sqlite")
MOMENT = String(32)
"""ISO 8601 in UTC to the microsecond, of fixed width: sorts as time does."""

received = Table(
    "received",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("agent", String, nullable=False),
    Column("report_id", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("received_at", MOMENT, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("received_once", "agent", "report_id", unique=True),
    sqlite_autoincrement=True,  # a receipt number is never given twice
)

determination = Table(
    "determination",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("number", Number, nullable=False, index=True),
    Column("state", String(20), nullable=False),
    Column("by", String, nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("reason", Text, nullable=False),
)

shelved = Table(
    "shelved",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=True),
    Column("collection", String(80), nullable=False),
    Column("id", String(128), nullable=False),
    Column("version", MOMENT, nullable=False),
    Column("added_at", MOMENT, nullable=False),
    Column("type", String(64), nullable=False),
    Column("spec_version", String(8), nullable=False),
    Column("document", Text, nullable=False),
    Index("shelved_once", "collection", "id", "version", unique=True),
    Index("shelved_added", "collection", "added_at"),
    sqlite_autoincrement=True,
)

post_status = Table(
    "post_status",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("agent", String, nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("document", Text, nullable=False),
    Index("post_status_at", "at"),
)

issued = Table(
    "issued",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("order_id", String(128), nullable=False, unique=True),
    Column("agent", String, nullable=False),
    Column("seq", Number, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("refers_to", String(128), nullable=False),
    Column("issued_at", MOMENT, nullable=False),
    Column("due_at", MOMENT, nullable=False),
    Column("issued_by", String, nullable=False),
    Column("content", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("code", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("fed_back_at", MOMENT, nullable=False),
    Column("effective_at", MOMENT, nullable=False),
    Index("issued_count", "agent", "seq", unique=True),
    Index("issued_due", "code", "due_at"),
    sqlite_autoincrement=True,
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("order_id", String(128), nullable=False, index=True),
    Column("agent", String, nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("received_at", MOMENT, nullable=False),
    Column("document", Text, nullable=False),
)

asked = Table(
    "asked",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("query_id", String(128), nullable=False, unique=True),
    Column("agent", String, nullable=False),
    Column("asked_by", String, nullable=False),
    Column("asked_at", MOMENT, nullable=False),
    Column("document", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("answered_at", MOMENT, nullable=False),
    sqlite_autoincrement=True,
)
