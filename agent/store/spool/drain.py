"""Drain: carries what is in the spool to the event store, in order, as fast as the store takes it."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from tapwarden.agent.store.spool.spool import Batch, Spool
from tapwarden.model.errors import StoreError
from tapwarden.model.ports import Batching, EventSink, Flushable

log = logging.getLogger(__name__)

COMMIT_S = 1.0
"""Between writing down positions: after a crash at most so much is offered to the store again, which knows it."""

RETRY_FIRST_S, RETRY_MOST_S = 0.5, 15.0
"""Pauses before a store that failed is tried again: doubled from the first to the most."""

BATCH_EVENTS = 4000
"""Given to the store at once, unless it wants more."""

REFUSED_OCTETS_MAX = 64 << 20
"""Size of the file of records that the store could not make sense of."""

Told = Callable[[str, str], bool]
"""Called with a state ("ok", "down") and a sentence; whether that is news."""


class Drain:
    """``run`` is meant for a thread of its own. ``store`` and ``spool`` outlive it.

    Counters: ``stored``, ``duplicates`` (the store knew them), ``refused`` (in ``refused_file``: records on which the
    store failed in a way it does not say of itself), ``failures`` (attempts).
    """

    def __init__(
        self,
        spool: Spool,
        store: EventSink,
        *,
        refused_file: Path,
        tell: Told,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool, self._store, self._refused_file, self._tell = spool, store, refused_file, tell
        self._monotonic = monotonic
        self._batch_events = store.batch_events if isinstance(store, Batching) else BATCH_EVENTS
        self._counts: Counter[str] = Counter(dict.fromkeys(("stored", "duplicates", "refused", "failures"), 0))
        self._finishing = threading.Event()
        self._deadline = float("inf")
        self._committed_at = monotonic()

    def run(self) -> None:
        """Carry until ``finish``; then what is left, as long as the store takes it and there is time."""
        pause_s = RETRY_FIRST_S
        batch: Batch | None = None
        while True:
            batch = batch or self._spool.take(
                COMMIT_S / 2 if not self._finishing.is_set() else 0, events_max=self._batch_events
            )
            if batch is None and self._finishing.is_set():
                break
            try:
                if batch is not None:
                    self._carry(batch)
                    batch = None
                if self._monotonic() - self._committed_at >= COMMIT_S:
                    self._commit()
            except StoreError as error:
                self._counts["failures"] += 1
                if self._tell("down", f"{error}: what comes waits in the spool"):
                    log.error("store=events state=down error=%r: what comes waits in the spool", str(error))
                if self._finishing.wait(pause_s):
                    break  # the next start goes on from here
                pause_s = min(pause_s * 2, RETRY_MOST_S)
                continue
            pause_s = RETRY_FIRST_S
            if self._tell("ok", ""):
                log.info("store=events state=ok")
            if self._monotonic() > self._deadline:
                break
        try:
            self._commit()
        except StoreError as error:
            log.error("store=events error=%r: it is offered the latest events again at the next start", str(error))

    def finish(self, within_s: float) -> None:
        """Let ``run`` end once the spool is empty, or after this time."""
        self._deadline = self._monotonic() + within_s
        self._finishing.set()
        self._spool.wake()

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait until everything appended so far is stored; whether it is."""
        deadline = self._monotonic() + timeout_s
        while not self._spool.empty:
            if self._monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def counters(self) -> Mapping[str, int]:
        """What was carried."""
        return dict(self._counts)

    def _carry(self, batch: Batch) -> None:
        try:
            new = self._store.append(batch.events)
        except StoreError:
            raise
        except Exception:
            # The boundary of the task: a record the store trips over must not hold up all that come after it.
            log.exception("store=events events=%d: carried one by one", len(batch.events))
            new = self._one_by_one(batch)
        self._counts["stored"] += new
        self._counts["duplicates"] += len(batch.events) - new
        self._spool.confirm(batch.last_seq)

    def _one_by_one(self, batch: Batch) -> int:
        new = 0
        for event in batch.events:
            try:
                new += self._store.append([event])
            except StoreError:
                raise
            except Exception:
                # The same boundary; the record is kept for whoever mends this.
                self._counts["refused"] += 1
                log.exception("store=events refused=%r", event.origin)
                self._set_aside(event.raw)
        return new

    def _set_aside(self, raw: bytes) -> None:
        try:
            with self._refused_file.open("ab") as file:
                if file.tell() < REFUSED_OCTETS_MAX:
                    file.write(raw + b"\n")
        except OSError as error:
            log.error("refused_file=%s error=%r", self._refused_file, error.strerror)

    def _commit(self) -> None:
        if isinstance(self._store, Flushable):
            self._store.flush()  # what the position says is stored must outlive the position
        self._spool.commit()
        self._committed_at = self._monotonic()
