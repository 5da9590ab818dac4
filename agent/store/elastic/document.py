"""An event as an Elasticsearch document: ECS fields, with the EVE record itself under ``suricata.eve``.

Pure, and on the path of every event: types are compared, not asked about. The record is hostile: any value may have any
type and any size. Field names and their meaning are those of the Elastic Common Schema 8.17 and, where it has none,
of Elastic's Suricata integration; what only Tapwarden has is under ``tapwarden``.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from tapwarden.agent.store.elastic.ecs import ITEMS_MAX, PARTS, Doc, Found, suffixes
from tapwarden.model.event import Event

ECS_VERSION = {"version": "8.17.0"}

TEXT_CHARACTERS_MAX = 8192
"""What free-text search sees of one record."""

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
"""What ``date_nanos`` can hold (nanoseconds since 1970 in 63 bits); other times are kept as the nearer end."""


def document(event: Event, *, whole: bool = True) -> bytes:
    """The document as JSON text, which ``event_of`` makes the same event of again, octet for octet.

    Without ``whole``, ``suricata.eve`` holds only the event's type and flow: for records that the server cannot take as
    they are. Raises ValueError for what is no record (a JSON object).
    """
    eve = event.eve
    if eve.__class__ is not dict:
        raise ValueError("no JSON object")
    if whole:
        try:
            record = orjson.dumps(eve)
            return orjson.dumps(_fields(event, eve, orjson.Fragment(record), record != event.raw))
        except TypeError:  # lone surrogates, or nested deeper than orjson writes
            pass
    kind, flow_id = eve.get("event_type"), eve.get("flow_id")
    reduced: Doc = {"event_type": kind} if kind.__class__ is str else {}
    if flow_id.__class__ is int:
        reduced["flow_id"] = flow_id
    return orjson.dumps(_clean(_fields(event, eve, reduced, True)))


def event_of(source: Mapping[str, Any]) -> Event:
    """The event that a document was made of."""
    own = source["tapwarden"]
    octets = own.get("octets")
    original = source["event"].get("original")
    if octets is not None:
        raw = base64.b64decode(octets)
    elif original is not None:
        raw = original.encode()
    else:
        raw = orjson.dumps(source["suricata"]["eve"])
    packed = own.get("packed_origin")
    origin = own.get("origin", "") if packed is None else base64.b64decode(packed).decode("utf-8", "surrogatepass")
    return Event(raw, origin)


def tie_of(event_id: str) -> int:
    """What orders events of the same moment: 60 bits of the id."""
    return int(event_id[-15:], 16)


def _fields(event: Event, eve: Mapping[str, Any], record: Any, keep_text: bool) -> Doc:
    kind = eve.get("event_type")
    moment = event.timestamp
    if not 1970 <= moment.year < 2262:
        moment = EARLIEST if moment.year < 1970 else LATEST
    about: Doc = {"module": "suricata", "dataset": "suricata.eve", "kind": "event", "category": ["network"]}
    own: Doc = {"tie": tie_of(event.id)}
    doc: Doc = {"@timestamp": moment, "ecs": ECS_VERSION, "event": about, "tapwarden": own}
    found = Found()
    _ends(eve, doc, found)
    if kind.__class__ is str:
        about["type"] = _TYPES.get(kind, _PROTOCOL)
    texts: list[str] = []
    for name, value in eve.items():
        if value.__class__ is dict or value.__class__ is list:
            part = PARTS.get(name)
            if part is not None:
                part(value, doc, found)
            if name not in _NO_TEXT:
                _collect(value, texts, 0)
    _origin(event.origin, own)
    _everything_of_one_kind(found, texts, doc, own)
    doc["suricata"] = {"eve": record}
    if keep_text:
        try:
            about["original"] = event.raw.decode()
        except UnicodeDecodeError:
            own["octets"] = base64.b64encode(event.raw).decode()
    return doc


def _ends(eve: Mapping[str, Any], doc: Doc, found: Found) -> None:
    """Who talked with whom, over what, seen by whom."""
    get = eve.get
    for side, address, port in (
        ("source", get("src_ip"), get("src_port")),
        ("destination", get("dest_ip"), get("dest_port")),
    ):
        if address.__class__ is str:
            doc[side] = {"ip": address, "port": port} if port.__class__ is int else {"ip": address}
            found.addresses.append(address)
    network: Doc = {}
    community_id, protocol, transport = get("community_id"), get("app_proto"), get("proto")
    if community_id.__class__ is str:
        network["community_id"] = community_id
    if protocol.__class__ is str:
        network["protocol"] = protocol
    if transport.__class__ is str:
        network["transport"] = transport.lower()
    if network:
        doc["network"] = network
    observer: Doc = {"product": "Tapwarden", "type": "ids"}
    sensor, interface = get("host"), get("in_iface")
    if sensor.__class__ is str:
        observer["name"] = sensor
    if interface.__class__ is str:
        observer["ingress"] = {"interface": {"name": interface}}
    doc["observer"] = observer


def _origin(origin: str, own: Doc) -> None:
    if not origin:
        return
    if origin.isascii():
        own["origin"] = origin
    else:  # a path may have any octets
        own["packed_origin"] = base64.b64encode(origin.encode("utf-8", "surrogatepass")).decode()


def _everything_of_one_kind(found: Found, texts: list[str], doc: Doc, own: Doc) -> None:
    related: Doc = {}
    if found.addresses:
        related["ip"] = found.addresses
    if found.names:
        related["hosts"] = names = list(dict.fromkeys(found.names))
        own["domain"] = suffixes(names[0]) if len(names) == 1 else [part for name in names for part in suffixes(name)]
    if found.hashes:
        related["hash"] = found.hashes
    if related:
        doc["related"] = related
    if texts:
        own["text"] = "\n".join(texts)[:TEXT_CHARACTERS_MAX]


_NO_TEXT = frozenset({"flow", "stats", "netflow", "packet_info", "metadata", "ether", "vlan", "tcp", "verdict"})
"""Members whose texts nobody searches for."""

_NO_TEXT_WITHIN = frozenset({"payload", "packet", "rule", "metadata", "string", "ja3", "ja3s", "ja4"})

_PROTOCOL = ("protocol",)
_TYPES: Mapping[str, Sequence[str]] = {"flow": ("connection", "end"), "netflow": ("connection",), "stats": ("info",)}


def _collect(value: Any, texts: list[str], depth: int) -> None:
    if value.__class__ is str:
        if len(value) > 1:
            texts.append(value)
    elif depth < 6:
        if value.__class__ is dict:
            for name, inner in value.items():
                if name not in _NO_TEXT_WITHIN:
                    _collect(inner, texts, depth + 1)
        elif value.__class__ is list:
            for inner in value[:ITEMS_MAX]:
                _collect(inner, texts, depth + 1)


def _clean(value: Any) -> Any:
    """Without lone surrogates, which no text of Elasticsearch has."""
    if value.__class__ is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "replace").decode()
        return value
    if value.__class__ is dict:
        return {_clean(name): _clean(inner) for name, inner in value.items()}
    if value.__class__ is list or value.__class__ is tuple:
        return [_clean(inner) for inner in value]
    return value
