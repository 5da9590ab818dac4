"""What the kernel says about an interface: whether it is there, up, and what its frames begin with."""

import fcntl
import socket
import struct
from pathlib import Path

from tapwarden.model.errors import SourceError

_IFF_UP = 1
_SIOCGIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8927  # linux/sockios.h; the answers are struct ifreq of linux/if.h
_NET = Path("/proc/thread-self/net")
# ARPHRD_* of linux/if_arp.h to the link types of https://www.tcpdump.org/linktypes.html
_LINK_TYPES = {1: 1, 772: 1, 65534: 101, 519: 101, 768: 101, 776: 101, 801: 105, 802: 119, 803: 127}


def index_of(interface: str) -> int:
    """Its index, which changes when it is removed and made anew. Raises SourceError (retry) when it is not there."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        known = ", ".join(name for _, name in socket.if_nameindex() if name != "lo")
        raise SourceError(f"interface {interface} is missing (there are: {known})", retry=True) from None


def require_up(interface: str) -> int:
    """Its index when it is up. Raises SourceError (retry)."""
    index = index_of(interface)
    if not is_up(interface):
        raise SourceError(f"interface {interface} is down; bring it up with: ip link set {interface} up", retry=True)
    return index


def is_up(interface: str) -> bool:
    """Whether it is there and administratively up."""
    answer = _ask(interface, _SIOCGIFFLAGS)
    return answer is not None and bool(struct.unpack_from("H", answer, 16)[0] & _IFF_UP)


def link_type(interface: str) -> int:
    """The link type of its frames. Raises SourceError where frames of that hardware cannot be decoded."""
    answer = _ask(interface, _SIOCGIFHWADDR)
    hardware = 1 if answer is None else struct.unpack_from("H", answer, 16)[0]
    if hardware not in _LINK_TYPES:
        raise SourceError(f"interface {interface} has hardware type {hardware}, whose frames cannot be decoded")
    return _LINK_TYPES[hardware]


def default_interface() -> str:
    """The interface of the default route (IPv4 first); "" when there is none."""
    try:
        for line in (_NET / "route").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000" and fields[7] == "00000000":
                return fields[0]
        for line in (_NET / "ipv6_route").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
                return fields[9]
    except (OSError, IndexError):
        pass
    return ""


def _ask(interface: str, request: int) -> bytes | None:
    """The kernel's answer about an interface of this thread's network namespace (sysfs may show another one)."""
    name = interface.encode()[:15]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        try:
            return fcntl.ioctl(channel, request, name.ljust(40, b"\0"))
        except OSError:
            return None
