"""Everything running on one host: collectors, the path, periodic jobs, the dashboard; started and ended in order.

Threads: one for each collector, one for the path, one from the spool to the event store, the scheduler's, one for the
dashboard. At the end collectors drain their engines, the path carries what they gave, the spool what the store takes,
and only then do stores close: nothing that was seen is lost. What the store did not take waits in the spool for the
next start.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from tapwarden.agent.composition import Parts
from tapwarden.agent.duties import Duties
from tapwarden.agent.enrich import ENRICHMENTS
from tapwarden.agent.evidence import EvidenceKeeper
from tapwarden.agent.health import Health
from tapwarden.agent.ordering import reception_of
from tapwarden.agent.pipeline import Delivery, Pipeline
from tapwarden.agent.progress import Progress
from tapwarden.agent.ringing import Ringing
from tapwarden.agent.store.eve_file import EveFile
from tapwarden.agent.store.spool import Drain, Spool
from tapwarden.agent.supervisor import notify
from tapwarden.model.errors import MitigationError, SourceError
from tapwarden.model.ports import Acknowledged, Breakable, Collector, Service

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MOST_S = 1.0, 15.0
"""Pauses before a source that went away is tried again: doubled from the first to the most."""

DRAIN_MOST_S = 60.0
"""How long the end waits for collectors and the path."""


SPOOL_END_S = 5.0
"""What one append that is under way may take beyond that."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A collector, and whether its source can wait (a file) or goes on regardless (an interface)."""

    collector: Collector
    can_wait: bool


class Runtime:
    """Starts, supervises and ends. ``ended`` is set when all collectors have ended by themselves (a replay).

    ``failures`` say what could not be watched, ``incomplete`` what was read in part only.
    """

    def __init__(
        self,
        parts: Parts,
        watched: Sequence[Watched],
        health: Health,
        server: "uvicorn.Server | None" = None,
        eve_file: EveFile | None = None,
        spool: Spool | None = None,
        keeper: EvidenceKeeper | None = None,
    ) -> None:
        self._parts, self._watched, self._health, self._server = parts, watched, health, server
        self.pipeline = Pipeline(
            events=spool or parts.events,
            cases=parts.cases,
            desk=parts.desk,
            policies=parts.policies,
            enrichments=[make() for make in ENRICHMENTS.values()],
            health=health,
            ours=parts.ours,
            eve_file=eve_file,
            keeps="spool" if spool else "events store",
            progress=Progress(spool, parts.places) if spool else None,
        )
        self._spool, self._keeper = spool, keeper
        self._keeping = threading.Thread(target=keeper.run, name="evidence", daemon=True) if keeper else None
        self._drain = spool and Drain(
            spool,
            parts.events,
            refused_file=parts.layout.state(parts.config.spool.path) / "refused.json",
            tell=lambda state, detail: health.set("events store", state, detail),
        )
        self._draining = threading.Thread(target=self._drain.run, name="drain", daemon=True) if self._drain else None
        self._eve_file = eve_file
        self.ended = threading.Event()
        self.failures: dict[str, str] = {}
        self.incomplete: dict[str, str] = {}
        self._stopping = threading.Event()
        self._services: list[Service] = []
        self._collecting = [
            threading.Thread(target=self._collect, args=(one,), name=f"collect-{one.collector.name}", daemon=True)
            for one in watched
        ]
        self._path = threading.Thread(target=self.pipeline.run, name="path", daemon=True)
        self._serving = threading.Thread(target=server.run, name="dashboard", daemon=True) if server else None
        self._duties = Duties(parts, health, self.counters)
        self._ringing = Ringing(parts.cases, parts.clockwork)
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(4)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Start everything; the ledger is reconciled first, so that a restart changes nothing that was decided."""
        for mitigator in self._parts.mitigators:
            if isinstance(mitigator, Service):
                self._serve(mitigator.name, mitigator)
        reception = reception_of(
            self._parts.config, self._parts.layout, self._parts.orders, self._parts.queries, self._parts.clock
        )
        if reception is not None:
            self._serve(reception.name, reception)
        self._duties.reconcile()
        for duty, every_s in self._duties.table().items():
            self._scheduler.add_job(duty, "interval", seconds=every_s, id=duty.__name__)
        self._scheduler.add_job(self._parts.clockwork.follow_open, id="follow_open")
        self._scheduler.start()
        self._ringing.start()
        self._path.start()
        for started in (self._draining, self._keeping):
            if started:
                started.start()
        for thread in self._collecting:
            thread.start()
        if self._serving:
            self._serving.start()
            self._await_dashboard()
        notify("READY=1")

    def stop(self) -> None:
        """Stop collectors, carry what they gave, stop the rest; waits for it."""
        notify("STOPPING=1")
        self._stopping.set()
        for one in self._watched:
            one.collector.stop()
        deadline = time.monotonic() + DRAIN_MOST_S
        for thread in self._collecting:
            thread.join(max(0.1, deadline - time.monotonic()))
        self.pipeline.finish()
        self._path.join(max(1.0, deadline - time.monotonic()))
        if self._path.is_alive() or any(thread.is_alive() for thread in self._collecting):
            log.error("stop=incomplete after_s=%d: what was not carried is lost", DRAIN_MOST_S)
        if self._drain and self._draining:
            self._drain.finish(max(1.0, deadline - time.monotonic()))
            self._draining.join(max(1.0, deadline - time.monotonic()) + SPOOL_END_S)
        if self._keeper and self._keeping:
            self._keeper.finish()
            self._keeping.join(max(1.0, deadline - time.monotonic()))
        if self._eve_file:
            self._eve_file.close()
        self._ringing.shutdown(wait=True)
        self._scheduler.shutdown(wait=True)
        for service in self._services:
            service.stop()
        if self._server and self._serving:
            self._server.should_exit = True
            self._serving.join(10)

    def settle(self) -> None:
        """After a replay: carry everything, then send what is due, so that what comes next sees the whole result."""
        self.pipeline.wait_until_carried()
        if self._drain:
            self._drain.wait_until_empty(DRAIN_MOST_S)
        self._duties.send_reports()

    def counters(self) -> dict[str, int]:
        """The path's, the spool's and all collectors' counters (those summed by name)."""
        total: dict[str, int] = dict(self.pipeline.counters())
        if self._spool and self._drain:
            carried, status = self._drain.counters(), self._spool.status()
            total["events.spooled"] = total["events.stored"]
            total["events.stored"] = carried["stored"]
            total["spool.octets"] = status.size_octets
            total["spool.waiting"] = sum(status.waiting.values())
            shed = {name: count for name, count in status.counters.items() if name.startswith(("shed.", "lost."))}
            total["spool.dropped_events"] = sum(shed.values())
            total |= {f"spool.{name}": count for name, count in status.counters.items()}
            total |= {f"store.{name}": count for name, count in carried.items() if name != "stored"}
        if self._keeper:
            total |= self._keeper.counters()
        for one in self._watched:
            for name, count in one.collector.counters().items():
                total[name] = total.get(name, 0) + count
        return total

    def _collect(self, watched: Watched) -> None:
        """Run one collector until it ends, coming back to a source that went away."""
        collector, pause_s = watched.collector, RETRY_FIRST_S
        part = f"capture {collector.name}"
        stored = collector.acknowledge if isinstance(collector, Acknowledged) else None
        while not self._stopping.is_set():
            try:
                for batch in collector.batches():
                    pause_s = RETRY_FIRST_S
                    if self._health.set(part, "ok"):
                        log.info("capture=%s state=ok", collector.name)
                    if batch:
                        self.pipeline.submit(Delivery(batch, stored), wait=watched.can_wait)
                break
            except SourceError as error:
                if self._health.set(part, "down", str(error)):
                    log.error("capture=%s state=down error=%r retry=%s", collector.name, str(error), error.retry)
                if not error.retry:
                    self.failures[collector.name] = str(error)
                    break
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, RETRY_MOST_S)
            except Exception as error:
                # The boundary of the task: one collector's defect must not end the others, the path and the dashboard.
                log.exception("capture=%s state=failed", collector.name)
                self._health.set(part, "down", f"{type(error).__name__}: {error}")
                self.failures[collector.name] = f"{type(error).__name__}: {error}"
                break
        else:
            return
        if collector.name not in self.failures:
            problem = collector.problem if isinstance(collector, Breakable) else ""
            if problem:
                self.incomplete[collector.name] = problem
                log.error("capture=%s state=incomplete problem=%r", collector.name, problem)
            self._health.set(part, "degraded" if problem else "off", problem or "ended")
        if all(not thread.is_alive() or thread is threading.current_thread() for thread in self._collecting):
            self.ended.set()

    def _serve(self, name: str, service: Service) -> None:
        """Start a service; one that cannot start is shown, and the rest goes on."""
        try:
            service.start()
        except MitigationError as error:
            self._health.set(name, "down", str(error))
            log.error("%s=down error=%r", name, str(error))
            return
        self._services.append(service)
        self._health.set(name, "ok")

    def _await_dashboard(self) -> None:
        deadline = time.monotonic() + timedelta(seconds=20).total_seconds()
        while self._server and not self._server.started and self._serving and self._serving.is_alive():
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        if self._server and self._server.started:
            self._health.set("dashboard", "ok")
        else:
            self._health.set("dashboard", "down", "it did not start; is the port taken?")
            log.error("dashboard=down: it did not start; is the port taken?")
