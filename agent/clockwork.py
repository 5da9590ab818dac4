"""The clocks of all incidents: follows what becomes of them, tells people when time runs out. State: the case store.

An alarm is recorded in the transaction that writes its notices, so it is given once, whatever ends in between. After an
outage each clock tells only the highest of what it missed. All times are UTC: summer time does not exist here.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tapwarden.agent.report.profile import Profile, applies
from tapwarden.agent.report.timers import LEVELS, merged, rung, timers_of
from tapwarden.agent.report.workdays import Calendar
from tapwarden.model.incident import Grade, Incident
from tapwarden.model.notice import Notice
from tapwarden.model.ports import CaseStore, Clock
from tapwarden.model.report import Stage, StageTimer

log = logging.getLogger(__name__)

ACTOR = "clock"

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ClockRules:
    """Whose clocks run: ``main`` for every incident, ``also`` where their conditions hold.

    ``escalation`` names people by percent of the time used (50, 75, 90, 100).
    """

    main: Profile
    also: Sequence[Profile] = ()
    calendar: Calendar = field(default_factory=Calendar)
    escalation: Mapping[int, Sequence[str]] = field(default_factory=dict)


class Clockwork:
    """Keeps the timers of the case store as the profiles say, and rings."""

    def __init__(
        self,
        cases: CaseStore,
        clock: Clock,
        rules: ClockRules,
        grades: Callable[[Incident], Mapping[str, Grade]],
        drafted: Callable[[Incident, StageTimer], object] = lambda _incident, _timer: None,
    ) -> None:
        """``drafted`` is told of each clock that begins, so that its report is there to be written."""
        self._cases, self._clock, self._rules, self._grades = cases, clock, rules, grades
        self._drafted = drafted

    def profiles_for(self, incident: Incident) -> Sequence[Profile]:
        """The profiles whose clocks run for this incident, the main one first."""
        grades = self._grades(incident)
        return [self._rules.main, *(one for one in self._rules.also if applies(one, incident, grades))]

    def follow(self, incident: Incident) -> Sequence[StageTimer]:
        """Bring the incident's timers up to what it now is. Call it in the transaction that changed it."""
        with self._cases.transaction():
            reports = self._cases.reports(incident_id=incident.id, limit=1000)
            stored = {timer.id: timer for timer in self._cases.timers(incident_id=incident.id)}
            wanted = [
                timer
                for profile in self.profiles_for(incident)
                for timer in timers_of(incident, profile, reports, self._rules.calendar)
            ]
            kept = [merged(stored.get(timer.id), timer) for timer in wanted]
            names = {timer.id for timer in kept}
            kept += [
                replace(gone, next_at=None, dropped="its profile does not apply any more")
                for gone in stored.values()
                if gone.id not in names and not gone.met_at and not gone.dropped
            ]
            for timer in kept:
                before = stored.get(timer.id)
                if before == timer:
                    continue
                self._cases.put_timer(timer)
                begins = before is None or before.starts_at != timer.starts_at
                # The final report of a drill is drafted, though its clock ends with it.
                if begins and timer.met_at is None and (timer.drill or not timer.dropped):
                    self._drafted(incident, timer)
            due = min(
                (timer.due_at for timer in kept if timer.due_at and timer.stage is Stage.EARLY and not timer.dropped),
                default=incident.due_at,
            )
            if due != incident.due_at:
                self._cases.put_incident(replace(incident, due_at=due))
        return kept

    def follow_id(self, incident_id: str) -> None:
        """The same by its number; one that does not exist has no clocks."""
        with self._cases.transaction():
            incident = self._cases.incident(incident_id)
            if incident is not None:
                self.follow(incident)

    def follow_open(self, *, limit: int = 100_000) -> int:
        """Bring the timers of all open incidents up to date: at the start, when profiles may have changed."""
        incidents = self._cases.incidents(open_only=True, limit=limit)
        for incident in incidents:
            self.follow_id(incident.id)
        return len(incidents)

    def ring(self, timer_id: str, now: datetime | None = None) -> int:
        """Tell people of what this timer has passed; of how many percent (0: nothing new)."""
        now = now or self._clock.now()
        with self._cases.transaction():
            timer = self._cases.timer(timer_id)
            if timer is None:
                return 0
            after, percent = rung(timer, now)
            if after != timer:
                self._cases.put_timer(after)
            if not percent:
                return 0
            incident = self._cases.incident(timer.incident_id)
            for notice in self._notices(timer, percent, incident, now):
                if self._cases.notice(notice.id) is None:
                    self._cases.put_notice(notice)
            if percent >= 100:
                detail = f"{timer.profile}/{timer.stage_id} due {timer.due_at:%Y-%m-%dT%H:%M:%SZ}"
                self._cases.audit(actor=ACTOR, verb="clock.overdue", subject=timer.incident_id, detail=detail, at=now)
        level = logging.ERROR if percent >= 100 else logging.WARNING
        due = f"{timer.due_at:%Y-%m-%dT%H:%M:%SZ}"
        log.log(
            level,
            "incident=%s profile=%s stage=%s clock=%d%% due=%s report=not acknowledged",
            timer.incident_id,
            timer.profile,
            timer.stage_id,
            percent,
            due,
        )
        return percent

    def ring_due(self, now: datetime | None = None) -> int:
        """Ring every timer whose time has come; how many told something."""
        now, told, seen = now or self._clock.now(), 0, -1
        while seen != 0:
            waiting = self._cases.timers(ring_by=now, limit=AT_ONCE)
            seen = len(waiting)
            told += sum(self.ring(timer.id, now) > 0 for timer in waiting)
        return told

    def due(self, *, limit: int = 100) -> Sequence[StageTimer]:
        """Running clocks, earliest end first; those without a fixed end last."""
        return self._cases.timers(running=True, limit=limit)

    def _notices(self, timer: StageTimer, percent: int, incident: Incident | None, now: datetime) -> Sequence[Notice]:
        assert timer.due_at is not None
        title = incident.title if incident else timer.incident_id
        drill = "[DRILL] " if timer.drill else ""
        due = f"{timer.due_at:%Y-%m-%d %H:%M:%S} UTC"
        word = LEVELS[percent]
        what = "is overdue" if percent >= 100 else f"has used {percent} % of its time"
        subject = f"{drill}{word}: {timer.stage_id} report of incident {timer.incident_id} {what}"
        text = (
            f"{drill}The {timer.stage_id} report of incident {timer.incident_id} ({title[:200]}) under {timer.profile} "
            f"{what}.\nDue: {due}. Only the receiver's acknowledgement stops this clock."
        )
        people = list(dict.fromkeys(self._rules.escalation.get(percent, ())))
        if incident is not None and incident.responsible and incident.responsible not in people:
            people.append(incident.responsible)
        moment = f"{timer.due_at:%Y%m%dT%H%M%S}"
        return [
            Notice(
                id=f"{timer.id}/{moment}/{percent}/{person}",
                created_at=now,
                level=word,
                to=(person,),
                subject=subject,
                text=text,
                incident_id=timer.incident_id,
                drill=timer.drill,
            )
            for person in people or [""]
        ]
