"""ECS fields of each part of an EVE record. Pure; a part may have any type, as may everything within it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Doc = dict[str, Any]

ITEMS_MAX = 64
"""Names, hashes or files indexed of one record; the record itself is kept whole."""

NAME_CHARACTERS_MAX = 1024


class Found:
    """What was seen in a record, for the fields that hold everything of one kind."""

    __slots__ = ("addresses", "hashes", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.hashes: list[str] = []
        self.addresses: list[str] = []


def suffixes(name: str) -> list[str]:
    """The name and every name above it, so that a domain and all below it are found by one term."""
    above = [name]
    dot = name.find(".")
    while dot >= 0 and len(above) < 128:
        above.append(name[dot + 1 :])
        dot = name.find(".", dot + 1)
    return above


def name_of(value: Any) -> str:
    """A domain name as it is searched: lower case, no port, no dot at its end; "" for what is none."""
    if value.__class__ is not str:
        return ""
    name: str = value[:NAME_CHARACTERS_MAX].lower()
    if ":" in name and name[0] != "[":
        name = name.partition(":")[0]
    return name.rstrip(".")


def _records(value: Any) -> Sequence[Mapping[str, Any]]:
    if value.__class__ is dict:
        return (value,)
    if value.__class__ is list:
        return [item for item in value[:ITEMS_MAX] if item.__class__ is dict]
    return ()


def _named(value: Any, found: Found) -> str:
    name = name_of(value)
    if name:
        found.names.append(name)
    return name


def _copy(record: Mapping[str, Any], fields: Sequence[tuple[str, str, type]], into: Doc) -> Doc:
    """Members of these names that have these types, under other names; their table is (theirs, ours, type)."""
    for theirs, ours, kind in fields:
        value = record.get(theirs)
        if value.__class__ is kind:
            into[ours] = value
    return into


def _alert(value: Any, doc: Doc, found: Found) -> None:
    if value.__class__ is not dict:
        return
    about, own, get = doc["event"], doc["tapwarden"], value.get
    about["kind"], about["category"] = "alert", ["network", "intrusion_detection"]
    about["type"] = ["denied"] if get("action") == "blocked" else ["allowed"]
    if get("severity").__class__ is int:
        about["severity"] = value["severity"]
    rule = _copy(value, (("signature", "name", str), ("category", "category", str)), {})
    sid = get("signature_id")
    if sid.__class__ is int:
        rule["id"] = str(sid)
        ends = (doc.get("source") or _NONE).get("ip", ""), (doc.get("destination") or _NONE).get("ip", "")
        own["group"] = f"{sid} {ends[0]} {ends[1]}"
    if get("rev").__class__ is int:
        rule["version"] = str(value["rev"])
    if rule:
        doc["rule"] = rule
    metadata = get("metadata")
    if metadata.__class__ is dict:
        _threat(metadata, doc)


def _threat(metadata: Mapping[str, Any], doc: Doc) -> None:
    """Emerging Threats' rules name MITRE ATT&CK tactics and techniques in their metadata."""
    tactic = _copy(metadata, (("mitre_tactic_id", "id", list), ("mitre_tactic_name", "name", list)), {})
    technique = _copy(metadata, (("mitre_technique_id", "id", list), ("mitre_technique_name", "name", list)), {})
    if tactic or technique:
        threat = doc["threat"] = doc.get("threat") or {}
        threat["framework"] = "MITRE ATT&CK"
        if tactic:
            threat["tactic"] = tactic
        if technique:
            threat["technique"] = technique


_INDICATOR_TYPES = {
    "ip": "ipv4-addr",
    "ip_port": "ipv4-addr",
    "network": "ipv4-addr",
    "domain": "domain-name",
    "url": "url",
    "file_hash": "file",
    "cert_sha1": "x509-certificate",
}


def _own(value: Any, doc: Doc, found: Found) -> None:
    if value.__class__ is not dict:
        return
    indicators = []
    for record in _records(value.get("indicator")):
        kind = record.get("type")
        entry = _copy(record, (("value", "name", str), ("source", "provider", str), ("info", "description", str)), {})
        if kind.__class__ is str:
            entry["type"] = _INDICATOR_TYPES.get(kind, kind)
        if entry:
            indicators.append(entry)
    if indicators:
        threat = doc["threat"] = doc.get("threat") or {}
        threat["indicator"] = indicators if len(indicators) > 1 else indicators[0]


def _dns(value: Any, doc: Doc, found: Found) -> None:
    for record in _records(value):
        dns: Doc = {}
        questions = []
        # version 3 of the format has the questions in a list, alerts the whole message in one
        for asked in (*_records(record.get("query")), *_records(record.get("queries")), record):
            _copy(asked, (("type", "type", str), ("rcode", "response_code", str)), dns)
            if asked.get("id").__class__ is int:
                dns["id"] = str(asked["id"])
            name = _named(asked.get("rrname"), found)
            if name:
                question = {"name": name}
                if asked.get("rrtype").__class__ is str:
                    question["type"] = asked["rrtype"]
                questions.append(question)
        if questions:
            dns["question"] = questions[0] if len(questions) == 1 else questions
        answers = []
        for answer in _records(record.get("answers")):
            fields = (("rrname", "name", str), ("rrtype", "type", str), ("rdata", "data", str), ("ttl", "ttl", int))
            answers.append(_copy(answer, fields, {}))
            if answer.get("rrtype") in _ADDRESS_RECORDS and answer.get("rdata").__class__ is str:
                dns.setdefault("resolved_ip", []).append(answer["rdata"])
        if answers:
            dns["answers"] = answers
            found.addresses += dns.get("resolved_ip", ())
        doc["dns"] = dns


def _tls(value: Any, doc: Doc, found: Found) -> None:
    for record in _records(value):
        server = _copy(
            record,
            (
                ("subject", "subject", str),
                ("issuerdn", "issuer", str),
                ("notbefore", "not_before", str),
                ("notafter", "not_after", str),
            ),
            {},
        )
        client: Doc = {}
        name = _named(record.get("sni"), found)
        if name:
            client["server_name"] = name
        for ours, where, names in (("ja3", client, "ja3"), ("ja3s", server, "ja3s"), ("ja4", client, "ja4")):
            print_ = record.get(names)
            print_ = print_.get("hash") if print_.__class__ is dict else print_
            if print_.__class__ is str:
                where[ours] = print_.lower()
        fingerprint = record.get("fingerprint")
        if fingerprint.__class__ is str:
            # ECS: upper case, without colons
            sha1 = fingerprint.replace(":", "").upper()
            server["hash"] = {"sha1": sha1}
            found.hashes.append(sha1)
        tls: Doc = {}
        version = record.get("version")
        if version.__class__ is str:
            protocol, _, number = version.rpartition(" ")
            tls["version"], tls["version_protocol"] = number.removeprefix("v"), (protocol or "tls").lower()
        if client:
            tls["client"] = client
        if server:
            tls["server"] = server
        doc["tls"] = tls


def _http(value: Any, doc: Doc, found: Found) -> None:
    for record in _records(value):
        http: Doc = {}
        host, path = _named(record.get("hostname"), found), record.get("url")
        request = _copy(record, (("http_method", "method", str), ("http_refer", "referrer", str)), {})
        response = _copy(record, (("status", "status_code", int), ("http_content_type", "mime_type", str)), {})
        if record.get("length").__class__ is int:
            response["body"] = {"bytes": record["length"]}
        version = record.get("protocol")
        if version.__class__ is str:
            http["version"] = version.removeprefix("HTTP/")
        if request:
            http["request"] = request
        if response:
            http["response"] = response
        url: Doc = {}
        if path.__class__ is str and path:
            url["original"] = path
            url["full"] = path if "://" in path[:10] else f"http://{host}{path}"
        if host:
            url["domain"] = host
        if url:
            doc["url"] = url
        agent = record.get("http_user_agent")
        if agent.__class__ is str:
            doc["user_agent"] = {"original": agent}
        doc["http"] = http
        doc["event"]["category"] = [*doc["event"]["category"], "web"]


def _files(value: Any, doc: Doc, found: Found) -> None:
    files = []
    for record in _records(value):
        file = _copy(record, (("filename", "path", str), ("size", "size", int), ("mimetype", "mime_type", str)), {})
        if "path" in file:
            file["name"] = file["path"].rpartition("/")[2]
        hashes = {name: record[name].lower() for name in ("md5", "sha1", "sha256") if record.get(name).__class__ is str}
        if hashes:
            file["hash"] = hashes
            found.hashes += hashes.values()
        files.append(file)
    if files:
        doc["file"] = files[0] if len(files) == 1 else files


def _flow(value: Any, doc: Doc, found: Found) -> None:
    if value.__class__ is not dict:
        return
    octets = packets = 0
    for side, suffix in (("source", "toserver"), ("destination", "toclient")):
        end = doc.get(side)
        sent, count = value.get(f"bytes_{suffix}"), value.get(f"pkts_{suffix}")
        if end is not None and sent.__class__ is int and count.__class__ is int:
            end["bytes"], end["packets"] = sent, count
            octets, packets = octets + sent, packets + count
    if packets:
        network = doc["network"] = doc.get("network") or {}
        network["bytes"], network["packets"] = octets, packets
    about = doc["event"]
    _copy(value, (("start", "start", str), ("end", "end", str)), about)
    if value.get("age").__class__ is int:
        about["duration"] = value["age"] * 1_000_000_000


def _email(value: Any, doc: Doc, found: Found) -> None:
    if value.__class__ is not dict:
        return
    email: Doc = _copy(value, (("subject", "subject", str),), {})
    for theirs in ("from", "to", "cc"):
        addresses = value.get(theirs)
        if addresses.__class__ is str or addresses.__class__ is list:
            email[theirs] = {"address": addresses}
    if email:
        doc["email"] = email


_ADDRESS_RECORDS = frozenset({"A", "AAAA"})
_NONE: Mapping[str, Any] = {}

PARTS: Mapping[str, Callable[[Any, Doc, Found], None]] = {
    "alert": _alert,
    "dns": _dns,
    "tls": _tls,
    "quic": _tls,
    "http": _http,
    "fileinfo": _files,
    "files": _files,
    "flow": _flow,
    "email": _email,
    "tapwarden": _own,
}
"""By the member of the record; a new part is a function and a line here."""
