"""Live capture by the native core: a TPACKET_V3 ring, frames never become Python objects."""

from collections.abc import Mapping, Sequence

from tapwarden._core import AfPacket, Batch, Engine
from tapwarden.collectors.interface import link_type
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
                source.interface,
                fanout_group=source.fanout,
                promiscuous=source.promiscuous,
                filter=compiled(source.bpf, source.interface) if source.bpf else (),
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


def compiled(expression: str, interface: str) -> Sequence[tuple[int, int, int, int]]:
    """A filter in tcpdump's language as a classic BPF program, by libpcap through scapy. Raises SourceError."""
    from scapy.arch.common import compile_filter  # noqa: PLC0415 - a second to import, needed with a filter only
    from scapy.error import Scapy_Exception  # noqa: PLC0415

    try:
        program = compile_filter(expression, linktype=link_type(interface))
    except (Scapy_Exception, ImportError, OSError) as error:
        raise SourceError(f"the filter {expression!r} cannot be used: {error}") from error
    return [(i.code, i.jt, i.jf, i.k) for i in program.bf_insns[: program.bf_len]]
