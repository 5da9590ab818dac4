"""How commands print: tables for people, JSON for programs, and nothing a terminal would obey."""

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import click
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tapwarden.agent.cli.group import printable
from tapwarden.agent.plain import plain

PIPED_COLUMNS = 240
"""Width of tables that no terminal shows: what reads them wants a row in a line."""


def console(*, stderr: bool = False) -> Console:
    """A rich console that interprets no markup: what it prints may come from the network."""
    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    width = PIPED_COLUMNS if piped else None
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=piped, width=width)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(plain(value), ensure_ascii=True))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """A table; ``empty`` is said instead when there are no rows."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # An identifier is copied: it stays in one piece, whatever else has to be folded for it.
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    if table.row_count:
        console().print(table)
    else:
        click.echo(empty)


def show(rows: Mapping[str, str], *, title: str) -> None:
    """What a long-running command has to say, on standard error: a panel on a terminal, else a line for each row."""
    if sys.stderr.isatty():
        grid = Table.grid(padding=(0, 2))
        for name, value in rows.items():
            grid.add_row(Text(name, style="bold"), cell(value))
        console(stderr=True).print(Panel(grid, title=title, expand=False))
    else:
        for name, value in rows.items():
            click.echo(f"{name}: {printable(value, keep_newlines=False)}", err=True)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Name and value, one a line; empty ones left out."""
    grid = Table.grid(padding=(0, 2))
    for name, value in fields.items():
        if value not in (None, "", (), []):
            grid.add_row(Text(name, style="bold"), cell(value))
    console().print(grid)


def cell(value: Any) -> Text:
    """A value as escaped text."""
    if isinstance(value, datetime):
        value = when(value)
    elif isinstance(value, Enum):
        value = value.value
    elif isinstance(value, (list, tuple)):
        value = ", ".join(str(item) for item in value)
    return Text(printable(str(value), keep_newlines=False))


def when(moment: datetime) -> str:
    """A time for people: UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


class _Escaped(logging.Formatter):
    """Log lines are one line each and carry no control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), keep_newlines=bool(record.exc_info))


def set_up_logging(verbose: int) -> None:
    """Log to standard error: what operators need; with ``-v`` details, with ``-vv`` everything."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(_Escaped("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=logging.DEBUG if verbose > 1 else logging.INFO, handlers=[stream], force=True)
    if verbose < 2:
        for noisy in ("apscheduler", "elastic_transport", "httpx", "httpcore", "uvicorn.error", "scapy", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
