"""SqlCaseStore: the CaseStore port on SQLAlchemy."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tapwarden.agent.store.cases import inbox, trail
from tapwarden.agent.store.cases.database import WRITES, open_database
from tapwarden.agent.store.cases.people import Erased, People
from tapwarden.agent.store.cases.tables import (
    account,
    action,
    alert_group,
    approval,
    audit,
    decision,
    departure,
    incident,
    notice,
    report,
    stage_timer,
)
from tapwarden.model.decision import Action, ActionState, Approval, AuditRecord, Decision, Target
from tapwarden.model.errors import StoreError
from tapwarden.model.incident import AlertGroup, GroupState, Incident, IncidentState, Verdict
from tapwarden.model.notice import Notice
from tapwarden.model.report import Departure, Report, ReportState, StageTimer
from tapwarden.model.user import User

T = TypeVar("T")

OVER = (IncidentState.CLOSED, IncidentState.REJECTED)
"""States in which nothing is left to do on an incident."""

IDS_AT_ONCE = 500
"""Ids in one statement; SQLite takes 32766 parameters, PostgreSQL 65535."""


class SqlCaseStore:
    """Cases in SQLite or PostgreSQL; safe to use from many threads and, with PostgreSQL, from many hosts.

    ``url`` is SQLAlchemy's: ``sqlite:////var/lib/tapwarden/cases/cases.db``, ``postgresql://user@host/name``. Text is
    stored as given, save that NUL and lone surrogates are replaced visibly. Inside ``transaction()`` the methods that
    return one thing lock it until the end, so that reading, changing and putting it back is safe; a transaction inside
    another one joins it. Raises StoreError.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_database(url)
        self._joined = threading.local()
        self._puts: dict[str, Any] = {}
        """The prepared statements, by table."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """The store in a SQLite file, made with its folder when it does not exist."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise StoreError(f"cannot make {path.parent}: {error.strerror}") from error
        return cls(f"sqlite:///{path}")

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    # transactions

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All calls of this thread inside it succeed together or not at all."""
        with self._write():
            yield

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        outer: Connection | None = getattr(self._joined, "connection", None)
        if outer is not None:
            with _store_errors():
                yield outer
            return
        with (
            _store_errors(),
            self._engine.connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
        ):
            self._joined.connection, self._joined.chain = connection, None
            try:
                yield connection
                self._write_trail()
            finally:
                self._joined.connection = self._joined.chain = None

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        outer: Connection | None = getattr(self._joined, "connection", None)
        with _store_errors():
            if outer is not None:
                yield outer
                return
            with self._engine.connect() as connection, connection.begin():
                yield connection

    def _put(self, table: Table, *items: Any) -> None:
        """Insert or replace by primary key, all with one prepared statement."""
        names = table.columns.keys()
        statement = self._puts.get(table.name)
        if statement is None:
            statement = self._puts[table.name] = _upsert(table, self._engine.dialect.name)
        with self._write() as connection:
            rows = [{name: getattr(item, name) for name in names} for item in items]
            if rows:
                connection.execute(statement, rows)

    def _chain(self, connection: Connection) -> trail.Chain:
        """The audit records of the transaction this thread is in."""
        chain: trail.Chain | None = self._joined.chain
        if chain is None:
            chain = self._joined.chain = trail.Chain(connection)
        return chain

    def _write_trail(self) -> None:
        """Write the records of this thread's transaction that wait, so that they can be read or committed."""
        chain: trail.Chain | None = getattr(self._joined, "chain", None)
        if chain is not None:
            chain.flush()

    def _one(self, kind: type[T], table: Table, key: str) -> T | None:
        (column,) = table.primary_key
        statement = select(table).where(column == key)
        if getattr(self._joined, "connection", None) is not None:
            statement = statement.with_for_update()  # SQLite has locked the whole database already and leaves it out
        with self._read() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else kind(**row._mapping)

    def _list(self, kind: type[T], statement: Select[Any]) -> Sequence[T]:
        with self._read() as connection:
            return [kind(**row._mapping) for row in connection.execute(statement)]

    # rows, for the other stores in this database

    def put_row(self, table: Table, item: Any) -> None:
        """Insert or replace by primary key; the item's fields are the table's columns."""
        self._put(table, item)

    def one_row(self, kind: type[T], table: Table, key: str) -> T | None:
        """The row with this primary key; locked inside ``transaction()``."""
        return self._one(kind, table, key)

    def rows(self, kind: type[T], statement: Select[Any]) -> Sequence[T]:
        """All rows of a statement."""
        return self._list(kind, statement)

    def drop_rows(self, table: Table, condition: ColumnElement[bool]) -> int:
        """Delete rows; how many."""
        with self._write() as connection:
            return connection.execute(table.delete().where(condition)).rowcount

    def scalar(self, statement: Select[Any]) -> Any:
        """The first value of a statement's first row."""
        with self._read() as connection:
            return connection.execute(statement).scalar()

    # the inbox

    def merge_groups(self, groups: Sequence[AlertGroup]) -> Sequence[AlertGroup]:
        """See the port; the answer has one group for each given one, in the same order."""
        if not groups:
            return []
        with self._write() as connection:
            return inbox.merge(connection, groups)

    def group(self, group_id: str) -> AlertGroup | None:
        """The alert group, or None."""
        return self._one(AlertGroup, alert_group, group_id)

    def groups(
        self,
        *,
        state: GroupState | None = None,
        text: str = "",
        min_count: int = 0,
        limit: int = 100,
        offset: int = 0,
        order: str = "priority",
    ) -> Sequence[AlertGroup]:
        """See the port."""
        statement = inbox.matching(state=state, text=text, min_count=min_count, limit=limit, offset=offset, order=order)
        return self._list(AlertGroup, statement)

    def count_groups(self, *, state: GroupState | None = None) -> int:
        """How many alert groups there are, in this state if one is given."""
        statement = select(func.count()).select_from(alert_group)
        if state is not None:
            statement = statement.where(alert_group.c.state == state)
        with self._read() as connection:
            return int(connection.execute(statement).scalar_one())

    def set_groups(
        self,
        group_ids: Sequence[str],
        *,
        state: GroupState | None = None,
        verdict: Verdict | None = None,
        incident_id: str | None = None,
        by: str,
        at: datetime,
    ) -> int:
        """See the port; writes one audit record (verb ``triage``) a group."""
        given = {"state": state, "verdict": verdict, "incident_id": incident_id}
        changed = {name: value for name, value in given.items() if value is not None}
        detail = " ".join(f"{name}={value}" for name, value in changed.items())
        ids = list(dict.fromkeys(group_ids))
        found = 0
        with self._write() as connection:
            for start in range(0, len(ids), IDS_AT_ONCE):
                chosen = alert_group.c.id.in_(ids[start : start + IDS_AT_ONCE])
                existing = set(connection.execute(select(alert_group.c.id).where(chosen)).scalars())
                found += len(existing)
                if not changed:
                    continue
                connection.execute(update(alert_group).where(chosen).values(changed))
                for group_id in ids[start : start + IDS_AT_ONCE]:
                    if group_id in existing:
                        chain = self._chain(connection)
                        chain.append(actor=by, verb="triage", subject=group_id, detail=detail, at=at)
        return found

    # incidents, decisions, actions, reports

    def put_incident(self, incident_: Incident) -> None:
        """Insert or replace by id. The timeline only grows: what was written stays, whoever puts an older copy back."""
        with self._write() as connection:
            written = connection.execute(
                select(incident.c.timeline).where(incident.c.id == incident_.id)
            ).scalar_one_or_none()
            if written and tuple(incident_.timeline[: len(written)]) != written:
                added = tuple(entry for entry in incident_.timeline if entry not in written)
                incident_ = replace(incident_, timeline=(*written, *added))
            self._put(incident, incident_)

    def incident(self, incident_id: str) -> Incident | None:
        """The incident, or None."""
        return self._one(Incident, incident, incident_id)

    def incidents(
        self, *, state: IncidentState | None = None, open_only: bool = False, limit: int = 100
    ) -> Sequence[Incident]:
        """By opening time; ``open_only`` leaves out closed and rejected ones."""
        conditions: list[ColumnElement[bool]] = []
        if state is not None:
            conditions.append(incident.c.state == state)
        if open_only:
            conditions.append(incident.c.state.not_in(OVER))
        statement = select(incident).where(*conditions)
        return self._list(Incident, statement.order_by(incident.c.opened_at.desc(), incident.c.id.desc()).limit(limit))

    def put_decision(self, decision_: Decision) -> None:
        """Insert or replace; its incident has to be there."""
        self._put(decision, decision_)

    def decision(self, decision_id: str) -> Decision | None:
        """The decision, or None."""
        return self._one(Decision, decision, decision_id)

    def decisions(self, *, incident_id: str = "", limit: int = 100) -> Sequence[Decision]:
        """By decision time."""
        statement = select(decision)
        if incident_id:
            statement = statement.where(decision.c.incident_id == incident_id)
        return self._list(Decision, statement.order_by(decision.c.decided_at.desc(), decision.c.id.desc()).limit(limit))

    def put_approval(self, approval_: Approval) -> None:
        """Insert or replace; its decision has to be there."""
        self._put(approval, approval_)

    def approvals(self, decision_id: str) -> Sequence[Approval]:
        """Oldest first."""
        statement = select(approval).where(approval.c.decision_id == decision_id)
        return self._list(Approval, statement.order_by(approval.c.at, approval.c.by))

    def put_action(self, action_: Action) -> None:
        """Insert or replace; its decision and incident have to be there."""
        self._put(action, action_)

    def put_actions(self, actions_: Sequence[Action]) -> None:
        """See the port."""
        self._put(action, *actions_)

    def actions_named(self, action_ids: Sequence[str]) -> Mapping[str, Action]:
        """See the port."""
        found: dict[str, Action] = {}
        ids = list(dict.fromkeys(action_ids))
        for start in range(0, len(ids), IDS_AT_ONCE):
            statement = select(action).where(action.c.id.in_(ids[start : start + IDS_AT_ONCE]))
            if getattr(self._joined, "connection", None) is not None:
                statement = statement.with_for_update()
            found |= {one.id: one for one in self._list(Action, statement)}
        return found

    def actions_on(self, targets: Iterable[Target], *, states: Sequence[ActionState]) -> Sequence[Action]:
        """See the port."""
        found: list[Action] = []
        wanted = list(targets)
        for start in range(0, len(wanted), IDS_AT_ONCE):
            part = action.c.target.in_(wanted[start : start + IDS_AT_ONCE])
            found += self._list(Action, select(action).where(part, action.c.state.in_(states)))
        return found

    def count_actions(self, *, states: Sequence[ActionState], since: datetime, most: int) -> int:
        """See the port."""
        chosen = select(action.c.created_at).where(action.c.state.in_(states), action.c.created_at > since)
        with self._read() as connection:
            found = connection.execute(select(func.count()).select_from(chosen.limit(most).subquery()))
            return int(found.scalar_one())

    def action(self, action_id: str) -> Action | None:
        """The action, or None."""
        return self._one(Action, action, action_id)

    def actions(
        self,
        *,
        states: Sequence[ActionState] = (),
        incident_id: str = "",
        decision_id: str = "",
        limit: int = 1000,
    ) -> Sequence[Action]:
        """By creation time."""
        conditions: list[ColumnElement[bool]] = []
        if states:
            conditions.append(action.c.state.in_(states))
        if incident_id:
            conditions.append(action.c.incident_id == incident_id)
        if decision_id:
            conditions.append(action.c.decision_id == decision_id)
        statement = select(action).where(*conditions)
        return self._list(Action, statement.order_by(action.c.created_at.desc(), action.c.id.desc()).limit(limit))

    def put_report(self, report_: Report) -> None:
        """Insert or replace; its incident has to be there."""
        self._put(report, report_)

    def report(self, report_id: str) -> Report | None:
        """The report, or None."""
        return self._one(Report, report, report_id)

    def reports(self, *, state: ReportState | None = None, incident_id: str = "", limit: int = 100) -> Sequence[Report]:
        """By creation time."""
        conditions: list[ColumnElement[bool]] = []
        if state is not None:
            conditions.append(report.c.state == state)
        if incident_id:
            conditions.append(report.c.incident_id == incident_id)
        statement = select(report).where(*conditions)
        return self._list(Report, statement.order_by(report.c.created_at.desc(), report.c.id.desc()).limit(limit))

    def due_reports(self, now: datetime, *, limit: int = 100) -> Sequence[Report]:
        """See the port."""
        waiting = report.c.state.in_((ReportState.READY, ReportState.SENDING))
        ripe = or_(report.c.next_attempt_at.is_(None), report.c.next_attempt_at <= now)
        statement = select(report).where(waiting, ripe).order_by(report.c.due_at, report.c.id).limit(limit)
        return self._list(Report, statement)

    # clocks, notices, what left the house

    def put_timer(self, timer: StageTimer) -> None:
        """Insert or replace; its incident has to be there."""
        self._put(stage_timer, timer)

    def timer(self, timer_id: str) -> StageTimer | None:
        """The clock of one stage, or None."""
        return self._one(StageTimer, stage_timer, timer_id)

    def timers(
        self, *, incident_id: str = "", running: bool = False, ring_by: datetime | None = None, limit: int = 1000
    ) -> Sequence[StageTimer]:
        """See the port."""
        columns, conditions = stage_timer.c, list[ColumnElement[bool]]()
        if incident_id:
            conditions.append(columns.incident_id == incident_id)
        if running:
            conditions += [columns.met_at.is_(None), columns.dropped == ""]
        order: list[ColumnElement[Any]] = [columns.due_at.is_(None), columns.due_at, columns.id]
        if ring_by is not None:
            conditions.append(columns.next_at <= ring_by)
            order = [columns.next_at, columns.id]
        return self._list(StageTimer, select(stage_timer).where(*conditions).order_by(*order).limit(limit))

    def put_notice(self, notice_: Notice) -> None:
        """Insert or replace."""
        self._put(notice, notice_)

    def notice(self, notice_id: str) -> Notice | None:
        """The notice, or None."""
        return self._one(Notice, notice, notice_id)

    def notices(
        self, *, waiting_at: datetime | None = None, incident_id: str = "", limit: int = 100
    ) -> Sequence[Notice]:
        """See the port."""
        columns, conditions = notice.c, list[ColumnElement[bool]]()
        order: list[ColumnElement[Any]] = [columns.created_at.desc(), columns.id.desc()]
        if waiting_at is not None:
            ripe = or_(columns.next_attempt_at.is_(None), columns.next_attempt_at <= waiting_at)
            conditions += [columns.delivered_at.is_(None), ripe]
            order = [columns.created_at, columns.id]
        if incident_id:
            conditions.append(columns.incident_id == incident_id)
        return self._list(Notice, select(notice).where(*conditions).order_by(*order).limit(limit))

    def put_departure(self, departure_: Departure) -> None:
        """Insert or replace."""
        self._put(departure, departure_)

    def departures(
        self, *, receiver: str = "", incident_id: str = "", since: datetime | None = None, limit: int = 100
    ) -> Sequence[Departure]:
        """By time."""
        columns, conditions = departure.c, list[ColumnElement[bool]]()
        if receiver:
            conditions.append(columns.receiver == receiver)
        if incident_id:
            conditions.append(columns.incident_id == incident_id)
        if since is not None:
            conditions.append(columns.at >= since)
        statement = select(departure).where(*conditions).order_by(columns.at.desc(), columns.id.desc())
        return self._list(Departure, statement.limit(limit))

    # people and the trail

    def put_user(self, user: User) -> None:
        """Insert or replace by name."""
        self._put(account, user)

    def user(self, name: str) -> User | None:
        """The account, or None."""
        return self._one(User, account, name)

    def users(self) -> Sequence[User]:
        """All accounts, newest first."""
        return self._list(User, select(account).order_by(account.c.created_at.desc(), account.c.name))

    def audit(self, *, actor: str, verb: str, subject: str, detail: str = "", at: datetime) -> AuditRecord:
        """Append to the hash chain."""
        with self._write() as connection:
            return self._chain(connection).append(actor=actor, verb=verb, subject=subject, detail=detail, at=at)

    def audit_records(self, *, subject: str = "", limit: int = 100) -> Sequence[AuditRecord]:
        """The newest records first."""
        self._write_trail()
        statement = select(audit)
        with self._read() as connection:
            if subject:
                # Records of older versions have the subject itself, later ones its token.
                either = (subject, trail.masked_subject(connection, subject))
                statement = statement.where(audit.c.subject.in_(either))
            found = self._list(AuditRecord, statement.order_by(audit.c.seq.desc()).limit(limit))
            return trail.readable(connection, found)

    def audit_record(self, seq: int) -> AuditRecord | None:
        """The record with this number, or None."""
        self._write_trail()
        with self._read() as connection:
            found = self._list(AuditRecord, select(audit).where(audit.c.seq == seq))
            return next(iter(trail.readable(connection, found)), None)

    def ask_erasure(self, name: str, by: str, at: datetime) -> str:
        """Note who asks for a name's erasure, unless somebody has; who has."""
        self._write_trail()
        with self._write() as connection:
            return People(connection).ask(name, by, at.timestamp())

    def erase_person(self, name: str) -> Erased:
        """Destroy the key of a name in the trail; see ``people``. ``wipe_keys`` afterwards."""
        self._write_trail()
        with self._write() as connection:
            token = People(connection).erase(name)
            records = trail.count_naming(connection, f"{{person:{token}}}") if token else 0
            clear = trail.count_naming(connection, name)
        return Erased(token, records, clear)

    def wipe_keys(self) -> None:
        """After an erasure was committed, not inside a transaction: no destroyed key stays in SQLite's log."""
        with _store_errors(), self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA subjects.wal_checkpoint(TRUNCATE)")

    def verify_audit(self) -> int | None:
        """See the port; records cut off at the end are reported by the number of the first missing one."""
        self._write_trail()
        with self._read() as connection:
            return trail.first_misfit(connection)


def _upsert(table: Table, dialect: str) -> Any:
    """The prepared statement that inserts or replaces rows of a table by primary key."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise StoreError(f"the case store refuses it: {error.orig}") from error
    except (SQLAlchemyError, OverflowError) as error:
        cause = getattr(error, "orig", None) or error
        raise StoreError(f"the case store cannot do it now: {cause}") from error
