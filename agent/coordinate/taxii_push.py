"""Objects into a collection, whatever the server makes of one of them: a bad one is told apart, the rest goes on.

An envelope that a server refuses as a whole, or falls over, is halved until the object that does it stands alone.
Posting an object twice is harmless (TAXII 2.1 section 5.5: by id and version), so that halving, and a repeat after a
lost answer, is safe.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from tapwarden.agent.coordinate.taxii import Collection, Status, StixObject, TaxiiClient, TaxiiError, envelope
from tapwarden.model.errors import ChannelError

CONTENT = frozenset({400, 413, 415, 422})
"""Answers about the content: repeating it does not help, smaller may."""

STATUS_WITHIN_S = 30.0
"""How long a server may take to be done with what it accepted."""

TRIES_ALONE = 2
"""How often an object is posted that makes the server fail, while others go through."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came of it: ids that are there now, and of those that are not, what the server said.

    ``statuses`` are the server's answers, in order.
    """

    accepted: frozenset[str]
    failed: Mapping[str, str]
    statuses: Sequence[Status]


@dataclass(slots=True)
class _Work:
    accepted: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    statuses: list[Status] = field(default_factory=list)
    fallen: list[tuple[StixObject, TaxiiError]] = field(default_factory=list)


class Pusher:
    """Posts to one collection. ``sleep`` waits; ``random`` spreads the waits of many agents."""

    def __init__(
        self,
        client: TaxiiClient,
        collection: Collection,
        max_content_length: int,
        *,
        random: Random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._collection, self._most = client, collection, max_content_length
        self._random, self._sleep = random, sleep

    def push(self, objects: Sequence[StixObject]) -> Pushed:
        """Post them in order. Raises ChannelError when the server is away, or does not let us write."""
        if not self._collection.can_write:
            raise ChannelError(f"we may not write to the collection {self._collection.title or self._collection.id}")
        work = _Work()
        for batch in self._batches(objects, work):
            self._post(batch, work)
        for thing, error in work.fallen:
            self._alone(thing, error, work)
        return Pushed(frozenset(work.accepted), work.failed, work.statuses)

    def _batches(self, objects: Sequence[StixObject], work: _Work) -> Iterator[list[StixObject]]:
        """Envelopes within the server's limit; an object that is too large by itself has failed."""
        frame = len(envelope([]))
        batch: list[StixObject] = []
        size = frame
        for thing in objects:
            octets = len(envelope([thing])) - frame + 1
            if frame + octets > self._most:
                work.failed[_id(thing)] = f"{octets} octets: the server takes at most {self._most} at once"
                continue
            if batch and size + octets > self._most:
                yield batch
                batch, size = [], frame
            batch.append(thing)
            size += octets
        if batch:
            yield batch

    def _post(self, batch: list[StixObject], work: _Work) -> None:
        try:
            status = self._settled(self._client.add(self._collection.id, envelope(batch)))
        except TaxiiError as error:
            if error.status not in CONTENT and error.status != 500:
                raise
            if len(batch) > 1:
                middle = len(batch) // 2
                self._post(batch[:middle], work)
                self._post(batch[middle:], work)
            elif error.status == 500:
                work.fallen.append((batch[0], error))
            else:
                work.failed[_id(batch[0])] = str(error)
            return
        work.statuses.append(status)
        ids = {_id(thing) for thing in batch}
        failed = {name: message for name, message in status.failed.items() if name in ids}
        if nameless := status.failed.get(""):
            # Details are optional: what is not named as accepted, where anything is named, has failed.
            failed |= dict.fromkeys(ids - status.accepted, nameless)
        work.failed |= failed
        work.accepted |= ids - failed.keys()

    def _alone(self, thing: StixObject, error: TaxiiError, work: _Work) -> None:
        """An object at which the server failed: its fault where others go through, the server's where none does."""
        if not work.accepted:
            raise error
        for tried in range(TRIES_ALONE):
            self._pause(error, tried)
            before = len(work.fallen)
            self._post([thing], work)
            if len(work.fallen) == before:
                return
            _, error = work.fallen.pop()
        work.failed[_id(thing)] = f"the server fails at it: {error}"

    def _settled(self, status: Status) -> Status:
        """The status once the server is done. Raises ChannelError when it is not in time."""
        until, tried = time.monotonic() + STATUS_WITHIN_S, 0
        while not status.complete:
            if time.monotonic() > until:
                raise ChannelError(f"the server was not done with {status.id} after {STATUS_WITHIN_S:.0f} s")
            self._sleep(min(0.05 * 2**tried, 2.0) * (0.5 + self._random.random() / 2))
            tried += 1
            status = self._client.status(status.id)
        return status

    def _pause(self, error: TaxiiError, tried: int) -> None:
        wanted = error.retry_after_s if error.retry_after_s is not None else 0.1 * 2**tried
        self._sleep(min(wanted, 5.0) * (0.5 + self._random.random() / 2))


def _id(thing: StixObject) -> str:
    return str(thing.get("id", ""))
