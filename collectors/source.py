"""What a collector is told about where its datum comes from."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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
    when there is no bookmark.
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
    from_start: bool = False
    now_ns: Callable[[], int] = field(default=time.time_ns)


class SourceType(Protocol):
    """How collectors are made."""

    def __call__(self, source: Source) -> Collector: ...
