"""The register of received reports, durable before the receipt is given, and what was determined about them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import insert, select, update

from tapwarden.agent.coordinator.database import Database, written
from tapwarden.agent.coordinator.tables import determination, received


class Finding(StrEnum):
    """What a determiner found."""

    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    NEEDS_INFORMATION = "needs_information"


@dataclass(frozen=True, slots=True)
class Determination:
    """What was determined, by whom (never the agent that reported), when and why."""

    state: Finding
    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A received report; ``content`` is as it was sent. ``revision`` counts different contents under one id."""

    number: int
    agent: str
    report_id: str
    stage: str
    received_at: datetime
    revision: int
    content: bytes

    @property
    def receipt(self) -> str:
        """The receipt's number as it is given out."""
        return f"TW-{self.received_at:%Y}-{self.number:06d}"


class Register:
    """Reports and determinations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receive(self, agent: str, report_id: str, stage: str, content: bytes, now: datetime) -> tuple[Received, bool]:
        """Keep a report; (it, whether it is new). The same id again: the first receipt, the last content."""
        digest = hashlib.sha256(content).hexdigest()
        mine = (received.c.agent == agent) & (received.c.report_id == report_id)
        with self._database.writing() as connection:
            row = connection.execute(select(received).where(mine)).one_or_none()
            if row is None:
                values = {
                    "agent": agent,
                    "report_id": report_id,
                    "stage": stage,
                    "received_at": now.astimezone(UTC).isoformat(),
                    "revision": 1,
                    "digest": digest,
                    "content": content,
                }
                connection.execute(insert(received).values(values))
            elif row.digest != digest:
                changes = {"revision": row.revision + 1, "digest": digest, "content": content, "stage": stage}
                connection.execute(update(received).where(mine).values(changes))
            kept = connection.execute(select(received).where(mine)).one()
        return _received(kept), row is None

    def reports(self, *, agent: str = "", limit: int = 100) -> Sequence[Received]:
        """Newest first; of one agent if named."""
        statement = select(received).order_by(received.c.number.desc()).limit(limit)
        if agent:
            statement = statement.where(received.c.agent == agent)
        with self._database.reading() as connection:
            return [_received(row) for row in connection.execute(statement)]

    def report(self, receipt: str) -> Received | None:
        """The report with this receipt number."""
        number = receipt.rpartition("-")[2]
        if not number.isascii() or not number.isdigit() or len(number) > 15:
            return None
        with self._database.reading() as connection:
            row = connection.execute(select(received).where(received.c.number == int(number))).one_or_none()
        found = _received(row) if row is not None else None
        return found if found is not None and found.receipt == receipt else None

    def determine(self, report: Received, found: Determination) -> None:
        """Record what was determined; the last one counts. Raises ValueError without a reason."""
        if not found.reason.strip():
            raise ValueError("a determination needs a reason")
        values = {
            "number": report.number,
            "state": found.state.value,
            "by": found.by,
            "at": written(found.at),
            "reason": found.reason.strip(),
        }
        with self._database.writing() as connection:
            connection.execute(insert(determination).values(values))

    def determinations(self, numbers: Sequence[int]) -> Mapping[int, Sequence[Determination]]:
        """What was determined about these reports, oldest first."""
        statement = select(determination).where(determination.c.number.in_(numbers)).order_by(determination.c.id)
        result: dict[int, list[Determination]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(statement):
                found = Determination(Finding(row.state), row.by, datetime.fromisoformat(row.at), row.reason)
                result.setdefault(row.number, []).append(found)
        return result


def _received(row: Any) -> Received:
    moment = datetime.fromisoformat(row.received_at)
    return Received(row.number, row.agent, row.report_id, row.stage, moment, row.revision, row.content)
