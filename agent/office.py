"""The Office: figures, requirements and drills, over the parts of this system."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime

from tapwarden.agent.report.statistics import statistics
from tapwarden.model.decision import AuditRecord
from tapwarden.model.office import DrillResult, DrillStep, Period, Requirement, Statistics
from tapwarden.model.ports import CaseStore

MOST = 200_000
"""Incidents, reports, decisions and actions looked at."""

DRILLS = "drills"
"""Under this subject the audit trail keeps the results of drills."""


class CaseOffice:
    """The Office over a case store; ``examine`` reads how the requirements stand."""

    def __init__(self, cases: CaseStore, examine: Callable[[], Sequence[Requirement]]) -> None:
        self._cases, self._examine = cases, examine

    def statistics(self, period: Period, at: datetime) -> Statistics:
        """See the port."""
        return statistics(
            period,
            at,
            incidents=self._cases.incidents(limit=MOST),
            reports=self._cases.reports(limit=MOST),
            decisions=self._cases.decisions(limit=MOST),
            actions=self._cases.actions(limit=MOST),
        )

    def compliance(self) -> Sequence[Requirement]:
        """See the port."""
        return self._examine()

    def drills(self, *, limit: int = 20) -> Sequence[DrillResult]:
        """See the port."""
        return [read_drill(record) for record in self._cases.audit_records(subject=DRILLS, limit=limit)]


def written_drill(result: DrillResult) -> str:
    """A drill's result as the text that the audit trail keeps."""
    return json.dumps(
        {
            "id": result.id,
            "incident_id": result.incident_id,
            "started_at": result.started_at.isoformat(),
            "profile": result.profile,
            "steps": [[s.name, s.expected, s.passed, s.seen[:500], round(s.took_s, 3)] for s in result.steps],
        },
        ensure_ascii=False,
    )


def read_drill(record: AuditRecord) -> DrillResult:
    """A drill's result from the audit trail."""
    told = json.loads(record.detail)
    return DrillResult(
        id=told["id"],
        incident_id=told["incident_id"],
        by=record.actor,
        started_at=datetime.fromisoformat(told["started_at"]),
        ended_at=record.at,
        profile=told["profile"],
        steps=tuple(DrillStep(*step) for step in told["steps"]),
    )
