"""``tapwarden queries``: what coordinating centres asked, what they were told, and whether rows go out."""

import json

import click

from tapwarden.agent.cli.group import Failure, Group
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.agent.composition import Parts
from tapwarden.agent.queries.desk import Queries
from tapwarden.model.order import Query


@click.group(cls=Group)
def queries() -> None:
    """Queries of coordinating centres: list, show, release or refuse rows."""


def _desk(parts: Parts) -> Queries:
    if parts.queries is None:
        raise Failure("no queries are answered here: set queries.enabled")
    return parts.queries


@queries.command("list")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_queries(limit: int) -> None:
    """List queries, newest first."""
    with session() as parts:
        found = _desk(parts).queries(limit=limit)
    if invocation().as_json:
        print_json(found)
        return
    rows = [(each.id, each.received_at, each.asker, each.template, each.purpose, each.state) for each in found]
    print_table(["query", "asked", "by", "question", "purpose", "state"], rows, empty="nothing was asked yet")


@queries.command()
@click.argument("query_id")
def show(query_id: str) -> None:
    """Show a query, its answer, and the rows that would go out."""
    with session() as parts:
        _print(_desk(parts).query(query_id))


@queries.command()
@click.argument("query_id")
@click.option("--note", default="", help="For the record.")
def release(query_id: str, note: str) -> None:
    """Let the rows go out."""
    with session() as parts:
        _print(_desk(parts).release(query_id, by=person(), note=note))


@queries.command()
@click.argument("query_id")
@click.option("--reason", required=True)
def refuse(query_id: str, reason: str) -> None:
    """The rows stay here."""
    with session() as parts:
        _print(_desk(parts).refuse(query_id, by=person(), note=reason))


def _print(query: Query) -> None:
    if invocation().as_json:
        print_json(query)
        return
    print_fields(
        {
            "query": query.id,
            "asked by": f"{query.asker} by {query.via}",
            "at": query.received_at,
            "question": f"{query.template} {json.dumps(dict(query.parameters))}",
            "purpose": query.purpose,
            "state": query.state,
            "answer": json.dumps(dict(query.answer)),
            "rows": json.dumps([dict(row) for row in query.rows]) if query.rows else "",
            "decided by": query.decided_by,
            "note": query.note,
        }
    )
