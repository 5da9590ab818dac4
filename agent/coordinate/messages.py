"""What waits to be told to a coordinating centre besides reports: feedback on orders, answers, sightings.

Durable in the store, in order, at least once under the same id; one that the centre refuses is told apart and tried
again rarely, the others go on.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Protocol

from tapwarden.agent.coordinate.schedule import ERROR_MAX, Backoff
from tapwarden.agent.coordinate.taxii_push import Pushed
from tapwarden.model.errors import ChannelError
from tapwarden.model.order import Message, OrderStore

log = logging.getLogger(__name__)

AT_ONCE = 200
REFUSED_AGAIN = timedelta(hours=1)
"""How long after a refusal a message is tried again: the centre may have been mended meanwhile."""

BACKOFF = Backoff(first_s=2.0, most_s=120.0)


class Pushing(Protocol):
    """Posts objects into one collection. Raises ChannelError."""

    def push(self, objects: Sequence[Mapping[str, Any]]) -> Pushed: ...


@dataclass(frozen=True, slots=True)
class Told:
    """What one round did."""

    sent: int = 0
    refused: int = 0
    problem: str = ""


class Messages:
    """Sends what is due. ``collection`` gives the way into a collection by its name."""

    def __init__(
        self,
        store: OrderStore,
        collection: Callable[[str], Pushing],
        *,
        random: Random,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._store, self._collection, self._random, self._backoff = store, collection, random, backoff

    def send_due(self, now: datetime) -> Told:
        """One round, collection by collection. Raises StoreError."""
        due: dict[str, list[Message]] = {}
        for message in self._store.due_messages(now, limit=AT_ONCE):
            due.setdefault(message.collection, []).append(message)
        sent, refused, problem = 0, 0, ""
        for name, messages in due.items():
            try:
                pushed = self._collection(name).push([message.document for message in messages])
            except ChannelError as error:
                problem = f"{name}: {error}"
                self._failed(messages, str(error), now)
                continue
            receipt = pushed.statuses[-1].id if pushed.statuses else ""
            for message in messages:
                if error_text := pushed.failed.get(str(message.document.get("id"))):
                    refused += 1
                    problem = f"{name}: {message.id} was refused: {error_text}"
                    later = replace(
                        message,
                        attempts=message.attempts + 1,
                        last_error=error_text[:ERROR_MAX],
                        next_attempt_at=now + REFUSED_AGAIN,
                    )
                    self._store.put_message(later)
                    log.error("message=%s refused error=%r", message.id, error_text)
                else:
                    sent += 1
                    self._store.put_message(
                        replace(message, attempts=message.attempts + 1, sent_at=now, receipt=receipt, last_error="")
                    )
        return Told(sent, refused, problem)

    def _failed(self, messages: Sequence[Message], error: str, now: datetime) -> None:
        for message in messages:
            later = now + self._backoff.delay(message.attempts + 1, self._random)
            self._store.put_message(
                replace(message, attempts=message.attempts + 1, last_error=error[:ERROR_MAX], next_attempt_at=later)
            )
        log.warning("messages=%d failed error=%r", len(messages), json.dumps(error)[:ERROR_MAX])
