"""Questions to agents, put onto their shelves, and the answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update

from tapwarden.agent.coordinator.collections import shelf_name
from tapwarden.agent.coordinator.database import Database, written
from tapwarden.agent.coordinator.shelf import Shelf
from tapwarden.agent.coordinator.tables import asked
from tapwarden.agent.orders import document


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer (empty before it came)."""

    query_id: str
    agent: str
    asked_by: str
    asked_at: str
    document: Mapping[str, Any]
    answer: Mapping[str, Any]
    answered_at: str


class Inquiry:
    """Asks and hears."""

    def __init__(self, database: Database, shelf: Shelf, name: str) -> None:
        self._database, self._shelf, self._name = database, shelf, name

    def ask(self, agent: str, question: Mapping[str, Any], *, by: str, now: datetime) -> Asked:
        """Put a question; ``question`` has template, purpose, parameters, rows."""
        with self._database.writing() as connection:
            number = 1 + (connection.execute(select(func.max(asked.c.number))).scalar() or 0)
            query_id = f"{self._name}-Q-{now:%Y}-{number:06d}"
            content = {**question, "query_id": query_id, "from": self._name, "to": agent}
            values = {
                "query_id": query_id,
                "agent": agent,
                "asked_by": by,
                "asked_at": written(now),
                "document": json.dumps(content),
                "answer": "{}",
                "answered_at": "",
            }
            connection.execute(insert(asked).values(values))
        about = document.stix_id("identity", agent)
        text = f"Query {query_id}: {question['template']}: {question['purpose']}"
        thing = document.note("query", content, about=about, text=text, at=now, names=(self._name, query_id))
        failed = self._shelf.add(shelf_name(agent, "queries-out"), [thing], now)
        assert not failed, failed
        return self.query(query_id)

    def take_answer(self, agent: str, content: Mapping[str, Any], now: datetime) -> bool:
        """Keep an agent's answer; whether it was asked."""
        mine = (asked.c.query_id == str(content.get("query_id", ""))) & (asked.c.agent == agent)
        changes = {"answer": json.dumps(dict(content)), "answered_at": written(now)}
        with self._database.writing() as connection:
            return connection.execute(update(asked).where(mine).values(changes)).rowcount == 1

    def query(self, query_id: str) -> Asked:
        """Raises KeyError."""
        with self._database.reading() as connection:
            row = connection.execute(select(asked).where(asked.c.query_id == query_id)).one_or_none()
        if row is None:
            raise KeyError(query_id)
        return _asked(row)

    def queries(self, *, limit: int = 100) -> Sequence[Asked]:
        """Newest first."""
        with self._database.reading() as connection:
            return [
                _asked(row) for row in connection.execute(select(asked).order_by(asked.c.number.desc()).limit(limit))
            ]


def _asked(row: Any) -> Asked:
    return Asked(
        row.query_id,
        row.agent,
        row.asked_by,
        row.asked_at,
        json.loads(row.document),
        json.loads(row.answer),
        row.answered_at,
    )
