"""``tapwarden appeals``: complaints, when their answers are due, and answering them."""

import click

from tapwarden.agent.cli.group import Group
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.model.appeal import Appeal


@click.group(cls=Group)
def appeals() -> None:
    """Complaints of those who are affected by what is done."""


@appeals.command("list")
@click.option("--all", "everything", is_flag=True, help="Answered ones, too.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
def list_appeals(everything: bool, limit: int) -> None:
    """List complaints; what is due first comes first."""
    with session() as parts:
        found = parts.appeals.appeals(open_only=not everything, limit=limit)
    if invocation().as_json:
        print_json(found)
        return
    rows = [(one.number, one.state.value, one.about, one.filed_at, one.answer_due) for one in found]
    print_table(["number", "state", "about", "filed", "answer due"], rows, empty="no complaint waits for an answer")


@appeals.command()
@click.argument("number")
def show(number: str) -> None:
    """Show a complaint, and what is in effect on what it is about."""
    with session() as parts:
        found = parts.appeals.appeal(number)
        concerned = parts.appeals.concerned(found)
    if invocation().as_json:
        print_json({"appeal": found, "concerned": concerned})
        return
    _print(found)
    rows = [(one.id, one.measure.value, one.target.value, one.mitigator, one.state.value) for one in concerned]
    print_table(["action", "measure", "target", "at", "state"], rows, empty="nothing is in effect on it")


@appeals.command()
@click.argument("number")
@click.argument("action_ids", nargs=-1, required=True, metavar="ACTION...")
@click.option("--reason", required=True, help="Why it is undone before the answer.")
def lift(number: str, action_ids: tuple[str, ...], reason: str) -> None:
    """Undo actions for the time being; blocking their targets again takes two people."""
    with session() as parts:
        _print(parts.appeals.lift(number, action_ids, by=person(), reason=reason))


@appeals.command()
@click.argument("number")
@click.option("--grant/--reject", "granted", required=True, default=None, help="Granting undoes what is in effect.")
@click.option("--reasons", required=True, help="As the complainant reads them.")
def answer(number: str, granted: bool, reasons: str) -> None:
    """Answer a complaint, once."""
    with session() as parts:
        _print(parts.appeals.answer(number, granted=granted, reasons=reasons, by=person()))


def _print(appeal: Appeal) -> None:
    if invocation().as_json:
        print_json(appeal)
        return
    fields = {
        "number": appeal.number,
        "state": appeal.state.value,
        "about": appeal.about,
        "grounds": appeal.grounds,
        "from": " ".join((appeal.who, appeal.contact)).strip(),
        "filed": appeal.filed_at,
        "answer due": appeal.answer_due,
        "let go": ", ".join(appeal.lifted),
        "answered": appeal.answered_at or "",
        "by": appeal.answered_by,
        "reasons": appeal.reasons,
    }
    print_fields({name: value for name, value in fields.items() if value})
