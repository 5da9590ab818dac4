"""The packets that end a connection, made with scapy. Pure: octets of IP packets."""

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import Packet, Raw

from tapwarden.mitigation.target import Endpoint

TTL = 64


def reset(source: Endpoint, destination: Endpoint, seq: int, ack: int) -> bytes:
    """A reset to ``destination`` as if from ``source``. ``seq`` has to be what it expects next (RFC 5961 section 3)."""
    segment = TCP(sport=source.port, dport=destination.port, flags="RA", seq=seq, ack=ack, window=0)
    return bytes(_ip(source, destination) / segment)


def question(source: Endpoint, destination: Endpoint, seq: int, ack: int) -> bytes:
    """An acknowledgement with numbers out of any window, as if from ``source``.

    An open connection answers with what it sends and expects next (RFC 9293 section 3.10.7.4: an unacceptable segment
    gets an ACK), a closed one with a reset (3.10.7.1): both go to the other end, and past us.
    """
    segment = TCP(sport=source.port, dport=destination.port, flags="A", seq=seq, ack=ack, window=512)
    return bytes(_ip(source, destination) / segment)


def unreachable(source: Endpoint, destination: Endpoint, quoted: bytes) -> bytes:
    """To ``destination``, which sent ``quoted`` to ``source``: that port is not reachable (RFC 792, RFC 4443 3.1)."""
    if source.address.version == 4:
        return bytes(_ip(source, destination) / ICMP(type=3, code=3) / Raw(quoted))
    return bytes(_ip(source, destination) / ICMPv6DestUnreach(code=4) / Raw(quoted))


def _ip(source: Endpoint, destination: Endpoint) -> Packet:
    src, dst = str(source.address), str(destination.address)
    return IP(ttl=TTL, src=src, dst=dst) if source.address.version == 4 else IPv6(hlim=TTL, src=src, dst=dst)
