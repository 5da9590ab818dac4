"""EventQuery in Elasticsearch's query language. Pure, save for texts, whose words the server has to tell."""

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from tapwarden.agent.store.elastic.document import EARLIEST, LATEST
from tapwarden.model.event import EventQuery

Clause = dict[str, Any]

NAME_CHARACTERS_MAX = 1024

Words = Callable[[str], Sequence[str]]
"""The words that the index makes of a text."""

FIELDS = {
    "src_ip": "source.ip",
    "dest_ip": "destination.ip",
    "dest_port": "destination.port",
    "sid": "rule.id",
    "signature": "rule.name",
    "domain": "related.hosts",
    "event_type": "suricata.eve.event_type",
    "app_proto": "network.protocol",
    "sensor": "observer.name",
}
"""What ranked lists are made of."""

HASH_FIELDS = {32: "file.hash.md5", 40: "file.hash.sha1", 64: "file.hash.sha256"}
JA_FIELDS = ("tls.client.ja3", "tls.server.ja3s", "tls.client.ja4")


def name_of(text: str) -> str:
    """A domain name as it is indexed (``name_of`` of the core): lower case, no port, no dot at its end."""
    name = text[:NAME_CHARACTERS_MAX].lower()
    if not name.startswith("["):
        name = name.partition(":")[0]
    return name.rstrip(".")


def query_of(query: EventQuery, words: Words) -> Clause:
    """All that has to hold. Raises ValueError for an address that is none."""
    must = [*_exact(query), *_ends(query), *_parts(query, words)]
    within = span(query.since, query.until)
    if within:
        must.append(within)
    return {"bool": {"filter": must}} if must else {"match_all": {}}


def _exact(query: EventQuery) -> Iterator[Clause]:
    if query.kinds:
        yield {"terms": {"suricata.eve.event_type": list(query.kinds)}}
    if query.sid is not None:
        yield term("rule.id", str(query.sid))
    if query.flow_id is not None:
        yield term("suricata.eve.flow_id", str(query.flow_id))
    for field, value in (
        ("tapwarden.domain", name_of(query.domain)),
        ("network.community_id", query.community_id),
        ("observer.name", query.sensor),
    ):
        if value:
            yield term(field, value)
    if query.file_hash:
        yield hashed(query.file_hash)
    if query.ja:
        yield any_of([term(field, query.ja.lower()) for field in JA_FIELDS])


def _ends(query: EventQuery) -> Iterator[Clause]:
    if query.address:
        yield ends(network(query.address))
    if query.src_ip:
        yield term("source.ip", network(query.src_ip))
    if query.dest_ip:
        yield term("destination.ip", network(query.dest_ip))
    if query.port is not None:
        yield any_of([term("source.port", query.port), term("destination.port", query.port)])


def _parts(query: EventQuery, words: Words) -> Iterator[Clause]:
    if query.signature:
        yield contains("rule.name", query.signature)
    if query.url:
        yield contains("url.full", url_key(query.url))
    if query.text:
        yield from texts(words(query.text))


def span(since: datetime | None, until: datetime | None) -> Clause | None:
    """Events from ``since`` until before ``until``; times beyond what the index can hold are its ends."""
    # never open below: histograms over date_nanos then start before what that can hold (seen with 9.2)
    bounds = {"gte": moment(since or EARLIEST)}
    if until is not None:
        # what is kept as the latest time is before every later one
        bounds["lt" if until <= LATEST else "lte"] = moment(until)
    return {"range": {"@timestamp": bounds}} if since or until else None


def moment(time: datetime) -> str:
    """A time as the index takes it."""
    return min(max(time.astimezone(UTC), EARLIEST), LATEST).isoformat()


def network(text: str) -> str:
    """An address or network in canonical form. Raises ValueError."""
    try:
        return str(ipaddress.ip_network(text, strict=False)) if "/" in text else str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is no {'network' if '/' in text else 'address'}: {error}") from error


def term(field: str, value: Any) -> Clause:
    """The field has this value."""
    return {"term": {field: value}}


def any_of(clauses: Sequence[Clause]) -> Clause:
    """One of them holds."""
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def ends(address: str) -> Clause:
    """Source or destination is this address, or is in this network."""
    return any_of([term("source.ip", address), term("destination.ip", address)])


def contains(field: str, text: str) -> Clause:
    """The field has this text in it, in any case."""
    return {"wildcard": {field: {"value": f"*{literal(text)}*", "case_insensitive": True}}}


def literal(text: str) -> str:
    """The text with everything escaped that means something in a wildcard query."""
    return "".join(f"\\{character}" if character in "*?\\" else character for character in text)


def hashed(value: str) -> Clause:
    """A file has this hash."""
    field = HASH_FIELDS.get(len(value))
    return {"match_none": {}} if field is None else term(field, value.lower())


def url_key(url: str) -> str:
    """A URL as it is searched: without scheme, lower case."""
    scheme, found, rest = url.partition("://")
    return (rest if found and len(scheme) < 10 else url).lower()


def texts(words: Sequence[str]) -> list[Clause]:
    """The words occur: the first may be the end of one, the last the beginning, a single one any part of one."""
    if not words:
        return [{"match_none": {}}]
    clauses: list[Clause] = []
    for place, word in enumerate(words):
        before = "*" if place == 0 else ""
        after = "*" if place == len(words) - 1 else ""
        if before or after:
            value = f"{before}{literal(word)}{after}"
            clauses.append({"wildcard": {"tapwarden.text": {"value": value, "case_insensitive": True}}})
        else:
            clauses.append(term("tapwarden.text", word))
    return clauses
