"""What live captures share: an engine that lives as long as the collector, time that passes without packets, draining.

A subclass opens its source and gives one batch at a time. When the interface goes away ``batches`` raises SourceError
(retry) and can be called again: flows that were being tracked go on where they were.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tapwarden.collectors.interface import index_of, is_up, require_up
from tapwarden.collectors.numbering import Numbering
from tapwarden.collectors.source import Source
from tapwarden.model.errors import SourceError
from tapwarden.model.event import Event

if TYPE_CHECKING:
    from tapwarden._core import Batch, Engine

POLL_MS = 200
TICK_NS = 1_000_000_000


class LiveCollector(ABC):
    """A Collector on an interface."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._stop = threading.Event()
        self._engine: Engine | None = None
        self._numbering = Numbering(f"live:{source.run}:{source.name}")
        self._counters: dict[str, int] = {}
        self._reopened = -1

    def batches(self) -> Iterator[Sequence[Event]]:
        """See ``Collector``: ends after ``stop``, with the flows that were still open."""
        interface = self._source.interface
        index = require_up(interface)
        engine = self._engine = self._engine or self._source.engine()
        try:
            self._open()
            self._reopened += 1
            ticked = self._source.now_ns()
            while not self._stop.is_set():
                yield self._events(engine, self._take(engine))
                now = self._source.now_ns()
                if now - ticked >= TICK_NS:
                    ticked = now
                    yield self._events(engine, engine.tick(now))
                    self._count(engine)
                    if index_of(interface) != index:
                        raise SourceError(f"interface {interface} was replaced", retry=True)
                    if not is_up(interface):
                        raise SourceError(f"interface {interface} went down", retry=True)
        except OSError as error:
            raise SourceError(f"interface {interface}: {error.strerror or error}", retry=True) from error
        finally:
            self._count(engine)
            self._close()
        yield self._events(engine, engine.drain())
        self._count(engine)

    def _events(self, engine: "Engine", batch: "Batch") -> Sequence[Event]:
        events = self._numbering.events(batch)
        self._source.keep_evidence(engine, events)
        return events

    def stop(self) -> None:
        """See ``Collector``."""
        self._stop.set()

    def counters(self) -> Mapping[str, int]:
        """The engine's counters and ``capture.*`` of the kernel, at most a second old."""
        return self._counters

    def _count(self, engine: "Engine") -> None:
        # Replaced as a whole: other threads read it while the engine runs.
        seen = {"capture.reopened": max(0, self._reopened), **self._kernel_counters()}
        self._counters = {**engine.counters(), **seen}

    @abstractmethod
    def _open(self) -> None:
        """Open the source. Raises SourceError, OSError."""

    @abstractmethod
    def _take(self, engine: "Engine") -> "Batch":
        """What one batch of frames makes, waiting at most POLL_MS for the first. Raises OSError."""

    @abstractmethod
    def _close(self) -> None:
        """Close the source; harmless when it is closed."""

    @abstractmethod
    def _kernel_counters(self) -> Mapping[str, int]:
        """``capture.kernel_packets`` and ``capture.kernel_drops`` since the start."""
