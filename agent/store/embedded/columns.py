"""What of an EVE record is indexed. Pure; the record is hostile: any value may have any type and any size."""

import base64
import binascii
import ipaddress
from collections.abc import Iterator, Mapping
from enum import IntEnum
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any, NamedTuple

WORD_MAX = 1024
"""Characters kept of an indexed text; the record itself is kept whole."""

NAMES_MAX = 64
"""Names of one kind indexed of one record (a DNS message can carry hundreds of questions)."""


class Term(IntEnum):
    """Kinds of searched texts of which a record has none or several. The files hold the numbers: never change them."""

    DOMAIN = 1
    URL = 2
    FILE_HASH = 3
    JA = 4


class Columns(NamedTuple):
    """The indexed values of one record; None where it has none."""

    kind: str
    src_ip: str | None
    dest_ip: str | None
    src_port: int | None
    dest_port: int | None
    sid: int | None
    signature: str | None
    app_proto: str | None
    sensor: str | None
    flow_id: int | None
    community_id: str | bytes | None
    terms: list[tuple[int, str]]


def columns_of(eve: Mapping[str, Any]) -> Columns:
    """The indexed values of an EVE record."""
    get = eve.get
    alert = get("alert")
    sid = signature = None
    if isinstance(alert, dict):
        sid, signature = whole(alert.get("signature_id")), word(alert.get("signature"))
    community = get("community_id")
    return Columns(
        word(get("event_type")) or "",
        word(get("src_ip")),
        word(get("dest_ip")),
        whole(get("src_port")),
        whole(get("dest_port")),
        sid,
        signature,
        word(get("app_proto")),
        word(get("host")),
        whole(get("flow_id")),
        None if community is None else community_key(community),
        list(dict.fromkeys(_terms(eve))),
    )


def _terms(eve: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    dns = eve.get("dns")
    if isinstance(dns, dict):
        yield from _domain(dns.get("rrname"))
        for question in _records(dns.get("queries")) + _records(dns.get("query")):
            yield from _domain(question.get("rrname"))
    for protocol in ("tls", "quic"):
        session = eve.get(protocol)
        if isinstance(session, dict):
            yield from _domain(session.get("sni"))
            for name in ("ja3", "ja3s", "ja4"):
                print_ = session.get(name)
                yield from _lower(Term.JA, print_.get("hash") if isinstance(print_, dict) else print_)
    http = eve.get("http")
    if isinstance(http, dict):
        host, path = word(http.get("hostname")), word(http.get("url"))
        yield from _domain(host)
        if path is not None:
            yield Term.URL, url_key(path if "://" in path[:10] else (host or "") + path)
    fileinfo = eve.get("fileinfo")
    for file in (_records([fileinfo]) if isinstance(fileinfo, dict) else []) + _records(eve.get("files")):
        for name in ("md5", "sha1", "sha256"):
            yield from _lower(Term.FILE_HASH, file.get(name))


def _records(value: Any) -> list[dict[str, Any]]:
    return [item for item in value[:NAMES_MAX] if isinstance(item, dict)] if isinstance(value, list) else []


def _lower(term: Term, value: Any) -> Iterator[tuple[int, str]]:
    text = word(value)
    if text is not None:
        yield term, text.lower()


def _domain(value: Any) -> Iterator[tuple[int, str]]:
    text = word(value)
    if text is not None:
        key = domain_key(text)
        if key != ".":
            yield Term.DOMAIN, key


def word(value: Any) -> str | None:
    """A text as it is indexed: bounded, no lone surrogates; None for anything that is no text or an empty one."""
    if not isinstance(value, str) or not value:
        return None
    text: str = value[:WORD_MAX]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def whole(value: Any) -> int | None:
    """A whole number that fits a column (64 bits, signed; larger ones wrap), or None."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    if -(1 << 63) <= value < 1 << 63:
        return value
    return ((value + (1 << 63)) % (1 << 64)) - (1 << 63)


def domain_key(name: str) -> str:
    """The name with its labels reversed, lower case, each followed by a dot: ``com.example.www.``.

    A domain and all names below it are those whose keys begin with the domain's key. A port is cut off, an IPv6
    address in brackets stays as it is.
    """
    name = name.lower()
    if ":" in name and not name.startswith("["):
        name = name.partition(":")[0]
    return ".".join(reversed(name.rstrip(".").split("."))) + "."


def domain_name(key: str) -> str:
    """The inverse of ``domain_key``."""
    return ".".join(reversed(key[:-1].split(".")))


def url_key(url: str) -> str:
    """A URL as it is searched: without scheme, lower case."""
    scheme, found, rest = url.partition("://")
    return (rest if found and len(scheme) < 10 else url)[:WORD_MAX].lower()


def community_key(text: object) -> str | bytes | None:
    """A Community ID of version 1 as its 20 octets, any other as text."""
    value = word(text)
    if value is None or not value.startswith("1:"):
        return value
    try:
        digest = base64.b64decode(value[2:], validate=True)
    except (binascii.Error, ValueError):
        return value
    return digest if len(digest) == 20 else value


def address_key(text: str) -> tuple[str, bytes | None]:
    """An address in canonical text, and octets that sort by family and number; (the text, None) if it is no address."""
    try:
        packed = inet_pton(AF_INET6, text) if ":" in text else inet_pton(AF_INET, text)
    except (OSError, ValueError):
        return text, None
    if len(packed) == 4:
        return inet_ntop(AF_INET, packed), b"4" + packed
    return str(ipaddress.IPv6Address(packed)), b"6" + packed


def network_range(text: str) -> tuple[bytes, bytes]:
    """First and last address key of a CIDR network. Raises ValueError."""
    network = ipaddress.ip_network(text, strict=False)
    family = b"4" if network.version == 4 else b"6"
    return family + network.network_address.packed, family + network.broadcast_address.packed
