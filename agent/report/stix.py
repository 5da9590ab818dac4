"""The report as a STIX 2.1 bundle (OASIS CS02): an incident with our property extension, what was seen, what was done.

Every object's id follows from the incident and what it says, so that a report sent again, or the next stage of it,
names the same objects. Internal hosts that the privacy gate made pseudonyms are named in the extension only: STIX has
no observable for them.
"""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tapwarden.agent.report.document import Alert, Document, Observable, named, read_document, rfc3339
from tapwarden.model.incident import Incident
from tapwarden.model.report import Report

MEDIA_TYPE = "application/stix+json;version=2.1"

EXTENSION = "extension-definition--3b6d8f9c-52a1-4c6e-9d0b-7e5f4a2c1d90"
"""Our property extension of ``incident``; version 1.0.0. Receivers that do not know it still get a valid incident."""
EXTENSION_CREATED = "2026-11-24T00:00:00.000Z"
VERSION = "1.0.0"

SCO_NAMESPACE = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""STIX 2.1 section 2.9: deterministic ids of observables."""

TLP_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
TLP_MARKINGS = {
    "CLEAR": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "GREEN": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "AMBER": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "AMBER+STRICT": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "RED": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
"""OASIS' TLP 2.0 markings."""

INFRASTRUCTURE = {
    "c2_ip": "command-and-control",
    "c2_domain": "command-and-control",
    "malicious_url": "hosting-malware",
    "phishing_site": "phishing",
    "scanner": "reconnaissance",
    "ddos_source": "botnet",
}
MALWARE = {
    "trojan": "trojan",
    "virus": "virus",
    "bot": "bot",
    "ransomware": "ransomware",
    "miner": "resource-exploitation",
}
TYPES = {"ipv4": "ipv4-addr", "ipv6": "ipv6-addr", "domain": "domain-name", "url": "url"}
PATTERNS = {
    "ipv4": "ipv4-addr:value",
    "ipv6": "ipv6-addr:value",
    "domain": "domain-name:value",
    "url": "url:value",
    "md5": "file:hashes.MD5",
    "sha1": "file:hashes.'SHA-1'",
    "sha256": "file:hashes.'SHA-256'",
}

Thing = dict[str, Any]


class StixFormatter:
    """The format ``stix``."""

    name = "stix"
    media_type = MEDIA_TYPE

    def format(self, report: Report, incident: Incident) -> bytes:
        """The bundle, the incident's object first of what is new."""
        _ = incident
        bundle = bundle_of(read_document(report))
        return json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def bundle_of(document: Document) -> Thing:
    """The bundle of a document."""
    builder = _Builder(document)
    return {
        "type": "bundle",
        "id": f"bundle--{document.name('bundle', document.report_id, document.version)}",
        "objects": builder.objects(),
    }


class _Builder:
    def __init__(self, document: Document) -> None:
        self._doc = document
        self._created = rfc3339(document.detected_at)
        changed = max(document.created_at, document.detected_at) + timedelta(milliseconds=document.version - 1)
        self._modified = rfc3339(changed)
        self._author = f"identity--{named(f'identity/{document.reporter}')}"
        self._marking = TLP_MARKINGS.get(document.tlp, TLP_MARKINGS["AMBER"])

    def objects(self) -> list[Thing]:
        """Everything, each id once."""
        doc = self._doc
        incident = self._incident()
        indicators = [self._indicator(one) for one in doc.indicators if one.kind in PATTERNS]
        culprit = self._culprit()
        found: list[Thing] = [self._identity(), self._tlp(), self._extension(), incident, *indicators, *culprit]
        for indicator in indicators:
            found.append(self._relation(indicator, "related-to", incident))
            found += [self._relation(indicator, "indicates", one) for one in culprit]
        observables = {one: self._observable(one) for one in self._seen() if one.kind in TYPES}
        found += observables.values()
        for alert in doc.alerts:
            refs = [observables[side]["id"] for side in (alert.source, alert.destination) if side in observables]
            if refs:
                found += self._sighted(alert, refs, indicators)
        for number, measure in enumerate(doc.measures):
            action = self._sdo(
                "course-of-action",
                (number, measure.measure, measure.target.value),
                name=f"{measure.measure} {measure.target.value}"[:256] or "measure",
                description="; ".join(filter(None, (measure.effect, measure.authority, measure.legal_basis))),
            )
            found.append(action)
            found.append(self._relation(action, "related-to", incident))
            found += [
                self._relation(action, "mitigates", one)
                for one, seen in zip(indicators, (o for o in doc.indicators if o.kind in PATTERNS), strict=True)
                if seen == measure.target
            ]
        return list({thing["id"]: thing for thing in found}.values())

    def _sdo(self, kind: str, key: Sequence[object], **fields: Any) -> Thing:
        thing = {
            "type": kind,
            "spec_version": "2.1",
            "id": f"{kind}--{self._doc.name(kind, *key)}",
            "created_by_ref": self._author,
            "created": self._created,
            "modified": self._modified,
            "object_marking_refs": [self._marking],
            **{name: value for name, value in fields.items() if value not in ("", [], None)},
        }
        if self._doc.drill:
            thing["labels"] = ["drill"]
        return thing

    def _incident(self) -> Thing:
        doc = self._doc
        drill = "[DRILL] " if doc.drill else ""
        return self._sdo(
            "incident",
            (),
            name=f"{drill}{doc.title}"[:256],
            description=doc.summary,
            external_references=[{"source_name": doc.agent, "external_id": doc.incident_id}],
            extensions={
                EXTENSION: {
                    "extension_type": "property-extension",
                    "report_id": doc.report_id,
                    "stage": doc.stage,
                    "stage_id": doc.stage_id,
                    "profile": doc.profile,
                    "version": doc.version,
                    "drill": doc.drill,
                    "due_at": rfc3339(doc.due_at),
                    "detected_at": rfc3339(doc.detected_at),
                    "threat_class": doc.threat_class,
                    "subtype": doc.subtype or "unknown",
                    "severity": doc.severity or "unknown",
                    "determination": doc.determination,
                    "ownership": doc.ownership,
                    "pap": doc.pap,
                    "affected": [one.value for one in doc.affected] or ["unknown"],
                    "grades": dict(doc.grades) or {"none": "none"},
                    "report": _plain(doc.body),
                }
            },
        )

    def _identity(self) -> Thing:
        doc = self._doc
        reachable = " ".join(part for part in (doc.responsible, doc.contact) if part)
        identity = {
            "type": "identity",
            "spec_version": "2.1",
            "id": self._author,
            "created": EXTENSION_CREATED,
            "modified": EXTENSION_CREATED,
            "name": doc.reporter[:256],
            "identity_class": "organization",
        }
        return {**identity, **({"contact_information": reachable} if reachable else {})}

    def _tlp(self) -> Thing:
        label = next((name for name, marking in TLP_MARKINGS.items() if marking == self._marking), "AMBER")
        return {
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": self._marking,
            "created": "2022-10-01T00:00:00.000Z",
            "name": f"TLP:{label}",
            "extensions": {TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": label.lower()}},
        }

    def _extension(self) -> Thing:
        return {
            "type": "extension-definition",
            "spec_version": "2.1",
            "id": EXTENSION,
            "created_by_ref": self._author,
            "created": EXTENSION_CREATED,
            "modified": EXTENSION_CREATED,
            "name": "Tapwarden incident report",
            "description": "Stage, clock, class, determination and the whole report of an incident.",
            "schema": "docs/reporting.md of Tapwarden",
            "version": VERSION,
            "extension_types": ["property-extension"],
        }

    def _indicator(self, one: Observable) -> Thing:
        escaped = one.value.replace("\\", "\\\\").replace("'", "\\'")
        return self._sdo(
            "indicator",
            (one.kind, one.value),
            name=f"{one.kind} {one.value}"[:256],
            description=f"an observable of incident {self._doc.incident_id}: {self._doc.title}",
            indicator_types=["malicious-activity"],
            pattern=f"[{PATTERNS[one.kind]} = '{escaped}']",
            pattern_type="stix",
            pattern_version="2.1",
            valid_from=rfc3339(self._doc.occurred_at),
        )

    def _culprit(self) -> list[Thing]:
        doc = self._doc
        if doc.threat_class == "malicious_resource":
            kind = INFRASTRUCTURE.get(doc.subtype, "unknown")
            return [self._sdo("infrastructure", (), name=doc.title[:256], infrastructure_types=[kind])]
        if doc.threat_class == "malicious_program":
            kind = MALWARE.get(doc.subtype, "unknown")
            return [self._sdo("malware", (), name=doc.title[:256], malware_types=[kind], is_family=False)]
        return []

    def _observable(self, one: Observable) -> Thing:
        kind = TYPES[one.kind]
        contributing = json.dumps({"value": one.value}, separators=(",", ":"), ensure_ascii=False)
        return {
            "type": kind,
            "spec_version": "2.1",
            "id": f"{kind}--{uuid.uuid5(SCO_NAMESPACE, contributing)}",
            "value": one.value,
            "object_marking_refs": [self._marking],
        }

    def _sighted(self, alert: Alert, refs: Sequence[str], indicators: Sequence[Thing]) -> list[Thing]:
        """What an alert saw, and that an indicator of one of its sides was sighted."""
        key = (alert.sid, alert.source.value, alert.destination.value)
        first, last = rfc3339(alert.first_seen), rfc3339(alert.last_seen)
        count = min(alert.count, 999_999_999)
        observed = self._sdo(
            "observed-data",
            key,
            first_observed=first,
            last_observed=last,
            number_observed=count,
            object_refs=list(dict.fromkeys(refs)),
        )
        sides = {f"'{side.value}'" for side in (alert.source, alert.destination) if side.value}
        about = [one for one in indicators if any(side in one["pattern"] for side in sides)]
        return [
            observed,
            *(
                self._sdo(
                    "sighting",
                    (*key, indicator["id"]),
                    description=f"sid {alert.sid}: {alert.signature}",
                    first_seen=first,
                    last_seen=last,
                    count=count,
                    sighting_of_ref=indicator["id"],
                    observed_data_refs=[observed["id"]],
                    where_sighted_refs=[self._author],
                )
                for indicator in about
            ),
        ]

    def _relation(self, source: Thing, kind: str, target: Thing) -> Thing:
        return self._sdo(
            "relationship",
            (source["id"], kind, target["id"]),
            relationship_type=kind,
            source_ref=source["id"],
            target_ref=target["id"],
        )

    def _seen(self) -> Sequence[Observable]:
        sides = [side for alert in self._doc.alerts for side in (alert.source, alert.destination)]
        return list(dict.fromkeys([*self._doc.indicators, *sides]))


def _plain(value: Any) -> Any:
    """JSON that STIX takes: no null, no empty lists or mappings (section 3.2)."""
    if isinstance(value, dict):
        found = {str(key).lower().replace("-", "_")[:250]: _plain(item) for key, item in value.items()}
        return {key: item for key, item in found.items() if item is not None and item not in ([], {})}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value if item is not None and item not in ([], {})]
    if isinstance(value, datetime):
        return rfc3339(value.astimezone(UTC))
    return value
