"""Targets in canonical form: one text for one thing, so that guard, ledger and read-back can compare them.

``::ffff:192.0.2.1`` names the same host as ``192.0.2.1`` (RFC 4291 section 2.5.5.2): whoever protects, blocks or undoes
one form means the other as well, so the IPv4 form is the canonical one.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from tapwarden.model.decision import Target, TargetType

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

MAPPED = IPv6Network("::ffff:0:0/96")
"""IPv4-mapped IPv6 addresses, RFC 4291 section 2.5.5.2."""
NAT64 = IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind a NAT64 translator, RFC 6052 section 2.1."""
SIX_TO_FOUR = IPv6Network("2002::/16")
"""6to4: the IPv4 address stands in bits 16 to 47, RFC 3056 section 2."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")


def normalise(target: Target) -> Target:
    """The canonical form of a target. ValueError says what is wrong with it and what to write instead."""
    value = target.value.strip()
    if target.type in (TargetType.ADDRESS, TargetType.NETWORK):
        return target_of(parse_network(value))
    if target.type is TargetType.ENDPOINT:
        return Target(TargetType.ENDPOINT, str(parse_endpoint(value)))
    if target.type is TargetType.CONNECTION:
        return Target(TargetType.CONNECTION, str(parse_connection(value)))
    if target.type in (TargetType.DOMAIN, TargetType.HOSTNAME):
        return Target(target.type, parse_domain(value))
    return Target(TargetType.URL, _parse_url(value))


def target_of(network: Network) -> Target:
    """The target that names exactly this network; one of full length is an address."""
    if network.prefixlen == network.max_prefixlen:
        return Target(TargetType.ADDRESS, str(network.network_address))
    return Target(TargetType.NETWORK, str(network))


def parse_network(text: str) -> Network:
    """An address (as a network of full length) or a network; IPv4-mapped ones as IPv4.

    Host bits have to be zero: of ``192.0.2.1/24`` nobody knows whether one host or 256 were meant. ValueError.
    """
    if "%" in text:
        raise ValueError(f"{text!r}: an address with a zone is not known outside its link")
    try:
        network = ip_network(text)
    except ValueError:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is neither an IP address nor a network") from None
        raise ValueError(f"{text!r} has host bits set: write {meant} or the address alone") from None
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A transport address; its text is the canonical form."""

    address: Address
    port: int
    protocol: str

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}/{self.protocol}"


def parse_endpoint(text: str) -> Endpoint:
    """``192.0.2.1:443`` (TCP) or ``[2001:db8::1]:53/udp``. ValueError says what to write."""
    place, _, protocol = text.partition("/")
    host, colon, port = place.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: write an IPv6 endpoint as [2001:db8::1]:443/tcp")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} has no port: write 192.0.2.1:443/tcp")
    if (protocol or "tcp") not in ("tcp", "udp"):
        raise ValueError(f"{text!r}: the protocol is tcp or udp")
    network = parse_network(host)
    if network.prefixlen != network.max_prefixlen:
        raise ValueError(f"{text!r} has no address")
    return Endpoint(network.network_address, int(port), protocol or "tcp")


@dataclass(frozen=True, slots=True)
class Connection:
    """Two endpoints of one protocol, the lower one first: whoever began it, it is the same text."""

    low: Endpoint
    high: Endpoint

    @property
    def protocol(self) -> str:
        return self.low.protocol

    def __str__(self) -> str:
        low, high = (str(end).removesuffix(f"/{end.protocol}") for end in (self.low, self.high))
        return f"{low}-{high}/{self.protocol}"


def connection_of(one: Endpoint, other: Endpoint) -> Connection:
    """The connection between two endpoints. ValueError where they are not of one family and protocol, or the same."""
    if one.protocol != other.protocol or one.address.version != other.address.version or one == other:
        raise ValueError(f"{one} and {other} are not the ends of one connection")
    low, high = sorted((one, other), key=lambda end: (int(end.address), end.port))
    return Connection(low, high)


def parse_connection(text: str) -> Connection:
    """``192.0.2.1:4000-198.51.100.7:443`` (TCP), ``[2001:db8::1]:4000-[2001:db8::2]:53/udp``. ValueError."""
    ends, _, protocol = text.partition("/")
    one, dash, other = ends.partition("-")
    if not dash:
        raise ValueError(f"{text!r} has no two ends: write 192.0.2.1:4000-198.51.100.7:443/tcp")
    return connection_of(*(parse_endpoint(f"{end}/{protocol or 'tcp'}") for end in (one, other)))


def embedded_v4(network: Network) -> Network | None:
    """The IPv4 network that an IPv6 one reaches through a translator or a tunnel (NAT64, 6to4); else None."""
    if not isinstance(network, IPv6Network):
        return None
    bits = int(network.network_address)
    if network.subnet_of(NAT64):
        return IPv4Network((bits & 0xFFFFFFFF, network.prefixlen - 96))
    if network.subnet_of(SIX_TO_FOUR):
        length = min(network.prefixlen, 48) - 16
        return IPv4Network(((bits >> 80) & 0xFFFFFFFF, length))
    return None


def parse_domain(text: str) -> str:
    """A domain name in lower-case ASCII (A-labels), without the final dot. ValueError."""
    name = text.rstrip(".")
    try:
        name = name.lower() if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(f"{text!r} is not a domain name") from None
    if not name or len(name) > 253 or not all(_LABEL.match(label) for label in name.split(".")):
        raise ValueError(f"{text!r} is not a domain name")
    if name.rsplit(".", 1)[-1].isdigit():
        raise ValueError(f"{text!r} looks like an address, not a domain name")
    return name


def url_host(url: str) -> Network | str:
    """The host of a canonical URL, as a network of full length or as a domain name. ValueError."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_network(ip_address(host))
    except ValueError:
        return parse_domain(host)


def _parse_url(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is not a URL: escape what is not printable ASCII")
    parts = urlsplit(text)
    if parts.scheme.lower() not in ("http", "https", "ftp") or not parts.hostname:
        raise ValueError(f"{text!r} is not a URL with a scheme (http, https, ftp) and a host")
    if parts.username is not None:
        raise ValueError(f"{text!r}: leave the user name out of the URL")
    _ = parts.port, url_host(text)  # both raise ValueError
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower()).geturl()
