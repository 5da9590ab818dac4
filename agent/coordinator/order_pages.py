"""Pages for officers: orders, their feedback, and the form that issues one."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from tapwarden.agent.coordinator.answering import errors
from tapwarden.agent.coordinator.frame import Frame
from tapwarden.agent.coordinator.order_api import shown
from tapwarden.agent.orders.gate import NEVER_BLOCKED
from tapwarden.agent.orders.writing import Wording
from tapwarden.model.decision import Measure, Target, TargetType
from tapwarden.model.order import CATEGORIES

Field = Annotated[str, Form(max_length=4000)]


def router(frame: Frame, *, now: Callable[[], datetime]) -> APIRouter:
    """The pages."""
    routes = APIRouter(include_in_schema=False)
    centre = frame.centre

    def order_page(problem: str = "", status: int = 200) -> Response:
        found = [shown(each, now()) for each in centre.docket.orders(limit=200)]
        categories = sorted(each for each in CATEGORIES if not each.startswith(NEVER_BLOCKED))
        return frame.page(
            "orders", "Orders", status, orders=found, agents=centre.agents, categories=categories, problem=problem
        )

    @routes.get("/orders")
    def orders(request: Request) -> Response:
        frame.officer(request)
        return order_page()

    @routes.post("/orders")
    def issue(
        request: Request,
        to: Field,
        measure: Annotated[Measure, Form()],
        type: Annotated[TargetType, Form()],
        value: Field,
        category: Field,
        instrument: Field,
        article: Field,
        scope: Field,
        reason: Field,
        lasts_h: Annotated[int, Form(ge=1, le=720)],
        due_min: Annotated[int, Form(ge=1, le=10080)],
    ) -> Response:
        by = frame.acting(request)
        wording = Wording(
            category=category,
            legal_basis={"instrument": instrument, "article": article},
            reason=reason,
            scope={"text": scope},
            lasts=timedelta(hours=lasts_h),
            due_within=timedelta(minutes=due_min),
        )
        try:
            made = centre.issue(to, [(measure, Target(type, value.strip()))], wording, by=by, now=now())
        except (ValueError, KeyError) as error:
            return order_page(str(error), 422)
        return RedirectResponse(f"/orders/{made.order_id}", 303)

    @routes.get("/orders/{order_id}")
    def order(request: Request, order_id: str) -> Response:
        frame.officer(request)
        with errors():
            found = centre.docket.order(order_id)
        content = json.dumps({"order": found.content, "signature": found.signature}, indent=1, ensure_ascii=False)
        heard = centre.docket.feedback(order_id)
        return frame.page("order", order_id, order=shown(found, now()), feedback=heard, content=content)

    @routes.post("/orders/{order_id}/revocation")
    def revoke(request: Request, order_id: str, reason: Field) -> Response:
        by = frame.acting(request)
        with errors():
            made = centre.docket.revoke(order_id, reason=reason, by=by, now=now())
        return RedirectResponse(f"/orders/{made.order_id}", 303)

    return routes
