"""What a collector is told about where its datum comes from."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tapwarden.model.event import Event
from tapwarden.model.evidence import FlowPackets, Frame
from tapwarden.model.ports import Collector

if TYPE_CHECKING:
    from tapwarden._core import Engine


def _no_engine() -> "Engine":
    raise TypeError("this source needs an engine")


@dataclass(frozen=True, slots=True)
class Source:
    """One source. ``run`` tells engine runs apart (live events are numbered within it).

    ``engine`` makes a fresh engine; ``fanout`` is the group engines of one interface share, 0 for a single one.
    ``bookmark`` is where a followed file's position is kept; ``from_start`` reads what a followed file already holds
    when there is no bookmark. ``evidence`` takes the alerts of each batch and the packets of alerts that were finished.
    """

    name: str
    path: Path = Path()
    interface: str = ""
    engine: Callable[[], "Engine"] = _no_engine
    run: str = ""
    promiscuous: bool = True
    bpf: str = ""
    fanout: int = 0
    bookmark: Path | None = None
    evidence: Callable[[Sequence[Event], Sequence[FlowPackets]], None] | None = None
    from_start: bool = False
    now_ns: Callable[[], int] = field(default=time.time_ns)

    def keep_evidence(self, engine: "Engine", events: Sequence[Event]) -> None:
        """Hand over what came with this batch."""
        if self.evidence is None:
            return
        alerts = [event for event in events if b'"event_type":"alert"' in event.raw]
        packets = [
            FlowPackets(flow, begun_before, [Frame(*frame) for frame in frames])
            for flow, begun_before, frames in engine.evidence()
        ]
        if alerts or packets:
            self.evidence(alerts, packets)


class SourceType(Protocol):
    """How collectors are made."""

    def __call__(self, source: Source) -> Collector: ...
