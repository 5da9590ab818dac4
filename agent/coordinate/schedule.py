"""When a report is sent again, and what becomes of it. Pure; ``outbox`` does the sending.

    ready --claim--> sending --acknowledged--> acknowledged
      ^                 |----refused---------> refused
      |                 |----sent------------> sent --its receipt comes--> acknowledged
      '----failed-------'   (and a lease that ran out: whoever sent it died)

``next_attempt_at`` is the one clock: of a ready report the next attempt, of one being sent the end of the lease.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from tapwarden.model.report import Receipt, Report, ReportState

ERROR_MAX = 500
"""Characters kept of the last error."""

PENDING = (ReportState.READY, ReportState.SENDING)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay after the n-th failure: ``first_s`` doubled each time up to ``most_s``, of which a random part is waived.

    The jitter is between half of the delay and all of it, so that many agents that lost the same centre do not come
    back in step.
    """

    first_s: float = 5.0
    most_s: float = 300.0

    def delay(self, attempts: int, random: Random) -> timedelta:
        """How long to wait after this many attempts."""
        whole = min(self.first_s * 2.0 ** min(max(attempts - 1, 0), 30), self.most_s)
        return timedelta(seconds=whole * (0.5 + random.random() / 2))


def is_due(report: Report, now: datetime) -> bool:
    """Whether the report waits to be sent and its time has come."""
    return report.state in PENDING and (report.next_attempt_at is None or report.next_attempt_at <= now)


def waits_for_another(report: Report, others: Sequence[Report]) -> bool:
    """Whether another of its incident's reports has to be acknowledged first.

    They go out in the order they were made, since later ones refer to earlier ones; a refused one holds up none.
    """
    place = (report.created_at, report.id)
    return any(other.state in PENDING and (other.created_at, other.id) < place for other in others)


def postponed(report: Report, now: datetime, backoff: Backoff) -> Report:
    """The report while it waits for another: looked at again soon, so that it takes no place among those due."""
    return replace(report, next_attempt_at=now + timedelta(seconds=backoff.first_s))


def claimed(report: Report, now: datetime, lease: timedelta) -> Report:
    """The report while one sender has it; another takes over when the lease has run out."""
    return replace(report, state=ReportState.SENDING, attempts=report.attempts + 1, next_attempt_at=now + lease)


def acknowledged(report: Report, receipt: Receipt) -> Report:
    """The report with its receipt: done."""
    return replace(report, state=ReportState.ACKNOWLEDGED, receipt=receipt, next_attempt_at=None, last_error="")


def sent(report: Report) -> Report:
    """The report that left, whose acknowledgement comes by another way; it is not sent again by itself."""
    return replace(report, state=ReportState.SENT, next_attempt_at=None, last_error="")


def refused(report: Report, error: str) -> Report:
    """The report whose content was refused; a person has to change it."""
    return replace(report, state=ReportState.REFUSED, next_attempt_at=None, last_error=error[:ERROR_MAX])


def failed(report: Report, error: str, now: datetime, backoff: Backoff, random: Random) -> Report:
    """The report to be sent again later."""
    later = now + backoff.delay(report.attempts, random)
    return replace(report, state=ReportState.READY, next_attempt_at=later, last_error=error[:ERROR_MAX])
