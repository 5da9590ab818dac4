"""What an acknowledgement does: the report is done, its incident says so and is submitted, its clocks are told."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from tapwarden.agent.coordinate import schedule
from tapwarden.model.incident import IncidentState, TimelineEntry
from tapwarden.model.ports import CaseStore
from tapwarden.model.report import Receipt, Report, ReportState


def acknowledge(
    store: CaseStore, report: Report, receipt: Receipt, *, by: str, now: datetime, followed: Callable[[str], object]
) -> bool:
    """Record the receipt of a report, once; False where it was acknowledged before. Raises StoreError."""
    with store.transaction():
        current = store.report(report.id) or report
        if current.state is ReportState.ACKNOWLEDGED:
            return False
        store.put_report(schedule.acknowledged(current, receipt))
        incident = store.incident(report.incident_id)
        if incident is not None:
            text = f"{report.stage.value} report {report.id} acknowledged as {receipt.number}"
            entry = TimelineEntry(now, "reported", text, by, now)
            first = incident.state is IncidentState.SUSPECTED and incident.closed_at is None
            state = IncidentState.SUBMITTED if first else incident.state
            store.put_incident(replace(incident, state=state, timeline=(*incident.timeline, entry)))
        followed(report.incident_id)
        late = " late" if now > report.due_at else ""
        detail = f"receipt={receipt.number} attempts={report.attempts}{late}"
        store.audit(actor=by, verb="report.acknowledged", subject=report.id, detail=detail, at=now)
    return True
