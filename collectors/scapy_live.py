"""Live capture with scapy's link-layer socket: raw frames in batches to the native core, never dissected in Python."""

import logging
import select
import struct
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import scapy.arch
import scapy.layers.l2  # noqa: F401 - the link types that sockets ask for
from scapy.config import conf
from scapy.error import Scapy_Exception

from tapwarden.collectors.interface import link_type
from tapwarden.collectors.live import POLL_MS, LiveCollector
from tapwarden.collectors.source import Source
from tapwarden.model.errors import SourceError

if TYPE_CHECKING:
    from tapwarden._core import Batch, Engine

log = logging.getLogger(__name__)

MAX_FRAMES = 512
"""Frames of one batch: large enough to pay for the call, small enough to stay current."""

_RECEIVE_BUFFER_OCTETS = 32 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h: above net.core.rmem_max, needs CAP_NET_ADMIN
_SO_RCVBUF = 8
_SOL_SOCKET = 1
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h


class ScapyCollector(LiveCollector):
    """One engine fed from scapy's ``conf.L2listen`` socket."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._socket: Any = None
        self._link_type = 1
        self._kernel = {"capture.kernel_packets": 0, "capture.kernel_drops": 0}

    def _open(self) -> None:
        source = self._source
        self._link_type = link_type(source.interface)
        # scapy keeps a list of interfaces; one made anew is not in it.
        conf.ifaces.reload()
        try:
            self._socket = conf.L2listen(iface=source.interface, promisc=source.promiscuous, filter=source.bpf or None)
        except PermissionError as error:
            raise SourceError(
                f"no permission to capture on {source.interface}; run as root or grant CAP_NET_RAW", retry=False
            ) from error
        except (Scapy_Exception, ValueError) as error:
            # A filter that cannot be compiled stays so; an interface that just went away comes back.
            raise SourceError(f"interface {source.interface}: {error}", retry=not source.bpf) from error
        try:
            self._socket.ins.setsockopt(_SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_OCTETS)
        except (OSError, AttributeError):
            log.info("capture buffer=small interface=%s", source.interface)

    def _take(self, engine: "Engine") -> "Batch":
        frames: list[tuple[int, bytes]] = []
        wait_s = POLL_MS / 1000
        deadline = time.monotonic() + wait_s
        while len(frames) < MAX_FRAMES and wait_s >= 0 and select.select([self._socket], [], [], wait_s)[0]:
            _, frame, when = self._socket.recv_raw()
            if frame:
                frames.append((int(when * 1_000_000_000) if when else self._source.now_ns(), frame))
            # After the first frame take what is there already, but never longer than the poll.
            wait_s = 0 if time.monotonic() < deadline else -1
        return engine.feed(frames, self._link_type)

    def _close(self) -> None:
        if self._socket is not None:
            self._kernel = dict(self._kernel_counters())
            self._socket.close()
            self._socket = None

    def _kernel_counters(self) -> Mapping[str, int]:
        if self._socket is None:
            return self._kernel
        try:
            # The kernel starts again from zero at each reading; tp_packets includes the drops.
            packets, drops = struct.unpack("II", self._socket.ins.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        except (OSError, AttributeError):
            return self._kernel
        self._kernel = {
            "capture.kernel_packets": self._kernel["capture.kernel_packets"] + packets,
            "capture.kernel_drops": self._kernel["capture.kernel_drops"] + drops,
        }
        return self._kernel
