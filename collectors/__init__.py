"""Data in: packets from files and interfaces, events from Suricata. It goes to agent.pipeline.

Each collector is a line in ``COLLECTORS``; the class is imported when it is used (scapy takes a second).
"""

import importlib
from typing import cast

from tapwarden.collectors.source import Source, SourceType
from tapwarden.model.ports import Collector

COLLECTORS: dict[str, str] = {
    "pcap": "tapwarden.collectors.capture:CaptureCollector",
    "afpacket": "tapwarden.collectors.afpacket:AfPacketCollector",
    "scapy": "tapwarden.collectors.scapy_live:ScapyCollector",
    "eve": "tapwarden.collectors.eve:EveCollector",
}


def collector(kind: str, source: Source) -> Collector:
    """A collector of the table on ``source``; nothing is opened before ``batches``. Raises KeyError."""
    module, _, name = COLLECTORS[kind].partition(":")
    cls = cast(SourceType, getattr(importlib.import_module(module), name))
    return cls(source)


__all__ = ["COLLECTORS", "Collector", "Source", "collector"]
