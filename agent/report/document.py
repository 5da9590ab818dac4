"""A report's body read back: what every format writes from. Any JSON an editor made of it gives some document."""

import ipaddress
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tapwarden.model.report import Report

NAMESPACE = uuid.UUID("6b1d5c1e-9f0e-4a53-8a53-746170776172")
"""Where the names derived from a report are counted from."""

PSEUDONYM = re.compile(r"host-[a-z2-7]{26}")
"""What the privacy gate writes for an internal address."""

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)+[A-Za-z][A-Za-z0-9-]{{0,61}}[A-Za-z0-9]\.?")
_UNSAYABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_UNSAID = ("", "unknown", "none")
_HASHES = {32: "md5", 40: "sha1", 64: "sha256"}


@dataclass(frozen=True, slots=True)
class Observable:
    """A value and what it is: ipv4, ipv6, network, domain, url, md5, sha1, sha256, pseudonym or text."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A line of the evidence."""

    sid: int
    signature: str
    category: str
    count: int
    first_seen: datetime
    last_seen: datetime
    source: Observable
    destination: Observable


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure that was taken, at one target."""

    measure: str
    target: Observable
    at: datetime
    effect: str
    authority: str
    legal_basis: str
    reason: str


@dataclass(frozen=True, slots=True)
class FlowSeen:
    """A flow that an alert belongs to; a port that is not known is 0, a protocol in lower case."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Document:
    """What a report says. Times are UTC; what is unknown is "" or empty."""

    report_id: str
    incident_id: str
    stage: str
    stage_id: str
    profile: str
    version: int
    drill: bool
    reporter: str
    agent: str
    responsible: str
    contact: str
    email: str
    tlp: str
    pap: str
    title: str
    summary: str
    threat_class: str
    subtype: str
    severity: str
    determination: str
    ownership: str
    created_at: datetime
    due_at: datetime
    detected_at: datetime
    occurred_at: datetime
    affected: tuple[Observable, ...]
    indicators: tuple[Observable, ...]
    alerts: tuple[Alert, ...]
    alert_count: int
    measures: tuple[Measure, ...]
    flows: tuple[FlowSeen, ...]
    grades: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def protocols(self) -> tuple[str, ...]:
        """The transport protocols of its flows."""
        return tuple(dict.fromkeys(flow.protocol for flow in self.flows if flow.protocol))

    def name(self, *parts: object) -> str:
        """A UUID that these parts, and nothing else, give for this incident."""
        return named("/".join(map(str, (self.agent, self.incident_id, *parts))))


def read_document(report: Report) -> Document:
    """The report's body as a document; what identifies it is the report's own, whatever an editor wrote."""
    body = report.body
    category, contact, evidence = (_mapping(body.get(key)) for key in ("category", "contact", "evidence"))
    detected = _moment(body.get("detected_at"), report.created_at)
    alerts = tuple(_alert(item, detected) for item in _list(evidence.get("alerts")) if isinstance(item, Mapping))
    flows = tuple(_flow(item) for item in _list(evidence.get("flows")) if isinstance(item, Mapping))
    return Document(
        report_id=report.id,
        incident_id=report.incident_id,
        stage=report.stage.value,
        stage_id=report.stage_id or report.stage.value,
        profile=report.profile or _text(body.get("profile")),
        version=report.version,
        drill=body.get("drill") is True,
        reporter=_text(body.get("reporter")) or "unknown",
        agent=_text(body.get("agent")) or "tapwarden",
        responsible=_text(contact.get("responsible_person")),
        contact=_text(contact.get("contact_24x7")),
        email=_text(contact.get("email")),
        tlp=_text(body.get("tlp")) or "AMBER",
        pap=_text(body.get("pap")) or "AMBER",
        title=_text(body.get("title")) or "unknown",
        summary=_text(body.get("summary")),
        threat_class=_text(category.get("class")) or "other",
        subtype=_text(category.get("subtype")),
        severity=_text(body.get("severity")),
        determination=_text(body.get("determination")) or "suspected",
        ownership=_text(body.get("ownership")) or "own",
        created_at=report.created_at.astimezone(UTC),
        due_at=report.due_at.astimezone(UTC),
        detected_at=detected,
        occurred_at=_moment(body.get("occurred_at"), detected),
        affected=observables(body.get("affected")),
        indicators=observables(body.get("indicators")),
        alerts=alerts,
        alert_count=_number(evidence.get("alert_count")),
        measures=tuple(_measures(body.get("measures_taken"), detected)),
        flows=flows,
        grades={str(key): _text(value) for key, value in _mapping(body.get("grades")).items()},
        body=body,
    )


def named(text: str) -> str:
    """The same UUID whenever the same text is given, in version 4's shape, which STIX, MISP and X-ARF ask for."""
    return str(uuid.UUID(bytes=uuid.uuid5(NAMESPACE, clean(text)).bytes, version=4))


def observable(value: Any) -> Observable:
    """What a value is."""
    text = str(value).strip()
    kind, canonical = _network_kind(text)
    if kind:
        return Observable(kind, canonical)
    if PSEUDONYM.fullmatch(text):
        return Observable("pseudonym", text)
    if "://" in text:
        return Observable("url" if _is_url(text) else "text", text)
    if _DOMAIN.fullmatch(text):
        return Observable("domain", text.rstrip(".").lower())
    if re.fullmatch(r"[0-9A-Fa-f]+", text) and len(text) in _HASHES:
        return Observable(_HASHES[len(text)], text.lower())
    return Observable("text", text)


def _network_kind(text: str) -> tuple[str, str]:
    """Kind and canonical text of an address or network; ("", "") of anything else."""
    try:
        if "/" not in text:
            address = ipaddress.ip_address(text)
            return f"ipv{address.version}", str(address)
        return "network", str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return "", ""


def observables(value: Any) -> tuple[Observable, ...]:
    """The values of a list, or of one value; none of ``unknown``."""
    items = value if isinstance(value, list) else [value]
    found = [
        observable(item) for item in items if isinstance(item, str) and item.strip() not in ("", "unknown", "none")
    ]
    return tuple(dict.fromkeys(found))


def clean(text: str) -> str:
    """With U+FFFD for what XML 1.0 has no way to say: control characters but tab and line ends, lone surrogates."""
    return _UNSAYABLE.sub("\ufffd", text)


def rfc3339(moment: datetime) -> str:
    """A time in UTC to the millisecond, as STIX and others write it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.hostname) and text.isascii() and not any(char.isspace() for char in text)


def _alert(item: Mapping[str, Any], detected: datetime) -> Alert:
    first = _moment(item.get("first_seen"), detected)
    return Alert(
        sid=_number(item.get("sid")),
        signature=_text(item.get("signature")),
        category=_text(item.get("category")),
        count=max(1, _number(item.get("count"))),
        first_seen=first,
        last_seen=max(first, _moment(item.get("last_seen"), first)),
        source=observable(_text(item.get("source"))),
        destination=observable(_text(item.get("destination"))),
    )


def _flow(item: Mapping[str, Any]) -> FlowSeen:
    ports = [port if (port := _number(item.get(key))) < 65536 else 0 for key in ("src_port", "dest_port")]
    source, destination = _text(item.get("src_ip")), _text(item.get("dest_ip"))
    return FlowSeen(source, ports[0], destination, ports[1], _text(item.get("proto")).lower())


def _measures(value: Any, detected: datetime) -> Sequence[Measure]:
    found = []
    for item in _list(value):
        if not isinstance(item, Mapping):
            continue
        authority = _mapping(item.get("authority"))
        results = {_text(one.get("target")): one for one in _list(item.get("results")) if isinstance(one, Mapping)}
        for target in _list(item.get("targets")):
            named = _text(_mapping(target).get("value"))
            result = results.get(named, {})
            decided = _moment(item.get("decided_at"), detected)
            found.append(
                Measure(
                    measure=_text(item.get("measure")),
                    target=observable(named),
                    at=_moment(result.get("at"), decided),
                    effect=_text(result.get("effect")) or "none",
                    authority=_text(authority.get("name")),
                    legal_basis=_text(authority.get("legal_basis")),
                    reason=_text(item.get("reason")),
                )
            )
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _text(value: Any) -> str:
    if value is None or isinstance(value, (dict, list)):
        return ""
    text = clean(str(value))
    return "" if text in _UNSAID else text


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def _moment(value: Any, default: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return default.astimezone(UTC)
    return (
        moment.astimezone(UTC) if moment.tzinfo is not None and 1971 <= moment.year <= 9000 else default.astimezone(UTC)
    )
