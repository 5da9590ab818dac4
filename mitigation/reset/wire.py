"""Packets of some hosts seen on an interface, and packets sent: raw sockets of Linux (packet(7), raw(7))."""

import ctypes
import os
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from scapy.arch.common import compile_filter
from scapy.error import Scapy_Exception

from tapwarden.mitigation.target import Connection
from tapwarden.model.errors import MitigationError

ETH_P_ALL = 0x0003
DLT_RAW = 12
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
IPV6_HDRINCL = 36
MOST_TARGETS = 100
"""Targets in one kernel filter, which has 4096 instructions at most; a connection takes some 30."""
NEEDED = 512
"""Octets read of a packet: its headers, and what an ICMP error quotes."""


class Wire:
    """Sees and sends in the network namespace it was made in. Needs CAP_NET_RAW. Raises MitigationError.

    ``interface`` is where packets are seen ("": everywhere). They are sent by the routes of this host; to an end that
    is this host itself nothing is sent: its kernel drops the connection (``close_here``).
    """

    def __init__(self, interface: str = "") -> None:
        opened: list[socket.socket] = []

        def raw(*kind: int) -> socket.socket:
            opened.append(socket.socket(*kind))
            return opened[-1]

        try:
            # Without the link header: VLAN tags and the kind of link do not matter here.
            everywhere = 0 if interface else socket.htons(ETH_P_ALL)
            self._seen = raw(socket.AF_PACKET, socket.SOCK_DGRAM, everywhere)
            self._seen.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
            self._watch(())
            if interface:
                self._seen.bind((interface, ETH_P_ALL))
            self._out4 = raw(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._out6 = raw(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._out6.setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
        except (OSError, MitigationError) as problem:
            for one in opened:
                one.close()
            if isinstance(problem, MitigationError):
                raise
            raise MitigationError(f"packets cannot be seen and sent: {problem.strerror}") from problem
        self._seen.setblocking(False)

    def close(self) -> None:
        """See and send no more."""
        for one in (self._seen, self._out4, self._out6):
            one.close()

    def fileno(self) -> int:
        return self._seen.fileno()

    def watch(self, packets: Sequence[str]) -> None:
        """See these, each in pcap-filter(7)'s words; no others reach this process."""
        if len(packets) > MOST_TARGETS:
            raise MitigationError(f"{len(packets)} targets cannot be watched at once, {MOST_TARGETS} can")
        self._watch(packets)

    def packets(self, most: int = 500) -> Iterator[bytes]:
        """IP packets that are waiting."""
        for _ in range(most):
            try:
                yield self._seen.recv(NEEDED)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as problem:
                raise MitigationError(f"the interface is gone: {problem.strerror}") from problem

    def send(self, packet: bytes) -> bool:
        """Send an IP packet; False where there is no route to its destination."""
        v4 = packet[0] >> 4 == 4
        where = socket.inet_ntop(*((socket.AF_INET, packet[16:20]) if v4 else (socket.AF_INET6, packet[24:40])))
        try:
            (self._out4 if v4 else self._out6).sendto(packet, (where, 0))
        except OSError:
            return False
        return True

    def _watch(self, packets: Sequence[str]) -> None:
        words = " or ".join(packets) or "less 0"
        try:
            program = compile_filter(words, linktype=DLT_RAW)
        except (Scapy_Exception, OSError) as problem:
            raise MitigationError(f"the kernel's filter cannot be made (is libpcap installed?): {problem}") from problem
        octets = ctypes.string_at(program.bf_insns, 8 * program.bf_len)  # struct sock_filter, linux/filter.h
        buffer = ctypes.create_string_buffer(octets)
        given = struct.pack("HL", program.bf_len, ctypes.addressof(buffer))
        try:
            self._seen.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, given)
        except OSError as problem:
            raise MitigationError(f"the kernel refuses the filter: {problem.strerror}") from problem


def own_addresses() -> frozenset[str]:
    """The addresses of this namespace's interfaces."""
    told = subprocess.run(["ip", "-o", "addr", "show"], capture_output=True, text=True, timeout=10, check=False).stdout
    words = (line.split() for line in told.splitlines())
    found = (line[3].partition("/")[0] for line in words if len(line) > 3)
    return frozenset(str(ip_address(one)) for one in found)


def close_here(connection: Connection, own: frozenset[str]) -> bool:
    """Have the kernel drop a connection of this host, with a reset to the other end (SOCK_DESTROY); whether it did."""
    ours, far = connection.low, connection.high
    if str(ours.address) not in own:
        ours, far = far, ours
    if str(ours.address) not in own:
        return False

    def place(address: object) -> str:
        return f"[{address}]" if ":" in str(address) else str(address)

    words = ["src", place(ours.address), "sport", "=", f":{ours.port}"]
    words += ["and", "dst", place(far.address), "dport", "=", f":{far.port}"]
    kind = "-t" if connection.protocol == "tcp" else "-u"
    command = ["ss", "-K", "-H", "-n", kind, *words]
    env = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False, env=env)
    except OSError:
        return False
    return bool(told.stdout.strip())
