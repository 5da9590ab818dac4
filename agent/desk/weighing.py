"""What a standing decision would have hit, without the block waiting for the event store.

A store can take seconds to say that it is away, and enforcement must not wait for one. So a policy's decision is looked
up in a thread of its own: what is known within ``PATIENCE_S`` counts before the decision is carried out; what comes
later is recorded then, and what turns out to take people is suspended until they have spoken.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tapwarden.model.decision import Decision, Impact
from tapwarden.model.errors import StoreError

log = logging.getLogger(__name__)

PATIENCE_S = 0.005
"""How long a policy's decision waits for what the store knows; a quarter of what a block may take in all."""

MOST_WAITING = 1000
"""Looks that wait for the thread; decisions beyond it are carried out without one, which the trail says."""


@dataclass(slots=True, eq=False)
class Look:
    """One decision being looked up; ``problem`` says why nothing is known."""

    decision: Decision
    impact: Impact | None = None
    problem: str = ""
    done: threading.Event = field(default_factory=threading.Event)
    _then: "Callable[[Look], None] | None" = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, seconds: float) -> bool:
        """Whether it is done, at the latest after so long."""
        return self.done.wait(seconds)

    def finish(self, impact: Impact | None, problem: str = "") -> None:
        """Say what was found; called once, by the thread that looked."""
        with self._lock:
            self.impact, self.problem = impact, problem
            self.done.set()
            then = self._then
        if then is not None:
            then(self)

    def follow(self, then: "Callable[[Look], None]") -> None:
        """Have ``then`` called once it is done: now, or by the thread that looks."""
        with self._lock:
            if not self.done.is_set():
                self._then = then
                return
        then(self)


class Weighing:
    """Looks decisions up one after the other. ``look`` asks the store; its thread starts with the first decision."""

    def __init__(self, look: Callable[[Decision], Impact], *, patience_s: float = PATIENCE_S) -> None:
        self._look, self.patience_s = look, patience_s
        self._waiting: queue.Queue[Look] = queue.Queue(MOST_WAITING)
        self._last: Look | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def begin(self, decision: Decision) -> Look:
        """Start looking; the answer is in the look, now or later."""
        with self._starting:
            if self._thread is None:
                # A daemon: a store that never answers must not keep the process from ending.
                self._thread = threading.Thread(target=self._run, name="weighing", daemon=True)
                self._thread.start()
        found = Look(decision)
        try:
            self._waiting.put_nowait(found)
        except queue.Full:
            found.finish(None, f"{MOST_WAITING} decisions wait to be looked up")
        return found

    def known(self, found: Look, since: float | None = None) -> Impact | None:
        """What is known of it within the patience, counted from ``since`` (monotonic); None where nothing is yet.

        While an earlier look is overdue the thread is known to hang: then nobody waits.
        """
        waited = 0.0 if since is None else time.monotonic() - since
        left = max(0.0, self.patience_s - waited)
        if self._last is not None and not self._last.done.is_set():
            left = 0.0
        if not found.wait(left):
            self._last = found
        return found.impact

    def _run(self) -> None:
        while True:
            found = self._waiting.get()
            try:
                found.finish(self._look(found.decision))
            except (StoreError, ValueError) as error:
                found.finish(None, str(error))  # a malformed target is refused by the plan
            except Exception as error:
                # The boundary of the task: one decision that cannot be looked up must not end the looking.
                log.exception("weighing=failed decision=%s", found.decision.id)
                if not found.done.is_set():
                    found.finish(None, f"{type(error).__name__}: {error}")
