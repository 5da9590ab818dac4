"""The shift page: what is on fire, which clocks run, what waits for whom, and whether the sensors can be believed."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tapwarden.dashboards import chart
from tapwarden.dashboards.access import ConsoleDep, Right, VisitorDep, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.countdown import most_urgent, stage_clocks
from tapwarden.dashboards.display import iso
from tapwarden.dashboards.render import json_answer, page, query_string
from tapwarden.model.decision import LIVE_STATES, ActionState
from tapwarden.model.errors import StoreError
from tapwarden.model.event import EventQuery
from tapwarden.model.incident import GroupState

router = APIRouter(dependencies=[Depends(needs(Right.READ))])

COUNTED = 2000
"""Open groups counted by severity; more are shown as "2000+"."""

DAY = timedelta(hours=24)

PENDING = (ActionState.PROPOSED, ActionState.SIMULATED)


@router.get("/")
def home(request: Request, console: ConsoleDep, person: VisitorDep) -> Response:
    now = console.clock.now()
    groups = console.cases.groups(state=GroupState.OPEN, limit=COUNTED, order="priority")
    incidents = []
    for incident in console.cases.incidents(open_only=True, limit=20):
        reports, timers = console.cases.reports(incident_id=incident.id), console.cases.timers(incident_id=incident.id)
        clocks = stage_clocks(incident, reports, now, timers)
        incidents.append({"incident": incident, "clocks": clocks, "urgent": most_urgent(clocks)})
    far = now + timedelta(days=36500)
    incidents.sort(key=lambda entry: entry["urgent"].due_at if entry["urgent"] else far)  # type: ignore[attr-defined]
    data = {
        "severities": dict(sorted(Counter(g.severity for g in groups).items())),
        "severities_complete": len(groups) < COUNTED,
        "top_groups": groups[:8],
        "incidents": incidents,
        "pending": len(console.cases.actions(states=PENDING)),
        "active": len(console.cases.actions(states=tuple(LIVE_STATES))),
        "failed": len(console.cases.actions(states=(ActionState.FAILED,), limit=100)),
        "health": health_parts(console),
        "events": _events(console),
    }
    return page(request, console, person, "home.html", data)


@router.get("/health")
def health(request: Request, console: ConsoleDep, person: VisitorDep) -> Response:
    data: dict[str, Any] = {"health": health_parts(console), "store": None, "problem": ""}
    try:
        data["store"] = console.events.status()
    except StoreError as error:
        data["problem"] = str(error)
    data["dashboard"] = {
        "sessions": len(console.sessions),
        "sessions_evicted": console.sessions.evicted,
        "log_ins_refused": console.throttle.refused,
    }
    return page(request, console, person, "health.html", data)


@router.get("/pulse")
def pulse(console: ConsoleDep) -> Response:
    """What a page asks every few seconds: enough to say that there is something new, without moving anything."""
    newest = console.cases.groups(state=GroupState.OPEN, limit=1, order="last_seen")
    return json_answer(
        {
            "open_groups": console.cases.count_groups(state=GroupState.OPEN),
            "newest": iso(newest[0].last_seen) if newest else "",
            "pending": len(console.cases.actions(states=PENDING)),
            "now": iso(console.clock.now()),
        }
    )


@router.get("/help")
def show_help(request: Request, console: ConsoleDep, person: VisitorDep) -> Response:
    return page(request, console, person, "help.html", {})


def health_parts(console: Console) -> Mapping[str, Mapping[str, Any]]:
    """The health report with every part a mapping that has a ``state``."""
    parts = {}
    for name, part in console.health().items():
        full: Mapping[str, Any] = part if isinstance(part, Mapping) else {"state": str(part)}
        parts[str(name)] = {"state": "unknown", "detail": "", **full}
    return parts


def _events(console: Console) -> Mapping[str, Any]:
    """Alerts of the last 24 hours as a histogram, or why there is none.

    Where every event is older (a replayed capture), at most 24 hours up to the newest: ``past`` is then true.
    """
    now = console.clock.now()
    try:
        status = console.events.status()
        past = status.newest is not None and status.newest < now - DAY
        until = status.newest + timedelta(seconds=1) if past and status.newest else now
        since = max(until - DAY, status.oldest) if past and status.oldest else until - DAY
        step = chart.interval_for(since, until, bars=100)
        query = EventQuery(since=since, until=until, kinds=("alert",))
        buckets = console.events.histogram(query, interval_s=step)
        total = console.events.count(EventQuery(since=since, until=until))
    except StoreError as error:
        return {"problem": str(error), "chart": None, "total": 0, "status": None, "past": False, "search": ""}

    def link(start: Any, end: Any) -> str:
        return "/search" + query_string({"since": iso(start), "until": iso(end), "kinds": "alert"})

    drawn = chart.histogram(buckets, since=since, until=until, interval_s=step, link=link)
    search = query_string({"since": iso(since), "until": iso(until), "kinds": "alert"})
    return {"problem": "", "chart": drawn, "total": total, "status": status, "past": past, "search": search}
