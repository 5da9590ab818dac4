"""``tapwarden orders``: what coordinating centres ordered, and what people here say to it."""

import click

from tapwarden.agent.cli.group import Failure, Group
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.agent.orders.openc2 import command_for
from tapwarden.model.decision import Measure, Target, TargetType
from tapwarden.model.order import CATEGORIES, Order


@click.group(cls=Group)
def orders() -> None:
    """Orders of coordinating centres: list, show, approve, reject, enter what was said on the phone."""


@orders.command("list")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_orders(limit: int) -> None:
    """List orders, newest first."""
    with session() as parts:
        found = parts.orders.orders(limit=limit)
    if invocation().as_json:
        print_json(found)
        return
    rows = [
        (each.id, each.received_at, each.kind, _names(each), each.state, each.code, each.due_at, each.detail)
        for each in found
    ]
    print_table(["order", "received", "kind", "targets", "state", "code", "due", "detail"], rows, empty="no orders yet")


@orders.command()
@click.argument("order_id")
def show(order_id: str) -> None:
    """Show an order: who, on what basis, what it did, target by target, with the proof."""
    with session() as parts:
        _print(parts.orders.order(order_id))


@orders.command()
@click.argument("order_id")
@click.option("--note", default="", help="For the record.")
def approve(order_id: str, note: str) -> None:
    """Stand behind an order that waits."""
    with session() as parts:
        _print(parts.orders.approve(order_id, by=person(), note=note))


@orders.command()
@click.argument("order_id")
@click.option("--reason", required=True, help="Told to the centre.")
def reject(order_id: str, reason: str) -> None:
    """Refuse an order that waits."""
    with session() as parts:
        _print(parts.orders.reject(order_id, by=person(), note=reason))


@orders.command()
@click.argument("order_id")
@click.option("--issuer", required=True, help="Who orders, as configured in orders.issuers.")
@click.option("--measure", type=click.Choice(["block", "reject", "sinkhole"]), default="block", show_default=True)
@click.option("--target", multiple=True, required=True, metavar="TYPE:VALUE", help="For example domain:c2.example.")
@click.option("--category", type=click.Choice(sorted(CATEGORIES)), required=True, metavar="CLASS.SUBTYPE")
@click.option("--legal-basis", required=True)
@click.option("--scope", required=True)
@click.option("--reason", required=True)
@click.option("--confirmed-by", required=True, help="Who confirmed it on the phone, and under which number.")
def enter(
    order_id: str,
    issuer: str,
    measure: str,
    target: tuple[str, ...],
    category: str,
    legal_basis: str,
    scope: str,
    reason: str,
    confirmed_by: str,
) -> None:
    """Enter an order given on the phone: somebody else approves it, and it ends in 24 hours without its paper."""
    with session() as parts:
        _print(
            parts.orders.enter_oral(
                order_id=order_id,
                issuer=issuer,
                category=category,
                legal_basis=legal_basis,
                scope=scope,
                reason=reason,
                commands=[_command(Measure(measure), each, order_id) for each in target],
                confirmed_by=confirmed_by,
                by=person(),
            )
        )


def _command(measure: Measure, text: str, order_id: str) -> dict[str, object]:
    kind, _, value = text.partition(":")
    try:
        return command_for(measure, Target(TargetType(kind), value), command_id=order_id)
    except ValueError as error:
        raise Failure(f"write TYPE:VALUE with one of {', '.join(TargetType)}: {error}") from error


def _names(order: Order) -> str:
    return ", ".join(target.value for target in order.targets) or order.refers_to


def _print(order: Order) -> None:
    if invocation().as_json:
        print_json(order)
        return
    print_fields(
        {
            "order": order.id,
            "from": f"{order.issuer} by {order.via}",
            "kind": f"{order.kind} {order.refers_to}".strip(),
            "state": f"{order.state} ({order.code})",
            "detail": order.detail,
            "category": order.category,
            "legal basis": order.legal_basis,
            "scope": order.scope,
            "reason": order.reason,
            "received": order.received_at,
            "in force until": order.expires_at,
            "answer due": order.due_at,
            "confirmed by": order.confirmed_by,
            "paper due": order.paper_due_at,
            "paper": order.paper_id,
            "incident": order.incident_id,
            "decisions": ", ".join(order.decision_ids),
            "drill": "yes" if order.drill else "",
        }
    )
    rows = [(e.target.value, e.mitigator, e.state, e.code, _proof(e.proof), e.detail) for e in order.effects]
    if rows:
        print_table(["target", "at", "state", "code", "proof", "detail"], rows, empty="")


def _proof(proof: object) -> str:
    return ", ".join(f"{name}={value}" for name, value in proof.items()) if isinstance(proof, dict) else ""
