"""Search over all stored events: fields, time range, a histogram, top-N lists, and pages by cursor."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from tapwarden.dashboards import chart
from tapwarden.dashboards.access import ConsoleDep, Right, VisitorDep, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.display import iso
from tapwarden.dashboards.pages.event import event_row
from tapwarden.dashboards.render import page, query_string, wants_json
from tapwarden.dashboards.searchform import KINDS, RANGES, SearchForm, read_form
from tapwarden.model.errors import StoreError

router = APIRouter(dependencies=[Depends(needs(Right.READ))])

PAGE = 100

TOP_FIELDS = {
    "event_type": "kinds",
    "signature": "signature",
    "src_ip": "src_ip",
    "dest_ip": "dest_ip",
    "dest_port": "port",
    "domain": "domain",
}
"""Field of the store's top-N -> the search field that narrows to one of its values."""


@router.get("/search")
def search(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    kinds: Annotated[list[str] | None, Query()] = None,
    cursor: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    form = read_form(dict(request.query_params), tuple(kinds or ()), console.clock.now())
    data: dict[str, Any] = {
        "form": form.values,
        "kinds": form.kinds,
        "known_kinds": KINDS,
        "ranges": tuple(RANGES),
        "problems": form.problems,
        "params": form.params,
        "cursor": cursor,
        "next_cursor": "",
        "events": [],
        "total": 0,
        "chart": None,
        "tops": {},
        "top_fields": TOP_FIELDS,
        "store_problem": "",
        "store_events": 0,
    }
    try:
        found = console.events.search(form.query, limit=PAGE, cursor=cursor)
        data["events"] = found.events if wants_json(request) else [event_row(event) for event in found.events]
        data["next_cursor"] = found.cursor
        data["total"] = console.events.count(form.query)
        data["store_events"] = console.events.status().events
        if data["total"]:
            data["chart"] = _chart(console, form, data["events"])
            data["tops"] = {field: console.events.top(form.query, field, limit=6) for field in TOP_FIELDS}
    except StoreError as error:
        data["store_problem"] = str(error)
    return page(request, console, person, "search.html", data)


def _chart(console: Console, form: SearchForm, shown: list[Any]) -> chart.Chart | None:
    """The histogram of the asked range; without a start it begins where the store does."""
    status = console.events.status()
    until = form.query.until or console.clock.now()
    since = form.query.since or status.oldest
    if since is None or since >= until:
        return None
    step = chart.interval_for(since, until)

    def link(start: datetime, end: datetime) -> str:
        changed = {**form.params, "range": "custom", "since": iso(start), "until": iso(end)}
        return "/search" + query_string(changed)

    buckets = console.events.histogram(form.query, interval_s=step)
    return chart.histogram(buckets, since=since, until=until, interval_s=step, link=link)
