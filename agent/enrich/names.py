"""Names of an alert: what its record says (DNS question, SNI, HTTP host), its flow said, or its peer resolved to."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tapwarden.model.event import Event

MAX_NAME_OCTETS = 253
"""RFC 1035 section 2.3.4, without the root's dot."""


class SeenNames:
    """Bounded memory of names by flow and by resolved address; the least recently seen go first.

    ``forgotten`` counts what was dropped for room.
    """

    def __init__(self, *, max_flows: int = 65_536, max_addresses: int = 65_536) -> None:
        self._flows: OrderedDict[Any, str] = OrderedDict()
        self._addresses: OrderedDict[str, str] = OrderedDict()
        self._max_flows, self._max_addresses = max_flows, max_addresses
        self.forgotten = 0

    def observe(self, event: Event) -> None:
        """Learn the names of a DNS, HTTP, TLS or QUIC event."""
        if event.kind not in {"dns", "http", "tls", "quic"}:
            return
        name = next(names_of(event.eve), "")
        if name and event.kind != "dns" and "flow_id" in event.eve:
            self._remember(self._flows, event.eve["flow_id"], name, self._max_flows)
        if event.kind == "dns":
            for question, address in _resolved(event.eve):
                self._remember(self._addresses, address, question, self._max_addresses)

    def badges(self, alert: Event) -> Iterable[str]:
        """Names of the alert, without repetition, at most eight."""
        eve = alert.eve
        found = [
            *names_of(eve),
            self._flows.get(eve.get("flow_id"), ""),
            self._addresses.get(str(eve.get("dest_ip", "")), ""),
            self._addresses.get(str(eve.get("src_ip", "")), ""),
        ]
        return tuple(dict.fromkeys(name for name in found if name))[:8]

    def _remember(self, table: OrderedDict[Any, str], key: Any, name: str, limit: int) -> None:
        if not isinstance(key, (int, str)):
            return
        table[key] = name
        table.move_to_end(key)
        if len(table) > limit:
            table.popitem(last=False)
            self.forgotten += 1


def names_of(eve: Mapping[str, Any]) -> Iterator[str]:
    """The names a record itself carries, canonical (lower case, no final dot). Odd shapes are passed over."""
    dns = _mapping(eve.get("dns"))
    candidates = [dns.get("rrname")]
    for part in ("queries", "query"):
        entries = dns.get(part)
        if isinstance(entries, list):
            candidates += [entry.get("rrname") for entry in entries if isinstance(entry, Mapping)]
    candidates += [_mapping(eve.get(layer)).get("sni") for layer in ("tls", "quic")]
    candidates.append(_mapping(eve.get("http")).get("hostname"))
    for name in candidates:
        if isinstance(name, str) and 0 < len(name) <= MAX_NAME_OCTETS + 1:
            yield name.lower().rstrip(".")


def _resolved(eve: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(question, address) of the A and AAAA answers of a DNS record."""
    question = next(names_of(eve), "")
    dns = _mapping(eve.get("dns"))
    grouped = _mapping(dns.get("grouped"))
    answers = dns.get("answers")
    if not question:
        return
    for address in [*_texts(grouped.get("A")), *_texts(grouped.get("AAAA"))]:
        yield question, address
    for answer in answers if isinstance(answers, list) else []:
        if (
            isinstance(answer, Mapping)
            and answer.get("rrtype") in {"A", "AAAA"}
            and isinstance(answer.get("rdata"), str)
        ):
            yield question, answer["rdata"]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
