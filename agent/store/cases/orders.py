"""SqlOrderStore: the OrderStore port, in the case store's database and its transactions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select

from tapwarden.agent.store.cases.store import SqlCaseStore
from tapwarden.agent.store.cases.tables import coordinator_order, coordinator_query, message, poll_cursor
from tapwarden.model.order import Message, Order, OrderState, Query


@dataclass(frozen=True, slots=True)
class _Cursor:
    name: str
    value: str


class SqlOrderStore:
    """Orders beside the cases: one transaction takes an order and the decisions under it."""

    def __init__(self, cases: SqlCaseStore) -> None:
        self._cases = cases

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """The case store's."""
        with self._cases.transaction():
            yield

    def put_order(self, order: Order) -> None:
        """Insert or replace."""
        self._cases.put_row(coordinator_order, order)

    def order(self, order_id: str) -> Order | None:
        """The order, or None."""
        return self._cases.one_row(Order, coordinator_order, order_id)

    def orders(self, *, states: Sequence[OrderState] = (), limit: int = 100) -> Sequence[Order]:
        """By when they were received."""
        statement = select(coordinator_order)
        if states:
            statement = statement.where(coordinator_order.c.state.in_(states))
        latest = (coordinator_order.c.received_at.desc(), coordinator_order.c.id.desc())
        return self._cases.rows(Order, statement.order_by(*latest).limit(limit))

    def order_at(self, issuer: str, seq: int) -> Order | None:
        """See the port."""
        columns = coordinator_order.c
        statement = select(coordinator_order).where(columns.issuer == issuer, columns.seq == seq).limit(1)
        return next(iter(self._cases.rows(Order, statement)), None)

    def last_seq(self, issuer: str) -> int:
        """See the port."""
        statement = select(func.max(coordinator_order.c.seq)).where(coordinator_order.c.issuer == issuer)
        return int(self._cases.scalar(statement) or 0)

    def referring(self, order_id: str) -> Sequence[Order]:
        """See the port."""
        statement = select(coordinator_order).where(coordinator_order.c.refers_to == order_id)
        return self._cases.rows(Order, statement.order_by(coordinator_order.c.received_at.desc()).limit(100))

    def put_message(self, message_: Message) -> None:
        """Insert or replace."""
        self._cases.put_row(message, message_)

    def due_messages(self, now: datetime, *, limit: int = 100) -> Sequence[Message]:
        """See the port."""
        ripe = or_(message.c.next_attempt_at.is_(None), message.c.next_attempt_at <= now)
        statement = select(message).where(message.c.sent_at.is_(None), ripe)
        return self._cases.rows(Message, statement.order_by(message.c.created_at, message.c.id).limit(limit))

    def drop_sent(self, before: datetime) -> int:
        """Forget messages that were sent before then; how many."""
        return self._cases.drop_rows(message, message.c.sent_at < before)

    def messages(self, *, subject: str = "", limit: int = 100) -> Sequence[Message]:
        """By creation time."""
        statement = select(message)
        if subject:
            statement = statement.where(message.c.subject == subject)
        latest = (message.c.created_at.desc(), message.c.id.desc())
        return self._cases.rows(Message, statement.order_by(*latest).limit(limit))

    def cursor(self, name: str) -> str:
        """See the port."""
        found = self._cases.one_row(_Cursor, poll_cursor, name)
        return found.value if found is not None else ""

    def set_cursor(self, name: str, value: str) -> None:
        """See the port."""
        self._cases.put_row(poll_cursor, _Cursor(name, value))

    def put_query(self, query: Query) -> None:
        """Insert or replace."""
        self._cases.put_row(coordinator_query, query)

    def query(self, query_id: str) -> Query | None:
        """The query, or None."""
        return self._cases.one_row(Query, coordinator_query, query_id)

    def queries(self, *, asker: str = "", since: datetime | None = None, limit: int = 100) -> Sequence[Query]:
        """By when they were received."""
        conditions: list[ColumnElement[bool]] = []
        if asker:
            conditions.append(coordinator_query.c.asker == asker)
        if since is not None:
            conditions.append(coordinator_query.c.received_at >= since)
        statement = select(coordinator_query).where(*conditions)
        latest = (coordinator_query.c.received_at.desc(), coordinator_query.c.id.desc())
        return self._cases.rows(Query, statement.order_by(*latest).limit(limit))
