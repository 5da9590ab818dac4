"""The outbox: sends what is due, records what came of it. All its state is in the case store, so a restart loses
nothing."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from tapwarden.agent.coordinate import schedule
from tapwarden.agent.coordinate.schedule import Backoff
from tapwarden.model.errors import ChannelError
from tapwarden.model.incident import IncidentState, TimelineEntry
from tapwarden.model.ports import CaseStore, Channel, Clock, Formatter
from tapwarden.model.report import Receipt, Report, ReportState

log = logging.getLogger(__name__)

ACTOR = "outbox"
LEASE = timedelta(seconds=120)
"""How long one sender has a report to itself: more than a channel may take."""

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
    """Sends ready reports over one channel.

    ``obstacle`` answers with the reason why nothing may be sent at present (no responsible person, no contact), or "".
    ``followed`` is told of each incident a report of which was acknowledged. Several outboxes on one case store do not
    send the same report at the same time, since each claims it first. A report that was acknowledged is never sent
    again; one whose acknowledgement was lost is, under the same id.
    """

    def __init__(
        self,
        store: CaseStore,
        channel: Channel,
        formatter: Formatter,
        *,
        clock: Clock,
        random: Random,
        obstacle: Callable[[], str] = lambda: "",
        backoff: Backoff = Backoff(),  # noqa: B008 - frozen
        lease: timedelta = LEASE,
        followed: Callable[[str], object] = lambda _incident_id: None,
    ) -> None:
        self._store, self._channel, self._formatter = store, channel, formatter
        self._clock, self._random, self._obstacle = clock, random, obstacle
        self._backoff, self._lease, self._followed = backoff, lease, followed

    def send_due(self) -> Round:
        """Send everything that is due now, each once. Raises StoreError when the case store cannot be used."""
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

    def _send(self, report: Report) -> str:
        try:
            incident = self._store.incident(report.incident_id)
            if incident is None:
                raise ValueError("its incident does not exist")
            payload = self._formatter.format(report, incident)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return self._refused(report, f"cannot be written as {self._formatter.name}: {error}")
        try:
            receipt = self._channel.send(report, payload, self._formatter.media_type)
        except ChannelError as error:
            return self._refused(report, str(error)) if error.permanent else self._failed(report, str(error))
        except Exception as error:  # noqa: BLE001 - one report's trouble, whatever it is, never stops the others
            return self._failed(report, f"{type(error).__name__}: {error}")
        return self._sent(report) if receipt is None else self._acknowledged(report, receipt)

    def _sent(self, report: Report) -> str:
        with self._store.transaction():
            if (current := self._own(report)) is not None:
                self._store.put_report(schedule.sent(current))
                self._audit("report.sent", report, f"attempts={report.attempts}", self._clock.now())
        log.info("report=%s sent, waits for its receipt attempts=%d", report.id, report.attempts)
        return "sent"

    def _acknowledged(self, report: Report, receipt: Receipt) -> str:
        now = self._clock.now()
        with self._store.transaction():
            current = self._store.report(report.id) or report
            if current.state is ReportState.ACKNOWLEDGED:  # a sender that took over after our lease was quicker
                return "acknowledged"
            self._store.put_report(schedule.acknowledged(current, receipt))
            incident = self._store.incident(report.incident_id)
            if incident is not None:
                text = f"{report.stage.value} report {report.id} acknowledged as {receipt.number}"
                entry = TimelineEntry(now, "reported", text, ACTOR, now)
                first = incident.state is IncidentState.SUSPECTED
                state = IncidentState.SUBMITTED if first else incident.state
                self._store.put_incident(replace(incident, state=state, timeline=(*incident.timeline, entry)))
            self._followed(report.incident_id)
            late = " late" if now > report.due_at else ""
            self._audit(
                "report.acknowledged", report, f"receipt={receipt.number} attempts={report.attempts}{late}", now
            )
        log.info("report=%s acknowledged receipt=%r attempts=%d", report.id, receipt.number, report.attempts)
        return "acknowledged"

    def _refused(self, report: Report, error: str) -> str:
        with self._store.transaction():
            if (current := self._own(report)) is not None:
                self._store.put_report(schedule.refused(current, error))
                self._audit("report.refused", report, error[: schedule.ERROR_MAX], self._clock.now())
        log.error("report=%s refused error=%r", report.id, error)
        return "refused"

    def _failed(self, report: Report, error: str) -> str:
        with self._store.transaction():
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
