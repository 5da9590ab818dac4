"""Notices to people: a clock that runs out, something that waits for them. Durable until they were delivered."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to named people. The same ``id`` is the same message: it is delivered once.

    ``level`` is ``info``, ``watch``, ``warning``, ``critical`` or ``overdue``. ``to`` are names of people or groups as
    configured, not addresses. ``delivered_at`` is None while it waits, until ``next_attempt_at``.
    """

    id: str
    created_at: datetime
    level: str
    to: tuple[str, ...]
    subject: str
    text: str
    incident_id: str = ""
    drill: bool = False
    attempts: int = 0
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    last_error: str = ""
