"""Orders and queries of coordinating centres: what was ordered and what it did, what was asked and what was told."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, csrf_checked, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.render import done, page
from tapwarden.model.order import OrderDesk, QueryDesk

router = APIRouter(dependencies=[Depends(needs(Right.READ))])

LISTED = 200

Id = Annotated[str, Form(max_length=200)]
Reason = Annotated[str, Form(max_length=2000)]


@router.get("/orders")
def list_orders(request: Request, console: ConsoleDep, person: VisitorDep) -> Response:
    orders = console.orders.orders(limit=LISTED) if console.orders else ()
    return page(request, console, person, "orders.html", {"orders": orders, "followed": console.orders is not None})


@router.post("/orders/decide", dependencies=[Depends(csrf_checked), Depends(needs(Right.DECIDE))])
def decide_order(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    order_id: Id,
    verdict: Annotated[Literal["approve", "reject"], Form()],
    reason: Reason = "",
) -> Response:
    desk = _order_desk(console)
    try:
        if verdict == "approve":
            order = desk.approve(order_id, by=person.name, note=reason.strip())
        else:
            order = desk.reject(order_id, by=person.name, note=_said(reason))
    except KeyError:
        raise DeniedError(404, "No such order", "There is no order with this number.") from None
    return done(request, person, "/orders", f"Order {order.id}: {order.state.value.replace('_', ' ')}.")


@router.get("/queries")
def list_queries(request: Request, console: ConsoleDep, person: VisitorDep) -> Response:
    queries = console.queries.queries(limit=LISTED) if console.queries else ()
    return page(request, console, person, "queries.html", {"queries": queries, "answered": console.queries is not None})


@router.post("/queries/decide", dependencies=[Depends(csrf_checked), Depends(needs(Right.DECIDE))])
def decide_query(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    query_id: Id,
    verdict: Annotated[Literal["release", "refuse"], Form()],
    reason: Reason = "",
) -> Response:
    desk = _query_desk(console)
    try:
        if verdict == "release":
            query = desk.release(query_id, by=person.name, note=reason.strip())
        else:
            query = desk.refuse(query_id, by=person.name, note=_said(reason))
    except KeyError:
        raise DeniedError(404, "No such query", "There is no query with this number.") from None
    return done(request, person, "/queries", f"Query {query.id}: {query.state.value.replace('_', ' ')}.")


def _said(reason: str) -> str:
    if not reason.strip():
        raise DeniedError(400, "No reason", "Say why: the reason goes to the coordinating centre and the audit trail.")
    return reason.strip()


def _order_desk(console: Console) -> OrderDesk:
    if console.orders is None:
        raise DeniedError(404, "No orders", "No coordinating centre's orders are followed here.")
    return console.orders


def _query_desk(console: Console) -> QueryDesk:
    if console.queries is None:
        raise DeniedError(404, "No queries", "No coordinating centre's queries are answered here.")
    return console.queries
