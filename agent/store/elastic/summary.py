"""Counts over what a query matches: histogram, ranked lists, alert groups, as requests and what their answers say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tapwarden.agent.store.elastic.connection import talking
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Bucket, EventGroup, TopEntry

Search = Callable[..., Mapping[str, Any]]
"""Asks the index; arguments are the body's."""

VALUES_MAX = 10_000
"""Values counted exactly in one answer; beyond that ranked lists are what the shards' own lists add up to."""

NO_TEXTS = frozenset({"source.ip", "destination.ip", "destination.port"})
"""Ranked fields that the server orders as numbers and addresses, not as their texts."""

SPARE = 100
"""Values asked for beyond those that are shown: so that of several as frequent ones always the same are."""

PAGE = 10_000
"""Intervals of one answer (the server's limit is 65,536 buckets)."""


def histogram(search: Search, query: Mapping[str, Any], interval_s: int) -> Sequence[Bucket]:
    """Counts by interval, oldest first, without empty intervals."""
    by_time = {"field": "@timestamp", "fixed_interval": f"{interval_s}s"}
    try:
        with talking("count events by time"):
            found = search(
                query=query, size=0, aggregations={"by": {"date_histogram": {**by_time, "min_doc_count": 1}}}
            )
        return [
            Bucket(time_of(bucket["key"]), bucket["doc_count"]) for bucket in found["aggregations"]["by"]["buckets"]
        ]
    except StoreError as error:
        if "too many buckets" not in str(error).lower():
            raise
    return [
        Bucket(time_of(bucket["key"]["at"]), bucket["doc_count"])
        for bucket in _composed(search, query, {"at": {"date_histogram": by_time}})
    ]


def _composed(search: Search, query: Mapping[str, Any], source: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All buckets, page by page."""
    composite: dict[str, Any] = {"size": PAGE, "sources": [source]}
    while True:
        with talking("count events"):
            found = search(query=query, size=0, aggregations={"by": {"composite": composite}})["aggregations"]["by"]
        yield from found["buckets"]
        if "after_key" not in found:
            return
        composite["after"] = found["after_key"]


def top(search: Search, query: Mapping[str, Any], field: str, limit: int) -> Sequence[TopEntry]:
    """The most frequent values."""
    terms = {"field": field, "size": min(limit + SPARE, VALUES_MAX), "shard_size": VALUES_MAX}
    found = _buckets(search, query, {"terms": terms})["buckets"]
    return sorted(_entries(found), key=lambda entry: (-entry.count, entry.value))[:limit]


def rare(search: Search, query: Mapping[str, Any], field: str, limit: int) -> Sequence[TopEntry]:
    """The least frequent values: exact up to 10,000 different ones. Beyond that they are chosen from the rarest 10,000
    of each index, with exact counts."""
    rarest_first = [{"_count": "asc"}, {"_key": "asc"}]
    # among texts as rare as each other the server's order is ours: no more of them are needed
    size = VALUES_MAX if field in NO_TEXTS else min(limit + SPARE, VALUES_MAX)
    terms = {"field": field, "size": size, "shard_size": VALUES_MAX, "order": rarest_first}
    found = _buckets(search, query, {"terms": terms})
    entries = _rarest(found["buckets"])
    if found.get("sum_other_doc_count") and entries:
        # what is rare in one index may be frequent in another, which did not name it
        chosen = [bucket["key"] for bucket in found["buckets"][: limit + SPARE]]
        counted = {"field": field, "size": len(chosen), "include": chosen}
        entries = _rarest(_buckets(search, query, {"terms": counted})["buckets"])
    return entries[:limit]


def _rarest(buckets: Sequence[Mapping[str, Any]]) -> Sequence[TopEntry]:
    return sorted(_entries(buckets), key=lambda entry: (entry.count, entry.value))


def groups(search: Search, query: Mapping[str, Any], limit: int) -> Sequence[EventGroup]:
    """Alerts by rule, source and destination, most frequent first; times to the millisecond.

    First which they are, then what is to be shown of these: looking at the times of all of them takes far longer.
    """
    terms = {"field": "tapwarden.group", "size": min(limit + SPARE, VALUES_MAX), "shard_size": VALUES_MAX}
    ranked = sorted(_buckets(search, query, {"terms": terms})["buckets"], key=_rank)
    shown = [bucket["key"] for bucket in ranked[:limit]]
    if not shown:
        return []
    inner = {
        "first": {"min": {"field": "@timestamp"}},
        "last": {"max": {"field": "@timestamp"}},
        "signature": {"terms": {"field": "rule.name", "size": 1}},
    }
    of_these = {"bool": {"filter": [query, {"terms": {"tapwarden.group": shown}}]}}
    among = {"field": "tapwarden.group", "size": len(shown), "include": shown}
    found = []
    for bucket in _buckets(search, of_these, {"terms": among, "aggregations": inner})["buckets"]:
        sid, src, dest = bucket["key"].split(" ", 2)
        names = bucket["signature"]["buckets"]
        times = time_of(bucket["first"]["value"]), time_of(bucket["last"]["value"])
        found.append(
            EventGroup(int(sid), names[0]["key"] if names else "", src, dest, bucket["doc_count"], times[0], times[1])
        )
    return sorted(found, key=lambda group: (-group.count, group.sid, group.src_ip, group.dest_ip))


def _rank(bucket: Mapping[str, Any]) -> tuple[int, int, str, str]:
    sid, src, dest = bucket["key"].split(" ", 2)
    return -bucket["doc_count"], int(sid), src, dest


def time_of(milliseconds: float) -> datetime:
    """A time as aggregations give it."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _buckets(search: Search, query: Mapping[str, Any], aggregation: Mapping[str, Any]) -> Mapping[str, Any]:
    with talking("count events"):
        found = search(query=query, size=0, track_total_hits=False, aggregations={"by": aggregation})
    by: Mapping[str, Any] = found.get("aggregations", {}).get("by", {"buckets": []})
    return by


def _entries(buckets: Sequence[Mapping[str, Any]]) -> Iterator[TopEntry]:
    return (TopEntry(str(bucket["key"]), bucket["doc_count"]) for bucket in buckets if bucket["key"] != "")
