"""The inbox: alert groups, kept up to date by one upsert a group at ingest, so that opening it computes nothing."""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, bindparam, case, cast, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from tapwarden.agent.store.cases.columns import storable
from tapwarden.agent.store.cases.tables import alert_group
from tapwarden.model.incident import AlertGroup, GroupState, Verdict

BADGES_MAX = 32
"""Names kept with a group; the first ones seen. The events hold them all."""

AT_ONCE = 200
"""Groups in one statement."""

_COLUMNS = tuple(field.name for field in fields(AlertGroup))

ORDERS = {
    "priority": (
        alert_group.c.severity,
        alert_group.c["count"].desc(),
        alert_group.c.last_seen.desc(),
        alert_group.c.id,
    ),
    "last_seen": (alert_group.c.last_seen.desc(), alert_group.c.id),
    "count": (alert_group.c["count"].desc(), alert_group.c.last_seen.desc(), alert_group.c.id),
}


Key = tuple[int, int, str, str]


def merge(connection: Connection, groups: Sequence[AlertGroup]) -> Sequence[AlertGroup]:
    """Add the groups' counts to the stored ones; the answer has the stored group for each one given, in their order.

    Rows are taken in the order of their key, so that two writers never wait for each other crosswise.
    """
    given: dict[Key, AlertGroup] = {}
    for group in groups:
        key = _key(group)
        given[key] = _folded(given[key], group) if key in given else group
    keys = sorted(given)
    merged: dict[Key, AlertGroup] = {}
    upsert = _upsert(connection)
    for start in range(0, len(keys), AT_ONCE):
        part = keys[start : start + AT_ONCE]
        _insert(connection, upsert, [_values(given[key]) for key in part])
        merged |= _stored(connection, part)
    # the upsert has locked the rows: nobody else changes their badges meanwhile
    changed = [
        replace(row, badges=badges) for key, row in merged.items() if (badges := _union(row, given[key])) != row.badges
    ]
    if changed:
        statement = update(alert_group).where(alert_group.c.id == bindparam("row")).values(badges=bindparam("names"))
        connection.execute(statement, [{"row": row.id, "names": row.badges} for row in changed])
        merged |= {_key(row): row for row in changed}
    return [merged[_key(group)] for group in groups]


def _insert(connection: Connection, upsert: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Run the upsert.

    PostgreSQL's ON CONFLICT watches the key only: of two writers that make the same group in the same moment, one may
    first meet the other's row by its id, which is an error; the next try finds it by its key.
    """
    if connection.dialect.name != "postgresql":
        connection.execute(upsert, rows)
        return
    for last in (False, False, True):
        try:
            with connection.begin_nested():
                connection.execute(upsert, rows)
            return
        except IntegrityError:
            if last:
                raise


def _key(group: AlertGroup) -> Key:
    return group.gid, group.sid, storable(group.src_ip), storable(group.dest_ip)


def _values(group: AlertGroup) -> dict[str, Any]:
    return {name: getattr(group, name) for name in _COLUMNS}


def _stored(connection: Connection, keys: Sequence[Key]) -> dict[Key, AlertGroup]:
    column = alert_group.c
    chosen = tuple_(column.gid, column.sid, column.src_ip, column.dest_ip).in_(keys)
    rows = connection.execute(select(alert_group).where(chosen))
    return {_key(group): group for group in (AlertGroup(**row._mapping) for row in rows)}


def _union(stored: AlertGroup, new: AlertGroup) -> tuple[str, ...]:
    names = dict.fromkeys((*stored.badges, *new.badges))
    return tuple(names)[: max(BADGES_MAX, len(stored.badges))]


def _folded(first: AlertGroup, second: AlertGroup) -> AlertGroup:
    """Two groups of one batch with the same key as one, by the rules of the upsert."""
    newest = second if second.last_seen >= first.last_seen else first
    return replace(
        newest,
        id=first.id,
        count=first.count + second.count,
        first_seen=min(first.first_seen, second.first_seen),
        badges=_union(first, second),
    )


def _upsert(connection: Connection) -> Any:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(alert_group)
    old, new = alert_group.c, statement.excluded
    newer = new.last_seen >= old.last_seen
    opens_again = and_(old.state == GroupState.ARCHIVED, old.verdict != Verdict.FALSE_POSITIVE)
    changed: dict[str, Any] = {
        name: case((newer, new[name]), else_=old[name])
        for name in ("signature", "category", "severity", "last_seen", "event_id", "sensor")
    }
    changed["count"] = old["count"] + new["count"]
    changed["first_seen"] = case((new.first_seen < old.first_seen, new.first_seen), else_=old.first_seen)
    changed["state"] = case((opens_again, GroupState.OPEN), else_=old.state)
    return statement.on_conflict_do_update(index_elements=[old.gid, old.sid, old.src_ip, old.dest_ip], set_=changed)


def matching(
    *, state: GroupState | None, text: str, min_count: int, limit: int, offset: int, order: str
) -> Select[Any]:
    """The groups a list shows. ``text`` is part of a signature, category, address or badge, case-insensitive.

    ValueError for an order that does not exist.
    """
    if order not in ORDERS:
        raise ValueError(f"groups can be ordered by {', '.join(ORDERS)}, not {order!r}")
    conditions: list[ColumnElement[bool]] = []
    if state is not None:
        conditions.append(alert_group.c.state == state)
    if min_count:
        conditions.append(alert_group.c["count"] >= min_count)
    if text:
        columns = ("signature", "category", "src_ip", "dest_ip", "sensor")
        found = [alert_group.c[name].icontains(text, autoescape=True) for name in columns]
        written = json.dumps(text)[1:-1]  # badges are kept as ASCII JSON
        found.append(cast(alert_group.c.badges, Text).icontains(written, autoescape=True))
        conditions.append(or_(*found))
    return select(alert_group).where(*conditions).order_by(*ORDERS[order]).limit(limit).offset(offset)
