"""A small internet on one machine, for tests on real traffic with real tools.

::

    victim ---- lan [gateway] wan ---- server        (each a network namespace)
                 |
                 tc mirred, both directions
                 |
              mirror ==== tap                        (a pair inside the gateway: what a switch's mirror port gives)

    198.18.1.10, 2001:db8:1::10     the infected host
    198.18.2.53                     resolver: answers for c2.beacon.test and www.good.test
    198.18.2.20, 2001:db8:2::20     command and control server (c2.beacon.test)
    198.18.2.80, 2001:db8:2::80     a harmless server (www.good.test)

The servers are threads of the test with sockets made inside the namespaces. Namespaces vanish with the test, whatever
came of it; every wait is bounded.
"""

import ctypes
import fcntl
import http.client
import http.server
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from tapwarden.mitigation.namespace import inside

VICTIM = ("198.18.1.10", "2001:db8:1::10")
C2 = ("198.18.2.20", "2001:db8:2::20")
GOOD = ("198.18.2.80", "2001:db8:2::80")
RESOLVER = "198.18.2.53"
LISTED, HARMLESS = "c2.beacon.test", "www.good.test"
ZONE = {LISTED: C2, HARMLESS: GOOD}

SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO = 0x17, 0x1F, 0x24, 0x2C
"""linux/sockios.h, linux/ethtool.h."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is live; without root or the tools it is skipped, with the reason."""
    missing = [
        tool for tool in ("ip", "tc", "nft") if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None
    ]
    for item in items:
        if "tests/live/" in item.path.as_posix():
            item.add_marker(pytest.mark.live)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="network namespaces need root"))
            elif missing:
                item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} not installed"))


def ip(*arguments: str) -> None:
    """ip(8), or an error with what it said."""
    _tool("ip", *arguments)


def _tool(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def until(condition: Callable[[], bool], *, within_s: float, what: str) -> float:
    """Wait for a condition; the seconds it took. Fails with ``what`` when the time is over."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - started


@dataclass(frozen=True)
class Network:
    """The namespaces, and what the hosts in them do."""

    victim: str
    gateway: str
    server: str

    def look_up(self, name: str, kind: str = "A") -> list[str]:
        """What the infected host's resolver answers; [] without an answer in half a second."""
        query = dns.message.make_query(name, kind)
        with inside(self.victim, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            sock.setblocking(False)
            try:
                answer = dns.query.udp(query, RESOLVER, timeout=0.5, sock=sock)
            except (dns.exception.Timeout, OSError):
                return []
        return [str(item) for rrset in answer.answer for item in rrset]

    def request(self, address: str, host: str, *, method: str = "GET", path: str = "/", agent: str = "curl/8") -> str:
        """An HTTP request of the infected host; the body, or "" when nothing came back in a second."""
        connection = http.client.HTTPConnection(address, 80)
        try:
            connection.sock = inside(self.victim, lambda: socket.create_connection((address, 80), timeout=1.0))
            headers = {"Host": host, "User-Agent": agent}
            connection.request(method, path, body=b"id=7" if method == "POST" else None, headers=headers)
            return connection.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            connection.close()

    def beacon(self, family: int) -> bool:
        """One beacon: look the server up, tell it we are here. Whether it answered."""
        addresses = self.look_up(LISTED, "A" if family == 4 else "AAAA")
        return bool(addresses) and (
            self.request(addresses[0], LISTED, method="POST", path="/gate.php", agent="Mozilla/4.0 (beacon)")
            == "sleep 60"
        )

    def browse(self, family: int) -> bool:
        """Harmless traffic; whether it passes."""
        addresses = self.look_up(HARMLESS, "A" if family == 4 else "AAAA")
        return bool(addresses) and self.request(addresses[0], HARMLESS) == "hello"


@pytest.fixture
def network() -> Iterator[Network]:
    """The namespaces, wired, mirrored and with their servers running."""
    tag = uuid.uuid4().hex[:6]
    net = Network(*(f"tw{tag}-{role}" for role in ("victim", "gateway", "server")))
    with ExitStack() as cleanup:
        for name in (net.victim, net.gateway, net.server):
            ip("netns", "add", name)
            cleanup.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        _wire(net)
        _mirror(net)
        _serve(net, cleanup)
        until(lambda: net.browse(4) and net.browse(6), within_s=10, what="the network carries traffic")
        yield net


def _wire(net: Network) -> None:
    ip("-n", net.gateway, "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", net.victim)
    ip("-n", net.gateway, "link", "add", "wan", "type", "veth", "peer", "name", "eth0", "netns", net.server)
    ip("-n", net.gateway, "link", "add", "mirror", "type", "veth", "peer", "name", "tap")
    for name, link, addresses in (
        (net.victim, "eth0", VICTIM),
        (net.gateway, "lan", ("198.18.1.1", "2001:db8:1::1")),
        (net.gateway, "wan", ("198.18.2.1", "2001:db8:2::1")),
        (net.server, "eth0", (RESOLVER, *C2, *GOOD)),
    ):
        for address in addresses:
            length, flags = ("64", ["nodad"]) if ":" in address else ("24", [])
            ip("-n", name, "addr", "add", f"{address}/{length}", "dev", link, *flags)
    for name, link in (
        (net.victim, "eth0"),
        (net.server, "eth0"),
        *((net.gateway, link) for link in ("lan", "wan", "mirror", "tap")),
    ):
        if link in ("mirror", "tap"):
            inside(name, lambda link=link: _write(f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6", "1"))  # type: ignore[misc]
        inside(name, lambda link=link: _as_on_a_wire(link))  # type: ignore[misc]
        ip("-n", name, "link", "set", link, "up")
    inside(net.gateway, lambda: _write("/proc/sys/net/ipv4/ip_forward", "1"))
    inside(net.gateway, lambda: _write("/proc/sys/net/ipv6/conf/all/forwarding", "1"))
    ip("-n", net.victim, "route", "add", "default", "via", "198.18.1.1")
    ip("-n", net.victim, "-6", "route", "add", "default", "via", "2001:db8:1::1")
    ip("-n", net.server, "route", "add", "default", "via", "198.18.2.1")
    ip("-n", net.server, "-6", "route", "add", "default", "via", "2001:db8:2::1")


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


def _as_on_a_wire(link: str) -> None:
    """No offloads: between virtual interfaces checksums are never filled in, and packets outgrow any wire."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in (ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM):
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))  # struct ethtool_value
            request = struct.pack("16sP16x", link.encode(), ctypes.addressof(value))  # struct ifreq
            fcntl.ioctl(sock, SIOCETHTOOL, request)


def _mirror(net: Network) -> None:
    _tool("tc", "-n", net.gateway, "qdisc", "add", "dev", "lan", "clsact")
    for direction in ("ingress", "egress"):
        for priority, protocol in enumerate(("ip", "ipv6"), start=1):
            match = ["u32", "match", "u32", "0", "0"]  # everything: matchall is not in every kernel
            action = ["action", "mirred", "egress", "mirror", "dev", "mirror"]
            where = ["dev", "lan", direction, "protocol", protocol, "prio", str(priority)]
            _tool("tc", "-n", net.gateway, "filter", "add", *where, *match, *action)


def _serve(net: Network, cleanup: ExitStack) -> None:
    resolver = inside(net.server, lambda: _bound(RESOLVER, 53, socket.SOCK_DGRAM))
    stop = threading.Event()
    answering = threading.Thread(target=_answer, args=(resolver, stop), name="resolver", daemon=True)
    answering.start()
    cleanup.callback(resolver.close)
    cleanup.callback(answering.join, 5)
    cleanup.callback(stop.set)
    for address in (*C2, *GOOD):
        server = _Site((address, 80), _C2 if address in C2 else _Good, bind_and_activate=False)
        server.socket.close()
        server.socket = inside(net.server, lambda address=address: _bound(address, 80, socket.SOCK_STREAM))  # type: ignore[misc]
        server.server_activate()
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name=f"site-{address}", daemon=True)
        thread.start()
        cleanup.callback(thread.join, 5)
        cleanup.callback(server.server_close)
        cleanup.callback(server.shutdown)


def _bound(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    return sock


def _answer(sock: socket.socket, stop: threading.Event) -> None:
    """A tiny authoritative server for ZONE."""
    sock.settimeout(0.2)
    while not stop.is_set():
        try:
            octets, client = sock.recvfrom(4096)
            query = dns.message.from_wire(octets)
        except (TimeoutError, dns.exception.DNSException):
            continue
        answer = dns.message.make_response(query)
        [question] = query.question
        addresses = ZONE.get(question.name.to_text(omit_final_dot=True).lower())
        if addresses is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            address = addresses[question.rdtype == dns.rdatatype.AAAA]
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", question.rdtype, address))
        sock.sendto(answer.to_wire(), client)


class _Site(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away (its packets are dropped) is what is tested, not an error."""


class _Good(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body = b"hello"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class _C2(_Good):
    body = b"sleep 60"
