"""Faults on demand: what a coordinating centre can do wrong, so that agents can be tested and drilled against it."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal, TypeVar

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class FaultKind(StrEnum):
    """What goes wrong.

    ``lost_answer``: what was sent is kept, the receipt never arrives. ``duplicate``, ``reordered``: objects polled
    come twice, or last first. ``skewed``: the centre's clock is ``delay_s`` ahead. ``partial``: every second object
    posted is refused.
    """

    ERROR = "error"
    SLOW = "slow"
    NONSENSE = "nonsense"
    ENDLESS = "endless"
    WRONG_RECEIPT = "wrong_receipt"
    AWAY = "away"
    REFUSE = "refuse"
    LOST_ANSWER = "lost_answer"
    DUPLICATE = "duplicate"
    REORDERED = "reordered"
    SKEWED = "skewed"
    PARTIAL = "partial"


Where = Literal["report", "push", "poll"]


class Fault(BaseModel):
    """A fault of the next ``count`` requests; ``delay_s`` is for ``slow`` and ``skewed``.

    ``on`` says which: reports by HTTPS, objects pushed or polled by TAXII; any of them where it does not.
    """

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    count: int = Field(default=1, ge=0, le=100_000)
    delay_s: float = Field(default=1.0, ge=0, le=86_400)
    on: Where | None = None


class Faults:
    """The faults switched on, used up one a request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._ahead = timedelta(0)

    @property
    def ahead(self) -> timedelta:
        """How far the centre's clock is ahead."""
        return self._ahead

    def switch(self, fault: Fault) -> None:
        """From now on this fault instead of any other."""
        with self._lock:
            skewed = fault.kind is FaultKind.SKEWED and fault.count
            self._ahead = timedelta(seconds=fault.delay_s) if skewed else timedelta(0)
            self._fault = fault if fault.count and not skewed else None

    def take(self, where: Where = "report") -> Fault | None:
        """The fault of this request, if any is left."""
        with self._lock:
            fault = self._fault
            if fault is None or fault.on not in (None, where):
                return None
            left = fault.count - 1
            self._fault = fault.model_copy(update={"count": left}) if left else None
            return fault


async def before(fault: Fault) -> Response | None:
    """What the fault does before the request is looked at; None to go on."""
    if fault.kind is FaultKind.SLOW:
        await asyncio.sleep(min(fault.delay_s, 60))
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
    """What the fault does once everything is kept; None to give the receipt."""
    if fault is not None and fault.kind is FaultKind.LOST_ANSWER:
        return Response("Bad Gateway", 502)
    return None


def on_page(fault: Fault | None, found: Sequence[T]) -> list[T]:
    """What the fault makes of a page of objects."""
    if fault is not None and fault.kind is FaultKind.DUPLICATE:
        return [each for each in found for _ in range(2)]
    if fault is not None and fault.kind is FaultKind.REORDERED:
        return list(reversed(found))
    return list(found)


def on_post(fault: Fault | None, things: Sequence[Any]) -> dict[str, str]:
    """The objects that the fault refuses, and what it says."""
    if fault is None or fault.kind is not FaultKind.PARTIAL:
        return {}
    return {str(each["id"]): "refused on demand" for each in things[1::2] if isinstance(each, Mapping) and "id" in each}
