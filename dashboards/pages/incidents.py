"""Incidents: the list, opening one from alert groups, its page with clocks and timeline, closing it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, csrf_checked, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.countdown import most_urgent, stage_clocks
from tapwarden.dashboards.pages.handling import handling_data
from tapwarden.dashboards.pages.inbox import selected_groups
from tapwarden.dashboards.render import done, page
from tapwarden.model.decision import LIVE_STATES
from tapwarden.model.incident import AlertGroup, Incident, ThreatClass

router = APIRouter(prefix="/incidents", dependencies=[Depends(needs(Right.READ))])

TITLE_MAX = 200


@router.get("")
def list_incidents(
    request: Request, console: ConsoleDep, person: VisitorDep, show: Annotated[str, Query(max_length=10)] = "open"
) -> Response:
    now = console.clock.now()
    rows = []
    for incident in console.cases.incidents(open_only=show != "all", limit=200):
        reports, timers = console.cases.reports(incident_id=incident.id), console.cases.timers(incident_id=incident.id)
        clocks = stage_clocks(incident, reports, now, timers)
        rows.append({"incident": incident, "clocks": clocks, "urgent": most_urgent(clocks)})
    return page(request, console, person, "incidents.html", {"rows": rows, "show": show})


@router.get("/new")
def new_incident(
    request: Request, console: ConsoleDep, person: VisitorDep, group: Annotated[list[str] | None, Query()] = None
) -> Response:
    groups = selected_groups(console, group)
    worst = min(groups, key=lambda item: (item.severity, -item.count))
    data = {
        "groups": groups,
        "title": worst.signature[:TITLE_MAX],
        "severity": worst.severity,
        "detected_at": min(item.first_seen for item in groups),
        "classes": tuple(ThreatClass),
        "title_max": TITLE_MAX,
    }
    return page(request, console, person, "incident_new.html", data)


@router.post("", dependencies=[Depends(csrf_checked), Depends(needs(Right.TRIAGE))])
def open_incident(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    title: Annotated[str, Form(max_length=TITLE_MAX)],
    severity: Annotated[int, Form(ge=1, le=4)],
    threat_class: Annotated[ThreatClass, Form()] = ThreatClass.EVENT,
    summary: Annotated[str, Form(max_length=20_000)] = "",
    drill: Annotated[bool, Form()] = False,
    group: Annotated[list[str] | None, Form()] = None,
) -> Response:
    groups = selected_groups(console, group)
    if not title.strip():
        raise DeniedError(400, "No title", "An incident needs a title.")
    incident = console.desk.open_incident(
        [item.id for item in groups],
        title=title.strip(),
        threat_class=threat_class,
        severity=severity,
        by=person.name,
        summary=summary.strip(),
        drill=drill,
    )
    notice = "Incident opened; its reporting clock runs from the first detection."
    return done(request, person, f"/incidents/{incident.id}", notice, {"id": incident.id})


@router.get("/{incident_id}")
def show_incident(request: Request, console: ConsoleDep, person: VisitorDep, incident_id: str) -> Response:
    incident = find_incident(console, incident_id)
    now = console.clock.now()
    reports, timers = console.cases.reports(incident_id=incident.id), console.cases.timers(incident_id=incident.id)
    data: dict[str, Any] = {
        "incident": incident,
        "clocks": stage_clocks(incident, reports, now, timers),
        "open_ended": [timer for timer in timers if timer.due_at is None and not timer.dropped],
        "reports": sorted(reports, key=lambda report: (report.due_at, report.created_at)),
        "groups": incident_groups(console, incident),
        "decisions": console.cases.decisions(incident_id=incident.id),
        "actions": console.cases.actions(incident_id=incident.id),
        "live_states": LIVE_STATES,
        "audit": console.cases.audit_records(subject=incident.id, limit=50),
        "soon": now + timedelta(hours=1),
        **handling_data(console, incident),
    }
    return page(request, console, person, "incident.html", data)


@router.post("/{incident_id}/close", dependencies=[Depends(csrf_checked), Depends(needs(Right.TRIAGE))])
def close_incident(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    incident_id: str,
    reason: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    if not reason.strip():
        raise DeniedError(400, "No reason", "Say why the incident is closed.")
    incident = find_incident(console, incident_id)
    console.desk.close_incident(incident.id, by=person.name, reason=reason.strip())
    return done(request, person, f"/incidents/{incident.id}", "Incident closed.")


def find_incident(console: Console, incident_id: str) -> Incident:
    """The incident. Raises DeniedError when there is none."""
    incident = console.cases.incident(incident_id)
    if incident is None:
        raise DeniedError(404, "No such incident", "There is no incident with this number.")
    return incident


def incident_groups(console: Console, incident: Incident) -> Sequence[AlertGroup]:
    """Its alert groups that still exist, most urgent first."""
    found = [console.cases.group(group_id) for group_id in incident.group_ids[:500]]
    return sorted((group for group in found if group), key=lambda group: (group.severity, -group.count))
