"""ElasticEventStore: the EventStore port on an Elasticsearch cluster."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from tapwarden.agent.store.classes import CLASS_OF_KIND, EventClass
from tapwarden.agent.store.elastic import hunt as hunting
from tapwarden.agent.store.elastic import query as clauses
from tapwarden.agent.store.elastic import summary
from tapwarden.agent.store.elastic.bulk import CHUNK_DOCUMENTS, PARALLEL, Bulk, Outcome, Refused, Request, Sending
from tapwarden.agent.store.elastic.connection import BadRequestError, Settings, connect, is_loopback, reason_of, talking
from tapwarden.agent.store.elastic.document import documents, event_of, moment_of
from tapwarden.agent.store.elastic.partitions import Partition, Partitions
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Bucket, Event, EventGroup, EventOrder, EventPage, EventQuery, StoreStatus, TopEntry
from tapwarden.model.hunt import HuntResult
from tapwarden.model.indicator import Indicator

if TYPE_CHECKING:
    from tapwarden._core import Documents

log = logging.getLogger(__name__)

PAGE_MAX = 10_000
"""Events of one page at most; also the server's limit."""

DEAD_LETTERS_OCTETS_MAX = 64 << 20

CURSOR_FORMAT = "strict_date_optional_time_nanos"


@dataclass(slots=True)
class Written:
    """What one ``append`` offered: ids, the index of each series, how many were there before or are no records."""

    ids: set[str] = field(default_factory=set)
    indices: dict[str, str] = field(default_factory=dict)
    stored_before: int = 0
    rejected: int = 0


class ElasticEventStore:
    """Events as ECS documents in the indices of one series (alias or data stream) for each class of event.

    ``append`` returns once the cluster has acknowledged every event, or has refused it as it is and in a reduced form:
    then it is in ``dead_letters`` with the reason, and counted as rejected. Nothing is stored twice: an event's id is
    its document's, and what older indices hold of the same time is asked before. Counters: ``appended``,
    ``duplicates``, ``rejected``, ``reduced`` (stored with less of the record indexed), ``retried`` (documents sent
    again because the cluster was busy or away).
    """

    batch_events = 20_000
    """Enough for all requests that are under way at once, several times over."""

    def __init__(
        self,
        settings: Settings,
        dead_letters: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        self._settings, self._dead_letters, self._monotonic = settings, dead_letters, monotonic
        self._client = connect(settings)
        self.partitions = Partitions(self._client, settings, monotonic)
        self._names = list(self.partitions.names.values())
        self._class_of_series = {name: kept for kept, name in self.partitions.names.items()}
        self._bulk = Bulk(
            self._client,
            compress=settings.compress and not all(is_loopback(url) for url in settings.urls),
            pause=pause,
            monotonic=monotonic,
            random=random or SystemRandom(),
        )
        self._senders = ThreadPoolExecutor(PARALLEL, thread_name_prefix="elasticsearch")
        self._write_lock = threading.Lock()
        self._count_lock = threading.Lock()
        self._counters: Counter[str] = Counter()
        self._unseen = False
        self._problem = ""

    # writing

    def append(self, events: Sequence[Event]) -> int:
        """See the port."""
        with self._write_lock:
            try:
                new = self._append(events)
            except StoreError as error:
                self._problem = str(error)
                raise
            self._problem = ""
            return new

    def _append(self, events: Sequence[Event]) -> int:
        if not events:
            return 0
        sending = Sending(self._bulk, self._senders, data_stream=self.partitions.data_streams)
        written = Written()
        for start in range(0, len(events), CHUNK_DOCUMENTS):
            request = self._prepare(events[start : start + CHUNK_DOCUMENTS], written)
            self._unseen = True
            sending.send(request)
        outcome = sending.outcome()
        if outcome.refused:
            self._take_back(outcome)
        if outcome.missing:
            self.partitions.forget()
            raise StoreError("an index was removed; it is made anew")
        twice = self._settle_roll_over(written, outcome)
        new = sum(map(len, outcome.created.values())) - twice
        duplicates = written.stored_before + outcome.known + twice
        self._count(appended=new, duplicates=duplicates, retried=outcome.retried, rejected=written.rejected)
        self.partitions.roll()
        return new

    def _prepare(self, events: Sequence[Event], written: "Written") -> Request:
        """The documents of these events that are to be created; not of what older indices have already."""
        made = self._documents(events)
        ids = made.ids
        offered = []
        for number, id_ in enumerate(ids):
            if not id_:
                written.rejected += 1
            elif id_ not in written.ids:
                written.ids.add(id_)
                offered.append(number)
        fresh: list[int] = []
        for name, first, last, numbers in made.groups(offered):
            series = self.partitions.series(self._class_of_series[name])
            written.indices.setdefault(name, series.current)
            older = series.older_within(moment_of(first), moment_of(last))
            stored = series.holding(older, [ids[number] for number in numbers]) if older else ()
            written.stored_before += len(stored)
            fresh += [number for number in numbers if ids[number] not in stored] if stored else numbers
        return Request(events, made, ids, fresh)

    def _documents(self, events: Sequence[Event], *, whole: bool = True) -> "Documents":
        names = self.partitions.names
        series = {kind: names[kept] for kind, kept in CLASS_OF_KIND.items()}
        return documents(events, series, names[EventClass.NETWORK], whole=whole)

    def _take_back(self, outcome: Outcome) -> None:
        """What the server refused is sent in a reduced form, what it refuses in that is put aside."""
        self._count(reduced=len(outcome.refused))
        sending = Sending(self._bulk, self._senders, data_stream=self.partitions.data_streams)
        events = [refused.event for refused in outcome.refused]
        made = self._documents(events, whole=False)
        sending.send(Request(events, made, made.ids, range(len(events))))
        outcome.refused = []
        reduced = sending.outcome()
        refused, reduced.refused = reduced.refused, []
        outcome.add(reduced)
        if refused:
            self._count(rejected=len(refused))
            self._put_aside(refused)

    def _put_aside(self, refused: Sequence[Refused]) -> None:
        for one in refused:
            log.error("store=elasticsearch refused=%r reason=%r", one.event.origin, one.reason)
        try:
            with self._dead_letters.open("ab") as file:
                for one in refused:
                    if file.tell() > DEAD_LETTERS_OCTETS_MAX:
                        self._count(dead_letters_dropped=1)
                        continue
                    record = one.event.raw.decode("utf-8", "backslashreplace")
                    letter = {"reason": one.reason, "id": one.id, "origin": one.event.origin, "record": record}
                    file.write(json.dumps(letter).encode() + b"\n")
        except OSError as error:
            raise StoreError(f"cannot put refused events aside in {self._dead_letters}: {error.strerror}") from error

    def _settle_roll_over(self, written: "Written", outcome: Outcome) -> int:
        """Another writer started a new index meanwhile: what the one before had already is removed from it again."""
        twice = 0
        elsewhere = {index: ids for index, ids in outcome.created.items() if index not in written.indices.values()}
        for series_name, expected in written.indices.items() if elsewhere else ():
            series = self.partitions.series(self._class_of_series[series_name])
            series.learn()
            self._refresh()
            for index, ids in elsewhere.items():
                if not series.has(index):
                    continue
                stored = series.holding([expected], ids)
                if stored:
                    self._bulk.delete(index, sorted(stored))
                    self._unseen = True
                    twice += len(stored)
        return twice

    # reading

    def get(self, event_id: str) -> Event | None:
        """The event with this id, or None."""
        if len(event_id) != 32:
            return None
        hits = self._search(query={"ids": {"values": [event_id]}}, size=1)["hits"]["hits"]
        return event_of(hits[0]["_source"]) if hits else None

    def search(
        self, query: EventQuery, *, limit: int = 100, cursor: str = "", order: EventOrder = EventOrder.NEWEST
    ) -> EventPage:
        """See the port; ``limit`` is held between 1 and 10,000."""
        limit = min(max(limit, 1), PAGE_MAX)
        direction = "desc" if order is EventOrder.NEWEST else "asc"
        at = {"order": direction, "format": CURSOR_FORMAT, "numeric_type": "date_nanos"}
        body: dict[str, Any] = {"sort": [{"@timestamp": at}, {"tapwarden.tie": {"order": direction}}]}
        if cursor:
            body["search_after"] = _read_cursor(cursor)
        asked = min(limit + 1, PAGE_MAX)
        found = self._search(query=self._query(query), size=asked, track_total_hits=False, **body)
        hits = found["hits"]["hits"]
        more = len(hits) > limit or (asked == limit and len(hits) == limit)
        shown = hits[:limit]
        after = "|".join(map(str, shown[-1]["sort"])) if more else ""
        return EventPage(tuple(event_of(hit["_source"]) for hit in shown), after)

    def count(self, query: EventQuery) -> int:
        """How many events match."""
        found = self._search(query=self._query(query), size=0, track_total_hits=True)
        total: int = found["hits"]["total"]["value"]
        return total

    def histogram(self, query: EventQuery, *, interval_s: int) -> Sequence[Bucket]:
        """See the port."""
        if interval_s < 1:
            raise ValueError("an interval is at least one second")
        return summary.histogram(self._search, self._query(query), interval_s)

    def top(self, query: EventQuery, field: str, *, limit: int = 10) -> Sequence[TopEntry]:
        """See the port."""
        return summary.top(self._search, self._query(query), _field(field), max(limit, 0))

    def rare(self, query: EventQuery, field: str, *, limit: int = 10) -> Sequence[TopEntry]:
        """See the port."""
        return summary.rare(self._search, self._query(query), _field(field), max(limit, 0))

    def groups(self, query: EventQuery, *, limit: int = 100) -> Sequence[EventGroup]:
        """See the port; times to the millisecond."""
        return summary.groups(self._search, self._query(query), max(limit, 0))

    def hunt(
        self,
        indicators: Sequence[Indicator],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        budget_s: float = 30.0,
    ) -> HuntResult:
        """See the port; times to the millisecond."""
        end = self._monotonic() + budget_s
        days = self.histogram(EventQuery(since=since, until=until), interval_s=86_400)
        hunt = hunting.Hunt(self._search, indicators, lambda: end - self._monotonic())
        return hunt.over(hunting.spans_of(days, since, until))

    def status(self) -> StoreStatus:
        """What is there; ``problem`` says what the last append failed of, or that the cluster cannot be asked."""
        problem = self._problem
        partitions: Sequence[Partition] = ()
        ends: tuple[datetime | None, datetime | None] = None, None
        try:
            self._refresh()
            partitions = self.partitions.listed()
            if partitions:
                oldest = self.search(EventQuery(), limit=1, order=EventOrder.OLDEST).events
                newest = self.search(EventQuery(), limit=1).events
                ends = (oldest[0].timestamp if oldest else None, newest[0].timestamp if newest else None)
        except StoreError as error:
            problem = problem or str(error)
        with self._count_lock:
            counters = dict(self._counters)
        return StoreStatus(
            backend="elasticsearch",
            events=sum(partition.events for partition in partitions),
            size_octets=sum(partition.size_octets for partition in partitions),
            partitions=tuple(partition.name for partition in partitions),
            oldest=ends[0],
            newest=ends[1],
            rejected=counters.get("rejected", 0),
            writable=not problem,
            problem=problem,
            counters=counters,
        )

    def expire(self, now: datetime) -> Sequence[str]:
        """Retention: see ``Partitions.expire``."""
        return self.partitions.expire(now)

    def close(self) -> None:
        """End connections and threads."""
        self._senders.shutdown()
        self._client.close()

    def _query(self, query: EventQuery) -> clauses.Clause:
        return clauses.query_of(query, self._words)

    def _words(self, text: str) -> Sequence[str]:
        with talking("analyse a text"):
            tokens = self._client.indices.analyze(analyzer="standard", text=text[:1000]).body["tokens"]
        return [token["token"] for token in tokens]

    def _search(self, **body: Any) -> Mapping[str, Any]:
        self._refresh()
        try:
            with talking("search events"):
                found: Mapping[str, Any] = self._client.search(
                    index=self._names, ignore_unavailable=True, allow_partial_search_results=False, **body
                ).body
                return found
        except BadRequestError as error:
            raise StoreError(f"cannot search events: {reason_of(error)}") from error

    def _refresh(self) -> None:
        """What this store has written is found by what it is asked next."""
        if self._unseen:
            self._unseen = False
            with talking("refresh the index"):
                self._client.indices.refresh(index=self._names, ignore_unavailable=True)

    def _count(self, **numbers: int) -> None:
        with self._count_lock:
            self._counters.update({name: number for name, number in numbers.items() if number})


def _field(name: str) -> str:
    if name not in clauses.FIELDS:
        raise ValueError(f"top lists and rare lists are made of {', '.join(clauses.FIELDS)}, not of {name!r}")
    return clauses.FIELDS[name]


def _read_cursor(cursor: str) -> list[Any]:
    at, _, tie = cursor.partition("|")
    try:
        datetime.fromisoformat(at[:19])
        return [at, int(tie)]
    except ValueError as error:
        raise ValueError(f"{cursor!r} is no cursor of this store") from error
