"""``tapwarden allow``: what nothing may be done to, and which entry says so."""

from dataclasses import dataclass
from datetime import UTC, datetime

import click

from tapwarden.agent.cli.actions import target_of
from tapwarden.agent.cli.group import Group, Refused
from tapwarden.agent.cli.output import print_json, print_table
from tapwarden.agent.cli.session import configured, invocation
from tapwarden.agent.composition import guard_of
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
    config, _ = configured(invocation())
    guard, now = guard_of(config)(), datetime.now(UTC)
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
