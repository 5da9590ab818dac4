"""What this host must never cut itself off from, read from the system: its addresses, gateways and resolvers.

Read from procfs, not from ``ip``: there is no tool to miss and no text of a tool to follow. The formats are those of
net/ipv4/fib_trie.c, net/ipv4/route (fib_trie.c, fib_route_seq_show), net/ipv6/addrconf.c and net/ipv6/route.c.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

from tapwarden.mitigation.guard import Protected
from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.target import Address, Network, parse_network

RTF_GATEWAY = 0x2
"""The route leads through a gateway (linux/route.h)."""

RESOLV_CONFS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""The second names the servers behind systemd-resolved's stub, where the first names only 127.0.0.53."""


def of_this_host(*, netns: str = "", resolv_confs: Iterable[Path] = RESOLV_CONFS) -> list[Protected]:
    """Own addresses (and the broadcast addresses of own subnets), gateways and resolvers, as they are now.

    ``netns`` names the network namespace whose addresses and routes count. A file that is not there (IPv6 switched
    off) adds nothing.
    """
    # thread-self, not self: inside() moves only its own thread to another namespace.
    net = Path("/proc/thread-self/net")
    found = inside(netns, lambda: [*own_addresses(net), *gateways(net)])
    return [*found, *resolvers(resolv_confs)]


def own_addresses(net: Path) -> list[Protected]:
    """From ``fib_trie`` (IPv4, local and broadcast) and ``if_inet6``, below ``net``."""
    entries: dict[Network, str] = {}
    address = ""
    for line in _lines(net / "fib_trie"):
        words = line.split()
        if words[:1] == ["|--"] and len(words) == 2:
            address = words[1]
        elif address and words[-1:] == ["LOCAL"]:  # "/32 host LOCAL"; shorter where a whole network is local
            entries.setdefault(ip_network(address + words[0]), "own address")
        elif address and words[-1:] == ["BROADCAST"]:
            entries.setdefault(ip_network(address + words[0]), "broadcast address of an own subnet")
    for line in _lines(net / "if_inet6"):
        words = line.split()
        if len(words) == 6:
            entries.setdefault(ip_network(bytes.fromhex(words[0])), f"own address ({words[5]})")
    return [Protected(value, origin) for value, origin in entries.items()]


def gateways(net: Path) -> list[Protected]:
    """The next hops of all routes, from ``route`` and ``ipv6_route`` below ``net``: not only of the default one."""
    entries: dict[Address, str] = {}
    for line in _lines(net / "route")[1:]:
        words = line.split()
        if len(words) >= 8 and int(words[3], 16) & RTF_GATEWAY:
            # The kernel prints the number in host byte order.
            entries[IPv4Address(struct.pack("=I", int(words[2], 16)))] = f"gateway ({words[0]})"
    for line in _lines(net / "ipv6_route"):
        words = line.split()
        if len(words) >= 10 and int(words[8], 16) & RTF_GATEWAY:
            entries[IPv6Address(bytes.fromhex(words[4]))] = f"gateway ({words[9]})"
    return [Protected(ip_network(value), origin) for value, origin in entries.items() if not value.is_unspecified]


def resolvers(resolv_confs: Iterable[Path]) -> list[Protected]:
    """The ``nameserver`` lines of resolv.conf(5)."""
    entries: dict[Network, str] = {}
    for path in resolv_confs:
        for line in _lines(path):
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1:
                try:
                    entries.setdefault(parse_network(words[1].partition("%")[0]), f"resolver ({path})")
                except ValueError:
                    continue  # resolv.conf is not ours to judge; what is no address cannot be blocked by address
    return [Protected(value, origin) for value, origin in entries.items()]


class Hosts:
    """Hosts the agent depends on, by role ({"coordinator": "soc.example"}): their names and the addresses these have.

    Names are looked up in a thread of its own, again every ``every_s`` seconds: whoever asks for the entries, about to
    block something, never waits for a resolver (save at the first time, for at most ``patience_s``). Addresses once
    known stay protected when a later look-up fails.
    """

    def __init__(
        self,
        named: Mapping[str, str],
        *,
        every_s: float = 60.0,
        patience_s: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s, self._patience_s, self._monotonic = every_s, patience_s, monotonic
        self._names: dict[str, str] = {}
        self._fixed: list[Protected] = []
        for role, host in named.items():
            try:
                self._fixed.append(Protected(parse_network(host.strip("[]")), role))
            except ValueError:
                name = host.lower().rstrip(".")
                self._fixed.append(Protected(name, role))
                self._names[role] = name
        self._found: dict[str, list[Protected]] = {}
        self._lock = threading.Lock()
        self._looked_at: float | None = None

    def entries(self) -> list[Protected]:
        """The names, and the addresses known for them."""
        with self._lock:
            first = self._looked_at is None
            due = first or self._monotonic() - (self._looked_at or 0.0) >= self._every_s
            if due:
                self._looked_at = self._monotonic()
        if due and self._names:
            looking = threading.Thread(target=self._look_up, name="protected-hosts", daemon=True)
            looking.start()
            if first:
                looking.join(self._patience_s)
        with self._lock:
            return [*self._fixed, *(entry for found in self._found.values() for entry in found)]

    def _look_up(self) -> None:
        for role, name in self._names.items():
            try:
                answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except OSError:
                continue
            addresses = sorted({str(answer[4][0]).partition("%")[0] for answer in answers})
            found = [Protected(parse_network(value), f"{role} ({name})") for value in addresses]
            with self._lock:
                self._found[role] = found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
