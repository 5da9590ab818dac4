"""The zone's primary: answers SOA, AXFR and IXFR over UDP and TCP, and tells the resolvers when something changed.

Whoever asks must come from an allowed network and, where a key is configured, sign (RFC 8945). Everything else is
refused: this is no name server for people. Bounded in connections, seconds and octets.
"""

import logging
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig

from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.rpz.transfer import Zone, messages
from tapwarden.mitigation.target import Network
from tapwarden.model.errors import MitigationError

log = logging.getLogger(__name__)

CONNECTIONS = 32
"""TCP connections at a time; one more is closed at once."""
PATIENCE_S = 10.0
"""Seconds a peer may take for a message."""
QUERY_OCTETS = 4096
"""No query about a zone is longer."""
TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)


@dataclass(frozen=True, slots=True)
class Peer:
    """A resolver that is told of changes."""

    address: str
    port: int = 53

    @classmethod
    def parse(cls, text: str) -> "Peer":
        """``192.0.2.53`` or ``192.0.2.53@5300``, as Unbound and NSD write it. ValueError."""
        address, _, port = text.partition("@")
        return cls(str(ip_address(address)), int(port or 53))


@dataclass(frozen=True, slots=True)
class Terms:
    """Who may take the zone: from which networks, signed with which keys (none: unsigned)."""

    allow: Sequence[Network] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    keys: Mapping[dns.name.Name, dns.tsig.Key] = field(default_factory=dict)


class Primary:
    """Serves ``zone`` on ``listen`` and notifies ``peers``. Use ``start`` and ``stop``; ``port`` 0 takes a free one."""

    def __init__(
        self,
        zone: Zone,
        terms: Terms,
        *,
        listen: str,
        port: int,
        peers: Sequence[Peer] = (),
        netns: str = "",
        poll_s: float = 0.25,
        changed: Callable[[], None] = lambda: None,
        now: Callable[[], float],
    ) -> None:
        self._zone, self._terms, self._listen, self._peers, self._netns = zone, terms, listen, peers, netns
        self._poll_s, self._changed, self._now = poll_s, changed, now
        self.port = port
        self.counters: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Bind and serve in threads of its own. Raises MitigationError."""
        try:
            udp, tcp = inside(self._netns, self._bind)
        except OSError as problem:
            raise MitigationError(
                f"the response policy zone cannot be served on {self._listen} port {self.port}: {problem.strerror}"
            ) from problem
        self._sockets = [udp, tcp]
        for work, name in ((self._datagrams, "udp"), (self._connections, "tcp"), (self._watch, "notify")):
            thread = threading.Thread(target=work, name=f"rpz-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Close the sockets and wait for the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=PATIENCE_S)
        for opened in self._sockets:
            opened.close()

    def _bind(self) -> tuple[socket.socket, socket.socket]:
        family = socket.AF_INET6 if ":" in self._listen else socket.AF_INET
        tcp = socket.create_server((self._listen, self.port), family=family, backlog=CONNECTIONS)
        try:
            self.port = tcp.getsockname()[1]
            udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.bind((self._listen, self.port))
        except OSError:
            tcp.close()
            raise
        for opened in (udp, tcp):
            opened.settimeout(0.2)
        return udp, tcp

    # answering

    def _datagrams(self) -> None:
        udp = self._sockets[0]
        while not self._stopping.is_set():
            try:
                wire, peer = udp.recvfrom(QUERY_OCTETS)
            except TimeoutError:
                continue
            except OSError as problem:  # an ICMP error of an earlier answer
                log.debug("event=rpz_udp_error problem=%s", problem)
                continue
            for answer in self._answer(wire, peer[0], over_tcp=False):
                try:
                    udp.sendto(answer, peer)
                except OSError as problem:
                    log.debug("event=rpz_udp_error problem=%s", problem)

    def _connections(self) -> None:
        tcp = self._sockets[1]
        while not self._stopping.is_set():
            try:
                connection, peer = tcp.accept()
            except TimeoutError:
                continue
            except OSError as problem:
                log.warning("event=rpz_accept_failed problem=%s", problem)
                self._stopping.wait(1)
                continue
            if not self._places.acquire(blocking=False):
                self.counters["connections_refused"] += 1
                connection.close()
                continue
            threading.Thread(
                target=self._connection, args=(connection, peer[0]), name="rpz-transfer", daemon=True
            ).start()

    def _connection(self, connection: socket.socket, peer: str) -> None:
        try:
            with connection:
                connection.settimeout(PATIENCE_S)
                while (wire := _read(connection)) is not None:
                    for answer in self._answer(wire, peer, over_tcp=True):
                        connection.sendall(struct.pack("!H", len(answer)) + answer)
        except (OSError, MitigationError) as problem:
            self.counters["transfers_broken"] += 1
            log.info("event=rpz_transfer_broken peer=%s problem=%s", peer, problem)
        finally:
            self._places.release()

    def _answer(self, wire: bytes, peer: str, *, over_tcp: bool) -> Iterator[bytes]:
        """The messages that answer one; none for what is no query at all."""
        try:
            query = dns.message.from_wire(wire, keyring=dict(self._terms.keys))
        except dns.message.UnknownTSIGKey:
            yield from self._refuse(wire, peer, dns.rcode.NOTAUTH, "unknown_key")
            return
        except (dns.tsig.BadSignature, dns.tsig.BadTime, dns.tsig.PeerError):
            yield from self._refuse(wire, peer, dns.rcode.NOTAUTH, "bad_signature")
            return
        except (dns.exception.DNSException, ValueError):
            self.counters["malformed"] += 1
            return
        if query.flags & dns.flags.QR or len(query.question) != 1:
            self.counters["malformed"] += 1
            return
        question = query.question[0]
        if not self._may_ask(peer) or (self._terms.keys and not query.had_tsig):
            yield from self._refuse(wire, peer, dns.rcode.REFUSED, "not_allowed")
        elif query.opcode() != dns.opcode.QUERY or question.name != self._zone.origin:
            yield from self._refuse(wire, peer, dns.rcode.REFUSED, "not_ours")
        elif question.rdtype == dns.rdatatype.SOA or (question.rdtype == dns.rdatatype.IXFR and not over_tcp):
            # To an IXFR over UDP the SOA alone is an answer: come again over TCP (RFC 1995, section 4).
            yield from messages(query, [self._zone.soa(self._zone.entries.serial)])
        elif question.rdtype == dns.rdatatype.IXFR and (known := _serial(query)) is not None:
            self.counters["ixfr"] += 1
            yield from messages(query, self._zone.since(known))
        elif question.rdtype in TRANSFERS and over_tcp:
            self.counters["axfr"] += 1
            yield from messages(query, self._zone.full())
        else:
            yield from self._refuse(wire, peer, dns.rcode.REFUSED, "not_ours")

    def _may_ask(self, peer: str) -> bool:
        address = ip_address(peer.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address.version == network.version and address in network for network in self._terms.allow)

    def _refuse(self, wire: bytes, peer: str, rcode: dns.rcode.Rcode, cause: str) -> Iterator[bytes]:
        """An unsigned refusal: no secret is spent on who does not know one."""
        self.counters[f"refused_{cause}"] += 1
        log.info("event=rpz_refused peer=%s cause=%s", peer, cause)
        try:
            query = dns.message.from_wire(wire, continue_on_error=True, keyring=False)
            response = dns.message.make_response(query)
            response.set_rcode(rcode)
            yield response.to_wire()
        except (dns.exception.DNSException, ValueError):
            self.counters["malformed"] += 1

    # telling

    def _watch(self) -> None:
        """End what has expired, and notify the peers of each new serial, whichever process made it."""
        told = 0
        waiting: dict[Peer, float] = {}
        while not self._stopping.wait(self._poll_s):
            try:
                self._zone.entries.expire(self._now())
                serial = self._zone.entries.serial
            except MitigationError as problem:
                log.warning("event=rpz_unreadable problem=%s", problem)
                continue
            if serial != told:
                told, waiting = serial, dict.fromkeys(self._peers, 0.0)
                self._changed()
            for peer, wait in list(waiting.items()):
                if wait > 0:
                    waiting[peer] = wait - self._poll_s
                elif self._notify(peer):
                    del waiting[peer]
                else:
                    waiting[peer] = PATIENCE_S

    def _notify(self, peer: Peer) -> bool:
        """NOTIFY (RFC 1996); whether the peer answered."""
        message = dns.message.make_query(self._zone.origin, dns.rdatatype.SOA)
        message.set_opcode(dns.opcode.NOTIFY)
        message.flags = (message.flags | dns.flags.AA) & ~dns.flags.RD
        for name, key in self._terms.keys.items():
            message.use_tsig(key, name, algorithm=key.algorithm)
        try:
            inside(self._netns, lambda: dns.query.udp(message, peer.address, timeout=1, port=peer.port))
        except (dns.exception.DNSException, OSError) as problem:
            self.counters["notify_unanswered"] += 1
            log.info("event=rpz_notify_unanswered peer=%s problem=%s", peer.address, problem)
            return False
        self.counters["notified"] += 1
        return True


def _serial(query: dns.message.Message) -> int | None:
    """The serial the asker has: in the authority section (RFC 1995, section 3)."""
    for rrset in query.authority:
        if rrset.rdtype == dns.rdatatype.SOA and rrset:
            return int(rrset[0].serial)
    return None


def _read(connection: socket.socket) -> bytes | None:
    """The next message over TCP (RFC 1035, section 4.2.2); None at the end, or for one longer than any query."""
    head = _exactly(connection, 2)
    if head is None or (length := int(struct.unpack("!H", head)[0])) > QUERY_OCTETS:
        return None
    return _exactly(connection, length)


def _exactly(connection: socket.socket, octets: int) -> bytes | None:
    held = b""
    while len(held) < octets:
        more = connection.recv(octets - len(held))
        if not more:
            return None
        held += more
    return held
