"""Events: EVE records, as the engine or Suricata wrote them, and questions about stored ones."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

import orjson

Value = TypeVar("Value")


class _Kept(Generic[Value]):
    """What is computed once: ``functools.cached_property`` without its lock, which costs more than what it guards."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute, self._name = compute, compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, event: Any, _type: Any = None) -> Value:
        value = event.__dict__[self._name] = self._compute(event)
        return value


@dataclass(frozen=True)
class Event:
    """One observation.

    ``raw`` is the JSON text (UTF-8, one line, no newline), ``origin`` says where it came from in a way that is the same
    when the same input is read again (file identity and position, or engine run and sequence): both make the ``id``,
    so that storing the same event twice stores it once.
    """

    raw: bytes
    origin: str = ""

    @_Kept
    def eve(self) -> Mapping[str, Any]:
        """The parsed record. Attacker-chosen text: never trust it in a page, a shell or a path."""
        record: Mapping[str, Any]
        try:
            record = orjson.loads(self.raw)
        except orjson.JSONDecodeError:
            record = json.loads(self.raw)  # slower, and takes lone surrogates and numbers of any size
        return record

    @_Kept
    def id(self) -> str:
        """32 hex digits: 12 of the milliseconds since 1970 (so ids sort by time), 20 of BLAKE2b(origin, raw)."""
        origin = self.origin.encode("utf-8", "surrogatepass")  # a path may have any octets
        digest = hashlib.blake2b(origin + b"\0" + self.raw, digest_size=10).hexdigest()
        return f"{max(0, int(self.timestamp.timestamp() * 1000)):012x}{digest}"

    @_Kept
    def timestamp(self) -> datetime:
        """When it was observed, UTC. A record without a readable timestamp counts as 1970."""
        try:
            parsed = datetime.fromisoformat(str(self.eve["timestamp"]))
        except (KeyError, ValueError):
            return datetime(1970, 1, 1, tzinfo=UTC)
        try:
            return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        except OverflowError:  # year 1 or 9999 with an offset that leads out of the calendar
            return datetime(1970, 1, 1, tzinfo=UTC)

    def forget(self) -> None:
        """Let go of the parsed record, which takes ten times the room of its text; it is parsed again if asked for."""
        self.__dict__.pop("eve", None)

    @property
    def kind(self) -> str:
        """EVE ``event_type``: alert, dns, http, tls, flow, fileinfo, anomaly, stats, ..."""
        return str(self.eve.get("event_type", ""))


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which stored events. Empty fields do not restrict; all given ones must hold."""

    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] = ()
    address: str = ""
    """An address or CIDR network; matches source or destination."""
    src_ip: str = ""
    dest_ip: str = ""
    port: int | None = None
    sid: int | None = None
    signature: str = ""
    """Part of the signature's text, case-insensitive."""
    domain: str = ""
    """A domain name; matches it and every name below it (DNS question, TLS SNI, HTTP host)."""
    url: str = ""
    file_hash: str = ""
    ja: str = ""
    """JA3, JA3S or JA4 of a TLS or QUIC session."""
    community_id: str = ""
    flow_id: int | None = None
    sensor: str = ""
    text: str = ""
    """Text that occurs in a value of the record, case-insensitive."""


class EventOrder(StrEnum):
    """In which order events are listed."""

    NEWEST = "newest"
    OLDEST = "oldest"


RANKED_FIELDS = ("src_ip", "dest_ip", "dest_port", "sid", "signature", "domain", "event_type", "app_proto", "sensor")
"""What top and rare lists are made of."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events in the order asked for; ``cursor`` asks for the next ("" at the end), also as events arrive."""

    events: tuple[Event, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bar of a histogram."""

    start: datetime
    count: int


@dataclass(frozen=True, slots=True)
class TopEntry:
    """One line of a top-N or rare-N list."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Alerts of one rule from one source to one destination. Addresses are "" where the records have none."""

    sid: int
    signature: str
    src_ip: str
    dest_ip: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What an event store holds and how it fares; sizes in octets."""

    backend: str
    events: int
    size_octets: int
    partitions: tuple[str, ...] = ()
    oldest: datetime | None = None
    newest: datetime | None = None
    rejected: int = 0
    writable: bool = True
    problem: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)
