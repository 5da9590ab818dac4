"""Opening the database: connection settings of each kind, and bringing its tables up to date."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from tapwarden.agent.store.cases.people import make_tables
from tapwarden.model.errors import StoreError

BUSY_TIMEOUT_MS = 10_000
"""How long a writer waits for another process's transaction; ours last milliseconds."""

WRITES = "tapwarden_writes"
"""Execution option of connections that write: SQLite takes its write lock at BEGIN, never half-way (no deadlock)."""

_MIGRATION_LOCK = 0x7461707761726465
"""Any number of our own for PostgreSQL's advisory lock: managers that start together migrate once ("tapwarde")."""


def open_database(url: str) -> Engine:
    """An engine on an up-to-date database, made when it does not exist. Raises StoreError."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        engine = create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    elif parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed)
    else:
        raise StoreError(f"cases are kept in sqlite or postgresql, not in {parsed.get_backend_name()}")
    try:
        with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
            migrate(connection)
            make_tables(connection)
    except SQLAlchemyError as error:
        engine.dispose()
        raise StoreError(f"cannot open the case store {parsed.render_as_string()}: {error}") from error
    except StoreError:
        engine.dispose()
        raise
    return engine


def keys_file(cases: str | None) -> str:
    """Where the keys of names in the audit trail are: ``cases-subjects.db`` beside ``cases.db``."""
    path = Path(cases or "")
    return str(path.with_name(f"{path.stem}-subjects{path.suffix or '.db'}"))


def migrate(connection: Connection) -> None:
    """Bring the tables up to date in the connection's transaction: all of it or nothing."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    current = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(config)
    if current == scripts.get_current_head():
        return
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the case store was made by a newer Tapwarden (revision {current}): {error}") from error


def _write_ahead(cursor: Any, schema: str = "main") -> None:
    """Switch the file to its write-ahead log, once in its life; SQLite itself does not wait for others here."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute(f"PRAGMA {schema}.journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise StoreError("cases are never kept in memory only: name a file")
    try:
        # password hashes are in it: nobody else reads it, whatever the umask
        for path in (url.database, keys_file(url.database)):
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open the case store {url.database}: {error.strerror}") from error
    engine = create_engine(url, pool_size=8, max_overflow=24)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours, below: the driver's own would start transactions too late
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _write_ahead(cursor)
        # The keys of names in the audit trail are apart; what is deleted there leaves nothing in the file.
        cursor.execute("ATTACH DATABASE ? AS subjects", (keys_file(url.database),))
        _write_ahead(cursor, "subjects")
        cursor.execute("PRAGMA subjects.secure_delete=ON")
        cursor.execute("PRAGMA synchronous=FULL")  # a commit is on the disk: cases are never lost
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
