"""Events on their way into blocks: read by the core, and by us what it leaves to somebody more patient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tapwarden.agent.store.embedded.core import core
from tapwarden.model.event import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(events: Sequence[Event]) -> tuple[core.EventRecords, int]:
    """The records, and how many of them are none: what is no JSON object is left out."""
    records = core.EventRecords([(event.raw, event.origin.encode("utf-8", "surrogatepass")) for event in events])
    rejected = 0
    for place in records.doubtful():
        event = events[place]
        try:
            eve, moment = event.eve, event.timestamp
            if not isinstance(eve, dict):
                raise TypeError("no object")
            plain = json.dumps(eve).encode()
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            rejected += 1
            records.settle(place, None, 0)
            continue
        event.forget()
        records.settle(place, plain, (moment - _EPOCH) // timedelta(microseconds=1))
    return records, rejected
