"""Rings clocks in time: APScheduler over the case store's timers, which are its persistent job store.

Each timer with a next moment is a job of one date; the table is read again at every turn, so that what another process
changed counts, and nothing of a job lives only in memory. A turn comes at least every ``TURN_S``: when the system's
clock is set, or the host slept, the jobs that are due by the new time run then.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors.debug import DebugExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import BaseJobStore, JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from tapwarden.agent.clockwork import Clockwork
from tapwarden.model.ports import CaseStore
from tapwarden.model.report import StageTimer

log = logging.getLogger(__name__)

TURN_S = 5.0
FAR = datetime(9999, 1, 1, tzinfo=UTC)
AT_ONCE = 1000


class TimerJobs(BaseJobStore):  # type: ignore[misc]
    """The timers of a case store as APScheduler's job store. Ringing a timer moves it on; nothing else changes it."""

    def __init__(self, cases: CaseStore, clockwork: Clockwork) -> None:
        super().__init__()
        self._cases, self._clockwork = cases, clockwork

    def lookup_job(self, job_id: str) -> Job | None:
        """See APScheduler."""
        timer = self._cases.timer(job_id)
        return self._job(timer) if timer is not None and timer.next_at is not None else None

    def get_due_jobs(self, now: datetime) -> Sequence[Job]:
        """See APScheduler."""
        return [self._job(timer) for timer in self._cases.timers(ring_by=now, limit=AT_ONCE)]

    def get_next_run_time(self) -> datetime | None:
        """See APScheduler."""
        first = self._cases.timers(ring_by=FAR, limit=1)
        return first[0].next_at if first else None

    def get_all_jobs(self) -> Sequence[Job]:
        """See APScheduler."""
        return [self._job(timer) for timer in self._cases.timers(ring_by=FAR, limit=100_000)]

    def add_job(self, job: Job) -> None:
        """Timers come from incidents only."""
        raise NotImplementedError(job.id)

    def update_job(self, job: Job) -> None:
        """See APScheduler; a job that still exists was rung and has moved on."""
        if self._cases.timer(job.id) is None:
            raise JobLookupError(job.id)

    def remove_job(self, job_id: str) -> None:
        """See APScheduler; a rung timer has moved on, which is all there is to remove."""

    def remove_all_jobs(self) -> None:
        """Timers end with their incidents only."""
        raise NotImplementedError

    def _job(self, timer: StageTimer) -> Job:
        return Job(
            self._scheduler,
            id=timer.id,
            func=self._clockwork.ring,
            args=(timer.id,),
            kwargs={},
            name=timer.id,
            trigger=DateTrigger(timer.next_at, timezone=UTC),
            executor="default",
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
            next_run_time=timer.next_at,
        )


class Ringing(BackgroundScheduler):  # type: ignore[misc]
    """The scheduler of the clocks: rings in its own thread, one after the other, and looks again every ``TURN_S``."""

    def __init__(self, cases: CaseStore, clockwork: Clockwork) -> None:
        super().__init__(
            timezone="UTC",
            jobstores={"default": TimerJobs(cases, clockwork)},
            executors={"default": DebugExecutor()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def _process_jobs(self) -> Any:
        wait_s = super()._process_jobs()
        return TURN_S if wait_s is None else min(wait_s, TURN_S)
