"""The shelf: STIX objects by collection, version and the moment they were added. What TAXII shows is read from here."""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select

from tapwarden.agent.coordinator.database import Database, written
from tapwarden.agent.coordinator.tables import post_status, shelved

ID = re.compile(r"(?P<type>[a-z][a-z0-9-]{1,62})--[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""STIX 2.1 section 2.9."""

STATUS_KEPT = timedelta(days=1)
"""How long what came of a POST can be asked for (TAXII 2.1 section 4.3.1 asks for at least a day)."""

OBJECT_MAX_OCTETS = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shelved:
    """An object as kept: ``seq`` orders all, ``version`` and ``added_at`` are timestamps as TAXII writes them."""

    seq: int
    id: str
    version: str
    added_at: str
    document: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A TAXII filter (section 3.4). ``version`` holds ``last``, ``first``, ``all`` or timestamps."""

    added_after: str = ""
    after_seq: int = 0
    ids: Sequence[str] = ()
    types: Sequence[str] = ()
    spec_versions: Sequence[str] = ()
    versions: Sequence[str] = ("last",)


class Shelf:
    """Objects of all collections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, collection: str, objects: Sequence[Any], now: datetime) -> dict[str, str]:
        """Keep what can be kept; what is wrong with the others, by id. The same version again changes nothing."""
        failed: dict[str, str] = {}
        with self._database.writing() as connection:
            latest = _latest(connection, now)
            for thing in objects:
                try:
                    checked = check(thing)
                except ValueError as error:
                    failed[str(thing.get("id", "") if isinstance(thing, Mapping) else "")[:200]] = str(error)
                    continue
                same = (
                    (shelved.c.collection == collection)
                    & (shelved.c.id == checked["id"])
                    & (shelved.c.version == checked["version"])
                )
                if connection.execute(select(shelved.c.seq).where(same)).first() is not None:
                    continue
                latest += timedelta(microseconds=1)  # each its own moment, so that no page can end between equals
                values = {**checked, "collection": collection, "added_at": written(latest)}
                connection.execute(insert(shelved).values(values))
        return failed

    def page(self, collection: str, wanted: Wanted, limit: int) -> tuple[Sequence[Shelved], bool]:
        """The oldest that are wanted, and whether there are more."""
        statement = _wanted(collection, wanted).order_by(shelved.c.seq).limit(limit + 1)
        with self._database.reading() as connection:
            found = [
                Shelved(row.seq, row.id, row.version, row.added_at, row.document)
                for row in connection.execute(statement)
            ]
        return found[:limit], len(found) > limit

    def versions(self, collection: str, object_id: str) -> Sequence[Shelved]:
        """All versions of an object, newest first."""
        found, _ = self.page(collection, Wanted(ids=(object_id,), versions=("all",)), 1000)
        return sorted(found, key=lambda each: each.version, reverse=True)

    def remove(self, collection: str, object_id: str, versions: Sequence[str]) -> int:
        """Take versions of an object off the shelf; how many."""
        wanted = _wanted(collection, Wanted(ids=(object_id,), versions=versions or ("all",)))
        with self._database.writing() as connection:
            numbers = [row.seq for row in connection.execute(wanted)]
            connection.execute(delete(shelved).where(shelved.c.seq.in_(numbers)))
        return len(numbers)

    def keep_status(self, agent: str, status: Mapping[str, Any], now: datetime) -> None:
        """Keep what came of a POST for a day."""
        values = {"id": status["id"], "agent": agent, "at": written(now), "document": json.dumps(status)}
        with self._database.writing() as connection:
            connection.execute(delete(post_status).where(post_status.c.at < written(now - STATUS_KEPT)))
            connection.execute(insert(post_status).values(values))

    def status(self, agent: str, status_id: str) -> dict[str, Any] | None:
        """What came of this agent's POST."""
        mine = (post_status.c.id == status_id) & (post_status.c.agent == agent)
        with self._database.reading() as connection:
            row = connection.execute(select(post_status).where(mine)).one_or_none()
        return json.loads(row.document) if row is not None else None


def check(thing: Any) -> dict[str, Any]:
    """An object's columns. Raises ValueError that says why it is no STIX 2.1 object (sections 3.1, 3.2)."""
    if not isinstance(thing, Mapping):
        raise ValueError("not an object")
    object_id, kind = thing.get("id"), thing.get("type")
    matched = ID.fullmatch(object_id) if isinstance(object_id, str) else None
    if matched is None or matched["type"] != kind:
        raise ValueError("its id is not <type>--<UUID> of its type")
    spec_version = thing.get("spec_version", "2.0")
    if spec_version not in {"2.0", "2.1"}:
        raise ValueError("its spec_version is not 2.1")
    for name in ("created", "modified"):
        if name in thing and _moment(thing[name]) is None:
            raise ValueError(f"{name} is no timestamp")
    version = _moment(thing.get("modified", thing.get("created", "1970-01-01T00:00:00Z")))
    document = json.dumps(thing, ensure_ascii=True, separators=(",", ":"))
    if len(document) > OBJECT_MAX_OCTETS:
        raise ValueError(f"it has more than {OBJECT_MAX_OCTETS} octets")
    assert version is not None
    return {
        "id": object_id,
        "type": kind,
        "spec_version": spec_version,
        "version": written(version),
        "document": document,
    }


def new_status(objects: Sequence[Any], failed: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """The status resource of a POST that is done (section 4.3.1)."""

    def each(thing: Any) -> dict[str, str]:
        thing = thing if isinstance(thing, Mapping) else {}
        version = thing.get("modified", thing.get("created", "1970-01-01T00:00:00.000Z"))
        return {"id": str(thing.get("id", ""))[:200], "version": str(version)[:40]}

    details = [each(thing) for thing in objects]
    failures = [detail | {"message": failed[detail["id"]]} for detail in details if detail["id"] in failed]
    successes = [detail for detail in details if detail["id"] not in failed]
    return {
        "id": str(uuid.uuid4()),
        "status": "complete",
        "request_timestamp": written(now),
        "total_count": len(objects),
        "success_count": len(successes),
        "successes": successes,
        "failure_count": len(failures),
        "failures": failures,
        "pending_count": 0,
        "pendings": [],
    }


def _wanted(collection: str, wanted: Wanted) -> Select[Any]:
    statement = select(shelved).where(shelved.c.collection == collection)
    if wanted.added_after:
        statement = statement.where(shelved.c.added_at > wanted.added_after)
    if wanted.after_seq:
        statement = statement.where(shelved.c.seq > wanted.after_seq)
    for column, values in (
        (shelved.c.id, wanted.ids),
        (shelved.c.type, wanted.types),
        (shelved.c.spec_version, wanted.spec_versions),
    ):
        if values:
            statement = statement.where(column.in_(values))
    if "all" in wanted.versions:
        return statement
    other = shelved.alias()
    same = (other.c.collection == shelved.c.collection) & (other.c.id == shelved.c.id)
    either: ColumnElement[bool] = shelved.c.version.in_(
        [each for each in wanted.versions if each not in {"first", "last"}]
    )
    if "last" in wanted.versions:
        either = either | (shelved.c.version == select(func.max(other.c.version)).where(same).scalar_subquery())
    if "first" in wanted.versions:
        either = either | (shelved.c.version == select(func.min(other.c.version)).where(same).scalar_subquery())
    return statement.where(either)


def _latest(connection: Connection, now: datetime) -> datetime:
    """The moment before the next object's: never before what is there already, whatever the clock did."""
    last = connection.execute(select(func.max(shelved.c.added_at))).scalar()
    return max(now.astimezone(UTC), datetime.fromisoformat(last)) if last else now.astimezone(UTC)


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo is not None else None
