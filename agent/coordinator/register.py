"""The register of received reports: durable before the receipt is given."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from tapwarden.model.errors import StoreError

metadata = MetaData()
received = Table(
    "received",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("agent", String, nullable=False),
    Column("report_id", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("received_at", String(32), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("received_once", "agent", "report_id", unique=True),
    sqlite_autoincrement=True,  # a receipt number is never given twice
)


@dataclass(frozen=True, slots=True)
class Received:
    """A received report; ``content`` is as it was sent. ``revision`` counts different contents under one id."""

    number: int
    agent: str
    report_id: str
    stage: str
    received_at: datetime
    revision: int
    content: bytes

    @property
    def receipt(self) -> str:
        """The receipt's number as it is given out."""
        return f"TW-{self.received_at:%Y}-{self.number:06d}"


class Register:
    """Reports in one SQLite file. Raises StoreError when it cannot be opened."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise StoreError(f"cannot make {path.parent}: {error.strerror}") from error
        self._engine = create_engine(f"sqlite:///{path}")

        @event.listens_for(self._engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}").close()

        @event.listens_for(self._engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        try:
            metadata.create_all(self._engine)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise StoreError(f"cannot open the register {path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def receive(self, agent: str, report_id: str, stage: str, content: bytes, now: datetime) -> tuple[Received, bool]:
        """Keep a report; (it, whether it is new). The same id again: the first receipt, the last content."""
        digest = hashlib.sha256(content).hexdigest()
        mine = (received.c.agent == agent) & (received.c.report_id == report_id)
        with self._engine.begin() as connection:
            row = connection.execute(select(received).where(mine)).one_or_none()
            if row is None:
                values = {
                    "agent": agent,
                    "report_id": report_id,
                    "stage": stage,
                    "received_at": now.astimezone(UTC).isoformat(),
                    "revision": 1,
                    "digest": digest,
                    "content": content,
                }
                connection.execute(insert(received).values(values))
            elif row.digest != digest:
                changes = {"revision": row.revision + 1, "digest": digest, "content": content, "stage": stage}
                connection.execute(update(received).where(mine).values(changes))
            kept = connection.execute(select(received).where(mine)).one()
        return _received(kept), row is None

    def reports(self, *, agent: str = "", limit: int = 100) -> Sequence[Received]:
        """Newest first; of one agent if named."""
        statement = select(received).order_by(received.c.number.desc()).limit(limit)
        if agent:
            statement = statement.where(received.c.agent == agent)
        with self._engine.connect() as connection:
            return [_received(row) for row in connection.execute(statement)]


def _received(row: Any) -> Received:
    moment = datetime.fromisoformat(row.received_at)
    return Received(row.number, row.agent, row.report_id, row.stage, moment, row.revision, row.content)
