"""The coordinating centre's HTTP interface."""

import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from tapwarden.agent.coordinator import document, faults
from tapwarden.agent.coordinator.faults import Fault, Faults
from tapwarden.agent.coordinator.register import Received, Register
from tapwarden.agent.coordinator.settings import CoordinatorSettings

REPORT_MAX_OCTETS = 1024 * 1024
"""A longer report is refused before it is read."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token it was."""

    name: str
    officer: bool


def _now() -> datetime:
    return datetime.now(UTC)


def create_coordinator(settings: CoordinatorSettings, *, now: Callable[[], datetime] = _now) -> FastAPI:
    """The application; the register is opened here (StoreError) and closed when the application stops."""
    register = Register(settings.database)
    active = Faults()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        register.close()

    app = FastAPI(title="Tapwarden coordinator", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)

    def caller(request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found: Caller | None = None
        if scheme.lower() == "bearer":
            for names, officer in ((settings.agents, False), (settings.officers, True)):
                for name, expected in names.items():  # all of them, so that the time taken tells nothing
                    if hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace")):
                        found = Caller(name, officer)
        if found is None:
            raise HTTPException(401, "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})
        return found

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/api/v1/reports", status_code=201)
    async def receive(request: Request) -> Response:
        agent = caller(request)
        if agent.officer:
            raise HTTPException(403, "reports come from agents")
        fault = active.take()
        if fault is not None and (answer := await faults.before(fault)) is not None:
            return answer
        content = await _content(request)
        try:
            report = document.check(content)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        kept, new = await run_in_threadpool(
            register.receive, agent.name, report.report_id, report.stage, content, now()
        )
        return faults.after(fault) or _json(_receipt(kept), 201 if new else 200)

    @app.get("/api/v1/reports")
    def reports(request: Request, limit: int = Query(default=100, ge=1, le=1000)) -> list[dict[str, Any]]:
        reader = caller(request)
        found = register.reports(agent="" if reader.officer else reader.name, limit=limit)
        return [
            _receipt(each)
            | {"agent": each.agent, "revision": each.revision, "stage": each.stage, "report": json.loads(each.content)}
            for each in found
        ]

    if settings.faults:

        @app.post("/api/v1/faults", status_code=204)
        def switch(request: Request, fault: Fault) -> None:
            if not caller(request).officer:
                raise HTTPException(403, "faults are switched by officers")
            active.switch(fault)

    return app


async def _content(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > REPORT_MAX_OCTETS:
            raise HTTPException(413, f"a report has at most {REPORT_MAX_OCTETS} octets")
    return bytes(content)


def _receipt(kept: Received) -> dict[str, Any]:
    return {
        "receipt": kept.receipt,
        "report_id": kept.report_id,
        "received_at": kept.received_at.isoformat().replace("+00:00", "Z"),
    }


def _json(record: dict[str, Any], status: int) -> Response:
    return Response(json.dumps(record), status, media_type="application/json")
