"""Bulk requests: one of them sent until each of its documents has an answer that is final."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from elastic_transport import SerializationError, TransportError
from elasticsearch import ApiError, Elasticsearch, UnsupportedProductError

from tapwarden.agent.store.elastic.connection import talking
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event

if TYPE_CHECKING:
    from tapwarden._core import Documents

CHUNK_OCTETS = 1 << 20
"""Of one request before compression: several of them are under way at once, so that no core of the cluster waits."""

CHUNK_DOCUMENTS = 1000

PARALLEL = 4
"""Requests under way at once."""

FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S = 0.1, 3.0, 20.0
"""Pauses before what the server was too busy for is sent again: doubled, up to so long, over so long."""

CREATED, KNOWN, BAD, GONE = 201, 409, 400, 404
BUSY = frozenset({429, 500, 502, 503, 504})

AWAY_PATIENCE_S = 3.0
"""For a server that cannot be reached: whoever drains the spool waits longer, and must be able to end meanwhile."""

ANSWER = "items.*.status,items.*._index,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


@dataclass(frozen=True, slots=True)
class Request:
    """Documents to create: those of these numbers. ``ids`` has the id of each event, documents or not."""

    events: Sequence[Event]
    documents: "Documents"
    ids: Sequence[str]
    numbers: Sequence[int]

    def of(self, numbers: Sequence[int]) -> "Request":
        """Some of them."""
        return Request(self.events, self.documents, self.ids, numbers)


@dataclass(frozen=True, slots=True)
class Refused:
    """An event whose document the server takes in no case, with its reason."""

    event: Event
    id: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """What became of a request's documents. ``created`` has their ids by the index that took them. ``missing``: there
    is no index to write to, the rest was not sent."""

    created: dict[str, list[str]] = field(default_factory=dict)
    known: int = 0
    refused: list[Refused] = field(default_factory=list)
    missing: bool = False
    retried: int = 0

    def add(self, other: "Outcome") -> None:
        """Take in what became of others."""
        for index, ids in other.created.items():
            self.created.setdefault(index, []).extend(ids)
        self.known += other.known
        self.refused += other.refused
        self.missing = self.missing or other.missing
        self.retried += other.retried


class Bulk:
    """Sends requests; usable from several threads at once. Raises StoreError."""

    def __init__(
        self,
        client: Elasticsearch,
        *,
        compress: bool,
        pause: Callable[[float], None],
        monotonic: Callable[[], float],
        random: Random,
    ) -> None:
        self._client, self._compress = client, compress
        self._pause, self._monotonic, self._random = pause, monotonic, random

    def send(self, request: Request, *, data_stream: bool) -> Outcome:
        """Create these documents; what is busy is tried again for a while.

        Where an answer was lost, what the server then says is there already counts as created.
        """
        outcome = Outcome()
        begun = self._monotonic()
        deadline = begun + PATIENCE_S
        pause_s = FIRST_PAUSE_S
        waiting, uncertain = request, False
        while waiting.numbers:
            trouble: StoreError | None = None
            try:
                with talking("store events"):
                    answers = self._request(waiting, data_stream)
            except StoreError as error:
                halves = self._halved(error, waiting, data_stream)
                if halves is not None:
                    for half in halves:
                        outcome.add(half)
                    return outcome
                if not _worth_repeating(error):
                    raise
                away = not isinstance(error.__cause__, ApiError)
                trouble, uncertain = error, uncertain or away
                if away:
                    deadline = min(deadline, begun + AWAY_PATIENCE_S)
            else:
                waiting, trouble = self._settle(waiting, answers, outcome, uncertain)
            if not waiting.numbers or outcome.missing:
                break
            if self._monotonic() + pause_s > deadline:
                raise trouble or StoreError("cannot store events")
            self._pause(pause_s * (0.5 + self._random.random()))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            outcome.retried += len(waiting.numbers)
        return outcome

    def delete(self, index: str, ids: Sequence[str]) -> None:
        """Remove events from one index: those that another one turned out to have."""
        lines = b"".join(b'{"delete":{"_index":"%b","_id":"%b"}}\n' % (index.encode(), id_.encode()) for id_ in ids)
        with talking("remove what is stored twice"):
            self._post(lines, {})

    def _request(self, request: Request, data_stream: bool) -> Sequence[dict[str, Any]]:
        lines = request.documents.body(request.numbers, gzip=self._compress)
        # never let a missing alias become an index of that name
        target = {"require_data_stream" if data_stream else "require_alias": "true"}
        answer = self._post(lines, target | {"filter_path": ANSWER}, packed=self._compress)
        answers: Sequence[dict[str, Any]] = answer.get("items", ()) if isinstance(answer, dict) else ()
        if len(answers) != len(request.numbers):
            raise StoreError("cannot store events: the answer is damaged")
        return answers

    def _post(self, lines: bytes, params: dict[str, str], *, packed: bool = False) -> Any:
        headers = {"content-type": "application/x-ndjson", "accept": "application/json"}
        if packed:
            headers["content-encoding"] = "gzip"
        return self._client.perform_request("POST", "/_bulk", params=params, headers=headers, body=lines).body

    def _settle(
        self, request: Request, answers: Sequence[dict[str, Any]], outcome: Outcome, uncertain: bool
    ) -> tuple[Request, StoreError | None]:
        """Take in the answers; what has to be sent again, and why."""
        again: list[int] = []
        trouble: StoreError | None = None
        for number, answer in zip(request.numbers, answers, strict=True):
            result = answer.get("create", answer)
            status, id_ = result.get("status"), request.ids[number]
            if status == CREATED or (status == KNOWN and uncertain):
                outcome.created.setdefault(result.get("_index", ""), []).append(id_)
            elif status == KNOWN:
                outcome.known += 1
            elif status == BAD:
                outcome.refused.append(Refused(request.events[number], id_, _reason(result)))
            elif status == GONE:
                outcome.missing = True
            elif status in BUSY:
                again.append(number)
                trouble = trouble or StoreError(f"cannot store events: {_reason(result)} ({status})")
            else:
                raise StoreError(f"cannot store events: {_reason(result)} ({status})")
        return request.of(again), trouble

    def _halved(self, error: StoreError, request: Request, data_stream: bool) -> Sequence[Outcome] | None:
        """For a request that is too large for the server or something before it: both halves by themselves."""
        cause = error.__cause__
        if not isinstance(cause, ApiError) or cause.status_code != 413 or len(request.numbers) < 2:
            return None
        middle = len(request.numbers) // 2
        halves = request.numbers[:middle], request.numbers[middle:]
        return [self.send(request.of(half), data_stream=data_stream) for half in halves]


class Sending:
    """Requests of bounded size, several under way at once; while they are, the next can be prepared."""

    def __init__(self, bulk: Bulk, senders: Executor, *, data_stream: bool) -> None:
        self._bulk, self._senders, self._data_stream = bulk, senders, data_stream
        self._under_way: list[Future[Outcome]] = []

    def send(self, request: Request) -> None:
        """Send these as well; waits while too many requests are under way."""
        sizes = request.documents.sizes
        chunk: list[int] = []
        octets = 0
        for number in request.numbers:
            chunk.append(number)
            octets += sizes[number]
            if octets >= CHUNK_OCTETS:
                self._submit(request.of(chunk))
                chunk, octets = [], 0
        if chunk:
            self._submit(request.of(chunk))

    def _submit(self, request: Request) -> None:
        if len(self._under_way) >= PARALLEL:
            self._under_way[-PARALLEL].exception()  # what is prepared must not pile up
        self._under_way.append(self._senders.submit(self._bulk.send, request, data_stream=self._data_stream))

    def outcome(self) -> Outcome:
        """What became of all of them, once there is an answer for each. Raises StoreError."""
        whole = Outcome()
        failures: list[StoreError] = []
        for future in self._under_way:
            try:
                whole.add(future.result())
            except StoreError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return whole


def _worth_repeating(error: StoreError) -> bool:
    cause = error.__cause__
    if isinstance(cause, ApiError):
        return cause.status_code in BUSY
    return cause is None or (
        isinstance(cause, TransportError | SerializationError) and not isinstance(cause, UnsupportedProductError)
    )


def _reason(result: dict[str, Any]) -> str:
    error = result.get("error") or {}
    reason = (
        (error.get("caused_by") or {}).get("reason") or error.get("reason") or error.get("type") or "no reason given"
    )
    return str(reason)[:500]
