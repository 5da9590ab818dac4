"""Retro-hunt: whole chunks of a feed in one question a span of time; only where something is there, which."""

import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tapwarden.agent.store.elastic import query as clauses
from tapwarden.agent.store.elastic.connection import talking
from tapwarden.agent.store.elastic.document import event_of
from tapwarden.agent.store.elastic.summary import Search, time_of
from tapwarden.model.event import Bucket, Event
from tapwarden.model.hunt import HuntMatch, HuntResult, TimeSpan
from tapwarden.model.indicator import Indicator, IndicatorType

SAMPLES = 5
"""Newest events shown of each match."""

CHUNK = 4000
"""Indicators in one question: each is one term of at most two lists (the server's limit is 65,536)."""

NAMED = 200
"""Indicators told apart in one question."""

SPAN_EVENTS = 2_000_000
"""About so many events are searched at once: well below a second, so that the budget is kept."""

DAY = timedelta(days=1)

Terms = Sequence[tuple[str, Any]]
"""Fields and values, one of which is enough; of IP_PORT both of a pair."""


def terms_of(indicator: Indicator) -> Terms | None:
    """Where it would be; None for a value that is not what its type says."""
    value = indicator.value.strip()
    try:
        return _TERMS[indicator.type](value) if value else None
    except ValueError:
        return None


def _certificate(value: str) -> Terms:
    key = value.replace(":", "").upper()
    binascii.unhexlify(key)
    return [("tls.server.hash.sha1", key)]


def _hash(value: str) -> Terms:
    field = clauses.HASH_FIELDS.get(len(value))
    if field is None:
        raise ValueError(f"{value!r} is no MD5, SHA-1 or SHA-256")
    return [(field, value.lower())]


def _address_and_port(value: str) -> Terms:
    address, _, port = value.rpartition(":")
    host, number = clauses.network(address.strip("[]")), int(port)
    return [("source", (host, number)), ("destination", (host, number))]


_TERMS: Mapping[IndicatorType, Callable[[str], Terms]] = {
    IndicatorType.IP: lambda value: [(field, clauses.network(value)) for field in ("source.ip", "destination.ip")],
    IndicatorType.NETWORK: lambda value: [(field, clauses.network(value)) for field in ("source.ip", "destination.ip")],
    IndicatorType.IP_PORT: _address_and_port,
    IndicatorType.DOMAIN: lambda value: [("tapwarden.domain", clauses.name_of(value))],
    IndicatorType.URL: lambda value: [
        ("url.full", f"{scheme}{clauses.url_key(value)}") for scheme in ("http://", "https://")
    ],
    IndicatorType.FILE_HASH: _hash,
    IndicatorType.JA3: lambda value: [(field, value.lower()) for field in clauses.JA_FIELDS],
    IndicatorType.JA4: lambda value: [(field, value.lower()) for field in clauses.JA_FIELDS],
    IndicatorType.CERT_SHA1: _certificate,
}


def one_of(all_terms: Sequence[Terms]) -> clauses.Clause:
    """One of these indicators is in the event."""
    by_field: dict[str, list[Any]] = {}
    pairs = []
    for terms in all_terms:
        for field, value in terms:
            if isinstance(value, tuple):
                ends = [clauses.term(f"{field}.ip", value[0]), clauses.term(f"{field}.port", value[1])]
                pairs.append({"bool": {"filter": ends}})
            else:
                by_field.setdefault(field, []).append(value)
    return clauses.any_of([*({"terms": {field: values}} for field, values in by_field.items()), *pairs])


class Hunt:
    """A hunt over spans of time, newest first, until its time is up."""

    def __init__(self, search: Search, indicators: Sequence[Indicator], time_left: Callable[[], float]) -> None:
        found = [(indicator, terms_of(indicator)) for indicator in dict.fromkeys(indicators)]
        self._terms = {indicator: terms for indicator, terms in found if terms is not None}
        self._unsupported = tuple(indicator for indicator, terms in found if terms is None)
        self._search, self._time_left = search, time_left
        self._matches: dict[Indicator, HuntMatch] = {}

    def over(self, spans: Sequence[TimeSpan]) -> HuntResult:
        """Look for all of them in each of these spans."""
        unsearched = [span for span in spans if not self._within(span)]
        matches = sorted(self._matches.values(), key=lambda match: match.last, reverse=True)
        return HuntResult(tuple(matches), tuple(unsearched), self._unsupported)

    def _within(self, span: TimeSpan) -> bool:
        indicators = list(self._terms)
        return all(self._look(indicators[start : start + CHUNK], span) for start in range(0, len(indicators), CHUNK))

    def _look(self, indicators: Sequence[Indicator], span: TimeSpan) -> bool:
        answer = self._ask(indicators, span, size=0, track_total_hits=1)
        if answer is None:
            return False
        if not answer["hits"]["total"]["value"]:
            return True
        return all(self._name(indicators[start : start + NAMED], span) for start in range(0, len(indicators), NAMED))

    def _name(self, indicators: Sequence[Indicator], span: TimeSpan) -> bool:
        """Which of them it is."""
        ends = {"first": {"min": {"field": "@timestamp"}}, "last": {"max": {"field": "@timestamp"}}}
        filters = {str(place): one_of([self._terms[indicator]]) for place, indicator in enumerate(indicators)}
        by = {"by": {"filters": {"filters": filters}, "aggregations": ends}}
        answer = self._ask(indicators, span, size=0, track_total_hits=False, aggregations=by)
        if answer is None:
            return False
        for place, bucket in answer["aggregations"]["by"]["buckets"].items():
            if bucket["doc_count"] and not self._note(indicators[int(place)], bucket, span):
                return False
        return True

    def _note(self, indicator: Indicator, bucket: Mapping[str, Any], span: TimeSpan) -> bool:
        known = self._matches.get(indicator)
        events: tuple[Event, ...] = known.events if known else ()
        if len(events) < SAMPLES:
            order = [{"@timestamp": {"order": "desc"}}, {"tapwarden.tie": {"order": "desc"}}]
            answer = self._ask([indicator], span, size=SAMPLES - len(events), track_total_hits=False, sort=order)
            if answer is None:
                return False
            events += tuple(event_of(hit["_source"]) for hit in answer["hits"]["hits"])
        first, last = time_of(bucket["first"]["value"]), time_of(bucket["last"]["value"])
        if not known and events:
            last = events[0].timestamp  # exact, where aggregations know milliseconds
        if bucket["doc_count"] <= len(events) and not known:
            first = events[-1].timestamp
        match = HuntMatch(indicator, bucket["doc_count"], first, last, events)
        if known:
            match = replace(
                match, count=known.count + match.count, first=min(known.first, first), last=max(known.last, last)
            )
        self._matches[indicator] = match
        return True

    def _ask(self, indicators: Sequence[Indicator], span: TimeSpan, **body: Any) -> Mapping[str, Any] | None:
        """The server's answer; None when there is no time left for it."""
        left_s = self._time_left()
        if left_s <= 0:
            return None
        must = [one_of([self._terms[indicator] for indicator in indicators])]
        within = clauses.span(span.start, span.end)
        if within:
            must.append(within)
        with talking("hunt"):
            answer = self._search(query={"bool": {"filter": must}}, timeout=f"{max(int(left_s * 1000), 1)}ms", **body)
        return None if answer["timed_out"] else answer


def spans_of(days: Sequence[Bucket], since: datetime | None, until: datetime | None) -> Sequence[TimeSpan]:
    """Days with events, oldest first, as spans of about SPAN_EVENTS events, newest first, cut to what is asked for."""
    spans: list[TimeSpan] = []
    events = 0
    for day in reversed(days):
        start, end = day.start, day.start + DAY
        if since is not None:
            start = max(start, since)
        if until is not None:
            end = min(end, until)
        if spans and events + day.count <= SPAN_EVENTS:
            spans[-1] = TimeSpan(start, spans[-1].end)
            events += day.count
        else:
            spans.append(TimeSpan(start, end))
            events = day.count
    return spans
