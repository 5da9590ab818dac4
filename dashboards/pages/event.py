"""One event: what happened in a sentence, the rule, the payload, the fields, what belongs to it, and its record."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.eventview import endpoint, indicators, sections, sentence, summary
from tapwarden.dashboards.payload import decode_payload
from tapwarden.dashboards.render import page
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event, EventQuery
from tapwarden.model.incident import AlertGroup

router = APIRouter(dependencies=[Depends(needs(Right.READ))])

RELATED = 200
"""Events looked at of one flow and of one Community ID."""

SHOWN = 20


@router.get("/events/{event_id}")
def show_event(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    event_id: Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$")],
    group: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    event = console.events.get(event_id)
    if event is None:
        raise DeniedError(404, "No such event", "It was never stored here, or its day is past the retention time.")
    related, problem = _related(console, event)
    eve = event.eve
    of_group: AlertGroup | None = console.cases.group(group) if group else None
    alert = eve.get("alert")
    data: dict[str, Any] = {
        "event": event,
        "kind": event.kind,
        "sentence": sentence(eve),
        "rule": str(alert.get("rule", "")) if isinstance(alert, dict) else "",
        "alert": alert if isinstance(alert, dict) else None,
        "payload": decode_payload(eve.get("payload")),
        "packet": decode_payload(eve.get("packet")),
        "payload_printable": str(eve.get("payload_printable", "")),
        "sections": sections(eve),
        "indicators": indicators(eve),
        "related": related,
        "related_problem": problem,
        "group": of_group,
        "evidence": console.evidence.find(event.id) if console.evidence else None,
    }
    return page(request, console, person, "event.html", data)


@router.get("/events/{event_id}/packets")
def give_packets(console: ConsoleDep, event_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]) -> Response:
    """The packets around the alert, as a pcapng file to save."""
    found = console.evidence.find(event_id) if console.evidence else None
    if console.evidence is None or found is None:
        raise DeniedError(404, "No packets", "None were kept for this event, or they are past the retention time.")
    try:
        capture = console.evidence.read(found)
    except StoreError as error:
        raise DeniedError(404, "No packets", str(error)) from error
    named = {"Content-Disposition": f'attachment; filename="{event_id}.pcapng"', "Cache-Control": "no-store"}
    return Response(capture, media_type="application/x-pcapng", headers=named)


def _related(console: Console, event: Event) -> tuple[Sequence[dict[str, Any]], str]:
    """The ``SHOWN`` events nearest in time of the same flow or Community ID, oldest first; and a problem or ""."""
    queries = []
    flow_id, community_id = event.eve.get("flow_id"), event.eve.get("community_id")
    if isinstance(flow_id, int) and not isinstance(flow_id, bool):
        queries.append(EventQuery(flow_id=flow_id))
    if isinstance(community_id, str) and community_id:
        queries.append(EventQuery(community_id=community_id))
    found: dict[str, Event] = {}
    try:
        for query in queries:
            found |= {other.id: other for other in console.events.search(query, limit=RELATED).events}
    except StoreError as error:
        return [], str(error)
    nearest = sorted(found.values(), key=lambda other: abs(other.timestamp - event.timestamp))[:SHOWN]
    return [event_row(other) for other in sorted(nearest, key=lambda other: (other.timestamp, other.id))], ""


def event_row(event: Event) -> dict[str, Any]:
    """One line of an event list."""
    return {
        "id": event.id,
        "at": event.timestamp,
        "kind": event.kind,
        "source": endpoint(event.eve, "src"),
        "target": endpoint(event.eve, "dest"),
        "summary": summary(event.eve),
    }
