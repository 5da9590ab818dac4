"""The index template: every field there is, by its type. Nothing is ever added by a document."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

TEMPLATE_PRIORITY = 500
"""Above Elastic's own templates (at most 200), so that ours is the one."""

CUSTOM = "@custom"
"""An operator's own settings and fields go into a component template of the index's name and this."""

KEYWORD = {"type": "keyword", "ignore_above": 8191}
"""8191 characters of at most 4 octets: a term's limit is 32,766 octets."""
FOUND_ONLY = {"type": "keyword", "ignore_above": 8191, "doc_values": False}
"""Searched, but neither sorted by nor counted: no column is kept."""
SHOWN_ONLY = {"type": "keyword", "index": False, "doc_values": False}
NUMBER = {"type": "long", "ignore_malformed": True}
DATE = {"type": "date", "ignore_malformed": True}
ADDRESS = {"type": "ip", "ignore_malformed": True}
LOWER_CASE = {"type": "keyword", "ignore_above": 8191, "normalizer": "lowercase"}


def _alias(path: str) -> Mapping[str, Any]:
    return {"type": "alias", "path": path}


def _end() -> Mapping[str, Any]:
    return {"ip": ADDRESS, "port": NUMBER, "bytes": NUMBER, "packets": NUMBER}


FIELDS: Mapping[str, Any] = {
    "@timestamp": {"type": "date_nanos"},
    "ecs": {"version": KEYWORD},
    "event": {
        "kind": KEYWORD,
        "category": KEYWORD,
        "type": KEYWORD,
        "module": KEYWORD,
        "dataset": KEYWORD,
        "severity": NUMBER,
        "start": DATE,
        "end": DATE,
        "duration": NUMBER,
        "original": SHOWN_ONLY,
    },
    "rule": {"id": KEYWORD, "name": KEYWORD, "category": KEYWORD, "version": KEYWORD},
    "source": {**_end(), "address": _alias("source.ip")},
    "destination": {**_end(), "address": _alias("destination.ip")},
    "network": {
        "community_id": FOUND_ONLY,
        "protocol": KEYWORD,
        "transport": KEYWORD,
        "bytes": NUMBER,
        "packets": NUMBER,
    },
    "dns": {
        "type": KEYWORD,
        "id": FOUND_ONLY,
        "response_code": KEYWORD,
        "question": {"name": KEYWORD, "type": KEYWORD},
        "answers": {"name": FOUND_ONLY, "type": KEYWORD, "data": FOUND_ONLY, "ttl": NUMBER},
        "resolved_ip": ADDRESS,
    },
    "url": {"original": FOUND_ONLY, "full": LOWER_CASE, "domain": KEYWORD},
    "http": {
        "version": KEYWORD,
        "request": {"method": KEYWORD, "referrer": FOUND_ONLY},
        "response": {"status_code": NUMBER, "mime_type": KEYWORD, "body": {"bytes": NUMBER}},
    },
    "user_agent": {"original": KEYWORD},
    "tls": {
        "version": KEYWORD,
        "version_protocol": KEYWORD,
        "client": {"server_name": KEYWORD, "ja3": KEYWORD, "ja4": KEYWORD},
        "server": {
            "subject": KEYWORD,
            "issuer": KEYWORD,
            "not_before": DATE,
            "not_after": DATE,
            "ja3s": KEYWORD,
            "hash": {"sha1": KEYWORD},
        },
    },
    "file": {
        "name": KEYWORD,
        "path": KEYWORD,
        "size": NUMBER,
        "mime_type": KEYWORD,
        "hash": {"md5": KEYWORD, "sha1": KEYWORD, "sha256": KEYWORD},
    },
    "email": {
        "subject": KEYWORD,
        "from": {"address": KEYWORD},
        "to": {"address": KEYWORD},
        "cc": {"address": KEYWORD},
    },
    "threat": {
        "framework": KEYWORD,
        "tactic": {"id": KEYWORD, "name": KEYWORD},
        "technique": {"id": KEYWORD, "name": KEYWORD},
        "indicator": {"type": KEYWORD, "name": KEYWORD, "provider": KEYWORD, "description": FOUND_ONLY},
    },
    "related": {"ip": {**ADDRESS, "doc_values": False}, "hosts": KEYWORD, "hash": FOUND_ONLY},
    "observer": {
        "name": KEYWORD,
        "product": KEYWORD,
        "type": KEYWORD,
        "ingress": {"interface": {"name": KEYWORD}},
        "hostname": _alias("observer.name"),
    },
    "agent": {"name": _alias("observer.name")},
    "tapwarden": {
        "domain": FOUND_ONLY,
        "text": {"type": "text", "norms": False, "index_options": "docs"},
        "tie": {"type": "long", "index": False},
        "group": KEYWORD,
        "origin": SHOWN_ONLY,
        "packed_origin": SHOWN_ONLY,
        "octets": SHOWN_ONLY,
    },
}
"""A mapping without ``type`` holds further fields."""

EVE: Mapping[str, Any] = {
    "event_type": KEYWORD,
    "flow_id": FOUND_ONLY,
    "alert": {"signature_id": NUMBER, "signature": KEYWORD, "category": KEYWORD, "severity": NUMBER},
}
"""Of the record itself only what EveBox and Suricata's dashboards ask for is indexed; the rest is kept as it is."""


def template(name: str, *, data_stream: bool, keep: timedelta) -> dict[str, Any]:
    """The body of the composable index template for this index name."""
    record = {"type": "object", "dynamic": False, "properties": _properties(EVE)}
    inner: dict[str, Any] = {
        "settings": {
            "index": {
                "number_of_shards": 1,
                "auto_expand_replicas": "0-1",
                "codec": "best_compression",
                "refresh_interval": "5s",
                "mapping": {"total_fields": {"limit": 500}},
            }
        },
        "mappings": {
            "dynamic": "strict",
            "date_detection": False,
            "properties": _properties(FIELDS) | {"suricata": {"properties": {"eve": record}}},
        },
    }
    body: dict[str, Any] = {
        "index_patterns": [name if data_stream else f"{name}-*"],
        "priority": TEMPLATE_PRIORITY,
        "composed_of": [f"{name}{CUSTOM}"],
        "ignore_missing_component_templates": [f"{name}{CUSTOM}"],
        "template": inner,
        "_meta": {"managed_by": "tapwarden"},
    }
    if data_stream:
        body["data_stream"] = {}
        inner["lifecycle"] = {"data_retention": f"{max(int(keep.total_seconds()) // 3600, 1)}h"}
    return body


def _properties(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: field if isinstance(field.get("type"), str) else {"properties": _properties(field)}
        for name, field in fields.items()
    }


def count_of(mapping: Mapping[str, Any]) -> int:
    """How many fields a mapping (as the server shows it) has."""
    properties = mapping.get("properties", {})
    return len(properties) + sum(count_of(field) for field in properties.values())
