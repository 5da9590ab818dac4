"""What is done to an incident on its page: what it is, whose, how grave, since when; determined, merged, split."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, csrf_checked, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.pages.reports import submitted
from tapwarden.dashboards.render import done
from tapwarden.model.desks import IncidentDesk
from tapwarden.model.incident import FACTS, SET_ONCE, SUBTYPES, Incident, IncidentState, Ownership, ThreatClass

router = APIRouter(
    prefix="/incidents/{incident_id}",
    dependencies=[Depends(needs(Right.READ)), Depends(csrf_checked), Depends(needs(Right.TRIAGE))],
)

Text = Annotated[str, Form(max_length=2000)]


def handling_data(console: Console, incident: Incident) -> Mapping[str, Any]:
    """What the forms of an incident's page need; ``grades`` are shown to everybody."""
    return {
        "subtypes": {threat.value: kinds for threat, kinds in SUBTYPES.items()},
        "known_facts": FACTS,
        "moments": SET_ONCE,
        "grades": console.handling.grades(incident) if console.handling else {},
        "handled_here": console.handling is not None,
    }


def handling_of(console: ConsoleDep) -> IncidentDesk:
    if console.handling is None:
        raise DeniedError(404, "Not here", "Incidents are handled elsewhere.")
    return console.handling


HandlingDep = Annotated[IncidentDesk, Depends(handling_of)]


def known(incident_id: str, change: Callable[[], Incident]) -> Incident:
    """What the change gives. Raises DeniedError where there is no such incident."""
    try:
        return change()
    except KeyError as error:
        raise DeniedError(404, "No such incident", f"There is no incident {error.args[0]!r}.") from None


def answer(request: Request, person: VisitorDep, incident: Incident, notice: str) -> Response:
    return done(request, person, f"/incidents/{incident.id}", notice, {"incident": incident})


@router.post("/classify")
def classify(
    request: Request,
    desk: HandlingDep,
    person: VisitorDep,
    incident_id: str,
    subtype: Text,
    kind_text: Text = "",
) -> Response:
    """``subtype`` is ``class:sub-type``."""
    threat, _, kind = subtype.partition(":")
    if threat not in list(ThreatClass):
        raise DeniedError(400, "No such class", "Choose a class and sub-type from the list.")
    changed = known(
        incident_id,
        lambda: desk.classify(
            incident_id, threat_class=ThreatClass(threat), subtype=kind, kind_text=kind_text, by=person.name
        ),
    )
    return answer(request, person, changed, f"Classified as {changed.threat_class.value} / {changed.subtype}.")


@router.post("/own")
def own(
    request: Request,
    desk: HandlingDep,
    person: VisitorDep,
    incident_id: str,
    ownership: Annotated[Ownership, Form()],
    reason: Text = "",
) -> Response:
    changed = known(
        incident_id, lambda: desk.attribute(incident_id, ownership=ownership, by=person.name, reason=reason)
    )
    return answer(request, person, changed, "Recorded whose network it is in.")


@router.post("/assess")
def assess(
    request: Request,
    desk: HandlingDep,
    person: VisitorDep,
    incident_id: str,
    form: Annotated[FormData, Depends(submitted)],
) -> Response:
    """Fields ``fact.<name>``; empty ones say nothing."""
    facts = {
        name.removeprefix("fact."): value
        for name, value in form.items()
        if name.startswith("fact.") and isinstance(value, str) and value.strip()
    }
    changed = known(incident_id, lambda: desk.assess(incident_id, facts=facts, by=person.name))
    said = "; ".join(f"{name}: {grade.word}" for name, grade in desk.grades(changed).items())
    return answer(request, person, changed, f"Recorded. Grade by {said}.")


@router.post("/assign")
def assign(
    request: Request, desk: HandlingDep, person: VisitorDep, incident_id: str, responsible: Text = ""
) -> Response:
    changed = known(incident_id, lambda: desk.assign(incident_id, responsible=responsible, by=person.name))
    return answer(request, person, changed, f"{changed.responsible} answers for it.")


@router.post("/note")
def note(request: Request, desk: HandlingDep, person: VisitorDep, incident_id: str, text: Text = "") -> Response:
    changed = known(incident_id, lambda: desk.note(incident_id, text=text, by=person.name))
    return answer(request, person, changed, "Noted.")


@router.post("/stamp")
def stamp(
    request: Request,
    console: ConsoleDep,
    desk: HandlingDep,
    person: VisitorDep,
    incident_id: str,
    name: Text,
    at: Text = "",
    text: Text = "",
    correct: Annotated[bool, Form()] = False,
) -> Response:
    """``at`` is RFC 3339, UTC where it names no timezone; empty is now."""
    try:
        moment = datetime.fromisoformat(at.strip()) if at.strip() else console.clock.now()
    except ValueError:
        raise DeniedError(400, "No time", "Write a time such as 2026-11-24T08:30:00Z.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    changed = known(
        incident_id,
        lambda: desk.stamp(incident_id, name=name, at=moment, text=text, correct=correct, by=person.name),
    )
    return answer(request, person, changed, f"Recorded: {name}.")


@router.post("/submit")
def submit(request: Request, desk: HandlingDep, person: VisitorDep, incident_id: str) -> Response:
    changed = known(incident_id, lambda: desk.submit(incident_id, by=person.name))
    return answer(request, person, changed, "Submitted for determination.")


@router.post("/determine", dependencies=[Depends(needs(Right.DECIDE))])
def determine(
    request: Request,
    desk: HandlingDep,
    person: VisitorDep,
    incident_id: str,
    state: Annotated[IncidentState, Form()],
    reason: Text = "",
) -> Response:
    changed = known(incident_id, lambda: desk.determine(incident_id, state=state, by=person.name, reason=reason))
    return answer(request, person, changed, f"Determined: {changed.state.value}.")


@router.post("/merge")
def merge(
    request: Request, desk: HandlingDep, person: VisitorDep, incident_id: str, other: Text = "", reason: Text = ""
) -> Response:
    """``other``: numbers of incidents, by spaces or commas."""
    others = other.replace(",", " ").split()
    changed = known(incident_id, lambda: desk.merge(incident_id, others, by=person.name, reason=reason))
    return answer(request, person, changed, f"{len(others)} merged into this incident.")


@router.post("/split")
def split(
    request: Request,
    desk: HandlingDep,
    person: VisitorDep,
    incident_id: str,
    group: Annotated[list[str] | None, Form()] = None,
    title: Text = "",
    reason: Text = "",
) -> Response:
    made = known(incident_id, lambda: desk.split(incident_id, group or (), title=title, by=person.name, reason=reason))
    return answer(request, person, made, f"Split from {incident_id}.")
