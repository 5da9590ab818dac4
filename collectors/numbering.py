"""Records of an engine become events with an origin: the run and the record's number in it."""

from typing import TYPE_CHECKING

from tapwarden.model.event import Event

if TYPE_CHECKING:
    from tapwarden._core import Batch


class Numbering:
    """Counts the records of one engine run."""

    def __init__(self, run: str) -> None:
        self._run, self._next = run, 0

    def events(self, batch: "Batch") -> tuple[Event, ...]:
        """The batch's records, in order."""
        first = self._next
        lines = batch.lines()
        self._next += len(lines)
        return tuple(Event(line, f"{self._run}:{first + number}") for number, line in enumerate(lines))
