"""Events as Elasticsearch documents, and back.

The native core makes the documents (``native/core/src/event/ecs``: its ``mapping.rs`` says which ECS field comes from
where), a batch at a time. What it cannot read, because a time is written unusually or a text holds what JSON should
not, it asks for here, where ``model.event`` says what such a record means.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event

if TYPE_CHECKING:
    from tapwarden._core import Documents

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EARLIEST, LATEST = EPOCH, datetime(2262, 1, 1, tzinfo=UTC)
"""What ``date_nanos`` can hold (nanoseconds since 1970 in 63 bits); other times are kept as the nearer end."""

DEPTH_MAX = 100
"""Of objects and lists within each other, in a record that the core cannot read; it takes no more than 127."""


def documents(events: Sequence[Event], series: Mapping[str, str], other: str, *, whole: bool = True) -> "Documents":
    """The documents of these events, to be created in the index that ``series`` names for their type, or in ``other``.

    Each is under its event's id, and ``event_of`` makes the same event of it again, octet for octet. Without ``whole``,
    ``suricata.eve`` holds only type and flow: for records that the server cannot take as they are. What is no record (a
    JSON object) has no document. Raises StoreError where the native core is missing.
    """
    try:
        from tapwarden._core import Documents  # noqa: PLC0415 - reading what is stored works without it
    except ImportError as error:
        raise StoreError(f"cannot store events: the native core is missing or too old ({error})") from error
    return Documents(
        [event.raw for event in events],
        [event.origin for event in events],
        series,
        other,
        lambda number: _read(events[number]),
        whole=whole,
    )


def event_of(source: Mapping[str, Any]) -> Event:
    """The event that a document was made of."""
    own = source["tapwarden"]
    octets = own.get("octets")
    original = source["event"].get("original")
    if octets is not None:
        raw = base64.b64decode(octets)
    elif original is not None:
        raw = original.encode()
    else:
        raw = orjson.dumps(source["suricata"]["eve"])
    packed = own.get("packed_origin")
    origin = own.get("origin", "") if packed is None else base64.b64decode(packed).decode("utf-8", "surrogatepass")
    return Event(raw, origin)


def moment_of(microseconds: int) -> datetime:
    """The moment so many microseconds after 1970 began."""
    return EPOCH + timedelta(microseconds=microseconds)


def _read(event: Event) -> tuple[int, str, bytes] | None:
    """Time in microseconds, id and plain JSON text of a record that the core cannot read; None for what is none."""
    try:
        eve = event.eve
        if not isinstance(eve, dict):
            return None
        microseconds = (event.timestamp - EPOCH) // timedelta(microseconds=1)
        return microseconds, event.id, json.dumps(_plain(eve, 0), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    finally:
        event.forget()


def _plain(value: Any, depth: int) -> Any:
    """Without lone surrogates, numbers that are none, and what is nested too deep."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict | list) and depth > DEPTH_MAX:
        return None
    if isinstance(value, dict):
        return {_plain(name, depth): _plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth + 1) for inner in value]
    return value
