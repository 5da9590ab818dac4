"""The outbox: sends what is due, records what came of it. All its state is in the case store, so a restart loses
nothing."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from tapwarden.agent.coordinate import schedule
from tapwarden.agent.coordinate.acknowledging import acknowledge
from tapwarden.agent.coordinate.route import OpenGate, Route
from tapwarden.agent.coordinate.schedule import Backoff
from tapwarden.model.errors import ChannelError, RefusedError
from tapwarden.model.ports import Answering, CaseStore, Channel, Clock, Formatter, Gate
from tapwarden.model.report import Departure, Passed, Receipt, Report, ReportState

log = logging.getLogger(__name__)

ACTOR = "outbox"
LEASE = timedelta(seconds=120)
"""How long one sender has a report to itself: more than a channel may take."""

UNCONFIRMED = "(not confirmed)"
"""In place of a receipt, where nobody knows whether the document arrived."""

RECEIVABLE = (ReportState.SENT, ReportState.SENDING, ReportState.READY)

AT_ONCE = 100
"""Reports looked at in one round; those due earliest come first."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did. ``obstacle`` says why nothing at all was sent."""

    acknowledged: int = 0
    failed: int = 0
    refused: int = 0
    sent: int = 0
    obstacle: str = ""


class Outbox:
    """Sends ready reports, each to its receiver.

    ``obstacle`` answers with the reason why nothing may be sent at present (no responsible person, no contact), or "".
    ``followed`` is told of each incident a report of which was acknowledged. Several outboxes on one case store do not
    send the same report at the same time, since each claims it first. A report that was acknowledged is never sent
    again; one whose acknowledgement was lost is, under the same id.
    """

    def __init__(
        self,
        store: CaseStore,
        channel: Channel | None,
        formatter: Formatter,
        *,
        clock: Clock,
        random: Random,
        obstacle: Callable[[], str] = lambda: "",
        backoff: Backoff = Backoff(),  # noqa: B008 - frozen
        lease: timedelta = LEASE,
        followed: Callable[[str], object] = lambda _incident_id: None,
        gate: Gate | None = None,
        routes: Sequence[Route] = (),
    ) -> None:
        """``channel``, ``formatter`` and ``gate`` are the coordinating centre's, ``routes`` lead to other receivers."""
        self._store, self._clock, self._random, self._obstacle = store, clock, random, obstacle
        self._backoff, self._lease, self._followed = backoff, lease, followed
        self._routes = {route.receiver: route for route in routes}
        if channel is not None:
            self._routes[""] = Route("", channel, formatter, gate or OpenGate())

    def send_due(self) -> Round:
        """Send everything that is due now, each once. Raises StoreError when the case store cannot be used."""
        self.collect()
        obstacle = self._obstacle()
        due = self._store.due_reports(self._clock.now(), limit=AT_ONCE)
        if obstacle:
            if due:
                log.error("outbox waiting=%d obstacle=%r", len(due), obstacle)
            return Round(obstacle=obstacle)
        result = Round()
        for report in due:
            taken = self._claim(report.id)
            if taken is None:
                continue
            outcome = self._send(taken)
            result = replace(result, **{outcome: getattr(result, outcome) + 1})
        return result

    def _claim(self, report_id: str) -> Report | None:
        now = self._clock.now()
        with self._store.transaction():
            report = self._store.report(report_id)
            if report is None or not schedule.is_due(report, now):
                return None
            if schedule.waits_for_another(report, self._store.reports(incident_id=report.incident_id, limit=1000)):
                self._store.put_report(schedule.postponed(report, now, self._backoff))
                return None
            taken = schedule.claimed(report, now, self._lease)
            self._store.put_report(taken)
        return taken

    def collect(self) -> int:
        """Record the receipts that came by another way; how many were new. A channel in trouble holds up no other."""
        new = 0
        for route in self._routes.values():
            if not isinstance(route.channel, Answering):
                continue
            try:
                found = route.channel.receipts()
            except ChannelError as error:
                log.warning("receiver=%s receipts=unreadable error=%r", route.receiver, str(error))
                continue
            done = set()
            for report_id, receipt in found:
                report = self._store.report(report_id)
                if report is None or report.receiver != route.receiver:
                    continue
                if report.state in RECEIVABLE:
                    new += self._acknowledged(report, receipt) == "acknowledged"
                done.add(report_id)
            try:
                if done:
                    route.channel.recorded(done)
            except ChannelError as error:
                log.warning("receiver=%s receipts=unreadable error=%r", route.receiver, str(error))
        return new

    def _send(self, report: Report) -> str:
        route = self._routes.get(report.receiver)
        if route is None:
            return self._failed(report, f"no receiver named {report.receiver or 'coordinator'} is configured", None)
        try:
            incident = self._store.incident(report.incident_id)
            if incident is None:
                raise ValueError("its incident does not exist")
            passed = route.gate.passed(report)
            payload = route.formatter.format(passed.report, incident)
            if leak := route.gate.leak(payload):
                raise ValueError(leak)
        except RefusedError as error:
            return self._refused(report, f"the privacy gate refuses it: {error}")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return self._refused(report, f"cannot be written as {route.formatter.name}: {error}")
        left = self._departure(report, route, passed, payload)
        try:
            receipt = route.channel.send(passed.report, payload, route.formatter.media_type)
        except ChannelError as error:
            return self._refused(report, str(error)) if error.permanent else self._failed(report, str(error), left)
        except Exception as error:  # noqa: BLE001 - one report's trouble, whatever it is, never stops the others
            return self._failed(report, f"{type(error).__name__}: {error}", left)
        return self._sent(report, left) if receipt is None else self._acknowledged(report, receipt, left)

    def _departure(self, report: Report, route: Route, passed: Passed, payload: bytes) -> Departure:
        return Departure(
            id=f"{report.id}/{report.version}",
            at=self._clock.now(),
            report_id=report.id,
            incident_id=report.incident_id,
            receiver=report.receiver,
            channel=route.channel.name,
            format=route.formatter.name,
            octets=len(payload),
            sha256=hashlib.sha256(payload).hexdigest(),
            tlp=passed.tlp,
            withheld=passed.withheld,
            pseudonyms=passed.pseudonyms,
            drill=report.body.get("drill") is True,
        )

    def _sent(self, report: Report, left: Departure) -> str:
        with self._store.transaction():
            self._store.put_departure(left)
            if (current := self._own(report)) is not None:
                self._store.put_report(schedule.sent(current))
                self._audit("report.sent", report, f"attempts={report.attempts}", self._clock.now())
        log.info("report=%s sent, waits for its receipt attempts=%d", report.id, report.attempts)
        return "sent"

    def _acknowledged(self, report: Report, receipt: Receipt, left: Departure | None = None) -> str:
        with self._store.transaction():
            if left is not None:
                self._store.put_departure(replace(left, receipt=receipt.number))
            new = acknowledge(self._store, report, receipt, by=ACTOR, now=self._clock.now(), followed=self._followed)
        if new:
            log.info("report=%s acknowledged receipt=%r attempts=%d", report.id, receipt.number, report.attempts)
        return "acknowledged"

    def _refused(self, report: Report, error: str) -> str:
        with self._store.transaction():
            if (current := self._own(report)) is not None:
                self._store.put_report(schedule.refused(current, error))
                self._audit("report.refused", report, error[: schedule.ERROR_MAX], self._clock.now())
        log.error("report=%s refused error=%r", report.id, error)
        return "refused"

    def _failed(self, report: Report, error: str, left: Departure | None) -> str:
        """Tried again later. What may have arrived all the same is among what left the house."""
        with self._store.transaction():
            if left is not None:
                self._store.put_departure(replace(left, receipt=UNCONFIRMED))
            if (current := self._own(report)) is not None:
                later = schedule.failed(current, error, self._clock.now(), self._backoff, self._random)
                self._store.put_report(later)
        log.warning("report=%s failed attempts=%d error=%r", report.id, report.attempts, error)
        return "failed"

    def _own(self, report: Report) -> Report | None:
        """The report as it is now, if our claim still holds: a sender whose lease ran out changes nothing any more."""
        current = self._store.report(report.id)
        if current is None or (current.state, current.attempts) != (report.state, report.attempts):
            return None
        return current

    def _audit(self, verb: str, report: Report, detail: str, at: datetime) -> None:
        self._store.audit(actor=ACTOR, verb=verb, subject=report.id, detail=detail, at=at)
