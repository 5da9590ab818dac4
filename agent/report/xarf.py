"""Notices to providers in X-ARF v4: one JSON object a line for each public address, name or URL of the incident."""

import json
from collections.abc import Iterator
from typing import Any

from tapwarden.agent.report.document import Document, Observable, read_document, rfc3339
from tapwarden.model.incident import Incident
from tapwarden.model.report import Report

VERSION = "4.2.0"
KINDS = frozenset({"ipv4", "ipv6", "domain", "url"})
"""What a provider can be told about."""
CONNECTIONS = {"scanner": "port_scan", "ddos_source": "ddos"}
MALWARE = {"trojan": "trojan", "virus": "other", "bot": "bot", "ransomware": "ransomware", "miner": "cryptominer"}


class XarfFormatter:
    """The format ``xarf``. Raises ValueError without an e-mail contact: a provider answers by mail."""

    name = "xarf"
    media_type = "application/x-ndjson"

    def format(self, report: Report, incident: Incident) -> bytes:
        """A notice a line."""
        _ = incident
        lines = (json.dumps(notice, sort_keys=True) for notice in notices_of(read_document(report)))
        return "".join(f"{line}\n" for line in lines).encode()


def notices_of(doc: Document) -> Iterator[dict[str, Any]]:
    """The notices; none for what is in our own network or nobody's."""
    local, at, domain = doc.email.rpartition("@")
    if not at or not local or "." not in domain:
        raise ValueError("X-ARF needs reporting.contact.email")
    contact = {"org": doc.reporter[:200], "contact": doc.email, "domain": domain}
    for one in doc.indicators:
        if one.kind in KINDS:
            yield {
                "xarf_version": VERSION,
                "report_id": doc.name("xarf", one.value),
                "timestamp": rfc3339(doc.occurred_at),
                "reporter": contact,
                "sender": contact,
                "source_identifier": one.value,
                "evidence_source": "ids_detection" if doc.subtype in CONNECTIONS else "automated_scan",
                "confidence": 0.9 if doc.determination == "confirmed" else 0.6,
                "description": f"{'[DRILL] ' if doc.drill else ''}{doc.title}"[:1000],
                "tags": [f"tapwarden:{doc.incident_id}", *(["tapwarden:drill"] if doc.drill else [])],
                **_kind(doc, one),
            }


def _kind(doc: Document, one: Observable) -> dict[str, Any]:
    """Category and type of what a provider's customer does, with what its schema asks for."""
    seen = {"first_seen": rfc3339(doc.occurred_at)}
    flow = next((flow for flow in doc.flows if flow.source == one.value and flow.source_port), None)
    if doc.subtype in CONNECTIONS and flow is not None and flow.protocol in {"tcp", "udp", "sctp"}:
        return {
            "category": "connection",
            "type": CONNECTIONS[doc.subtype],
            "source_port": flow.source_port,
            "protocol": flow.protocol,
            **seen,
        }
    if one.kind == "url" and doc.subtype.startswith("phishing"):
        return {"category": "content", "type": "phishing", "url": one.value}
    if one.kind == "url":
        kind = MALWARE.get(doc.subtype, "other")
        return {"category": "content", "type": "malware", "url": one.value, "malware_type": kind}
    evidence = "; ".join(f"sid {alert.sid}: {alert.signature}" for alert in doc.alerts[:5]) or doc.title
    if doc.subtype in {"c2_ip", "c2_domain", "bot", "trojan"}:
        return {"category": "infrastructure", "type": "botnet", "compromise_evidence": evidence[:1000]}
    return {"category": "infrastructure", "type": "compromised_server", "compromise_method": evidence[:1000]}
