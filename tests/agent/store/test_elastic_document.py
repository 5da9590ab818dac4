"""Events as ECS documents: what is where, and that the same event comes back whatever its record holds."""

import gzip
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.agent.store.elastic.document import documents, event_of, moment_of
from tapwarden.agent.store.elastic.query import name_of
from tapwarden.agent.store.elastic.template import FIELDS
from tapwarden.model.event import Event


def event(**members: Any) -> Event:
    """A record with these members besides those that every record has."""
    record = {
        "timestamp": "2026-11-24T11:00:00.123456+0800",
        "flow_id": 7,
        "in_iface": "eth1",
        "src_ip": "192.0.2.10",
        "src_port": 50000,
        "dest_ip": "198.51.100.7",
        "dest_port": 443,
        "proto": "TCP",
        "app_proto": "tls",
        "community_id": "1:x",
        "host": "gate",
    }
    return Event(json.dumps(record | members, separators=(",", ":")).encode(), "eve:1")


def document(event: Event, *, whole: bool = True) -> bytes:
    """Its document as text."""
    return documents([event], {}, "events", whole=whole).document(0)


def ecs(**members: Any) -> dict[str, Any]:
    """The document of such an event."""
    found: dict[str, Any] = orjson.loads(document(event(**members)))
    return found


def test_who_talked_with_whom_is_said_in_ecs_terms() -> None:
    doc = ecs(
        event_type="flow", flow={"bytes_toserver": 10, "pkts_toserver": 1, "bytes_toclient": 5, "pkts_toclient": 2}
    )
    assert doc["@timestamp"] == "2026-11-24T03:00:00.123456+00:00"
    assert doc["source"] == {"ip": "192.0.2.10", "port": 50000, "bytes": 10, "packets": 1}
    assert doc["destination"] == {"ip": "198.51.100.7", "port": 443, "bytes": 5, "packets": 2}
    assert doc["network"] == {
        "transport": "tcp",
        "protocol": "tls",
        "community_id": "1:x",
        "bytes": 15,
        "packets": 3,
    }
    assert doc["observer"]["name"] == "gate"
    assert doc["observer"]["ingress"] == {"interface": {"name": "eth1"}}
    assert doc["event"]["type"] == ["connection", "end"]
    assert doc["related"] == {"ip": ["192.0.2.10", "198.51.100.7"]}


def test_an_alert_has_its_rule_its_threat_and_its_group() -> None:
    doc = ecs(
        event_type="alert",
        alert={
            "action": "blocked",
            "signature_id": 2000001,
            "rev": 3,
            "signature": "TEST Beacon",
            "category": "Trojan",
            "severity": 1,
            "metadata": {
                "mitre_tactic_id": ["TA0011"],
                "mitre_technique_id": ["T1071"],
                "mitre_technique_name": ["C2"],
            },
        },
    )
    assert doc["event"]["kind"] == "alert"
    assert doc["event"]["category"] == ["network", "intrusion_detection"]
    assert doc["event"]["type"] == ["denied"]
    assert doc["event"]["severity"] == 1
    assert doc["rule"] == {"id": "2000001", "name": "TEST Beacon", "category": "Trojan", "version": "3"}
    assert doc["threat"]["tactic"] == {"id": ["TA0011"]}
    assert doc["threat"]["technique"] == {"id": ["T1071"], "name": ["C2"]}
    assert doc["tapwarden"]["group"] == "2000001 192.0.2.10 198.51.100.7"


def test_an_indicator_is_said_as_a_threat() -> None:
    indicator = {"type": "domain", "value": "evil.example", "source": "list", "info": "C2"}
    doc = ecs(event_type="alert", alert={"signature_id": 1}, tapwarden={"indicator": indicator})
    assert doc["threat"]["indicator"] == {
        "type": "domain-name",
        "name": "evil.example",
        "provider": "list",
        "description": "C2",
    }


@pytest.mark.parametrize(
    "dns",
    [
        {"type": "answer", "id": 5, "rrname": "A.Example.", "rrtype": "A", "rcode": "NOERROR"},
        {"type": "answer", "id": 5, "rcode": "NOERROR", "queries": [{"rrname": "A.Example.", "rrtype": "A"}]},
        {"query": [{"type": "query", "id": 5, "rcode": "NOERROR", "rrname": "A.Example.", "rrtype": "A"}]},
    ],
    ids=["version 2", "version 3", "in an alert"],
)
def test_names_are_found_by_themselves_and_by_what_is_above_them(dns: dict[str, Any]) -> None:
    answers = [{"rrname": "a.example", "rrtype": "A", "ttl": 60, "rdata": "203.0.113.5"}]
    doc = ecs(event_type="dns", dns={**dns, "answers": answers})
    assert doc["dns"]["question"] == {"name": "a.example", "type": "A"}
    assert doc["dns"]["id"] == "5"
    assert doc["dns"]["response_code"] == "NOERROR"
    assert doc["dns"]["resolved_ip"] == ["203.0.113.5"]
    assert doc["dns"]["answers"] == [{"name": "a.example", "type": "A", "ttl": 60, "data": "203.0.113.5"}]
    assert doc["related"]["hosts"] == ["a.example"]
    assert "203.0.113.5" in doc["related"]["ip"]
    assert doc["tapwarden"]["domain"] == ["a.example", "example"]


def test_http_tls_and_files_are_said_in_ecs_terms() -> None:
    http = ecs(
        event_type="http",
        http={"hostname": "h.example:8080", "url": "/a?b", "http_method": "GET", "status": 200, "protocol": "HTTP/1.1"},
    )
    assert http["url"] == {"original": "/a?b", "full": "http://h.example/a?b", "domain": "h.example"}
    assert http["http"] == {"version": "1.1", "request": {"method": "GET"}, "response": {"status_code": 200}}
    assert "web" in http["event"]["category"]
    tls = ecs(
        event_type="tls",
        tls={
            "version": "TLS 1.2",
            "sni": "S.example",
            "fingerprint": "aa:bb",
            "ja3": {"hash": "AB"},
            "notafter": "2027",
        },
    )["tls"]
    assert (tls["version"], tls["version_protocol"]) == ("1.2", "tls")
    assert tls["client"] == {"server_name": "s.example", "ja3": "ab"}
    assert tls["server"] == {"not_after": "2027", "hash": {"sha1": "AABB"}}
    file = ecs(event_type="fileinfo", fileinfo={"filename": "/x/y.bin", "size": 3, "sha256": "AB"})["file"]
    assert file == {"path": "/x/y.bin", "name": "y.bin", "size": 3, "hash": {"sha256": "ab"}}


def test_what_is_kept_once_is_kept_once() -> None:
    doc = ecs(event_type="dns", dns={"rrname": "a.example"})
    assert "original" not in doc["event"]
    assert doc["suricata"]["eve"]["dns"] == {"rrname": "a.example"}
    spaced = Event(b'{"event_type": "dns"}')
    assert orjson.loads(document(spaced))["event"]["original"] == '{"event_type": "dns"}'


def test_a_time_that_the_index_cannot_hold_is_kept_as_the_nearest_it_can() -> None:
    assert ecs(timestamp="1816-05-05T00:00:00Z")["@timestamp"].startswith("1970-01-01T00:00:00")
    assert ecs(timestamp="9999-05-05T00:00:00Z")["@timestamp"].startswith("2262-01-01T00:00:00")


def test_every_field_is_in_the_template() -> None:
    def fields(value: Any, path: str) -> set[str]:
        if isinstance(value, list):
            return {name for item in value for name in fields(item, path)}
        if not isinstance(value, dict) or path == "suricata.eve":
            return {path}
        return {name for key, inner in value.items() for name in fields(inner, f"{path}.{key}".lstrip("."))}

    def known(mapping: Any, path: str) -> set[str]:
        if isinstance(mapping.get("type"), str):
            return {path}
        return {name for key, inner in mapping.items() for name in known(inner, f"{path}.{key}".lstrip("."))}

    everything = ecs(
        event_type="alert",
        alert={
            "signature": "s",
            "category": "c",
            "rev": 1,
            "signature_id": 1,
            "severity": 1,
            "metadata": {"mitre_tactic_id": ["1"]},
        },
        dns={
            "type": "answer",
            "rcode": "x",
            "id": 1,
            "rrname": "n",
            "rrtype": "A",
            "answers": [{"rrname": "n", "rrtype": "A", "rdata": "1.2.3.4", "ttl": 1}],
        },
        tls={
            "version": "TLS 1",
            "sni": "s",
            "subject": "s",
            "issuerdn": "i",
            "notbefore": "1",
            "notafter": "2",
            "fingerprint": "a",
            "ja3": {"hash": "1"},
            "ja3s": {"hash": "2"},
            "ja4": "3",
        },
        http={
            "hostname": "h",
            "url": "/",
            "http_method": "G",
            "http_refer": "r",
            "status": 1,
            "http_content_type": "t",
            "length": 1,
            "protocol": "HTTP/2",
            "http_user_agent": "u",
        },
        fileinfo={"filename": "f", "size": 1, "mimetype": "m", "md5": "1", "sha1": "2", "sha256": "3"},
        flow={
            "bytes_toserver": 1,
            "pkts_toserver": 1,
            "bytes_toclient": 1,
            "pkts_toclient": 1,
            "start": "1",
            "end": "2",
            "age": 1,
        },
        email={"from": "a", "to": ["b"], "cc": ["c"], "subject": "s"},
        tapwarden={"indicator": {"type": "ip", "value": "1", "source": "s", "info": "i"}},
    )
    assert fields(everything, "") - known(FIELDS, "") == {"suricata.eve"}


TEXT = st.text(st.characters(), max_size=20)  # lone surrogates as well
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
PARTS = (
    "alert",
    "dns",
    "tls",
    "http",
    "fileinfo",
    "files",
    "flow",
    "email",
    "tapwarden",
    "src_ip",
    "dest_port",
    "host",
)
NAMES = (
    "signature_id",
    "metadata",
    "rrname",
    "queries",
    "answers",
    "sni",
    "ja3",
    "fingerprint",
    "hostname",
    "url",
    "to",
)
RECORDS = st.dictionaries(
    st.sampled_from((*PARTS, "timestamp", "event_type", "flow_id", "proto")) | TEXT,
    VALUES | st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5),
    max_size=8,
)


@given(record=RECORDS, ascii=st.booleans(), origin=TEXT)
def test_any_record_becomes_a_document_that_gives_it_back(record: dict[str, Any], ascii: bool, origin: str) -> None:
    raw = json.dumps(record, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    before = Event(raw, origin)
    for whole in (True, False):
        assert event_of(orjson.loads(document(before, whole=whole))) == before


@given(record=RECORDS, origin=TEXT)
def test_a_document_is_under_its_event_s_id_in_the_index_of_its_type(record: dict[str, Any], origin: str) -> None:
    before = Event(json.dumps(record).encode(), origin)
    made = documents([before], {"dns": "names"}, "others")
    assert made.ids == [before.id]
    [(index, first, last, numbers)] = made.groups([0])
    assert (index, numbers) == ("names" if record.get("event_type") == "dns" else "others", [0])
    assert moment_of(first) == moment_of(last) == before.timestamp


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-11-24T11:00:00.123456+0800",
        "2026-11-24 11:00:00.1+08",
        "20261124",
        "0001-01-01T00:00:00+0800",
        "9999-12-31",
    ],
)
def test_times_mean_what_the_model_says_however_they_are_written(timestamp: str) -> None:
    one = event(timestamp=timestamp)
    made = documents([one], {}, "")
    assert (made.ids, moment_of(made.groups([0])[0][1])) == ([one.id], one.timestamp)


def test_a_body_has_an_action_and_a_document_a_line_each_packed_if_asked_for() -> None:
    some = [event(event_type="dns"), Event(b"[]"), event(event_type="flow"), Event(b"\xff")]
    made = documents(some, {"dns": "names"}, "others")
    assert (len(made), made.ids) == (4, [some[0].id, "", some[2].id, ""])
    assert made.sizes == [len(made.document(0)), 0, len(made.document(2)), 0]
    body = made.body([2, 0])
    lines = [orjson.loads(line) for line in body.splitlines()]
    assert lines[0] == {"create": {"_index": "others", "_id": some[2].id}}
    assert lines[1]["suricata"]["eve"] == some[2].eve
    assert lines[2] == {"create": {"_index": "names", "_id": some[0].id}}
    assert gzip.decompress(made.body([2, 0], gzip=True)) == body
    for missing in (1, 4):
        with pytest.raises(IndexError):
            made.body([missing])


@pytest.mark.parametrize("name", ["A.Example.", "a.example:8080", "[2001:db8::1]:80", "É.example..", "", ".", ":80"])
def test_a_name_is_asked_for_as_it_is_indexed(name: str) -> None:
    found = ecs(event_type="tls", tls={"sni": name}).get("related", {}).get("hosts", [""])
    assert found == [name_of(name)]


def test_a_record_nested_deeper_than_json_readers_go_is_kept_as_text() -> None:
    deep = event(event_type="alert", alert={"signature_id": 1}, nested=0)
    raw = deep.raw.replace(b'"nested":0', b'"nested":' + b"[" * 500 + b"]" * 500)
    doc = orjson.loads(document(Event(raw)))
    assert doc["rule"] == {"id": "1"}
    assert event_of(doc).raw == raw
