"""The docket: orders that were issued, to whom, until when an answer is due, and what the answer was."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select, update

from tapwarden.agent.coordinator.collections import shelf_name
from tapwarden.agent.coordinator.database import Database, written
from tapwarden.agent.coordinator.shelf import Shelf
from tapwarden.agent.coordinator.tables import feedback, issued
from tapwarden.agent.orders import document
from tapwarden.agent.orders.writing import Issuer, Wording
from tapwarden.model.decision import Measure, Target

EFFECTIVE, WITHOUT_ANSWER = 200, 0

Signed = tuple[dict[str, Any], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Issued:
    """An order as it was issued, and the last that was heard of it (``code`` 0: nothing yet)."""

    order_id: str
    agent: str
    seq: int
    kind: str
    refers_to: str
    issued_at: datetime
    due_at: datetime
    issued_by: str
    content: Mapping[str, Any]
    signature: Mapping[str, str]
    state: str
    code: int
    detail: str
    fed_back_at: datetime | None
    effective_at: datetime | None

    def overdue(self, now: datetime) -> bool:
        """Whether an answer that ends the matter should have come."""
        return self.code in {WITHOUT_ANSWER, 102} and self.due_at <= now


class Docket:
    """Issues orders (signed, numbered, onto the agent's shelf) and takes feedback."""

    def __init__(self, database: Database, shelf: Shelf, issuer: Issuer) -> None:
        self._database, self._shelf, self._issuer = database, shelf, issuer

    def issue(
        self, agent: str, wanted: Sequence[tuple[Measure, Target]], wording: Wording, *, by: str, now: datetime
    ) -> Issued:
        """Order measures. Raises ValueError for what cannot be ordered."""
        kind = "paper" if wording.paper_for else "measure"

        def signed(order_id: str, seq: int) -> Signed:
            return self._issuer.order(order_id, seq, agent, wanted, wording, now)

        return self._issue(agent, kind, wording.paper_for, signed, by, now)

    def revoke(self, order_id: str, *, reason: str, by: str, now: datetime) -> Issued:
        """End an order. Raises KeyError, ValueError."""
        revoked = self.order(order_id)
        if not reason.strip():
            raise ValueError("a revocation needs a reason")
        content = revoked.content
        wording = Wording(
            category=content["category"],
            legal_basis=content["legal_basis"],
            reason=reason.strip(),
            scope={"text": content["scope"]["text"]},
            lasts=document.read(content).expires - document.read(content).not_before,
            due_within=document.read(content).due_at - document.read(content).not_before,
            drill=bool(content.get("drill", False)),
        )
        wording = replace(wording, incident_ref=content.get("incident_ref", ""))

        def signed(new_id: str, seq: int) -> Signed:
            return self._issuer.revocation(new_id, seq, revoked.agent, order_id, wording, now)

        return self._issue(revoked.agent, "revocation", order_id, signed, by, now)

    def order(self, order_id: str) -> Issued:
        """Raises KeyError."""
        with self._database.reading() as connection:
            row = connection.execute(select(issued).where(issued.c.order_id == order_id)).one_or_none()
        if row is None:
            raise KeyError(order_id)
        return _issued(row)

    def orders(self, *, agent: str = "", overdue_at: datetime | None = None, limit: int = 100) -> Sequence[Issued]:
        """Newest first; of one agent if named; with ``overdue_at`` those whose answer should have come by then."""
        statement = select(issued).order_by(issued.c.number.desc()).limit(limit)
        if agent:
            statement = statement.where(issued.c.agent == agent)
        if overdue_at is not None:
            waiting = issued.c.code.in_((WITHOUT_ANSWER, 102))
            statement = statement.where(and_(waiting, issued.c.due_at <= written(overdue_at)))
        with self._database.reading() as connection:
            return [_issued(row) for row in connection.execute(statement)]

    def take_feedback(self, agent: str, content: Mapping[str, Any], now: datetime) -> bool:
        """Keep what an agent says of an order of its own; whether there is such an order."""
        order_id, at = str(content.get("order_id", "")), str(content.get("at", ""))
        code, state = content.get("code"), str(content.get("state", ""))[:20]
        if not isinstance(code, int) or isinstance(code, bool):
            return False
        try:
            moment = written(datetime.fromisoformat(at))
        except ValueError:
            return False
        mine = (issued.c.order_id == order_id) & (issued.c.agent == agent)
        with self._database.writing() as connection:
            row = connection.execute(select(issued).where(mine)).one_or_none()
            if row is None:
                return False
            values = {
                "order_id": order_id,
                "agent": agent,
                "at": moment,
                "received_at": written(now),
                "document": json.dumps(dict(content)),
            }
            connection.execute(insert(feedback).values(values))
            if moment >= row.fed_back_at:  # what overtook an older answer stands
                effective = row.effective_at or (moment if code == EFFECTIVE and state == "effective" else "")
                changes = {
                    "state": state,
                    "code": code,
                    "detail": str(content.get("detail", ""))[:2000],
                    "fed_back_at": moment,
                    "effective_at": effective,
                }
                connection.execute(update(issued).where(mine).values(changes))
        return True

    def feedback(self, order_id: str, *, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """What the agent said of an order, newest first."""
        statement = select(feedback).where(feedback.c.order_id == order_id).order_by(feedback.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [
                json.loads(row.document) | {"received_at": row.received_at} for row in connection.execute(statement)
            ]

    def _issue(
        self, agent: str, kind: str, refers_to: str, signed: Callable[[str, int], Signed], by: str, now: datetime
    ) -> Issued:
        with self._database.writing() as connection:
            number = 1 + (connection.execute(select(func.max(issued.c.number))).scalar() or 0)
            seq = 1 + (connection.execute(select(func.max(issued.c.seq)).where(issued.c.agent == agent)).scalar() or 0)
            order_id = f"{self._issuer.name}-{now:%Y}-{number:06d}"
            content, signature = signed(order_id, seq)
            values = {
                "order_id": order_id,
                "agent": agent,
                "seq": seq,
                "kind": kind,
                "refers_to": refers_to,
                "issued_at": written(now),
                "due_at": written(datetime.fromisoformat(content["due_at"])),
                "issued_by": by,
                "content": json.dumps(content),
                "signature": json.dumps(signature),
                "state": "",
                "code": WITHOUT_ANSWER,
                "detail": "",
                "fed_back_at": "",
                "effective_at": "",
            }
            connection.execute(insert(issued).values(values))
            row = connection.execute(select(issued).where(issued.c.order_id == order_id)).one()
        self._publish(agent, content, signature, now)
        return _issued(row)

    def _publish(self, agent: str, content: dict[str, Any], signature: dict[str, str], now: datetime) -> None:
        failed = self._shelf.add(
            shelf_name(agent, "orders-out"), [document.course_of_action(content, signature, now)], now
        )
        assert not failed, failed

    def publish_missing(self, now: datetime) -> None:
        """What a death between recording and publishing left: put it on the shelf, where it is once already."""
        with self._database.reading() as connection:
            rows = [_issued(row) for row in _recent(connection)]
        for each in rows:
            self._publish(each.agent, dict(each.content), dict(each.signature), each.issued_at)


def _recent(connection: Connection) -> Sequence[Any]:
    statement = select(issued).where(or_(issued.c.code == WITHOUT_ANSWER)).order_by(issued.c.number.desc()).limit(100)
    return list(connection.execute(statement))


def _issued(row: Any) -> Issued:
    def moment(text: str) -> datetime | None:
        return datetime.fromisoformat(text) if text else None

    return Issued(
        row.order_id,
        row.agent,
        row.seq,
        row.kind,
        row.refers_to,
        datetime.fromisoformat(row.issued_at),
        datetime.fromisoformat(row.due_at),
        row.issued_by,
        json.loads(row.content),
        json.loads(row.signature),
        row.state,
        row.code,
        row.detail,
        moment(row.fed_back_at),
        moment(row.effective_at),
    )
