"""Complaints, for those who answer them: what is due, what each is about, lift, answer."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, csrf_checked, needs
from tapwarden.dashboards.render import done, page
from tapwarden.model.appeal import Appeal
from tapwarden.model.desks import AppealDesk

router = APIRouter(prefix="/appeals", dependencies=[Depends(needs(Right.READ))])

MAY_ANSWER = [Depends(csrf_checked), Depends(needs(Right.DECIDE))]


def desk_of(console: ConsoleDep) -> AppealDesk:
    if console.appeals is None:
        raise DeniedError(404, "Not here", "Complaints are taken elsewhere.")
    return console.appeals


DeskDep = Annotated[AppealDesk, Depends(desk_of)]


def found(desk: AppealDesk, number: str) -> Appeal:
    """The complaint. Raises DeniedError."""
    try:
        return desk.appeal(number)
    except KeyError:
        raise DeniedError(404, "No such complaint", f"There is no complaint {number!r}.") from None


@router.get("")
def show_appeals(
    request: Request, console: ConsoleDep, person: VisitorDep, desk: DeskDep, all: Annotated[bool, Query()] = False
) -> Response:
    listed = desk.appeals(open_only=not all, limit=500)
    return page(request, console, person, "appeals.html", {"appeals": listed, "all": all})


@router.get("/{number}")
def show_appeal(request: Request, console: ConsoleDep, person: VisitorDep, desk: DeskDep, number: str) -> Response:
    appeal = found(desk, number)
    records = console.cases.audit_records(subject=appeal.id, limit=100)
    data = {"appeal": appeal, "concerned": desk.concerned(appeal), "records": records}
    return page(request, console, person, "appeal.html", data)


@router.post("/{number}/lift", dependencies=MAY_ANSWER)
def lift(
    request: Request,
    person: VisitorDep,
    desk: DeskDep,
    number: str,
    id: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI makes each request its own
    reason: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    appeal = desk.lift(found(desk, number).id, id, by=person.name, reason=reason)
    notice = f"{len(id)} actions are undone for the time being; the answer is still due."
    return done(request, person, f"/appeals/{appeal.number}", notice, {"appeal": appeal})


@router.post("/{number}/answer", dependencies=MAY_ANSWER)
def answer(
    request: Request,
    person: VisitorDep,
    desk: DeskDep,
    number: str,
    granted: Annotated[bool, Form()] = False,
    reasons: Annotated[str, Form(max_length=5000)] = "",
) -> Response:
    appeal = desk.answer(found(desk, number).id, granted=granted, reasons=reasons, by=person.name)
    words = "granted" if granted else "rejected"
    return done(request, person, f"/appeals/{appeal.number}", f"The complaint is {words}.", {"appeal": appeal})
