"""``tapwarden drill``: a synthetic incident through the whole chain, scored."""

import secrets

import click

from tapwarden.agent.cli.group import Group, Partial
from tapwarden.agent.cli.output import print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.agent.drill import Drill
from tapwarden.model.office import DrillResult


@click.group(cls=Group)
def drill() -> None:
    """Drills: hold one, see how they went."""


@drill.command()
def run() -> None:
    """Take a synthetic incident from detection to its final report; nothing of it touches traffic."""
    with session() as parts:
        result = Drill(parts, by=person(), drill_id=secrets.token_hex(4)).run()
    _show(result)
    failed = [step.name for step in result.steps if not step.passed]
    if failed:
        raise Partial(f"{result.score:.0%}; failed: {', '.join(failed)}")


@drill.command("list")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_drills(limit: int) -> None:
    """Drills that were held."""
    with session() as parts:
        found = parts.office.drills(limit=limit)
    if invocation().as_json:
        print_json([{"drill": one, "score": one.score} for one in found])
        return
    rows = [
        (one.id, one.ended_at, one.by, f"{one.score:.0%}", ", ".join(s.name for s in one.steps if not s.passed))
        for one in found
    ]
    print_table(["id", "held", "by", "score", "failed"], rows, empty="no drill was held: tapwarden drill run")


def _show(result: DrillResult) -> None:
    if invocation().as_json:
        print_json({"drill": result, "score": result.score})
        return
    rows = [
        ("passed" if step.passed else "FAILED", step.name, step.expected, step.seen, f"{step.took_s:.2f} s")
        for step in result.steps
    ]
    print_table(["", "step", "expected", "seen", "took"], rows, empty="")
    click.echo(f"drill {result.id}: {result.score:.0%}, incident {result.incident_id}")
