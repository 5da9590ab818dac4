"""The listener: takes whatever comes to the sinkhole addresses, on any port, and makes an event of it. Never a proxy.

Bounded everywhere: connections at a time, seconds and octets for each, events that wait, datagrams a second.
"""

import logging
import queue
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.nft import Nft
from tapwarden.mitigation.sinkhole.certificate import Certificates
from tapwarden.mitigation.sinkhole.divert import Diversion
from tapwarden.mitigation.sinkhole.visit import MOST_OCTETS, Visit, answer
from tapwarden.model.errors import MitigationError, SourceError
from tapwarden.model.event import Event

log = logging.getLogger(__name__)

CONNECTIONS = 64
"""Connections at a time; one more is closed at once, and counted and told as a contact all the same."""
PATIENCE_S = 5.0
"""Seconds for all a client says."""
WAITING_EVENTS = 10_000
"""Events that wait for the path; what comes then is dropped and counted."""
DATAGRAMS_A_SECOND = 1000
"""Datagrams that become events; the rest is counted."""

# linux/in.h and linux/in6.h; Python names none of them
IP_TRANSPARENT, IP_RECVORIGDSTADDR = 19, 20
IPV6_TRANSPARENT, IPV6_RECVORIGDSTADDR = 75, 74

FAMILIES = {
    socket.AF_INET: (socket.SOL_IP, IP_TRANSPARENT, IP_RECVORIGDSTADDR, "0.0.0.0"),
    socket.AF_INET6: (socket.IPPROTO_IPV6, IPV6_TRANSPARENT, IPV6_RECVORIGDSTADDR, "::"),
}


class Sinkhole:
    """A collector of ``sinkhole`` events. The addresses have to be this host's (``ip addr add 198.18.0.9/32 dev lo``).

    ``port`` is where the kernel leads them to; nobody connects to it directly. ``contact`` is shown on the page,
    escaped already. Needs CAP_NET_ADMIN, for the diversion and the transparent socket.
    """

    name = "sinkhole"

    def __init__(
        self,
        *,
        addresses: Sequence[str],
        port: int = 8699,
        keep_octets: int = 64,
        contact: str = "",
        netns: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep, self._netns, self._now, self._monotonic = keep_octets, netns, now, monotonic
        self._port, self._diversion = port, Diversion(addresses, port, Nft(netns))
        self._families = sorted({socket.AF_INET6 if ":" in text else socket.AF_INET for text in addresses})
        self._answer, self._certificates = answer(contact), Certificates()
        self._events: queue.Queue[Event] = queue.Queue(WAITING_EVENTS)
        self._counters: Counter[str] = Counter()
        self._serial, self._second, self._datagrams_in_it = 0, 0, 0
        self._run = f"sinkhole:{self._now():%Y%m%dT%H%M%S.%f}"
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._first_context = self._certificates.context("")
        self._first_context.sni_callback = self._named

    def batches(self) -> Iterator[Sequence[Event]]:
        """See the port: events as clients come; the addresses are taken when it begins and given back at its end."""
        opened: list[socket.socket] = []
        try:
            try:
                opened = inside(self._netns, self._open)
                self._diversion.begin()
            except (OSError, MitigationError) as problem:
                raise SourceError(f"the sinkhole cannot listen: {problem}", retry=True) from problem
            threads = [
                threading.Thread(target=self._serve, args=(one,), name="sinkhole", daemon=True) for one in opened
            ]
            for thread in threads:
                thread.start()
            while not self._stopping.is_set():
                yield self._waiting()
            for thread in threads:
                thread.join(PATIENCE_S)
            yield self._waiting(0)
        finally:
            for one in opened:
                one.close()
            try:
                self._diversion.end()
            except MitigationError as problem:
                log.warning("event=sinkhole_diversion_stays problem=%s", problem)

    def stop(self) -> None:
        """See the port."""
        self._stopping.set()

    def counters(self) -> Mapping[str, int]:
        """Contacts and what of them was dropped."""
        with self._lock:
            return {f"sinkhole.{name}": count for name, count in self._counters.items()}

    def _open(self) -> list[socket.socket]:
        opened: list[socket.socket] = []
        try:
            for family in self._families:
                level, transparent, original, everything = FAMILIES[family]
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    one = socket.socket(family, kind)
                    opened.append(one)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    one.setsockopt(level, transparent, 1)
                    if family == socket.AF_INET6:
                        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    if kind == socket.SOCK_DGRAM:
                        one.setsockopt(level, original, 1)
                    one.bind((everything, self._port))
                    one.settimeout(0.2)
                    if kind == socket.SOCK_STREAM:
                        one.listen(CONNECTIONS)
        except OSError:
            for one in opened:
                one.close()
            raise
        return opened

    def _waiting(self, wait_s: float = 0.5) -> Sequence[Event]:
        """The events that wait now; an empty batch after ``wait_s``."""
        batch: list[Event] = []
        try:
            batch.append(self._events.get(timeout=wait_s) if wait_s else self._events.get_nowait())
            while len(batch) < 1000:
                batch.append(self._events.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _serve(self, opened: socket.socket) -> None:
        take = self._connections if opened.type == socket.SOCK_STREAM else self._datagrams
        while not self._stopping.is_set():
            try:
                take(opened)
            except TimeoutError:
                continue
            except OSError as problem:
                log.debug("event=sinkhole_error problem=%s", problem)
                self._stopping.wait(0.1)

    # TCP

    def _connections(self, listening: socket.socket) -> None:
        connection, (source, source_port, *_) = listening.accept()
        target, port, *_ = connection.getsockname()
        visit = Visit(source, source_port, target, port, "TCP", self._now())
        if not self._places.acquire(blocking=False):
            connection.close()
            self._count("connections_refused")
            self._tell(visit)
            return
        threading.Thread(target=self._receive, args=(connection, visit), name="sinkhole-visit", daemon=True).start()

    def _receive(self, connection: socket.socket, visit: Visit) -> None:
        try:
            with connection:
                self._talk(connection, visit)
        except (OSError, ValueError) as problem:  # what the client did, or that it said nothing
            log.debug("event=sinkhole_visit_broken problem=%s", problem)
        finally:
            self._places.release()
            self._tell(visit)

    def _talk(self, connection: socket.socket, visit: Visit) -> None:
        deadline = self._monotonic() + PATIENCE_S
        connection.settimeout(PATIENCE_S)
        head = connection.recv(3, socket.MSG_PEEK)
        talking: socket.socket = connection
        if head[:2] == b"\x16\x03":  # a TLS handshake record, RFC 8446 section 5.1
            visit.tls = True
            wrapped = self._first_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            talking = wrapped
            try:
                wrapped.do_handshake()
            finally:
                visit.sni = str(getattr(wrapped, "asked_for", ""))[:253].lower()
        with talking:
            while len(visit.first) < MOST_OCTETS:
                left = deadline - self._monotonic()
                if left <= 0:
                    break
                talking.settimeout(left)
                more = talking.recv(MOST_OCTETS - len(visit.first))
                visit.first += more
                if not more or (visit.read_request() and _whole(visit.first)):
                    break
            if visit.method:
                talking.sendall(self._answer)

    def _named(self, wrapped: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        wrapped.asked_for = name or ""  # type: ignore[attr-defined]
        wrapped.context = self._certificates.context(name or "")

    # UDP

    def _datagrams(self, opened: socket.socket) -> None:
        octets, controls, _flags, (source, source_port, *_) = opened.recvmsg(MOST_OCTETS, 256)
        second = int(self._monotonic())
        with self._lock:
            if self._second != second:
                self._second, self._datagrams_in_it = second, 0
            self._datagrams_in_it += 1
            if self._datagrams_in_it > DATAGRAMS_A_SECOND:
                self._counters["datagrams_dropped"] += 1
                return
        target, port = _meant(controls)
        self._tell(Visit(source, source_port, target, port, "UDP", self._now(), first=octets))

    def _tell(self, visit: Visit) -> None:
        with self._lock:
            self._serial += 1
            event = Event(visit.record(self._keep), f"{self._run}:{self._serial}")
        try:
            self._events.put_nowait(event)
            self._count("contacts")
        except queue.Full:
            self._count("events_dropped")

    def _count(self, name: str) -> None:
        with self._lock:
            self._counters[name] += 1


def _whole(request: bytes) -> bool:
    """Whether a request's head is there; its body, if any, is of no interest."""
    return b"\r\n\r\n" in request or b"\n\n" in request


def _meant(controls: Sequence[tuple[int, int, bytes]]) -> tuple[str, int]:
    """Address and port a datagram was sent to: sockaddr_in, or sockaddr_in6, in a control message."""
    for _level, _kind, data in controls:
        (family,) = struct.unpack_from("=H", data)
        (port,) = struct.unpack_from("!H", data, 2)
        if family == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, data[4:8]), port
        if family == socket.AF_INET6:
            return socket.inet_ntop(socket.AF_INET6, data[8:24]), port
    return "", 0
