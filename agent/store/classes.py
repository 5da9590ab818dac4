"""How much an event is worth keeping: what is shed first when there is no room, and what is kept how long."""

from enum import IntEnum

from tapwarden.model.event import Event


class EventClass(IntEnum):
    """In the order in which events are given up: what only describes the sensor's work first, alerts last."""

    DETAIL = 0
    """Counters and oddities of packets: stats, anomaly."""

    NETWORK = 1
    """Network logs: who talked to whom and about what (flow, http, tls, fileinfo, and whatever else there is)."""

    DNS = 2
    """Domain name resolution logs."""

    ALERT = 3
    """Alerts, and names that were led to a sinkhole."""


_MARK = b'"event_type":"'

CLASS_OF_KIND = {
    "alert": EventClass.ALERT,
    "sinkhole": EventClass.ALERT,
    "drop": EventClass.ALERT,
    "dns": EventClass.DNS,
    "stats": EventClass.DETAIL,
    "anomaly": EventClass.DETAIL,
}
"""By ``event_type``; every other one is a network log."""


def kind_of(event: Event) -> str:
    """``event_type``, without parsing the record where it is written as the engine and Suricata write it.

    The text looked for cannot occur inside a JSON text (its quotes would be escaped), and at the record's own level it
    comes before any nested object in what both programs write; anything else is parsed.
    """
    raw = event.raw
    begin = raw.find(_MARK)
    if begin >= 0 and raw.find(b"{", 1, begin) < 0:
        end = raw.find(b'"', begin + len(_MARK))
        if end > 0:
            return raw[begin + len(_MARK) : end].decode("utf-8", "replace")
    try:
        return event.kind
    except (ValueError, TypeError, AttributeError, RecursionError):
        return ""  # no JSON object: the store rejects and counts it


def class_of(kind: str) -> EventClass:
    """The class of events of this ``event_type``."""
    return CLASS_OF_KIND.get(kind, EventClass.NETWORK)
