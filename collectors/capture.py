"""A capture file, replayed at full speed through an engine."""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tapwarden._core import Batch, CaptureFile, Engine
from tapwarden.collectors.numbering import Numbering
from tapwarden.collectors.source import Source
from tapwarden.model.errors import SourceError
from tapwarden.model.event import Event

BATCH_PACKETS = 2000


class CaptureCollector:
    """A Collector on a file; replaying the same file gives the same events with the same ids.

    ``problem`` says why reading stopped early ("" when it did not).
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.problem = ""
        self._source = source
        self._stop = threading.Event()
        self._counters: dict[str, int] = {}

    def batches(self) -> Iterator[Sequence[Event]]:
        """See ``Collector``."""
        path = self._source.path
        try:
            numbering = Numbering(f"capture:{fingerprint(path)}")
            capture = CaptureFile(str(path))
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror or error}") from error
        except ValueError as error:
            raise SourceError(f"{path}: {error}") from error
        engine = self._source.engine()
        while not self._stop.is_set():
            batch = engine.read(capture, BATCH_PACKETS)
            self._count(engine, capture)
            if batch is None:
                break
            yield self._events(engine, numbering, batch)
        self.problem = capture.problem
        yield self._events(engine, numbering, engine.drain())
        self._count(engine, capture)

    def _events(self, engine: Engine, numbering: Numbering, batch: Batch) -> Sequence[Event]:
        events = numbering.events(batch)
        self._source.keep_evidence(engine, events)
        return events

    def stop(self) -> None:
        """See ``Collector``."""
        self._stop.set()

    def counters(self) -> Mapping[str, int]:
        """The engine's counters, and how far the file is read."""
        return self._counters

    def _count(self, engine: Engine, capture: CaptureFile) -> None:
        self._counters = {
            **engine.counters(),
            "capture.position_octets": capture.position_octets,
            "capture.size_octets": capture.size_octets,
            "capture.problems": int(bool(capture.problem)),
        }


def fingerprint(path: Path) -> str:
    """The file's identity, wherever it lies: its size and its first 64 KiB. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(65_536)
        file.seek(0, 2)
        return hashlib.blake2b(head + str(file.tell()).encode(), digest_size=8).hexdigest()
