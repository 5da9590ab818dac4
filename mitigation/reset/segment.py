"""What has to be known of a packet to end its connection: read from the octets of an IP packet. Pure.

RFC 791, RFC 8200 (first header after extension headers up to a bound), RFC 9293, RFC 768. What is cut short, is a later
fragment or carries neither TCP nor UDP is None.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from tapwarden.mitigation.target import Connection, Endpoint, connection_of

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

QUOTED = 128
"""Octets of a packet that an ICMP error quotes: headers and some of what follows (RFC 1812 4.3.2.3, RFC 4443 3.1)."""

_EXTENSIONS = frozenset({0, 43, 60})
"""Hop-by-hop, routing, destination options: length in units of 8 octets beyond the first 8 (RFC 8200 section 4)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment or UDP datagram. ``follows`` is the sequence number after all it occupies; 0s for UDP."""

    source: Endpoint
    destination: Endpoint
    seq: int
    ack: int
    flags: int
    follows: int
    quoted: bytes

    @property
    def connection(self) -> Connection:
        return connection_of(self.source, self.destination)


def read_segment(packet: bytes) -> Segment | None:
    """The segment in an IP packet."""
    try:
        version = packet[0] >> 4
        if version == 4:
            return _v4(packet)
        return _v6(packet) if version == 6 else None
    except (IndexError, struct.error, ValueError):
        return None


def _v4(packet: bytes) -> Segment | None:
    length, fragment = struct.unpack_from("!2xH2xH", packet)
    if fragment & 0x1FFF:
        return None
    source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    return _transport(packet, packet[9], (packet[0] & 15) * 4, length, source, destination)


def _v6(packet: bytes) -> Segment | None:
    length, header = struct.unpack_from("!4xHB", packet)
    at = 40
    for _ in range(8):
        if header not in _EXTENSIONS:
            break
        header, at = packet[at], at + 8 + 8 * packet[at + 1]
    source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    return _transport(packet, header, at, 40 + length, source, destination)


def _transport(
    packet: bytes,
    protocol: int,
    at: int,
    end: int,
    source: IPv4Address | IPv6Address,
    destination: IPv4Address | IPv6Address,
) -> Segment | None:
    quoted = packet[:QUOTED]
    if protocol == 17:
        sport, dport = struct.unpack_from("!HH", packet, at)
        ends = Endpoint(source, sport, "udp"), Endpoint(destination, dport, "udp")
        return Segment(*ends, 0, 0, 0, 0, quoted)
    if protocol != 6:
        return None
    sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", packet, at)
    payload = max(0, end - at - (offset >> 4) * 4)
    follows = (seq + payload + bool(flags & SYN) + bool(flags & FIN)) & 0xFFFFFFFF
    ends = Endpoint(source, sport, "tcp"), Endpoint(destination, dport, "tcp")
    return Segment(*ends, seq, ack, flags, follows, quoted)
