"""What of an EVE record is indexed. Pure; the record is hostile: any value may have any type and any size."""

import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from ipaddress import IPv6Address, ip_network
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
    CERTIFICATE = 5


class Columns(NamedTuple):
    """The indexed values of one record; None where it has none. Texts are as found: ``word`` makes them storable."""

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
    community_id: int | None
    terms: Sequence[tuple[int, str]]


def columns_of(eve: Mapping[str, Any]) -> Columns:
    """The indexed values of an EVE record. On the path of every event: types are compared, not asked about."""
    get = eve.get
    kind, src, dest, app, sensor = get("event_type"), get("src_ip"), get("dest_ip"), get("app_proto"), get("host")
    sid = signature = None
    alert = get("alert")
    if alert.__class__ is dict:
        sid, signature = whole(alert.get("signature_id")), alert.get("signature")
    community = get("community_id")
    terms: list[tuple[int, str]] = []
    for protocol, add in _TERMS:
        found = get(protocol)
        if found.__class__ is dict or found.__class__ is list:
            add(found, terms)
    return Columns(
        kind if kind.__class__ is str else "",
        src if src.__class__ is str else None,
        dest if dest.__class__ is str else None,
        whole(get("src_port")),
        whole(get("dest_port")),
        sid,
        signature if signature.__class__ is str else None,
        app if app.__class__ is str else None,
        sensor if sensor.__class__ is str else None,
        whole(get("flow_id")),
        community_key(community) if community.__class__ is str else None,
        list(dict.fromkeys(terms)) if len(terms) > 1 else terms,
    )


def _dns(dns: Any, terms: list[tuple[int, str]]) -> None:
    for question in (*_records(dns), *_records(_member(dns, "queries")), *_records(_member(dns, "query"))):
        _domain(question.get("rrname"), terms)


def _tls(session: Any, terms: list[tuple[int, str]]) -> None:
    for record in _records(session):
        _domain(record.get("sni"), terms)
        for name in ("ja3", "ja3s", "ja4"):
            print_ = record.get(name)
            _lower(Term.JA, _member(print_, "hash") if print_.__class__ is dict else print_, terms)
        fingerprint = word(record.get("fingerprint"))
        if fingerprint is not None:
            terms.append((Term.CERTIFICATE, fingerprint.lower().replace(":", "")))


def _http(http: Any, terms: list[tuple[int, str]]) -> None:
    for record in _records(http):
        host, path = word(record.get("hostname")), word(record.get("url"))
        _domain(host, terms)
        if path is not None:
            terms.append((Term.URL, url_key(path if "://" in path[:10] else (host or "") + path)))


def _files(files: Any, terms: list[tuple[int, str]]) -> None:
    for file in _records(files):
        for name in ("md5", "sha1", "sha256"):
            _lower(Term.FILE_HASH, file.get(name), terms)


_TERMS: tuple[tuple[str, Callable[[Any, list[tuple[int, str]]], None]], ...] = (
    ("dns", _dns),
    ("tls", _tls),
    ("quic", _tls),
    ("http", _http),
    ("fileinfo", _files),
    ("files", _files),
)


def _member(record: Any, name: str) -> Any:
    return record.get(name) if record.__class__ is dict else None


def _records(value: Any) -> Sequence[dict[str, Any]]:
    if value.__class__ is dict:
        return (value,)
    if value.__class__ is list:
        return [item for item in value[:NAMES_MAX] if item.__class__ is dict]
    return ()


def _lower(term: Term, value: Any, terms: list[tuple[int, str]]) -> None:
    text = word(value)
    if text is not None:
        terms.append((term, text.lower()))


def _domain(value: Any, terms: list[tuple[int, str]]) -> None:
    text = word(value)
    if text is not None:
        key = domain_key(text)
        if key != ".":
            terms.append((Term.DOMAIN, key))


def word(value: Any) -> str | None:
    """A text as it is indexed: bounded, no lone surrogates; None for anything that is no text or an empty one."""
    if not isinstance(value, str) or not value:
        return None
    text: str = value[:WORD_MAX]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def whole(value: Any) -> int | None:
    """A whole number that fits a column (64 bits, signed; larger ones wrap), or None."""
    if value.__class__ is not int:
        return None
    number: int = value
    if -(1 << 63) <= number < 1 << 63:
        return number
    return ((number + (1 << 63)) % (1 << 64)) - (1 << 63)


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


def community_key(text: str) -> int:
    """A Community ID as a whole number of 64 bits: the beginning of its digest, which is as good as all of it."""
    if text.startswith("1:") and len(text) == 30:
        try:
            return int.from_bytes(binascii.a2b_base64(text[2:14])[:8], "little", signed=True)
        except (binascii.Error, ValueError):
            pass
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


NAMES = frozenset({Term.DOMAIN, Term.URL})
"""Terms looked for in part, kept as texts in a dictionary; the others are looked for as a whole, kept as numbers."""


def print_key(term: int, text: str) -> int:
    """A hash, fingerprint or the like as a whole number of 64 bits."""
    digest = hashlib.blake2b(f"{term}:{text}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def address_key(text: str) -> bytes:
    """An address as octets that sort by family and number; any other text as itself, after all addresses."""
    try:
        packed = inet_pton(AF_INET6, text) if ":" in text else inet_pton(AF_INET, text)
    except (OSError, ValueError):
        return b"t" + (word(text) or "").encode()
    return (b"4" if len(packed) == 4 else b"6") + packed


def address_text(key: bytes) -> str:
    """The inverse of ``address_key``, an address in canonical form."""
    if key[:1] == b"4":
        return inet_ntop(AF_INET, key[1:])
    return str(IPv6Address(key[1:])) if key[:1] == b"6" else key[1:].decode("utf-8", "replace")


def network_range(text: str) -> tuple[bytes, bytes]:
    """First and last address key of a CIDR network. Raises ValueError."""
    network = ip_network(text, strict=False)
    family = b"4" if network.version == 4 else b"6"
    return family + network.network_address.packed, family + network.broadcast_address.packed
