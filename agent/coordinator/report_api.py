"""The centre's HTTPS interface for what it hears: reports, their receipts and determinations; access tokens; faults."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from tapwarden.agent.coordinator import document, faults
from tapwarden.agent.coordinator.answering import errors
from tapwarden.agent.coordinator.centre import Centre
from tapwarden.agent.coordinator.faults import Fault, Faults
from tapwarden.agent.coordinator.identity import Identities
from tapwarden.agent.coordinator.register import Determination, Finding, Received
from tapwarden.agent.request_body import read_body

REPORT_MAX_OCTETS = 1024 * 1024
"""A longer report is refused before it is read."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DeterminationRequest(_Body):
    """What was found about a report."""

    state: Finding
    reason: str = Field(min_length=1, max_length=4000)


def router(
    centre: Centre, identities: Identities, active: Faults, *, with_faults: bool, now: Callable[[], datetime]
) -> APIRouter:
    """All routes below ``/api/v1`` and ``/oauth2/token``."""
    routes = APIRouter()

    @routes.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.post("/oauth2/token")
    def token(
        request: Request,
        response: Response,
        grant_type: Annotated[str, Form()],
        client_id: Annotated[str, Form()] = "",
        client_secret: Annotated[str, Form()] = "",
    ) -> dict[str, Any]:
        """A short-lived token (RFC 6749 section 4.4)."""
        if grant_type != "client_credentials":
            raise HTTPException(400, "unsupported_grant_type")
        value, lasts_s = identities.grant(request, client_id, client_secret)
        response.headers["Cache-Control"] = "no-store"
        return {"access_token": value, "token_type": "Bearer", "expires_in": lasts_s}

    @routes.post("/api/v1/reports", status_code=201)
    async def receive(request: Request) -> Response:
        """Take a report (JSON of the profile) and give its receipt; 200 where it had been received."""
        caller = identities.caller(request)
        if caller.officer:
            raise HTTPException(403, "reports come from agents")
        fault = active.take()
        if fault is not None and (answer := await faults.before(fault)) is not None:
            return answer
        content = await read_body(request, REPORT_MAX_OCTETS, "a report")
        try:
            report = document.check(content)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        kept, new = await run_in_threadpool(
            centre.register.receive, caller.name, report.report_id, report.stage, content, now()
        )
        return faults.after(fault) or _json(_receipt(kept), 201 if new else 200)

    @routes.get("/api/v1/reports")
    def reports(request: Request, limit: int = Query(default=100, ge=1, le=1000)) -> list[dict[str, Any]]:
        """Reports with what was determined: an agent's own, an officer's all."""
        reader = identities.caller(request)
        found = centre.register.reports(agent="" if reader.officer else reader.name, limit=limit)
        determined = centre.register.determinations([each.number for each in found])
        return [
            _receipt(each)
            | {"agent": each.agent, "revision": each.revision, "stage": each.stage, "report": json.loads(each.content)}
            | {"determinations": [_determination(found) for found in determined.get(each.number, ())]}
            for each in found
        ]

    @routes.post("/api/v1/reports/{receipt}/determination", status_code=201)
    def determine(request: Request, receipt: str, body: DeterminationRequest) -> dict[str, Any]:
        """Determine a report; the agent hears of it in its orders-out."""
        officer = identities.officer(request)
        found = Determination(body.state, officer.name, now(), body.reason)
        with errors():
            return {"receipt": receipt} | _determination(centre.determine(receipt, found, now()))

    if with_faults:

        @routes.post("/api/v1/faults", status_code=204)
        def switch(request: Request, fault: Fault) -> None:
            if not identities.caller(request).officer:
                raise HTTPException(403, "faults are switched by officers")
            active.switch(fault)

    return routes


def _determination(found: Determination) -> dict[str, Any]:
    return {"state": found.state.value, "by": found.by, "at": found.at.isoformat(), "reason": found.reason}


def _receipt(kept: Received) -> dict[str, Any]:
    return {
        "receipt": kept.receipt,
        "report_id": kept.report_id,
        "received_at": kept.received_at.isoformat().replace("+00:00", "Z"),
    }


def _json(record: dict[str, Any], status: int) -> Response:
    return Response(json.dumps(record), status, media_type="application/json")
