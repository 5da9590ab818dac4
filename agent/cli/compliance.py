"""``tapwarden compliance``: one line for each requirement of the sources, read from this system."""

import click

from tapwarden.agent.cli.group import Command, Partial
from tapwarden.agent.cli.output import print_json, print_table
from tapwarden.agent.cli.session import invocation, session
from tapwarden.model.office import Standing


@click.command(cls=Command)
@click.option("--strict", is_flag=True, help="Exit with 3 where a requirement is not met.")
def compliance(strict: bool) -> None:
    """How each requirement stands here, and what that was read from.

    M1 to M17: the Measures for public Internet threats; D1 to D10: the Domain Name Rules; I1 to I3: the inspection of
    2017. Whether that satisfies the law is for a lawyer to say.
    """
    with session() as parts:
        found = parts.office.compliance()
    if invocation().as_json:
        print_json(found)
    else:
        rows = [(one.id, one.standing.value.replace("_", " "), one.text, one.evidence, one.source) for one in found]
        print_table(["id", "stands", "requirement", "evidence", "source"], rows, empty="")
    wanting = [one.id for one in found if one.standing is Standing.NOT_MET]
    if strict and wanting:
        raise Partial(f"not met: {', '.join(wanting)}")
