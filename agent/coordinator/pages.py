"""Pages for officers: figures, reports and their determinations, queries. HTTP Basic, no script."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from tapwarden.agent.coordinator.answering import errors
from tapwarden.agent.coordinator.frame import Frame
from tapwarden.agent.coordinator.order_api import shown
from tapwarden.agent.coordinator.register import Determination, Finding
from tapwarden.agent.coordinator.statistics import statistics

Field = Annotated[str, Form(max_length=4000)]


def router(frame: Frame, *, now: Callable[[], datetime]) -> APIRouter:
    """The pages."""
    routes = APIRouter(include_in_schema=False)
    centre = frame.centre

    @routes.get("/")
    def overview(request: Request) -> Response:
        frame.officer(request)
        moment = now()
        figures = statistics(centre.register, centre.docket, centre.agents, moment)
        overdue = centre.docket.orders(overdue_at=moment)
        return frame.page("overview", "Overview", figures=figures, overdue=[shown(each, moment) for each in overdue])

    @routes.get("/reports")
    def reports(request: Request) -> Response:
        frame.officer(request)
        found = centre.register.reports(limit=200)
        determined = centre.register.determinations([each.number for each in found])
        listed = [
            {
                "receipt": each.receipt,
                "agent": each.agent,
                "stage": each.stage,
                "received_at": f"{each.received_at:%Y-%m-%d %H:%M:%S}Z",
                "summary": _summary(each.content),
                "content": json.dumps(json.loads(each.content), indent=1, ensure_ascii=False),
                "determinations": determined.get(each.number, ()),
            }
            for each in found
        ]
        return frame.page("reports", "Reports", reports=listed, findings=[each.value for each in Finding])

    @routes.post("/reports/{receipt}/determination")
    def determine(request: Request, receipt: str, state: Annotated[Finding, Form()], reason: Field) -> Response:
        by = frame.acting(request)
        with errors():
            centre.determine(receipt, Determination(state, by, now(), reason), now())
        return RedirectResponse("/reports", 303)

    @routes.get("/queries")
    def queries(request: Request) -> Response:
        frame.officer(request)
        return frame.page("queries", "Queries", queries=centre.inquiry.queries(), agents=centre.agents)

    @routes.post("/queries")
    def ask(
        request: Request, to: Field, template: Field, purpose: Field, subject: Field = "", rows: Field = ""
    ) -> Response:
        by = frame.acting(request)
        names = {"indicator-seen": "indicator", "order-status": "order_id"}
        parameters = {names[template]: subject.strip()} if template in names else {}
        question = {"template": template, "purpose": purpose, "parameters": parameters, "rows": rows == "yes"}
        with errors():
            centre.ask(to, question, by=by, now=now())
        return RedirectResponse("/queries", 303)

    return routes


def _summary(content: bytes) -> str:
    report = json.loads(content)
    return str(report.get("summary") or report.get("name") or report.get("report_id", ""))[:200]
