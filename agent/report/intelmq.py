"""The report as lines of IntelMQ's harmonised events: one a sighted indicator, or one for the whole incident."""

import json
from collections.abc import Iterator
from typing import Any

from tapwarden.agent.report.document import Alert, Document, Observable, read_document
from tapwarden.model.incident import Incident
from tapwarden.model.report import Report

TYPES = {
    "c2_ip": "c2-server",
    "c2_domain": "c2-server",
    "malicious_url": "malware-distribution",
    "phishing_site": "phishing",
    "phishing_mail": "phishing",
    "phishing_sms": "phishing",
    "phishing_im": "phishing",
    "scanner": "scanner",
    "ddos_source": "ddos",
    "trojan": "infected-system",
    "virus": "infected-system",
    "bot": "infected-system",
    "mobile": "infected-system",
    "ransomware": "infected-system",
    "miner": "infected-system",
    "hardware_flaw": "vulnerable-system",
    "code_flaw": "vulnerable-system",
    "logic_flaw": "vulnerable-system",
    "weak_password": "weak-crypto",
    "backdoor": "system-compromise",
    "exposed_service": "potentially-unwanted-accessible",
    "host_controlled": "system-compromise",
    "data_leak": "data-leak",
    "page_tampering": "unauthorised-information-modification",
    "intrusion": "system-compromise",
    "dns_hijack": "unauthorised-information-modification",
    "ddos_victim": "ddos",
}
"""Sub-types in the words of the Reference Incident Taxonomy that IntelMQ uses; anything else is ``undetermined``."""

FIELDS = {"ipv4": "ip", "ipv6": "ip", "network": "network", "domain": "fqdn", "url": "url"}
TLP = {"CLEAR": "CLEAR", "GREEN": "GREEN", "AMBER": "AMBER", "AMBER+STRICT": "AMBER", "RED": "RED"}
"""Its harmonisation knows no AMBER+STRICT; the label itself stands in ``extra.tlp``."""


class IntelmqFormatter:
    """The format ``intelmq``."""

    name = "intelmq"
    media_type = "application/x-ndjson"

    def format(self, report: Report, incident: Incident) -> bytes:
        """A JSON object a line."""
        _ = incident
        lines = (json.dumps(event, sort_keys=True) for event in events_of(read_document(report)))
        return "".join(f"{line}\n" for line in lines).encode()


def events_of(doc: Document) -> Iterator[dict[str, Any]]:
    """Each alert with the indicator it is about; indicators that no alert named; else the incident by itself."""
    named = set()
    for alert in doc.alerts:
        sides = (alert.source, alert.destination)
        culprit = next((side for side in sides if side in doc.indicators), None)
        if culprit is None:
            continue
        named.add(culprit)
        victim = next(side for side in (*reversed(sides), culprit) if side != culprit or sides[0] == sides[1])
        yield {**_event(doc), **_alert(alert), **_side("source", culprit), **_side("destination", victim)}
    rest = [one for one in doc.indicators if one not in named and one.kind in FIELDS]
    for one in rest:
        yield {**_event(doc), **_side("source", one)}
    if not named and not rest:
        yield _event(doc)


def _event(doc: Document) -> dict[str, Any]:
    event = {
        "feed.name": f"tapwarden {doc.agent}",
        "feed.provider": doc.reporter,
        "time.source": doc.detected_at.isoformat(timespec="seconds"),
        "time.observation": doc.created_at.isoformat(timespec="seconds"),
        "classification.type": "test" if doc.drill else TYPES.get(doc.subtype, "undetermined"),
        "classification.identifier": (doc.subtype or "unknown").replace("_", "-"),
        "event_description.text": f"{'[DRILL] ' if doc.drill else ''}{doc.title}",
        "tlp": TLP.get(doc.tlp, "AMBER"),
        "extra.tlp": doc.tlp,
        "extra.report_id": doc.report_id,
        "extra.incident_id": doc.incident_id,
        "extra.stage": doc.stage_id,
        "extra.threat_class": doc.threat_class,
        "extra.severity": doc.severity,
        "extra.determination": doc.determination,
        "extra.drill": doc.drill,
        "protocol.transport": doc.protocols[0] if len(doc.protocols) == 1 else "",
    }
    return {name: value for name, value in event.items() if value != ""}


def _alert(alert: Alert) -> dict[str, Any]:
    seen: dict[str, object] = {
        "time.source": alert.first_seen.isoformat(timespec="seconds"),
        "extra.sid": alert.sid,
        "extra.count": alert.count,
    }
    return {**seen, **({"extra.signature": alert.signature} if alert.signature else {})}


def _side(side: str, one: Observable) -> dict[str, Any]:
    if one.kind == "pseudonym":
        return {f"{side}.local_hostname": one.value}
    return {f"{side}.{FIELDS[one.kind]}": one.value} if one.kind in FIELDS else {}
