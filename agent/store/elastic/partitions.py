"""The indices that events are in: one series for each class of event, rolled over by size and age, dropped by age.

A series is a data stream with a lifecycle where the server has them. Where it has not, it is plain indices behind an
alias of the same name, which Tapwarden rolls over and drops itself. Either way there are few of them: one shard each,
a new one only once the last is large, or old enough that dropping it later frees a tenth of what is kept.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from tapwarden.agent.store.classes import EventClass
from tapwarden.agent.store.elastic.connection import BadRequestError, NotFoundError, Settings, reason_of, talking
from tapwarden.agent.store.elastic.template import template
from tapwarden.model.errors import StoreError

TEMPLATE_VERSION = 1
"""Raised with every change of the template; a newer one that is there is left as it is."""

KNOWN_FOR_S = 10.0
"""How long what we know of the indices is believed; others roll them over as well."""

ROLL_EVERY_S = 60.0

NO_SUCH_REQUEST = frozenset({400, 405})
"""What a distribution without data streams answers when asked for one: 400 (9.2), 405 (8.19)."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One index. ``rolled_at`` is when the next one was made; None for the one that is written to."""

    name: str
    kept: EventClass
    events: int
    size_octets: int
    rolled_at: datetime | None = None


class Series:
    """The indices of one class: which there are, and which may hold an event already. Methods raise StoreError."""

    def __init__(
        self,
        client: Elasticsearch,
        name: str,
        *,
        keep: timedelta,
        shard_octets: int,
        data_stream: bool,
        monotonic: Callable[[], float],
    ) -> None:
        self._client, self.name, self.keep, self._shard_octets = client, name, keep, shard_octets
        self._data_stream, self._monotonic = data_stream, monotonic
        self._lock = threading.Lock()
        self._known_at = self._rolled_at = float("-inf")
        self._current = ""
        self._older: dict[str, tuple[float, float]] = {}

    @property
    def current(self) -> str:
        """The index that is written to, as far as we know."""
        return self._current

    def has(self, index: str) -> bool:
        """Whether this is one of its indices, as far as we know."""
        return index == self._current or index in self._older

    def prepare(self) -> None:
        """Template and first index, unless they are there."""
        with talking("prepare the indices"):
            indices = self._client.indices
            self._put_template()
            if self._data_stream:
                if not self._backing():
                    self._make_stream()
            elif not indices.exists_alias(name=self.name).body:
                self._make_first()
        self.learn()

    def _put_template(self) -> None:
        indices = self._client.indices
        try:
            there = indices.get_index_template(name=self.name).body["index_templates"][0]["index_template"]
            if there.get("version", 0) >= TEMPLATE_VERSION and ("data_stream" in there) == self._data_stream:
                return
        except NotFoundError:
            pass
        body = template(self.name, data_stream=self._data_stream, keep=self.keep)
        try:
            indices.put_index_template(name=self.name, version=TEMPLATE_VERSION, **_spelled(body))
        except BadRequestError as error:
            raise StoreError(f"the server refuses the index template: {reason_of(error)}") from error

    def _make_stream(self) -> None:
        try:
            self._client.indices.create_data_stream(name=self.name)
        except BadRequestError as error:
            if "resource_already_exists" not in str(error):  # else another sensor was quicker
                raise StoreError(f"cannot make the data stream {self.name}: {reason_of(error)}") from error

    def _make_first(self) -> None:
        if self._client.indices.exists(index=self.name).body:
            raise StoreError(f"{self.name} is an index: Tapwarden needs this name for an alias; choose another prefix")
        try:
            self._client.indices.create(
                index=f"{self.name}-000001", aliases={self.name: {"is_write_index": True}}, wait_for_active_shards=1
            )
        except BadRequestError as error:
            if "resource_already_exists" not in str(error):  # else another sensor was quicker
                raise StoreError(f"cannot make the first index: {reason_of(error)}") from error

    def learn(self) -> None:
        """Ask which indices there are, and of which times the older ones hold events."""
        with self._lock, talking("list the indices"):
            names, current = self._names()
            if current != self._current or not set(self._older) <= set(names):
                self._older = self._spans([name for name in names if name != current])
                self._current = current
            self._known_at = self._monotonic()

    def refresh(self) -> None:
        """``learn`` when it was long ago, ``prepare`` when it never was."""
        if not self._current:
            self.prepare()
        elif self._monotonic() - self._known_at > KNOWN_FOR_S:
            try:
                self.learn()
            except NotFoundError:
                self.prepare()

    def forget(self) -> None:
        """What we know turned out to be wrong."""
        self._current, self._older = "", {}

    def older_within(self, first: datetime, last: datetime) -> Sequence[str]:
        """Indices no longer written to that hold events of this span of time."""
        low, high = first.timestamp() * 1000 - 1, last.timestamp() * 1000 + 1
        return [name for name, (begin, end) in self._older.items() if begin <= high and low <= end]

    def _names(self) -> tuple[Sequence[str], str]:
        if self._data_stream:
            names = self._backing()
            return names, names[-1]
        aliases = self._client.indices.get_alias(name=self.name).body
        names = sorted(aliases)
        current = [name for name in names if aliases[name]["aliases"][self.name].get("is_write_index")]
        return names, current[-1] if current else names[-1]

    def _backing(self) -> Sequence[str]:
        try:
            streams = self._client.indices.get_data_stream(name=self.name).body["data_streams"]
        except NotFoundError:
            return []
        return [index["index_name"] for stream in streams for index in stream["indices"]]

    def _spans(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        if not names:
            return {}
        self._client.indices.refresh(index=list(names))
        ends = {"min": {"min": {"field": "@timestamp"}}, "max": {"max": {"field": "@timestamp"}}}
        found = self._client.search(
            index=list(names),
            size=0,
            track_total_hits=False,
            allow_partial_search_results=False,
            aggregations={"by": {"terms": {"field": "_index", "size": len(names)}, "aggregations": ends}},
        ).body
        return {
            bucket["key"]: (bucket["min"]["value"], bucket["max"]["value"])
            for bucket in found["aggregations"]["by"]["buckets"]
        }

    # over time

    def roll(self) -> None:
        """Start a new index once this one is large or old; asks at most once a minute."""
        now = self._monotonic()
        if self._data_stream or now - self._rolled_at < ROLL_EVERY_S:
            return  # a data stream's lifecycle does it
        self._rolled_at = now
        conditions = {
            "min_docs": 1,
            "max_primary_shard_size": f"{self._shard_octets}b",
            "max_age": f"{max(int(self.keep.total_seconds()) // 36_000, 24)}h",
        }
        self.roll_over(conditions)

    def roll_over(self, conditions: dict[str, Any] | None = None) -> None:
        """Start a new index, if the conditions hold where some are given."""
        with talking("roll the index over"):
            answer = self._client.indices.rollover(alias=self.name, conditions=conditions).body
        if answer.get("rolled_over"):
            self.learn()

    def listed(self, kept: EventClass) -> Sequence[Partition]:
        """All of them, oldest first."""
        with talking("list the indices"):
            try:
                names, _ = self._names()
            except NotFoundError:
                return []
            stats = self._client.indices.stats(index=self.name, metric=["docs", "store"]).body["indices"]
            made = self._client.indices.get_settings(index=self.name, name="index.creation_date").body
        created = [int(made[name]["settings"]["index"]["creation_date"]) for name in names if name in made]
        rolled: list[datetime | None] = [datetime.fromtimestamp(moment / 1000, UTC) for moment in created[1:]]
        sizes = [stats.get(name, {}) for name in names]
        return [
            Partition(
                name,
                kept,
                size.get("primaries", {}).get("docs", {}).get("count", 0),
                size.get("total", {}).get("store", {}).get("size_in_bytes", 0),
                moment,
            )
            for name, size, moment in zip(names, sizes, [*rolled, None], strict=False)
        ]

    def drop(self, name: str) -> None:
        """Remove one index and all in it."""
        with talking(f"drop {name}"):
            self._client.indices.delete(index=name, ignore_unavailable=True)
        self.learn()

    def holding(self, names: Iterable[str], ids: Sequence[str]) -> set[str]:
        """Which of these events the indices have."""
        found: set[str] = set()
        where = list(names)
        for start in range(0, len(ids), 10_000) if where else ():
            with talking("look for events that are stored already"):
                hits = self._client.search(
                    index=where,
                    size=10_000,
                    query={"ids": {"values": list(ids[start : start + 10_000])}},
                    source=False,
                    track_total_hits=False,
                    allow_partial_search_results=False,
                    ignore_unavailable=True,
                ).body["hits"]["hits"]
            found |= {hit["_id"] for hit in hits}
        return found


class Partitions:
    """The series there are. Those of classes of which no event came yet are not made. Methods raise StoreError."""

    def __init__(self, client: Elasticsearch, settings: Settings, monotonic: Callable[[], float]) -> None:
        self._client, self._settings, self._monotonic = client, settings, monotonic
        self._series: dict[EventClass, Series] = {}
        self._data_streams: bool | None = None
        self.names = {kept: f"{settings.prefix}-{word}" for kept, word in WORDS.items()}

    @property
    def data_streams(self) -> bool:
        """Whether series are data streams here; plain ones that are there already stay what they are."""
        if self._data_streams is None:
            names = list(self.names.values())
            with talking("see what the server has"):
                plain = any(self._client.indices.exists_alias(name=name).body for name in names)
                self._data_streams = not plain and self._has_data_streams(names[0])
        return self._data_streams

    def _has_data_streams(self, name: str) -> bool:
        try:
            self._client.indices.get_data_stream(name=name)
        except NotFoundError:
            return True
        except ApiError as error:
            if error.status_code in NO_SUCH_REQUEST:
                return False
            raise
        return True

    def series(self, kept: EventClass) -> Series:
        """The series of this class, ready to be written to."""
        series = self._series.get(kept)
        if series is None:
            series = self._series[kept] = Series(
                self._client,
                self.names[kept],
                keep=self._settings.keep[kept],
                shard_octets=self._settings.shard_octets,
                data_stream=self.data_streams,
                monotonic=self._monotonic,
            )
        series.refresh()
        return series

    def forget(self) -> None:
        """What we know turned out to be wrong: indices were removed."""
        self._series.clear()
        self._data_streams = None

    def roll(self) -> None:
        """Start new indices where the last ones are large or old."""
        for series in self._series.values():
            series.roll()

    def listed(self) -> Sequence[Partition]:
        """All indices, those of the least valuable class first, of each the oldest."""
        return [one for kept in sorted(self.names) if self._there(kept) for one in self.series(kept).listed(kept)]

    def _there(self, kept: EventClass) -> bool:
        if kept in self._series:
            return True
        with talking("list the indices"):
            return bool(self._client.indices.exists(index=self.names[kept]).body)

    def expire(self, now: datetime) -> Sequence[str]:
        """Drop what was last written to longer ago than its class is kept, then what is least valuable and oldest
        while all of it is beyond the limit. What is written to is never dropped. Returns the names of what was."""
        listed = self.listed()
        total, most = sum(one.size_octets for one in listed), self._settings.max_octets
        dropped = []
        for one in listed:
            if one.rolled_at is None:
                continue
            series = self.series(one.kept)
            if one.rolled_at > now - series.keep and not (most and total > most):
                continue
            series.drop(one.name)
            total -= one.size_octets
            dropped.append(one.name)
        return dropped


WORDS: Mapping[EventClass, str] = {
    EventClass.ALERT: "alerts",
    EventClass.DNS: "dns",
    EventClass.NETWORK: "network",
    EventClass.DETAIL: "detail",
}
"""What the indices of a class are called, behind the prefix."""


def _spelled(body: dict[str, Any]) -> dict[str, Any]:
    """As the client's arguments."""
    return {"meta" if name == "_meta" else name: value for name, value in body.items()}
