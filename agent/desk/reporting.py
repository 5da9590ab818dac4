"""Reports at the desk: each stage drafted from its incident, edited, signed off."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tapwarden.agent.desk.means import ReportingRules
from tapwarden.agent.report.draft import draft_stage
from tapwarden.agent.report.profile import moments
from tapwarden.model.errors import RefusedError, StoreError
from tapwarden.model.event import Event
from tapwarden.model.incident import AlertGroup, Incident
from tapwarden.model.ports import CaseStore, Clock, EventStore
from tapwarden.model.report import Report, ReportState, Stage, StageTimer

UNSENT = (ReportState.DRAFT, ReportState.READY, ReportState.SENDING, ReportState.SENT, ReportState.REFUSED)

EVIDENCE_EVENTS = 20
"""Alerts named as evidence in a draft: the latest of each group."""


class Drafts:
    """The reports of incidents, until they are ready to be sent."""

    def __init__(
        self, *, cases: CaseStore, events: EventStore, rules: ReportingRules, clock: Clock, new_id: Callable[[], str]
    ) -> None:
        self._cases, self._events, self._rules, self._clock, self._new_id = cases, events, rules, clock, new_id

    def draft(self, incident: Incident) -> Report:
        """The incident's early report: drafted, or drafted again while nobody changed or released it."""
        main = self._rules.profile
        reports = self._cases.reports(incident_id=incident.id)
        own = [report for report in reports if report.profile in ("", main.id)]
        early = next((report for report in own if report.stage is Stage.EARLY), None)
        if early is not None and (early.state is not ReportState.DRAFT or early.version > 1):
            return early
        rule = main.stage(Stage.EARLY)
        due_at = main.deadline(Stage.EARLY, moments(incident), incident.facts) or incident.due_at
        report = self._written(incident, main.id, rule.id, due_at, early, reports)
        if early is None or early.body != report.body:
            self._cases.put_report(report)
        return report

    def draft_timer(self, incident: Incident, timer: StageTimer) -> Report | None:
        """The report that a running clock waits for: drafted, unless one is under way; None where the desk has no such
        profile, or the stage stands in for another (a progress report is drafted as an update)."""
        profile = self._rules.profiles.get(timer.profile, self._rules.profile)
        if profile.id != timer.profile or (profile.id == self._rules.profile.id and timer.stage is Stage.EARLY):
            return None
        reports = self._cases.reports(incident_id=incident.id, limit=1000)
        same = [one for one in reports if (one.profile, one.stage_id) == (timer.profile, timer.stage_id)]
        if any(one.state in UNSENT for one in same):
            return None
        due_at = timer.due_at or incident.due_at
        report = self._written(incident, timer.profile, timer.stage_id, due_at, None, reports)
        self._cases.put_report(report)
        return report

    def redraft(self, report_id: str, *, by: str) -> Report:
        """A draft written anew from what the incident now is; what people edited in it is gone."""
        before = self._draft(report_id, "drafted again")
        incident = self._cases.incident(before.incident_id)
        if incident is None:
            raise KeyError(before.incident_id)
        reports = self._cases.reports(incident_id=incident.id, limit=1000)
        profile = self._rules.profile_of(before)
        stage_id = before.stage_id or profile.stage(before.stage).id
        fresh = self._written(incident, profile.id, stage_id, before.due_at, before, reports)
        changed = replace(fresh, version=before.version + 1)
        with self._cases.transaction():
            self._cases.put_report(changed)
            self._cases.audit(actor=by, verb="report.redraft", subject=report_id, detail="", at=self._clock.now())
        return changed

    def _written(
        self,
        incident: Incident,
        profile_id: str,
        stage_id: str,
        due_at: datetime,
        before: Report | None,
        reports: Sequence[Report],
    ) -> Report:
        profile = self._rules.profiles.get(profile_id, self._rules.profile)
        try:
            rule = profile.rule(stage_id)
        except KeyError:  # what is sent while a stage's incident goes on (StageRule.if_ongoing)
            rule = profile.stage(Stage.FINAL).model_copy(update={"id": stage_id, "kind": Stage.UPDATE, "required": ()})
        groups = [group for group_id in incident.group_ids[:100] if (group := self._cases.group(group_id))]
        return draft_stage(
            incident,
            rule=rule,
            profile=profile,
            groups=groups,
            events=self._evidence(groups),
            decisions=self._cases.decisions(incident_id=incident.id),
            actions=self._cases.actions(incident_id=incident.id),
            reporter=self._rules.reporter,
            report_id=before.id if before else self._new_id(),
            now=before.created_at if before else self._clock.now(),
            due_at=due_at,
            grades=self._rules.grades(incident),
            earlier=[one for one in reports if one.profile in ("", profile_id)],
            receiver=self._rules.receivers.get(profile_id, ""),
        )

    def edit(self, report_id: str, body: Mapping[str, Any], *, by: str) -> Report:
        """See the port."""
        report = self._draft(report_id, "changed")
        changed = replace(report, body=dict(body), version=report.version + 1, state=ReportState.DRAFT)
        with self._cases.transaction():
            self._cases.put_report(changed)
            detail = f"version={changed.version}"
            self._cases.audit(actor=by, verb="report.edit", subject=report_id, detail=detail, at=self._clock.now())
        return changed

    def sign_off(self, report_id: str, *, by: str) -> Report:
        """See the port."""
        report = self._draft(report_id, "signed off")
        if obstacle := self._rules.reporter.obstacle():
            raise RefusedError(obstacle, entry="reporting")
        profile = self._rules.profile_of(report)
        stage: Stage | str = report.stage
        if any(rule.id == report.stage_id for rule in profile.stages):
            stage = report.stage_id
        if missing := profile.missing(stage, report.body):
            raise RefusedError(f"the report lacks {', '.join(missing)}", entry=profile.id)
        now = self._clock.now()
        ready = replace(report, state=ReportState.READY, signed_off_by=by, next_attempt_at=now)
        with self._cases.transaction():
            self._cases.put_report(ready)
            self._cases.audit(actor=by, verb="report.sign_off", subject=report_id, detail="", at=now)
        return ready

    def release(self, incident: Incident, by: str) -> Report | None:
        """Sign the draft off in a policy's name where the configuration says so; None where not."""
        if not self._rules.auto_send or self._rules.reporter.obstacle():
            return None
        report = self.draft(incident)
        if report.state is not ReportState.DRAFT:
            return None
        return self.sign_off(report.id, by=by)

    def _draft(self, report_id: str, what: str) -> Report:
        report = self._cases.report(report_id)
        if report is None:
            raise KeyError(report_id)
        if report.state not in (ReportState.DRAFT, ReportState.REFUSED):
            raise RefusedError(f"only a draft can be {what}; this report is {report.state.value}", entry=report_id)
        return report

    def _evidence(self, groups: Sequence[AlertGroup]) -> list[Event]:
        """The latest alert of each group; none while the event store is away, which must not hold up a report."""
        try:
            found = [self._events.get(group.event_id) for group in groups[:EVIDENCE_EVENTS]]
        except StoreError:
            return []
        return [event for event in found if event is not None]
