"""Report drafts: view, edit field by field, sign off; afterwards the receipt."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, csrf_checked, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.render import done, page
from tapwarden.model.report import Report, ReportState

router = APIRouter(prefix="/reports", dependencies=[Depends(needs(Right.READ))])

FIELD = "body."

ENDINGS = {
    "application/json": "json",
    "application/stix+json": "json",
    "application/xml": "xml",
    "application/x-ndjson": "jsonl",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
}

FIXED = frozenset(
    {"schema", "report_id", "incident_id", "stage", "profile", "drill", "created_at", "due_at", "stage_id"}
)
"""What identifies a report and its clock: shown, never edited."""

FORMS = {str: "text", bool: "bool", int: "number", float: "number", type(None): "text"}


async def submitted(request: Request) -> FormData:
    return await request.form(max_fields=500, max_files=0)


@router.get("/{report_id}")
def show_report(request: Request, console: ConsoleDep, person: VisitorDep, report_id: str) -> Response:
    report = find_report(console, report_id)
    incident = console.cases.incident(report.incident_id)
    fields = [
        {
            "name": name,
            "value": value,
            "form": form_of(value),
            "empty": value in (None, "", [], {}),
            "fixed": name in FIXED,
        }
        for name, value in report.body.items()
    ]
    data = {
        "report": report,
        "incident": incident,
        "fields": fields,
        "draft": report.state in (ReportState.DRAFT, ReportState.REFUSED),
        "formats": tuple(console.formatters),
    }
    return page(request, console, person, "report.html", data)


@router.get("/{report_id}/export")
def export(console: ConsoleDep, report_id: str, name: Annotated[str, Query(alias="format", max_length=40)]) -> Response:
    """The report in a format, as a file. It is for people of this house: the privacy gate is before receivers."""
    report = find_report(console, report_id)
    incident = console.cases.incident(report.incident_id)
    formatter = console.formatters.get(name)
    if formatter is None or incident is None:
        raise DeniedError(
            404, "No such format", f"A report can be had as {', '.join(console.formatters) or 'nothing'}."
        )
    try:
        payload = formatter.format(report, incident)
    except ValueError as error:
        raise DeniedError(409, "Not possible", f"It cannot be written as {name}: {error}") from None
    ending = ENDINGS.get(formatter.media_type.partition(";")[0], "bin")
    headers = {"Content-Disposition": f'attachment; filename="report-{name}.{ending}"'}
    return Response(payload, media_type=formatter.media_type, headers=headers)


@router.post("/{report_id}/edit", dependencies=[Depends(csrf_checked), Depends(needs(Right.TRIAGE))])
def edit_report(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    report_id: str,
    form: Annotated[FormData, Depends(submitted)],
) -> Response:
    report = find_report(console, report_id)
    if form.get("version") != str(report.version):
        raise DeniedError(
            409, "Changed meanwhile", "Somebody saved this draft after you opened it: reload, edit again."
        )
    changed = console.desk.edit_report(report.id, read_body(report.body, form), by=person.name)
    return done(request, person, f"/reports/{report.id}", f"Draft saved as version {changed.version}.")


@router.post("/{report_id}/sign-off", dependencies=[Depends(csrf_checked), Depends(needs(Right.DECIDE))])
def sign_off(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    report_id: str,
    form: Annotated[FormData, Depends(submitted)],
) -> Response:
    report = find_report(console, report_id)
    if form.get("version") != str(report.version):
        raise DeniedError(409, "Changed meanwhile", "This is not the version you read: reload and read it again.")
    console.desk.sign_off(report.id, by=person.name)
    return done(
        request, person, f"/reports/{report.id}", "Signed off: it is sent until the coordinator acknowledges it."
    )


def form_of(value: Any) -> str:
    """Which form field edits a value: text, bool, number, or json for lists and objects."""
    return FORMS.get(type(value), "json")


def read_body(body: Mapping[str, Any], form: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with the submitted fields in it; each keeps its kind. Raises DeniedError naming the field."""
    changed = dict(body)
    for name, value in body.items():
        given = form.get(FIELD + name)
        if not isinstance(given, str) or name in FIXED:
            continue
        kind = form_of(value)
        text = given.replace("\r\n", "\n")
        try:
            if kind == "json":
                changed[name] = json.loads(text)
            elif kind == "number":
                changed[name] = json.loads(text) if text.strip() else None
            elif kind == "bool":
                changed[name] = text == "true"
            else:
                changed[name] = None if value is None and not text else text
        except (ValueError, RecursionError) as error:
            raise DeniedError(400, "Field not understood", f"{name}: {error}") from None
    return changed


def find_report(console: Console, report_id: str) -> Report:
    """The report. Raises DeniedError when there is none."""
    report = console.cases.report(report_id)
    if report is None:
        raise DeniedError(404, "No such report", "There is no report with this number.")
    return report
