"""``tapwarden allow``: what nothing may be done to, and which entry says so."""

from dataclasses import dataclass
from datetime import UTC, datetime

import click

from tapwarden.agent.cli.actions import target_of
from tapwarden.agent.cli.group import Failure, Group, Partial, Refused
from tapwarden.agent.cli.output import print_json, print_table
from tapwarden.agent.cli.session import configured, invocation, person, session
from tapwarden.agent.composition import allow_list_of, guard_of
from tapwarden.mitigation.plan import proposed


@dataclass(frozen=True, slots=True)
class Checked:
    """One target: whether it may be hit, else why not and which entry says so."""

    target: str
    allowed: bool
    reason: str = ""
    entry: str = ""


@click.group(cls=Group)
def allow() -> None:
    """The never-block list, with this host's own addresses, gateways, resolvers and coordinator."""


@allow.command()
@click.argument("targets", nargs=-1, required=True)
def check(targets: tuple[str, ...]) -> None:
    """Say whether something may be done to TARGETS, and which entry forbids it. Exit code 4 where one does."""
    config, layout = configured(invocation())
    guard, now = guard_of(config, layout)(), datetime.now(UTC)
    found = []
    for text in targets:
        refusal = guard.check_target(proposed(target_of(text), now))
        found.append(Checked(text, False, refusal.message, refusal.entry) if refusal else Checked(text, True))
    if invocation().as_json:
        print_json(found)
    else:
        rows = [(one.target, "may be hit" if one.allowed else "protected", one.reason, one.entry) for one in found]
        print_table(["target", "", "why", "entry"], rows, empty="")
    protected = [one for one in found if not one.allowed]
    if protected:
        raise Refused(f"{len(protected)} of {len(found)} may not be hit: {protected[0].entry}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One protected entry and where it comes from."""

    entry: str
    origin: str
    note: str = ""


@allow.command("list")
def list_entries() -> None:
    """Print all that nothing may be done to, and on whose word. Exit code 3 where lines of the list protect nothing."""
    config, layout = configured(invocation())
    kept = allow_list_of(layout)
    notes = {f"allow list: {entry.value}": entry.note for entry in kept.entries()}
    found = [
        Listed(str(entry).removeprefix(f"{entry.origin}: "), entry.origin, notes.get(str(entry), ""))
        for entry in guard_of(config, layout)().protected
    ]
    if invocation().as_json:
        print_json(found)
    else:
        print_table(["entry", "from", "note"], [(one.entry, one.origin, one.note) for one in found], empty="nothing")
    if problems := kept.problems():
        raise Partial("; ".join(problems))


@allow.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--reason", required=True)
def add(targets: tuple[str, ...], reason: str) -> None:
    """Let nothing be done to TARGETS (addresses, networks, names with all below) from now on.

    What is in effect against one of them is taken back at once, by this command; a running Tapwarden follows.
    """
    with session() as parts:
        now, by = parts.clock.now(), person()
        try:
            added = allow_list_of(parts.layout).add(targets, by=by, reason=reason, now=now)
        except ValueError as error:
            raise Failure(str(error)) from error
        for value in added:
            parts.cases.audit(actor=by, verb="allow.add", subject=value, detail=reason, at=now)
        released = parts.ledger.release_protected(now)
    if invocation().as_json:
        print_json({"added": added, "released": released})
        return
    click.echo(f"added: {', '.join(added) or 'nothing new'}")
    for action in released:
        click.echo(f"taken back: {action.measure.value} {action.target.value} ({action.id})")


@allow.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--reason", required=True)
def remove(targets: tuple[str, ...], reason: str) -> None:
    """Take TARGETS off the list again. What the configuration or this host protects stays protected."""
    with session() as parts:
        now, by = parts.clock.now(), person()
        try:
            gone = allow_list_of(parts.layout).remove(targets)
        except ValueError as error:
            raise Failure(str(error)) from error
        for value in gone:
            parts.cases.audit(actor=by, verb="allow.remove", subject=value, detail=reason, at=now)
    if invocation().as_json:
        print_json({"removed": gone})
    else:
        click.echo(f"removed: {', '.join(gone) or 'nothing'}")
    if not gone:
        raise Failure("none of these is on the allow list")
