"""What is done again and again: keep the kernel as the ledger says, send reports, watch the clocks and ourselves."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tapwarden.agent import keeping
from tapwarden.agent.composition import Parts, checkpoints_of
from tapwarden.agent.evidence import extend_holds
from tapwarden.agent.health import Health
from tapwarden.agent.supervisor import notify
from tapwarden.model.errors import StoreError
from tapwarden.model.ports import Expiring

log = logging.getLogger(__name__)

FAR = datetime(9999, 1, 1, tzinfo=UTC)

RECONCILE_S, SEND_S, CLOCKS_S, STATUS_S, RETENTION_S, CHECKPOINT_S = 5, 3, 30, 5, 600, 600

REST, LONGEST_PAUSE_S = 10, 60.0
"""A full pass over what is in effect takes at most a tenth of the time, and comes at least so often."""


class Duties:
    """The periodic jobs. Each is a boundary: it logs and shows what went wrong, and is tried again at its next turn."""

    def __init__(
        self,
        parts: Parts,
        health: Health,
        counters: Callable[[], Mapping[str, int]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts, self._health, self._counters, self._monotonic = parts, health, counters, monotonic
        self._next_pass = 0.0
        self._drops: dict[str, int] = {}

    def table(self) -> Mapping[Callable[[], None], float]:
        """Each duty and the seconds between its turns."""
        return {
            self.reconcile: RECONCILE_S,
            self.send_reports: SEND_S,
            self.watch_clocks: CLOCKS_S,
            self.look_at_ourselves: STATUS_S,
            self.drop_old: RETENTION_S,
            self.sign_trail: CHECKPOINT_S,
            self.coordinate: self._parts.config.orders.poll.total_seconds(),
        }

    def reconcile(self) -> None:
        """What is in effect becomes what the ledger says: expiries, drift, what a crash left behind.

        With a hundred thousand entries a pass takes seconds: the next one waits then, unless the quick look finds that
        something lost its footing (a flushed rule set) or became protected.
        """
        began = self._monotonic()
        if began < self._next_pass and self._parts.ledger.undisturbed():
            return
        try:
            result = self._parts.ledger.reconcile(self._parts.clock.now())
            took = self._monotonic() - began
            self._next_pass = began + min(LONGEST_PAUSE_S, took * REST)
        except StoreError as error:
            self._health.set("mitigation", "degraded", f"the ledger cannot be read: {error}")
            return
        state = "degraded" if result.problems else "ok"
        enforcing = self._parts.config.mitigation.mode == "enforce"
        if not enforcing and result.problems and not result.failed:
            # A dry run on a host without nft is as it should be.
            state = "ok"
        detail = "; ".join(result.problems) or ("enforcing" if enforcing else "dry run: nothing is changed")
        if self._health.set("mitigation", state, detail, verified=result.verified) and result.problems:
            log.warning("mitigation=%s problems=%r", state, result.problems)

    def coordinate(self) -> None:
        """Orders, determinations and queries in, feedback and answers out."""
        if self._parts.coordination is None:
            self._health.set("orders", "off", "no coordinating centre's orders are followed")
            return
        try:
            turn = self._parts.coordination.turn()
        except StoreError as error:
            self._health.set("orders", "degraded", f"the case store cannot be read: {error}")
            return
        late = f"{turn.overdue} orders wait for people beyond their time" if turn.overdue else ""
        state = "down" if late else "degraded" if turn.problem else "ok"
        detail = "; ".join(part for part in (late, turn.problem) if part)
        if self._health.set("orders", state, detail) and detail:
            log.warning("orders=%s problem=%r", state, detail)

    def sign_trail(self) -> None:
        """A signed checkpoint of the audit trail, where something was done since the last."""
        try:
            head = next(iter(self._parts.cases.audit_records(limit=1)), None)
            if head is not None:
                checkpoints_of(self._parts.layout).take(head.seq, head.hash, self._parts.clock.now())
            self._health.set("audit trail", "ok")
        except StoreError as error:
            if self._health.set("audit trail", "degraded", str(error)):
                log.error("audit_trail=degraded error=%r", str(error))

    def send_reports(self) -> None:
        """One round of the outbox."""
        outbox = self._parts.outbox
        if outbox is None:
            self._health.set("reporting", "off", "no coordinator is configured: reports stay here")
            return
        try:
            outcome = outbox.send_due()
        except StoreError as error:
            self._health.set("reporting", "degraded", f"the case store cannot be read: {error}")
            return
        if outcome.obstacle:
            self._health.set("reporting", "degraded", outcome.obstacle)
        elif outcome.failed:
            self._health.set("reporting", "degraded", "the coordinator did not acknowledge; trying again")
        elif outcome.acknowledged or "reporting" not in self._health.report():
            self._health.set("reporting", "ok")

    def watch_clocks(self) -> None:
        """What the clocks say, and the notices that wait for people. Ringing itself is ``ringing``'s."""
        now, parts = self._parts.clock.now(), self._parts
        try:
            running = parts.clockwork.due(limit=10_000)
            told = parts.notices.deliver_due()
            waiting = parts.cases.notices(waiting_at=FAR, limit=1000)
        except StoreError as error:
            self._health.set("clocks", "degraded", f"the case store cannot be read: {error}")
            return
        late = sum(timer.due_at is not None and timer.due_at <= now and not timer.drill for timer in running)
        warned = sum(0 < timer.warned < 100 for timer in running)
        untold = f"{len(waiting)} notices reached nobody yet" if waiting and not told.delivered else ""
        state = "down" if late else "degraded" if warned or untold else "ok"
        said = (f"{late} overdue" if late else "", f"{warned} past half of their time" if warned else "", untold)
        self._health.set("clocks", state, "; ".join(part for part in said if part), running=len(running))

    def drop_old(self) -> None:
        """Retention, and whether the disk will hold what has to be kept."""
        parts, now = self._parts, self._parts.clock.now()
        try:
            extend_holds(parts)
            if isinstance(parts.events, Expiring):
                for name in parts.events.expire(now):
                    log.info("retention=dropped name=%r", name)
            keeping.drop(parts.config, parts.layout, now)
            parts.orders.forget(now - parts.config.retention.network)
            kept = keeping.examine(parts.config, parts.layout, now)
        except StoreError as error:
            self._health.set("retention", "degraded", str(error))
            return
        warning = "; ".join(kept.warnings)
        if self._health.set("retention", "degraded" if warning else "ok", warning, octets=kept.octets) and warning:
            log.warning("retention=short warning=%r", warning)

    def look_at_ourselves(self) -> None:
        """Drops since the last look, waiting stores, the watchdog."""
        counters = self._counters()
        drops = {
            name: count for name, count in counters.items() if name.endswith(("drops", "dropped", "dropped_events"))
        }
        new = {name: count - self._drops.get(name, 0) for name, count in drops.items()}
        self._drops = drops
        lost = ", ".join(f"{name} +{count}" for name, count in sorted(new.items()) if count > 0)
        if self._health.set("drops", "degraded" if lost else "ok", lost, **drops) and lost:
            log.warning("drops=%r", lost)
        notify(f"WATCHDOG=1\nSTATUS={'; '.join(self._health.problems) or 'watching'}"[:1000])
