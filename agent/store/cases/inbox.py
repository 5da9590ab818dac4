"""The inbox: alert groups, kept up to date by one upsert a group at ingest, so that opening it computes nothing."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, case, cast, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tapwarden.agent.store.cases.columns import storable
from tapwarden.agent.store.cases.tables import alert_group
from tapwarden.model.incident import AlertGroup, GroupState, Verdict

BADGES_MAX = 32
"""Names kept with a group; the first ones seen. The events hold them all."""

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


def merge(connection: Connection, groups: Sequence[AlertGroup]) -> Sequence[AlertGroup]:
    """Add the groups' counts to the stored ones; the answer has the stored group for each one given, in their order.

    Rows are taken in the order of their key, so that two writers never wait for each other crosswise.
    """
    merged: dict[tuple[int, int, str, str], AlertGroup] = {}
    for group in sorted(groups, key=_key):
        row = AlertGroup(**connection.execute(_upsert(connection, group)).one()._mapping)
        badges = _union(row.badges, group.badges)
        if badges != row.badges:  # the upsert has locked the row: nobody else changes the badges between these two
            statement = update(alert_group).where(alert_group.c.id == row.id).values(badges=badges)
            row = AlertGroup(**connection.execute(statement.returning(alert_group)).one()._mapping)
        merged[_key(group)] = row
    return [merged[_key(group)] for group in groups]


def _key(group: AlertGroup) -> tuple[int, int, str, str]:
    return group.gid, group.sid, storable(group.src_ip), storable(group.dest_ip)


def _union(stored: Sequence[str], new: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*stored, *new)))[: max(BADGES_MAX, len(stored))]


def _upsert(connection: Connection, group: AlertGroup) -> Any:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(alert_group).values({name: getattr(group, name) for name in _COLUMNS})
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
    return statement.on_conflict_do_update(
        index_elements=[old.gid, old.sid, old.src_ip, old.dest_ip], set_=changed
    ).returning(alert_group)


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
