"""The packets around an alert, as they are kept."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as captured: nanoseconds since 1970, length on the wire, link type (tcpdump.org/linktypes), octets."""

    ns: int
    wire_octets: int
    linktype: int
    data: bytes


@dataclass(frozen=True, slots=True)
class FlowPackets:
    """What was kept of one flow around an alert, in order; ``flow_id`` 0: a single packet without a flow.

    ``begun_before``: there was more before than the budget or the memory held.
    """

    flow_id: int
    begun_before: bool
    frames: Sequence[Frame]


@dataclass(frozen=True, slots=True)
class PacketEvidence:
    """Packets kept for an alert: ``sha256`` of the pcapng file names it, ``event_id`` is the alert's."""

    event_id: str
    sha256: str
    flow_id: int
    packets: int
    octets: int
    begun_before: bool
    signature: str = ""
