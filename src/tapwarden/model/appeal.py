"""Complaints and appeals: somebody outside says that what was done is wrong, or that something should be done."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AppealState(StrEnum):
    """Where a complaint stands. It stops no clock of an incident, and ends no action by itself."""

    FILED = "filed"
    LIFTED = "lifted"
    """What it is about was undone for the time being; the answer is still due."""
    GRANTED = "granted"
    REJECTED = "rejected"


OPEN_APPEALS = (AppealState.FILED, AppealState.LIFTED)
"""States in which an answer is due."""


@dataclass(frozen=True, slots=True)
class Appeal:
    """One complaint. ``number`` is what people say on the telephone, ``secret_hash`` of the secret in its status link.

    ``acknowledged_at`` is when the number and the dates were given; ``answer_due`` ends a working day. ``late``: filed
    after the window; that is for who answers to weigh. ``lifted`` are the targets let go because of it, each as
    ``type value``: blocking one again takes two people.
    """

    id: str
    number: str
    secret_hash: str
    filed_at: datetime
    who: str
    contact: str
    about: str
    grounds: str
    state: AppealState
    acknowledged_at: datetime
    ack_due: datetime
    answer_due: datetime
    late: bool = False
    lifted: tuple[str, ...] = ()
    answered_at: datetime | None = None
    answered_by: str = ""
    reasons: str = ""
