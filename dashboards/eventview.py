"""An event for people: a sentence that says what happened, its fields by section, and where to look next.

Input is an EVE record of any origin: every field may be missing or have another type.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SECTION_ORDER = (
    "alert",
    "dns",
    "tls",
    "quic",
    "http",
    "fileinfo",
    "ssh",
    "smtp",
    "anomaly",
    "flow",
    "tcp",
    "tapwarden",
)
NOT_SECTIONS = frozenset({"payload", "payload_printable", "packet", "packet_info", "http_body", "http_body_printable"})
MAX_FIELDS = 400
MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a section: a dotted name and the value as text. ``pivot`` is a query on this site, or ""."""

    name: str
    value: str
    pivot: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Section:
    """The fields of one top-level object."""

    name: str
    fields: tuple[Field, ...]


def endpoint(eve: Mapping[str, Any], side: str) -> str:
    """``192.0.2.1:53`` or ``[2001:db8::1]:53``; side is src or dest. "?" where the record has no address."""
    ip, port = str(eve.get(f"{side}_ip") or "?"), eve.get(f"{side}_port")
    if port in (None, ""):
        return ip
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def summary(eve: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one answer a kind
    """What happened, in a few words, without the endpoints."""
    kind = str(eve.get("event_type", "event"))
    part = _object(eve, kind)
    match kind:
        case "alert":
            return str(part.get("signature") or "alert without signature")
        case "dns":
            return _dns(part)
        case "tls" | "quic":
            version = part.get("version")
            return f"{part.get('sni') or 'no name'}" + (f" ({version})" if version else "")
        case "http":
            status = part.get("status")
            line = f"{part.get('http_method', '?')} {part.get('hostname', '?')}{part.get('url', '')}"
            return line + (f" → {status}" if status else "")
        case "flow":
            sent, received = part.get("bytes_toserver", 0), part.get("bytes_toclient", 0)
            return f"{part.get('state', 'flow')}: {sent} octets sent, {received} received"
        case "fileinfo":
            return f"{part.get('filename') or 'file'} ({part.get('size', '?')} octets)"
        case "anomaly":
            return f"{part.get('type', 'anomaly')}: {part.get('event', '?')}"
    return kind


def sentence(eve: Mapping[str, Any]) -> str:
    """The page's header: who did what to whom."""
    source, target = endpoint(eve, "src"), endpoint(eve, "dest")
    via = "/".join(str(eve[key]).upper() for key in ("proto", "app_proto") if eve.get(key) and eve[key] != "failed")
    via = f" over {via}" if via else ""
    what = summary(eve)
    match str(eve.get("event_type", "")):
        case "alert":
            blocked = _object(eve, "alert").get("action") == "blocked"
            return f"{'Blocked: ' if blocked else ''}{what}: {source} → {target}{via}"
        case "dns":
            return f"{source} and {target}: {what}{via}"
        case "tls" | "quic":
            return f"{source} opened a session with {target} for {what}{via}"
        case "http":
            return f"{source} asked {target}: {what}"
        case kind:
            return f"{kind or 'event'} {source} → {target}: {what}{via}"


def sections(eve: Mapping[str, Any]) -> tuple[Section, ...]:
    """The record's fields: first those of the envelope, then one section an object, application layers first."""
    envelope = {k: v for k, v in eve.items() if not isinstance(v, Mapping) and k not in NOT_SECTIONS}
    objects = {k: v for k, v in eve.items() if isinstance(v, Mapping) and k not in NOT_SECTIONS}
    rank = {name: at for at, name in enumerate(SECTION_ORDER)}
    names = sorted(objects, key=lambda name: rank.get(name, len(rank)))
    listed = [Section(name, _fields(name, objects[name])) for name in names]
    return (*listed, Section("event", _fields("", envelope)))


def indicators(eve: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(target type, value) pairs a person may want to act on: outer addresses and names in the record."""
    found = [("address", str(eve[side])) for side in ("dest_ip", "src_ip") if is_address(str(eve.get(side, "")))]
    names = (_object(eve, "dns").get("rrname"), _object(eve, "tls").get("sni"), _object(eve, "http").get("hostname"))
    found += [("domain", name) for name in names if isinstance(name, str) and name and not is_address(name)]
    return tuple(dict.fromkeys(found))


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _object(eve: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = eve.get(name)
    return part if isinstance(part, Mapping) else {}


def _dns(part: Mapping[str, Any]) -> str:
    first = part
    for key in ("query", "queries"):
        listed = part.get(key)
        if isinstance(listed, list) and listed and isinstance(listed[0], Mapping):
            first = {**part, **listed[0]}
    name, kind = first.get("rrname", "?"), first.get("rrtype", "")
    if part.get("type") in ("answer", "response"):
        answers = part.get("answers")
        data = (
            [str(a["rdata"]) for a in answers if isinstance(a, Mapping) and a.get("rdata")]
            if isinstance(answers, list)
            else []
        )
        return f"answer for {name} {kind}: {part.get('rcode', '')} {', '.join(data[:4])}".rstrip()
    return f"question for {name} {kind}".rstrip()


def _fields(section: str, part: Mapping[str, Any]) -> tuple[Field, ...]:
    fields: list[Field] = []
    for name, value in _walk(part, "", 0):
        if len(fields) == MAX_FIELDS:
            fields.append(Field("…", "more fields are in the record below", {}))
            break
        fields.append(Field(name, value, _pivot(section, name, value)))
    return tuple(fields)


def _walk(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        for key, item in value.items():
            yield from _walk(item, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list) and depth < MAX_DEPTH and any(isinstance(item, (Mapping, list)) for item in value):
        for at, item in enumerate(value):
            yield from _walk(item, f"{name}[{at}]", depth + 1)
    elif isinstance(value, list):
        yield name, ", ".join(str(item) for item in value)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    else:
        yield name, "" if value is None else str(value)


PIVOTS: Mapping[tuple[str, str], str] = {
    ("", "src_ip"): "address",
    ("", "dest_ip"): "address",
    ("", "dest_port"): "port",
    ("", "flow_id"): "flow_id",
    ("", "community_id"): "community_id",
    ("alert", "signature_id"): "sid",
    ("dns", "rrname"): "domain",
    ("tls", "sni"): "domain",
    ("quic", "sni"): "domain",
    ("http", "hostname"): "domain",
    ("http", "url"): "url",
    ("tls", "ja3.hash"): "ja",
    ("tls", "ja4"): "ja",
    ("fileinfo", "sha256"): "file_hash",
    ("fileinfo", "sha1"): "file_hash",
    ("fileinfo", "md5"): "file_hash",
}
"""(section, field) -> the search field that finds events with the same value."""


def _pivot(section: str, name: str, value: str) -> Mapping[str, str]:
    key = PIVOTS.get((section, name))
    return {key: value, "range": "7d"} if key and value else {}
