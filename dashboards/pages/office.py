"""What left the house, figures of a period, how the requirements stand, drills."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from tapwarden.dashboards import chart
from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, needs
from tapwarden.dashboards.render import page, query_string
from tapwarden.model.event import Bucket
from tapwarden.model.office import Office, Period, Statistics

router = APIRouter(dependencies=[Depends(needs(Right.READ))])

LISTED = 200
BAR = 300


def office_of(console: ConsoleDep) -> Office:
    if console.office is None:
        raise DeniedError(404, "Not here", "This dashboard has no figures.")
    return console.office


OfficeDep = Annotated[Office, Depends(office_of)]


@router.get("/departures")
def departures(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    receiver: Annotated[str, Query(max_length=100)] = "",
    incident: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    rows = console.cases.departures(receiver=receiver, incident_id=incident, limit=LISTED)
    data = {"rows": rows, "receiver": receiver, "incident": incident, "most": LISTED}
    return page(request, console, person, "departures.html", data)


@router.get("/statistics")
def statistics(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    office: OfficeDep,
    period: Annotated[Period, Query()] = Period.QUARTER,
    at: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    try:
        moment = datetime.fromisoformat(at) if at else console.clock.now()
    except ValueError:
        raise DeniedError(400, "No date", "Write a date such as 2026-11-24.") from None
    if not 1971 <= moment.year <= 9000:
        raise DeniedError(400, "No date", "Write a date between 1971 and 9000.")
    found = office.statistics(period, moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    data = {
        "figures": found,
        "chart": _drawn(found),
        "bars": {name: _bars(kinds) for name, kinds in (("class", found.by_class), ("measure", found.by_measure))},
        "periods": tuple(Period),
        "earlier": query_string({"period": period.value, "at": (found.since - timedelta(hours=1)).date().isoformat()}),
        "later": query_string({"period": period.value, "at": found.until.date().isoformat()}),
    }
    return page(request, console, person, "statistics.html", data)


@router.get("/compliance")
def compliance(request: Request, console: ConsoleDep, person: VisitorDep, office: OfficeDep) -> Response:
    return page(request, console, person, "compliance.html", {"requirements": office.compliance()})


@router.get("/drills")
def drills(request: Request, console: ConsoleDep, person: VisitorDep, office: OfficeDep) -> Response:
    rows = [{"drill": drill, "score": drill.score} for drill in office.drills()]
    return page(request, console, person, "drills.html", {"rows": rows})


def _drawn(found: Statistics) -> chart.Chart:
    buckets = [Bucket(start, count) for start, count in found.series]
    step = int((found.series[1][0] - found.series[0][0]).total_seconds()) if len(found.series) > 1 else 3600

    def link(_start: datetime, _end: datetime) -> str:
        return "/incidents?show=all"

    return chart.histogram(buckets, since=found.since, until=found.until, interval_s=step, link=link)


def _bars(tables: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Rows with the width of their bar (0 to BAR units), the longest first."""
    rows = [(name, kind, count) for name, kinds in tables.items() for kind, count in kinds.items()]
    most = max((count for _, _, count in rows), default=1)
    return [
        {"name": name, "kind": kind, "count": count, "width": round(BAR * count / most, 1)}
        for name, kind, count in sorted(rows, key=lambda row: (-row[2], row[0], row[1]))
    ]
