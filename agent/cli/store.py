"""``tapwarden store``: what is kept on this host, how long there is room for it, what waits, what was lost."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from tapwarden.agent import keeping
from tapwarden.agent.cli.group import Group, printable
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import configured, invocation, session
from tapwarden.agent.config.quantity import format_size
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.agent.store.embedded.convert import convert as take_over
from tapwarden.agent.store.embedded.convert import old_files
from tapwarden.agent.store.retention import Kept
from tapwarden.model.event import StoreStatus


@click.group(cls=Group)
def store() -> None:
    """Events, evidence, logs and the spool: what is kept on this host."""


@store.command()
def status() -> None:
    """Show what is kept, for how long it is to be kept, and for how long there is room."""
    asked = invocation()
    config, layout = configured(asked)
    with session() as parts:
        events = parts.events.status()
    kept = keeping.examine(config, layout, datetime.now(UTC))
    lines = [_line(kind, kept) for kind in sorted(Kept, reverse=True)]
    if asked.as_json:
        print_json(_document(events, kept, lines))
        return
    print_fields(
        {
            "store": events.backend,
            "events": f"{events.events:,}",
            "from": events.oldest,
            "to": events.newest,
            "kept": format_size(kept.octets),
            "at most": format_size(kept.limits.max_octets) if kept.limits.max_octets else "what the disk has",
            "disk": f"{format_size(kept.free_octets)} of {format_size(kept.disk_octets)} free,"
            f" {format_size(kept.limits.min_free_octets)} are left free",
            "writable": "yes" if events.writable else "NO",
            "problem": events.problem,
        }
    )
    click.echo()
    columns = ("kept", "files", "size", "oldest", "a day", "to be kept", "room for")
    print_table(columns, (_row(line) for line in lines if line["files"] or line["wanted_days"]), empty="")
    for warning in kept.warnings:
        click.secho(f"WARNING: {printable(warning)}", fg="red", bold=True)


@store.command()
def convert() -> None:
    """Take over event files that an earlier version made. Stop what stores events first."""
    config, layout = configured(invocation())
    with session() as parts:
        if not isinstance(parts.events, EmbeddedEventStore):
            raise click.UsageError("only the embedded store has files")
        files = old_files(layout.state(config.store.path))
        for path in files:
            events, damaged = take_over(path, parts.events)
            click.echo(f"{path.name}: {events:,} events" + (f", {damaged} damaged blocks" if damaged else ""))
    if not files:
        click.echo("nothing to convert")


def _line(kind: Kept, kept: keeping.Keeping) -> Mapping[str, Any]:
    holdings = [one for one in kept.holdings if one.kept is kind]
    expected, wanted = kept.forecasts.get(kind), kept.limits.ages.get(kind)
    oldest = min((one.day for one in holdings if one.day), default=None)
    return {
        "kept": kind.name.lower(),
        "files": len(holdings),
        "octets": sum(one.octets for one in holdings),
        "oldest": oldest.isoformat() if oldest else None,
        "octets_a_day": round(expected.octets_a_day) if expected else None,
        "wanted_days": wanted.total_seconds() / 86_400 if wanted else None,
        "room_days": round(expected.days, 1) if expected else None,
    }


def _row(line: Mapping[str, Any]) -> tuple[str, ...]:
    wanted, room, a_day = line["wanted_days"], line["room_days"], line["octets_a_day"]
    return (
        line["kept"],
        f"{line['files']:,}",
        format_size(line["octets"]),
        line["oldest"] or "",
        "" if a_day is None else format_size(a_day),
        "" if wanted is None else f"{wanted:.0f} days",
        "" if room is None else f"{room:.0f} days",
    )


def _document(events: StoreStatus, kept: keeping.Keeping, lines: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {
        "events": events,
        "kept": lines,
        "octets": kept.octets,
        "max_octets": kept.limits.max_octets,
        "disk": {
            "octets": kept.disk_octets,
            "free_octets": kept.free_octets,
            "min_free_octets": kept.limits.min_free_octets,
        },
        "warnings": kept.warnings,
    }
