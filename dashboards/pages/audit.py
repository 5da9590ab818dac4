"""The audit trail, for auditors and administrators: who did what, and whether the chain is whole."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, Right, VisitorDep, needs
from tapwarden.dashboards.render import page

router = APIRouter(prefix="/audit", dependencies=[Depends(needs(Right.AUDIT))])


@router.get("")
def show_audit(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    subject: Annotated[str, Query(max_length=300)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    records = console.cases.audit_records(subject=subject, limit=limit)
    data = {"records": records, "subject": subject, "limit": limit, "broken_at": console.cases.verify_audit()}
    return page(request, console, person, "audit.html", data)
