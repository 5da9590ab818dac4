"""Live capture by the native core: a TPACKET_V3 ring, frames never become Python objects."""

from collections.abc import Mapping

from tapwarden._core import AfPacket, Batch, Engine
from tapwarden.collectors.live import POLL_MS, LiveCollector
from tapwarden.collectors.source import Source
from tapwarden.model.errors import SourceError


class AfPacketCollector(LiveCollector):
    """One engine on its own ring; several share an interface by a fanout group."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._ring: AfPacket | None = None
        self._before = {"capture.kernel_packets": 0, "capture.kernel_drops": 0}

    def _open(self) -> None:
        source = self._source
        try:
            self._ring = AfPacket(
                source.interface, fanout_group=source.fanout, promiscuous=source.promiscuous, bpf=source.bpf
            )
        except PermissionError as error:
            raise SourceError(
                f"no permission to capture on {source.interface}; run as root or grant CAP_NET_RAW", retry=False
            ) from error
        except ValueError as error:
            raise SourceError(f"interface {source.interface}: {error}") from error

    def _take(self, engine: Engine) -> Batch:
        assert self._ring is not None
        return engine.poll(self._ring, POLL_MS)

    def _close(self) -> None:
        if self._ring is not None:
            self._before = dict(self._kernel_counters())
            self._ring.close()
            self._ring = None

    def _kernel_counters(self) -> Mapping[str, int]:
        if self._ring is None:
            return self._before
        return {
            "capture.kernel_packets": self._before["capture.kernel_packets"] + self._ring.kernel_packets,
            "capture.kernel_drops": self._before["capture.kernel_drops"] + self._ring.kernel_drops,
        }
