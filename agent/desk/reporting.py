"""Early reports at the desk: drafted from an incident, edited, signed off."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tapwarden.agent.desk.means import ReportingRules
from tapwarden.agent.report.draft import draft_early
from tapwarden.model.errors import RefusedError, StoreError
from tapwarden.model.event import Event
from tapwarden.model.incident import AlertGroup, Incident
from tapwarden.model.ports import CaseStore, Clock, EventStore
from tapwarden.model.report import Report, ReportState, Stage

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
        reports = self._cases.reports(incident_id=incident.id)
        early = next((report for report in reports if report.stage is Stage.EARLY), None)
        if early is not None and (early.state is not ReportState.DRAFT or early.version > 1):
            return early
        groups = [group for group_id in incident.group_ids[:100] if (group := self._cases.group(group_id))]
        report = draft_early(
            incident,
            groups=groups,
            events=self._evidence(groups),
            decisions=self._cases.decisions(incident_id=incident.id),
            actions=self._cases.actions(incident_id=incident.id),
            reporter=self._rules.reporter,
            profile=self._rules.profile,
            report_id=early.id if early else self._new_id(),
            now=early.created_at if early else self._clock.now(),
        )
        if early is None or early.body != report.body:
            self._cases.put_report(report)
        return report

    def edit(self, report_id: str, body: Mapping[str, Any], *, by: str) -> Report:
        """See the port."""
        report = self._draft(report_id, "changed")
        changed = replace(report, body=dict(body), version=report.version + 1)
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
        if missing := self._rules.profile.missing(report.stage, report.body):
            raise RefusedError(f"the report lacks {', '.join(missing)}", entry=self._rules.profile.id)
        now = self._clock.now()
        ready = replace(report, state=ReportState.READY, signed_off_by=by, next_attempt_at=now)
        with self._cases.transaction():
            self._cases.put_report(ready)
            self._cases.audit(actor=by, verb="report.sign_off", subject=report_id, detail="", at=now)
        return ready

    def release(self, incident: Incident, by: str) -> Report | None:
        """Sign the draft off in a policy's name where the configuration says so; None where not."""
        report = self.draft(incident)
        if not self._rules.auto_send or report.state is not ReportState.DRAFT or self._rules.reporter.obstacle():
            return None
        return self.sign_off(report.id, by=by)

    def _draft(self, report_id: str, what: str) -> Report:
        report = self._cases.report(report_id)
        if report is None:
            raise KeyError(report_id)
        if report.state is not ReportState.DRAFT:
            raise RefusedError(f"only a draft can be {what}; this report is {report.state.value}", entry=report_id)
        return report

    def _evidence(self, groups: Sequence[AlertGroup]) -> list[Event]:
        """The latest alert of each group; none while the event store is away, which must not hold up a report."""
        try:
            found = [self._events.get(group.event_id) for group in groups[:EVIDENCE_EVENTS]]
        except StoreError:
            return []
        return [event for event in found if event is not None]
