"""Reports to the coordinating centre, stage by stage, until acknowledged."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Stage(StrEnum):
    """Stage of a report in a clock profile."""

    EARLY = "early"
    UPDATE = "update"
    FINAL = "final"


class ReportState(StrEnum):
    """Where a report stands. Only ``acknowledged`` meets the deadline."""

    DRAFT = "draft"
    READY = "ready"
    SENDING = "sending"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The coordinator's acknowledgement: its number, when it says it received, and its answer as received."""

    number: str
    received_at: datetime
    raw: str


@dataclass(frozen=True, slots=True)
class Report:
    """What is sent, when it is due, and what came of it. ``body`` is the JSON document; ``version`` counts edits."""

    id: str
    incident_id: str
    stage: Stage
    state: ReportState
    version: int
    created_at: datetime
    due_at: datetime
    body: Mapping[str, Any]
    signed_off_by: str = ""
    attempts: int = 0
    next_attempt_at: datetime | None = None
    last_error: str = ""
    receipt: Receipt | None = None
