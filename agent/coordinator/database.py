"""The centre's database: a SQLite file, or PostgreSQL by its URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tapwarden.agent.coordinator.tables import metadata
from tapwarden.model.errors import StoreError

_WRITER = 0x7461706363
"""Any number of our own for PostgreSQL's advisory lock: writers take turns, so that later is seen later."""


class Database:
    """``where``: a file, or a URL such as ``postgresql://user@host/name``. StoreError when it cannot be opened."""

    def __init__(self, where: Path | str) -> None:
        self.engine = _postgresql(str(where)) if "://" in str(where) else _sqlite(Path(where))
        try:
            metadata.create_all(self.engine)
        except SQLAlchemyError as error:
            self.engine.dispose()
            raise StoreError(f"cannot open the register {where}: {error}") from error

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; one at a time."""
        with self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITER})
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with."""
        with self.engine.connect() as connection:
            yield connection


def written(moment: datetime) -> str:
    """A time as the tables keep it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _postgresql(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError(f"{url!r} is no database URL") from error
    if parsed.get_backend_name() != "postgresql":
        raise StoreError(f"the register is kept in SQLite or PostgreSQL, not in {parsed.get_backend_name()}")
    return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)


def _sqlite(path: Path) -> Engine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise StoreError(f"cannot make {path.parent}: {error.strerror}") from error
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
