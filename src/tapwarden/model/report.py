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
    """Where a report stands. Only ``acknowledged`` meets the deadline; ``sent`` waits for a receipt that comes later
    (e-mail, a drop folder)."""

    DRAFT = "draft"
    READY = "ready"
    SENDING = "sending"
    SENT = "sent"
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
    """What is sent, when it is due, and what came of it. ``body`` is the JSON document; ``version`` counts edits.

    ``stage`` is the kind of the report, ``stage_id`` the profile's own name of the stage ("" in what older versions
    wrote: the kind's). ``receiver`` is the configured receiver, "" for the coordinating centre.
    """

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
    profile: str = ""
    stage_id: str = ""
    receiver: str = ""


@dataclass(frozen=True, slots=True)
class StageTimer:
    """The running clock of one stage of one profile for one incident.

    ``id`` is ``incident/profile/stage``. ``due_at`` is None where nothing says when (promptly, on request). ``warned``
    is the highest part of the time (percent; 100 is overdue) that people were told of, ``next_at`` when they are told
    next. ``met_at`` is when the receiver acknowledged, ``dropped`` why it does not run any more ("" while it does).
    """

    id: str
    incident_id: str
    profile: str
    stage_id: str
    stage: Stage
    starts_at: datetime
    due_at: datetime | None
    warned: int = 0
    next_at: datetime | None = None
    met_at: datetime | None = None
    dropped: str = ""
    drill: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """What the privacy gate lets through to one receiver: the report with the rest taken out.

    ``withheld`` names fields that were, ``pseudonyms`` counts internal addresses replaced.
    """

    report: Report
    withheld: tuple[str, ...] = ()
    pseudonyms: int = 0
    tlp: str = ""


@dataclass(frozen=True, slots=True)
class Departure:
    """One document that left the house: what, for whom, by which way, and what was held back of it.

    ``withheld`` names the fields the receiver may not have, ``pseudonyms`` counts internal addresses that were
    replaced. ``sha256`` is of the octets as they left.
    """

    id: str
    at: datetime
    report_id: str
    incident_id: str
    receiver: str
    channel: str
    format: str
    octets: int
    sha256: str
    tlp: str
    withheld: tuple[str, ...] = ()
    pseudonyms: int = 0
    receipt: str = ""
    drill: bool = False
