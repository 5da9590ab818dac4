"""The path: collect, enrich, keep, triage, plan, guard, mitigator.apply, ledger, report, channel.send.

Collectors hand batches in from their threads; one thread carries them along. Events are kept in the disk spool (which
a thread of its own carries on to the event store), or in the store itself where the source can wait for it. Either, the
case store and the mitigators may fail: capture goes on, what cannot be kept waits in bounded memory, and what has no
room is given up, context before DNS before alerts, and counted.
"""

import logging
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from tapwarden.agent.desk import CaseDesk, Outcome
from tapwarden.agent.enrich import Enrichment
from tapwarden.agent.health import Health
from tapwarden.agent.progress import Progress
from tapwarden.agent.store.classes import EventClass, class_of, kind_of
from tapwarden.agent.store.eve_file import EveFile
from tapwarden.agent.triage.grouping import Sighting, group_alerts
from tapwarden.agent.triage.policy import Matter, Policy, matters
from tapwarden.model.decision import Target
from tapwarden.model.errors import RefusedError, StoreError
from tapwarden.model.event import Event
from tapwarden.model.ports import CaseStore, EventSink

log = logging.getLogger(__name__)

MAX_QUEUED = 256
"""Batches between the collectors and the path."""

MAX_WAITING_EVENTS = 100_000
MAX_WAITING_OCTETS = 256 << 20
MAX_WAITING_SIGHTINGS = 20_000
MAX_WAITING_MATTERS = 20_000
"""What waits for a store that is full, read-only or away."""

BURST = 256
"""Matters decided in one transaction."""
TAKEN_EVENTS = 5000
"""Events of deliveries that are carried together."""
WRITTEN_AT_ONCE = 16
"""Drafts in one transaction: what is to be blocked waits no longer than for these."""
MAX_UNWRITTEN = 2000
"""Incidents whose clocks and drafts wait while others are to be blocked."""

COUNTERS = ("events.stored", "events.waiting", "events.dropped", "alerts", "queue.dropped_events", "path.failures")
"""Counters that are there from the start; others appear when there is something to count."""

RETRY_S = 1.0
"""Between attempts at a store that failed."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch and what to call when it is stored."""

    events: Sequence[Event]
    stored: Callable[[Sequence[Event]], None] | None = None


class Pipeline:
    """Carries deliveries along the path, in the order they came."""

    def __init__(
        self,
        *,
        events: EventSink,
        cases: CaseStore,
        desk: CaseDesk,
        policies: Sequence[Policy],
        enrichments: Sequence[Enrichment],
        health: Health,
        ours: Callable[[str], bool],
        eve_file: EveFile | None = None,
        keeps: str = "events store",
        progress: Progress | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events, self._cases, self._desk = events, cases, desk
        self._policies, self._enrichments, self._health = policies, enrichments, health
        self._ours, self._eve_file, self._keeps, self._monotonic = ours, eve_file, keeps, monotonic
        self._progress = progress
        self._ahead = False
        self._queue: queue.Queue[Delivery | None] = queue.Queue(MAX_QUEUED)
        self._unstored: deque[Delivery] = deque()
        self._waiting_octets = 0
        self._untriaged: deque[Sighting] = deque()
        self._undecided: dict[tuple[str, str, Target | None], Matter] = {}
        self._unwritten: dict[str, Outcome] = {}
        self._counts = Counter(dict.fromkeys(COUNTERS, 0))
        self._failed_at: dict[str, float] = {}

    # the path

    def carry(self, *deliveries: Delivery) -> None:
        """Deliveries, from the collector to the report that the outbox sends; many are carried as one."""
        for delivery in deliveries:
            self._take_in(delivery)
        self.catch_up()

    def _take_in(self, delivery: Delivery) -> None:
        for event in delivery.events:
            for enrichment in self._enrichments:
                enrichment.observe(event)
        self._write_out(delivery.events)
        self._wait_for_store(delivery)
        self._untriaged.extend(group_alerts(delivery.events, self._badges))

    def catch_up(self) -> None:
        """Everything that can be done now, with this delivery and what waited for a store before."""
        with self._reaching("events", self._keeps) as reached:
            if reached:
                self._store()
        with self._reaching("cases", "cases store") as reached:
            if reached:
                self._go_on()
                self._triage()
                self._decide()
                self._settle()
                self._write_up()

    def _store(self) -> None:
        while self._unstored:
            self._counts["events.stored"] += self._events.append(self._unstored[0].events)
            delivery = self._unstored.popleft()
            self._weigh(delivery, -1)
            if delivery.stored is not None:
                delivery.stored(delivery.events)

    def _go_on(self) -> None:
        """Once: where an earlier process ended, with alerts that the spool has and the inbox has not."""
        if self._progress is None or self._progress.known:
            return
        self._progress.find()
        for seq, alerts, counted in self._progress.again():
            sightings = group_alerts(alerts, self._badges)
            if not counted:
                self._counts["alerts.again"] += sum(s.group.count for s in sightings)
                self._count(sightings, seq)
                continue
            groups = {s.group.id: self._cases.group(s.group.id) for s in sightings}
            whole = [replace(s, group=group) for s in sightings if (group := groups[s.group.id]) is not None]
            self._undecided |= self._matters(whole)
        self._progress.known = True

    def _triage(self) -> None:
        if self._untriaged:
            self._count(self._untriaged, self._progress.latest if self._progress else 0)
            self._untriaged.clear()
            self._ahead = self._ahead or bool(self._unstored)

    def _count(self, sightings: Sequence[Sighting], seq: int) -> None:
        """One merge for all sightings, up to this batch; what policies say about the groups as they now are."""
        with self._cases.transaction():
            merged = {group.id: group for group in self._cases.merge_groups([s.group for s in sightings])}
            found = self._matters([replace(s, group=merged.get(s.group.id, s.group)) for s in sightings])
            decided = not found and not self._undecided
            if self._progress is not None:
                self._progress.write_counted(seq, decided=decided)
        if self._progress is not None:
            self._progress.counted(seq, decided=decided)
        self._counts["alerts"] += sum(s.group.count for s in sightings)
        self._undecided |= found

    def _matters(self, sightings: Sequence[Sighting]) -> Mapping[tuple[str, str, Target | None], Matter]:
        return {(m.policy.name, m.subject, m.target): m for m in matters(sightings, self._policies, self._ours)}

    def _settle(self) -> None:
        """Everything that came is counted and decided."""
        if self._progress is not None:
            ahead = self._ahead and not self._unstored
            self._progress.settle(ahead=ahead)
            self._ahead = self._ahead and not ahead

    def _decide(self) -> None:
        """Incident, plan, guard and mitigators (in the ledger) for all matters that are open, many at a time."""
        while self._undecided:
            burst = dict(islice(self._undecided.items(), BURST))
            for outcome in self._desk.act(list(burst.values())):
                for action in outcome.actions:
                    self._counts[f"actions.{action.state.value}"] += 1
                    log.info("action=%s state=%s target=%r", action.id, action.state.value, action.target.value)
                if outcome.changed:
                    self._unwritten[outcome.incident.id] = outcome
            for key in burst:
                del self._undecided[key]

    def _write_up(self) -> None:
        """Clocks and drafts: once nothing waits to be blocked, or too much waits to be written."""
        while self._unwritten and (self._queue.empty() or len(self._unwritten) > MAX_UNWRITTEN):
            part = dict(islice(self._unwritten.items(), WRITTEN_AT_ONCE))
            with self._cases.transaction():
                for incident_id, outcome in part.items():
                    try:
                        self._desk.write_up(outcome)
                    except RefusedError as error:
                        log.warning("incident=%s report=draft reason=%r", incident_id, str(error))
            for incident_id in part:
                del self._unwritten[incident_id]

    # around it

    def submit(self, delivery: Delivery, *, wait: bool) -> None:
        """Hand a batch in. A source that can wait (a file) waits for room; a live one does not: when there is none its
        alerts have a second to find some, all else is dropped and counted."""
        if wait:
            self._queue.put(delivery)
            return
        try:
            self._queue.put_nowait(delivery)
        except queue.Full:
            alerts = [event for event in delivery.events if b'"event_type":"alert"' in event.raw]
            dropped = len(delivery.events) - len(alerts)
            try:
                self._queue.put(Delivery(alerts, delivery.stored), timeout=1)
            except queue.Full:
                dropped += len(alerts)
            self._counts["queue.dropped_events"] += dropped

    def run(self) -> None:
        """Carry what is handed in until ``finish``; meant for a thread of its own."""
        with self._boundary(0):
            self.catch_up()  # with what an earlier process left
        while True:
            taken = self._take()
            deliveries = [delivery for delivery in taken if delivery is not None]
            try:
                for delivery in deliveries:
                    with self._boundary(len(delivery.events)):
                        self._take_in(delivery)
                with self._boundary(sum(len(delivery.events) for delivery in deliveries)):
                    self.catch_up()
            finally:
                for _ in taken:
                    self._queue.task_done()
            if None in taken:
                break
        self._failed_at.clear()
        self.catch_up()

    @contextmanager
    def _boundary(self, events: int) -> Iterator[None]:
        """The boundary of the task: one delivery that cannot be carried ends neither the watch nor the others."""
        try:
            yield
        except Exception:
            self._counts["path.failures"] += 1
            log.exception("path=failed events=%d", events)
            self._health.set("path", "degraded", "a batch could not be carried; see the log")

    def _take(self) -> list[Delivery | None]:
        """What waits: behind a burst the path has many small deliveries, and carries them together."""
        taken: list[Delivery | None] = []
        try:
            taken.append(self._queue.get(timeout=RETRY_S))
            events = len(taken[0].events) if taken[0] else 0
            while taken[-1] is not None and events < TAKEN_EVENTS:
                taken.append(more := self._queue.get_nowait())
                events += len(more.events) if more else 0
        except queue.Empty:
            pass
        return taken

    def wait_until_carried(self) -> None:
        """Wait until everything handed in so far is carried."""
        self._queue.join()

    def finish(self) -> None:
        """Let ``run`` end once everything handed in before is carried."""
        self._queue.put(None)

    def counters(self) -> Mapping[str, int]:
        """What was carried, what waits and what was dropped."""
        waiting = {"queue.batches": self._queue.qsize(), "sightings.waiting": len(self._untriaged)}
        return {
            **self._counts,
            **waiting,
            "matters.waiting": len(self._undecided),
            "drafts.waiting": len(self._unwritten),
        }

    def _write_out(self, events: Sequence[Event]) -> None:
        """Into ``eve.json``, for other programs. What cannot be written there is counted: the store has it."""
        if self._eve_file is None or not events:
            return
        try:
            self._eve_file.append(events)
        except StoreError as error:
            self._counts["eve_file.dropped_events"] += len(events)
            if self._health.set("eve file", "degraded", str(error)):
                log.error("eve_file=degraded error=%r: events are in the store only", str(error))
        else:
            self._health.set("eve file", "ok")

    def _wait_for_store(self, delivery: Delivery) -> None:
        if not delivery.events:
            return
        self._unstored.append(delivery)
        self._weigh(delivery, 1)
        for given_up in EventClass:
            if self._overflows():
                self._give_up(given_up)
        while self._overflows() and len(self._unstored) > 1:  # of alerts the oldest
            self._count_dropped(self._unstored.popleft())

    def _overflows(self) -> bool:
        return self._counts["events.waiting"] > MAX_WAITING_EVENTS or self._waiting_octets > MAX_WAITING_OCTETS

    def _give_up(self, given_up: EventClass) -> None:
        """Let go of all that waits of this class; of alerts nothing."""
        if given_up is EventClass.ALERT:
            return
        for place, delivery in enumerate(self._unstored):
            lost = [event for event in delivery.events if class_of(kind_of(event)) == given_up]
            if lost:
                gone = set(map(id, lost))
                kept = [event for event in delivery.events if id(event) not in gone]
                self._count_dropped(Delivery(lost))
                self._unstored[place] = Delivery(kept, delivery.stored)

    def _count_dropped(self, lost: Delivery) -> None:
        self._weigh(lost, -1)
        self._counts["events.dropped"] += len(lost.events)
        for kind, count in Counter(map(kind_of, lost.events)).items():
            self._counts[f"events.dropped.{kind}"] += count

    def _weigh(self, delivery: Delivery, sign: int) -> None:
        self._counts["events.waiting"] += sign * len(delivery.events)
        self._waiting_octets += sign * sum(len(event.raw) for event in delivery.events)

    @contextmanager
    def _reaching(self, part: str, shown: str) -> Iterator[bool]:
        """Whether it is time to try the store; its failure is said once, counted, and tried again later."""
        failed_at = self._failed_at.get(part)
        if failed_at is not None and self._monotonic() - failed_at < RETRY_S:
            self._bound()
            yield False
            return
        try:
            yield True
        except StoreError as error:
            self._failed_at[part] = self._monotonic()
            self._counts[f"{part}.failures"] += 1
            self._bound()
            if self._health.set(shown, "down", str(error)):
                log.error("part=%r state=down error=%r: watching goes on, what fits waits in memory", shown, str(error))
        else:
            if self._failed_at.pop(part, None) is not None:
                log.warning("part=%r state=ok again", shown)
            self._health.set(shown, "ok")

    def _bound(self) -> None:
        while len(self._untriaged) > MAX_WAITING_SIGHTINGS:
            self._untriaged.popleft()
            self._counts["sightings.dropped"] += 1
        while len(self._undecided) > MAX_WAITING_MATTERS:
            del self._undecided[next(iter(self._undecided))]
            self._counts["matters.dropped"] += 1

    def _badges(self, alert: Event) -> tuple[str, ...]:
        return tuple(name for enrichment in self._enrichments for name in enrichment.badges(alert))
