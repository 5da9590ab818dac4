"""How far along the spool the alerts are in the inbox, and what policies say of them is done.

Between the spool, which has taken an alert, and the inbox, which counts it, a process can end. So two numbers of the
spool's batches are kept beside the cases: up to which one alerts are counted, written in the very transaction that
counts them, and up to which one policies have had their say. What lies behind is looked at again after a restart:
counted once, decided at least once (an open incident and a measure in effect are not made a second time).

Only where the spool itself takes nothing (a full disk) are alerts counted before they are on the disk; a kill within
the moment they then come there counts them twice.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from tapwarden.agent.store.spool import Spool
from tapwarden.model.event import Event


class Places(Protocol):
    """Where numbers are kept, in the transactions of the case store. Methods raise StoreError."""

    def transaction(self) -> AbstractContextManager[None]: ...
    def cursor(self, name: str) -> str: ...
    def set_cursor(self, name: str, value: str) -> None: ...


class Progress:
    """Of one spool, whose alerts it holds until they are decided. Used by the path's thread. Raises StoreError."""

    def __init__(self, spool: Spool, places: Places) -> None:
        self._spool, self._places = spool, places
        self._name = f"triage:{spool.identity}"
        self._counted = self._decided = spool.found_seq
        self.known = False
        spool.hold_alerts()

    def find(self) -> None:
        """Learn how far an earlier process came. What a spool holds that none is known of counts as done."""
        first = self._spool.found_seq
        with self._places.transaction():
            counted, _, decided = self._places.cursor(self._name).partition("/")
            # a power cut may have taken the latest batches: their numbers are given again
            self._counted = min(int(counted), first) if counted else first
            self._decided = min(int(decided), self._counted) if decided else self._counted
            self._write(self._counted, self._decided)

    def again(self) -> Iterator[tuple[int, Sequence[Event], bool]]:
        """Batches whose alerts are to be looked at again: number, alerts, whether they are counted already."""
        for seq, events in self._spool.alerts_after(self._decided):
            yield seq, events, seq <= self._counted

    @property
    def latest(self) -> int:
        """The number of the latest batch."""
        return self._spool.last_seq

    def write_counted(self, seq: int, *, decided: bool) -> None:
        """Alerts up to this batch are counted; ``decided``: and nothing is left to decide. Within the transaction."""
        self._write(seq, seq if decided else self._decided)

    def counted(self, seq: int, *, decided: bool) -> None:
        """That transaction was committed."""
        self._counted = seq
        if decided:
            self._decided = seq

    def settle(self, *, ahead: bool) -> None:
        """Nothing is left to count or to decide. ``ahead``: of some batches the alerts were counted before they came
        into the spool."""
        if self._decided < self._counted or ahead:
            reached = self.latest if ahead else self._counted
            with self._places.transaction():
                self._write(reached, reached)
            self._counted = self._decided = reached
        self._spool.settle(self.latest)

    def _write(self, counted: int, decided: int) -> None:
        self._places.set_cursor(self._name, f"{counted}/{decided}")
