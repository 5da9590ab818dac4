"""What became of an indicator, for whoever gave it: seen here, or wrong. Pure.

For a coordinating centre in STIX 2.1: a ``sighting`` (section 5.2) of the indicator, or an ``opinion`` (section 4.13)
that disagrees with it. For MISP a sighting of type 0 (seen) or 1 (false positive).
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tapwarden.model.incident import Verdict

PATTERNS: Mapping[str, str] = {
    "ip": "[{family}-addr:value = '{value}']",
    "network": "[{family}-addr:value = '{value}']",
    "domain": "[domain-name:value = '{value}']",
    "url": "[url:value = '{value}']",
    "file_hash": "[file:hashes.'{hash}' = '{value}']",
}
"""STIX patterns by type of indicator; of the others (JA3, JA4, certificates) the text is a Suricata rule's content."""

HASHES = {32: "MD5", 40: "SHA-1", 64: "SHA-256"}
MISP_SEEN, MISP_FALSE_POSITIVE = "0", "1"


@dataclass(frozen=True, slots=True)
class Judged:
    """An indicator that alerted, and what a person found: how often, from when to when; nothing of who was affected."""

    type: str
    value: str
    source: str
    verdict: Verdict
    count: int
    first_seen: datetime
    last_seen: datetime
    by_site: str


def stix_objects(judged: Judged, now: datetime) -> list[dict[str, Any]]:
    """Who says it, the indicator, and the sighting or opinion. [] for an indicator that STIX has no pattern for."""
    pattern = _pattern(judged)
    if not pattern:
        return []
    at = _stamp(now)
    kept = {"spec_version": "2.1", "created": at, "modified": at}
    who = {"type": "identity", "id": _id("identity", judged.by_site), "name": judged.by_site, **kept}
    indicator: dict[str, Any] = {
        "type": "indicator",
        "id": _id("indicator", judged.source, judged.type, judged.value),
        "name": f"{judged.type} {judged.value}"[:250],
        "description": f"From the feed {judged.source}",
        "pattern": pattern,
        "pattern_type": "stix",
        "valid_from": _stamp(judged.first_seen),
        "indicator_types": ["malicious-activity"],
        **kept,
    }
    said: dict[str, Any]
    if judged.verdict is Verdict.FALSE_POSITIVE:
        said = {
            "type": "opinion",
            "id": _id("opinion", judged.by_site, indicator["id"], at),
            "opinion": "strongly-disagree",
            "explanation": f"False positive: {judged.count} alerts",
            "object_refs": [indicator["id"]],
        }
    else:
        said = {
            "type": "sighting",
            "id": _id("sighting", judged.by_site, indicator["id"], at),
            "first_seen": _stamp(judged.first_seen),
            "last_seen": _stamp(judged.last_seen),
            "count": min(judged.count, 999_999_999),
            "sighting_of_ref": indicator["id"],
            "where_sighted_refs": [who["id"]],
        }
    return [who, indicator, {**said, "created_by_ref": who["id"], **kept}]


def misp_sighting(judged: Judged, now: datetime) -> dict[str, Any]:
    """What ``/sightings/add`` of a MISP takes."""
    false = judged.verdict is Verdict.FALSE_POSITIVE
    return {
        "values": [judged.value],
        "type": MISP_FALSE_POSITIVE if false else MISP_SEEN,
        "source": judged.by_site,
        "timestamp": int((now if false else judged.last_seen).timestamp()),
    }


def _pattern(judged: Judged) -> str:
    value = judged.value.replace("\\", "\\\\").replace("'", "\\'")
    family = "ipv6" if ":" in value else "ipv4"
    kind = HASHES.get(len(value), "")
    if judged.type == "file_hash" and not kind:
        return ""
    template = PATTERNS.get(judged.type, "")
    return template.format(value=value, family=family, hash=kind) if template else ""


def _id(kind: str, *names: str) -> str:
    mark = hashlib.sha256(json.dumps(["tapwarden", kind, *names]).encode()).digest()
    return f"{kind}--{uuid.UUID(bytes=mark[:16], version=4)}"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
