"""Faults on demand: what a coordinating centre can do wrong, so that agents can be tested and drilled against it."""

import asyncio
from enum import StrEnum

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field


class FaultKind(StrEnum):
    """What goes wrong. ``lost_answer``: the report is kept, the receipt never arrives."""

    ERROR = "error"
    SLOW = "slow"
    NONSENSE = "nonsense"
    ENDLESS = "endless"
    WRONG_RECEIPT = "wrong_receipt"
    AWAY = "away"
    REFUSE = "refuse"
    LOST_ANSWER = "lost_answer"


class Fault(BaseModel):
    """A fault of the next ``count`` reports; ``delay_s`` is for ``slow``."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    count: int = Field(default=1, ge=0, le=100_000)
    delay_s: float = Field(default=1.0, ge=0, le=60)


class Faults:
    """The faults switched on, used up one a report."""

    def __init__(self) -> None:
        self._fault: Fault | None = None

    def switch(self, fault: Fault) -> None:
        """From now on this fault instead of any other."""
        self._fault = fault if fault.count else None

    def take(self) -> Fault | None:
        """The fault of this report, if any is left."""
        fault = self._fault
        if fault is None:
            return None
        left = fault.count - 1
        self._fault = fault.model_copy(update={"count": left}) if left else None
        return fault


async def before(fault: Fault) -> Response | None:
    """What the fault does before the report is looked at; None to go on."""
    if fault.kind is FaultKind.SLOW:
        await asyncio.sleep(fault.delay_s)
    answers = {
        FaultKind.ERROR: Response("Internal Server Error", 500),
        FaultKind.NONSENSE: Response("<html>It works!\x1b[2J</html>", 200, media_type="text/html"),
        FaultKind.ENDLESS: Response(b"[" * 1_000_000, 200, media_type="application/json"),
        FaultKind.WRONG_RECEIPT: Response(
            '{"receipt":"X-1","report_id":"of-somebody-else","received_at":"2026-01-01T00:00:00Z"}',
            201,
            media_type="application/json",
        ),
        FaultKind.AWAY: Response("Service Unavailable", 503, headers={"Retry-After": "1"}),
        FaultKind.REFUSE: Response('{"detail":"refused on demand"}', 422, media_type="application/json"),
    }
    return answers.get(fault.kind)


def after(fault: Fault | None) -> Response | None:
    """What the fault does once the report is kept; None to give the receipt."""
    if fault is not None and fault.kind is FaultKind.LOST_ANSWER:
        return Response("Bad Gateway", 502)
    return None
