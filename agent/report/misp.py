"""The report as a MISP event (MISP core format): attributes for what was seen, tags for labels."""

import json
from typing import Any

from tapwarden.agent.report.document import Document, Observable, read_document
from tapwarden.model.incident import Incident
from tapwarden.model.report import Report

THREAT_LEVELS = {"high": "1", "medium": "2", "low": "3"}
ANALYSIS = {"suspected": "0", "submitted": "1", "needs_information": "1"}
KINDS = {
    "ipv4": ("ip-dst", "Network activity"),
    "ipv6": ("ip-dst", "Network activity"),
    "network": ("ip-dst", "Network activity"),
    "domain": ("domain", "Network activity"),
    "url": ("url", "Network activity"),
    "md5": ("md5", "Payload delivery"),
    "sha1": ("sha1", "Payload delivery"),
    "sha256": ("sha256", "Payload delivery"),
}


class MispFormatter:
    """The format ``misp``."""

    name = "misp"
    media_type = "application/json"

    def format(self, report: Report, incident: Incident) -> bytes:
        """``{"Event": ...}``."""
        _ = incident
        event = {"Event": event_of(read_document(report))}
        return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def event_of(doc: Document) -> dict[str, Any]:
    """The event. It is shared with nobody further (distribution 0) until its receiver says so."""
    stamp = str(int(doc.created_at.timestamp()))
    attributes = [_attribute(doc, one, "indicator", to_ids=True, stamp=stamp) for one in doc.indicators]
    attributes += [_attribute(doc, one, "affected", to_ids=False, stamp=stamp) for one in doc.affected]
    for alert in doc.alerts:
        text = f"sid {alert.sid}: {alert.signature} ({alert.count} times)"
        attributes.append(_text(doc, text, "alert", stamp))
    for measure in doc.measures:
        text = f"{measure.measure} {measure.target.value}: {measure.effect}; {measure.authority}: {measure.legal_basis}"
        attributes.append(_text(doc, text, "measure", stamp))
    if doc.summary:
        attributes.append(_text(doc, doc.summary, "summary", stamp))
    tags = [f"tlp:{doc.tlp.lower()}", f"PAP:{doc.pap}", f'tapwarden:class="{doc.threat_class}"']
    tags += [f'tapwarden:subtype="{doc.subtype}"'] if doc.subtype else []
    tags += ["tapwarden:drill"] if doc.drill else []
    return {
        "uuid": doc.name("misp"),
        "info": f"{'[DRILL] ' if doc.drill else ''}{doc.title}",
        "date": doc.detected_at.date().isoformat(),
        "timestamp": stamp,
        "published": False,
        "distribution": "0",
        "threat_level_id": THREAT_LEVELS.get(doc.severity, "4"),
        "analysis": ANALYSIS.get(doc.determination, "2"),
        "Orgc": {"name": doc.reporter, "uuid": doc.name("organisation")},
        "Tag": [{"name": name} for name in tags],
        "Attribute": list({attribute["uuid"]: attribute for attribute in attributes}.values()),
    }


def _attribute(doc: Document, one: Observable, comment: str, *, to_ids: bool, stamp: str) -> dict[str, Any]:
    kind, category = KINDS.get(one.kind, ("text", "Other"))
    if kind == "ip-dst" and not to_ids:
        kind = "ip-src"
    return {
        "uuid": doc.name("attribute", comment, one.value),
        "type": kind,
        "category": category,
        "value": one.value,
        "to_ids": to_ids and one.kind in KINDS and not doc.drill,
        "comment": comment,
        "timestamp": stamp,
        "distribution": "5",
    }


def _text(doc: Document, text: str, comment: str, stamp: str) -> dict[str, Any]:
    return _attribute(doc, Observable("text", text), comment, to_ids=False, stamp=stamp)
