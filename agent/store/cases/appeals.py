"""SqlAppealStore: the AppealStore port, in the case store's database and its transactions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import func, or_, select

from tapwarden.agent.store.cases.store import SqlCaseStore
from tapwarden.agent.store.cases.tables import appeal
from tapwarden.model.appeal import Appeal, AppealState


class SqlAppealStore:
    """Complaints beside the cases they are about."""

    def __init__(self, cases: SqlCaseStore) -> None:
        self._cases = cases

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """The case store's."""
        with self._cases.transaction():
            yield

    def put(self, appeal_: Appeal) -> None:
        """Insert or replace."""
        self._cases.put_row(appeal, appeal_)

    def find(self, id_or_number: str) -> Appeal | None:
        """By id or number."""
        either = or_(appeal.c.id == id_or_number, appeal.c.number == id_or_number)
        return next(iter(self._cases.rows(Appeal, select(appeal).where(either).limit(1))), None)

    def by_secret(self, secret_hash: str) -> Appeal | None:
        """See the port."""
        statement = select(appeal).where(appeal.c.secret_hash == secret_hash).limit(1)
        return next(iter(self._cases.rows(Appeal, statement)), None)

    def all(self, *, states: Sequence[AppealState] = (), limit: int = 100) -> Sequence[Appeal]:
        """What is due first comes first."""
        statement = select(appeal)
        if states:
            statement = statement.where(appeal.c.state.in_(states))
        return self._cases.rows(Appeal, statement.order_by(appeal.c.answer_due, appeal.c.number).limit(limit))

    def lifting(self) -> Sequence[Appeal]:
        """Complaints that let targets go and were not rejected since."""
        states = (AppealState.LIFTED, AppealState.GRANTED)
        statement = select(appeal).where(appeal.c.state.in_(states), appeal.c.lifted != ())
        return self._cases.rows(Appeal, statement)

    def filed_since(self, since: datetime) -> int:
        """How many were filed since then."""
        statement = select(func.count()).select_from(appeal).where(appeal.c.filed_at >= since)
        return int(self._cases.scalar(statement) or 0)
