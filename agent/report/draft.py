"""The early report, drafted from the evidence. Pure: a person edits and signs it off, or a standing policy does."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tapwarden.agent.report.profile import Profile, moments
from tapwarden.agent.report.reporter import Reporter
from tapwarden.model.decision import Action, ActionState, Decision
from tapwarden.model.event import Event
from tapwarden.model.incident import AlertGroup, Incident, ThreatClass
from tapwarden.model.report import Report, ReportState, Stage

SCHEMA = "tapwarden-report/1"
UNKNOWN = "unknown"
"""A legal value of any field: an early report is never held back for completeness."""

GROUPS_MAX, EVENTS_MAX, NAMES_MAX = 50, 20, 500
"""What is listed of the evidence at most; the counts are of all."""

CLASS_CODES = {
    ThreatClass.MALICIOUS_RESOURCE: 1,
    ThreatClass.MALICIOUS_PROGRAM: 2,
    ThreatClass.HIDDEN_DANGER: 3,
    ThreatClass.EVENT: 4,
    ThreatClass.OTHER: 5,
}
"""Numbers of article 2 of the Measures for Monitoring and Handling Public Internet Cybersecurity Threats."""

SEVERITIES = {1: "high", 2: "medium", 3: "low", 4: "info"}

_IN_EFFECT = {ActionState.APPLIED: "in effect", ActionState.VERIFIED: "verified in effect"}


def draft_early(
    incident: Incident,
    *,
    groups: Sequence[AlertGroup],
    events: Sequence[Event],
    decisions: Sequence[Decision],
    actions: Sequence[Action],
    reporter: Reporter,
    profile: Profile,
    report_id: str,
    now: datetime,
) -> Report:
    """The early report of an incident as a draft. Payloads are never in it: events are named by their ids."""
    due = profile.deadline(Stage.EARLY, moments(incident)) or incident.due_at
    body = {
        "schema": SCHEMA,
        "report_id": report_id,
        "incident_id": incident.id,
        "stage": Stage.EARLY.value,
        "profile": profile.id,
        "drill": incident.drill,
        "created_at": _time(now),
        "due_at": _time(due),
        "reporter": reporter.organisation or UNKNOWN,
        "agent": reporter.agent,
        "contact": {
            "responsible_person": reporter.responsible_person or UNKNOWN,
            "contact_24x7": reporter.contact_24x7 or UNKNOWN,
        },
        "tlp": reporter.tlp,
        "title": incident.title or UNKNOWN,
        "summary": incident.summary or _summary(incident, groups),
        "detected_at": _time(incident.detected_at),
        "occurred_at": _first_seen(groups),
        "category": {
            "code": CLASS_CODES[incident.threat_class],
            "class": incident.threat_class.value,
            "subtype": UNKNOWN,
        },
        "severity": SEVERITIES.get(incident.severity, UNKNOWN),
        "determination": incident.state.value,
        "affected": list(incident.affected[:NAMES_MAX]) or UNKNOWN,
        "indicators": list(incident.indicators[:NAMES_MAX]),
        "measures_taken": _measures(decisions, actions),
        "impact": UNKNOWN,
        "evidence": _evidence(groups, events),
    }
    return Report(
        id=report_id,
        incident_id=incident.id,
        stage=Stage.EARLY,
        state=ReportState.DRAFT,
        version=1,
        created_at=now,
        due_at=due,
        body=body,
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _first_seen(groups: Sequence[AlertGroup]) -> str:
    return _time(min(group.first_seen for group in groups)) if groups else UNKNOWN


def _summary(incident: Incident, groups: Sequence[AlertGroup]) -> str:
    if not groups:
        return incident.title or UNKNOWN
    alerts = sum(group.count for group in groups)
    names = list(dict.fromkeys(group.signature for group in groups))
    others = f" and {len(names) - 3} more" if len(names) > 3 else ""
    first, last = min(group.first_seen for group in groups), max(group.last_seen for group in groups)
    return f"{alerts} alerts between {_time(first)} and {_time(last)}: {', '.join(names[:3])}{others}"


def _measures(decisions: Sequence[Decision], actions: Sequence[Action]) -> list[dict[str, Any]] | str:
    by_decision: dict[str, list[Action]] = {}
    for action in actions:
        by_decision.setdefault(action.decision_id, []).append(action)
    taken: list[dict[str, Any]] = [
        {
            "measure": decision.measure.value,
            "decided_at": _time(decision.decided_at),
            "expires_at": _time(decision.expires_at),
            "authority": {
                "kind": decision.authority.kind.value,
                "name": decision.authority.name,
                "legal_basis": decision.authority.legal_basis,
            },
            "scope": decision.scope,
            "reason": decision.reason,
            "targets": [{"type": target.type.value, "value": target.value} for target in decision.targets],
            "results": [_result(action) for action in by_decision.get(decision.id, [])],
        }
        for decision in decisions
    ]
    return taken or "none"


def _result(action: Action) -> dict[str, Any]:
    return {
        "target": action.target.value,
        "by": action.mitigator,
        "state": action.state.value,
        "effect": "none, a rehearsal" if action.dry_run else _IN_EFFECT.get(action.state, "none"),
        "at": _time(action.applied_at) if action.applied_at else UNKNOWN,
    }


def _evidence(groups: Sequence[AlertGroup], events: Sequence[Event]) -> Mapping[str, Any]:
    ranked = sorted(groups, key=lambda group: (group.severity, -group.count, group.id))
    return {
        "alert_count": sum(group.count for group in groups),
        "alerts": [
            {
                "sid": group.sid,
                "signature": group.signature,
                "category": group.category,
                "count": group.count,
                "first_seen": _time(group.first_seen),
                "last_seen": _time(group.last_seen),
                "source": group.src_ip,
                "destination": group.dest_ip,
                "names": list(group.badges),
            }
            for group in ranked[:GROUPS_MAX]
        ],
        "event_ids": [event.id for event in events[:EVENTS_MAX]],
    }
