"""The report as an IODEF v2 document (RFC 7970): order and words as its schema has them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from lxml import etree

from tapwarden.agent.report.document import Document, Measure, Observable, clean, read_document
from tapwarden.model.incident import Incident
from tapwarden.model.report import Report

NAMESPACE = "urn:ietf:params:xml:ns:iodef-2.0"
RESTRICTIONS = {"RED": "red", "AMBER": "amber", "GREEN": "green"}
"""TLP labels the schema has a word for; others are an ``ext-value``."""
STATUS = {"suspected": "new", "rejected": "resolved", "closed": "resolved"}
CATEGORIES = {"ipv4": "ipv4-addr", "ipv6": "ipv6-addr", "url": "site-uri"}
ROLES = {
    "c2_ip": "c2-server",
    "c2_domain": "c2-server",
    "malicious_url": "malware-distribution",
    "phishing_site": "phishing-site",
}
ACTIONS = {
    "block": "block-host",
    "reject": "block-host",
    "sinkhole": "redirect-traffic",
    "reset": "block-host",
    "rate_limit": "rate-limit-host",
    "notify": "contact-source-site",
}
SYSTEMS_MAX = 500


class IodefFormatter:
    """The format ``iodef``."""

    name = "iodef"
    media_type = "application/xml"

    def format(self, report: Report, incident: Incident) -> bytes:
        """The document, UTF-8."""
        _ = incident
        root = document_of(read_document(report))
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def document_of(doc: Document) -> etree._Element:
    """The IODEF-Document element."""
    root = etree.Element(_tag("IODEF-Document"), {"version": "2.00"}, nsmap={None: NAMESPACE})  # type: ignore[dict-item]
    root.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    incident = _add(
        root,
        "Incident",
        purpose="reporting",
        status=STATUS.get(doc.determination, "in-progress"),
        **_restricted(doc.tlp),
    )
    _add(incident, "IncidentID", doc.incident_id, name=doc.agent)
    _add(incident, "DetectTime", _time(doc.detected_at))
    _add(incident, "StartTime", _time(doc.occurred_at))
    _add(incident, "ReportTime", _time(doc.created_at))
    _add(incident, "GenerationTime", _time(doc.created_at))
    drill = "[DRILL] " if doc.drill else ""
    _add(incident, "Description", f"{drill}{doc.title}")
    if doc.summary:
        _add(incident, "Description", f"{drill}{doc.summary}")
    _add(incident, "Discovery", source="nidps")
    _assess(incident, doc)
    _contact(incident, doc)
    _event_data(incident, doc)
    if doc.measures:
        history = _add(incident, "History")
        for measure in doc.measures:
            _history(history, measure)
    for meaning, value in _additional(doc).items():
        _add(incident, "AdditionalData", value, dtype="string", meaning=meaning)
    return root


def _assess(incident: etree._Element, doc: Document) -> None:
    assessment = _add(incident, "Assessment", occurrence="actual")
    severity = doc.severity if doc.severity in {"low", "medium", "high"} else ""
    kind = "takeover-system" if doc.threat_class == "malicious_program" else "unknown"
    _add(assessment, "SystemImpact", type=kind, **({"severity": severity} if severity else {}))
    _add(assessment, "Confidence", rating="high" if doc.determination == "confirmed" else "medium")


def _contact(incident: etree._Element, doc: Document) -> None:
    contact = _add(incident, "Contact", role="creator", type="organization")
    _add(contact, "ContactName", doc.reporter)
    if "@" in doc.email:
        _add(_add(contact, "Email"), "EmailTo", doc.email)
    if doc.responsible or doc.contact:
        person = _add(contact, "Contact", role="creator", type="person")
        _add(person, "ContactName", doc.responsible or "duty")
        if doc.contact:
            _add(_add(person, "Telephone"), "TelephoneNumber", doc.contact)


def _event_data(incident: etree._Element, doc: Document) -> None:
    event = _add(incident, "EventData")
    for alert in doc.alerts[:20]:
        _add(event, "Description", f"sid {alert.sid}: {alert.signature} ({alert.count} times)")
    systems = [
        *((one, "source") for one in doc.indicators),
        *((one, "target") for one in doc.affected),
    ]
    if systems:
        flow = _add(event, "Flow")
        for one, category in systems[:SYSTEMS_MAX]:
            system = _add(flow, "System", category=category)
            node = _add(system, "Node")
            _place(node, one)
            role = ROLES.get(doc.subtype) if category == "source" else None
            if role:
                _add(system, "NodeRole", category=role)
    _add(event, "Expectation", action="watch-and-report" if doc.ownership == "third_party" else "investigate")


def _place(node: etree._Element, one: Observable) -> None:
    if one.kind == "domain":
        data = _add(node, "DomainData", **{"system-status": "unknown", "domain-status": "unknown"})
        _add(data, "Name", one.value)
        return
    category = CATEGORIES.get(one.kind, "ext-value")
    if one.kind == "network":
        category = "ipv6-net" if ":" in one.value else "ipv4-net"
    attributes = {"category": category}
    if category == "ext-value":
        attributes["ext-category"] = one.kind
    _add(node, "Address", one.value, **attributes)


def _history(history: etree._Element, measure: Measure) -> None:
    action = ACTIONS.get(measure.measure, "other")
    item = _add(history, "HistoryItem", action=action)
    _add(item, "DateTime", _time(measure.at))
    text = f"{measure.measure} {measure.target.value}: {measure.effect}; {measure.authority}: {measure.legal_basis}"
    _add(item, "Description", text)


def _additional(doc: Document) -> Mapping[str, str]:
    return {
        "report-id": doc.report_id,
        "stage": doc.stage_id,
        "profile": doc.profile or "unknown",
        "threat-class": doc.threat_class,
        "subtype": doc.subtype or "unknown",
        "determination": doc.determination,
        "ownership": doc.ownership,
        "pap": doc.pap,
        "drill": "true" if doc.drill else "false",
    }


def _restricted(tlp: str) -> dict[str, str]:
    if tlp in RESTRICTIONS:
        return {"restriction": RESTRICTIONS[tlp]}
    return {"restriction": "ext-value", "ext-restriction": tlp.lower()}


def _add(parent: etree._Element, tag: str, text: str = "", /, **attributes: str) -> etree._Element:
    element = etree.SubElement(parent, _tag(tag))
    for key, value in attributes.items():
        element.set(key, clean(value))
    if text:
        element.text = clean(text)
    return element


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
