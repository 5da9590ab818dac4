"""A stage's report, drafted from the evidence. Pure: a person edits and signs it off, or a standing policy does."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tapwarden.agent.report.profile import Profile, StageRule, moments
from tapwarden.agent.report.reporter import Reporter
from tapwarden.model.decision import Action, ActionState, Decision
from tapwarden.model.event import Event
from tapwarden.model.incident import AlertGroup, Grade, Incident, ThreatClass
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
    grades: Mapping[str, Grade] | None = None,
) -> Report:
    """The profile's early report of an incident as a draft."""
    return draft_stage(
        incident,
        rule=profile.stage(Stage.EARLY),
        profile=profile,
        groups=groups,
        events=events,
        decisions=decisions,
        actions=actions,
        reporter=reporter,
        report_id=report_id,
        now=now,
        due_at=profile.deadline(Stage.EARLY, moments(incident), incident.facts) or incident.due_at,
        grades=grades or {},
    )


def draft_stage(
    incident: Incident,
    *,
    rule: StageRule,
    profile: Profile,
    groups: Sequence[AlertGroup],
    events: Sequence[Event],
    decisions: Sequence[Decision],
    actions: Sequence[Action],
    reporter: Reporter,
    report_id: str,
    now: datetime,
    due_at: datetime,
    grades: Mapping[str, Grade],
    earlier: Sequence[Report] = (),
    receiver: str = "",
) -> Report:
    """The report of one stage as a draft: what is known, and ``unknown`` for what the profile asks besides.

    Payloads are never in it: events are named by their ids. ``earlier`` are the incident's reports under this profile.
    """
    measures = _measures(decisions, actions)
    facts = dict(incident.facts)
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "report_id": report_id,
        "incident_id": incident.id,
        "stage": rule.kind.value,
        "stage_id": rule.id,
        "profile": profile.id,
        "drill": incident.drill,
        "created_at": _time(now),
        "due_at": _time(due_at),
        "reporter": reporter.organisation or UNKNOWN,
        "agent": reporter.agent,
        "contact": {
            "responsible_person": incident.responsible or reporter.responsible_person or UNKNOWN,
            "contact_24x7": reporter.contact_24x7 or UNKNOWN,
            "email": reporter.email or UNKNOWN,
        },
        "tlp": reporter.tlp,
        "pap": reporter.pap,
        "title": incident.title or UNKNOWN,
        "summary": incident.summary or _summary(incident, groups),
        "detected_at": _time(incident.detected_at),
        "occurred_at": _first_seen(groups),
        "category": {
            "code": CLASS_CODES[incident.threat_class],
            "class": incident.threat_class.value,
            "subtype": incident.subtype or UNKNOWN,
            **({"text": incident.kind_text} if incident.kind_text else {}),
        },
        "ownership": incident.ownership.value,
        "severity": SEVERITIES.get(incident.severity, UNKNOWN),
        "grades": {name: grade.word for name, grade in grades.items()},
        "determination": incident.state.value,
        "affected": list(incident.affected[:NAMES_MAX]) or UNKNOWN,
        "indicators": list(incident.indicators[:NAMES_MAX]),
        "measures_taken": measures,
        "impact": _impact(incident),
        "facts": facts,
        "evidence": _evidence(groups, events),
    }
    if rule.kind is not Stage.EARLY:
        body |= {
            "prior_ref": _prior(earlier),
            "changes": _changes(incident, earlier),
            "timeline": _timeline(incident),
            "root_cause": facts.get("cause", UNKNOWN),
            "lessons": facts.get("lessons", UNKNOWN),
        }
    wanted = [*rule.required, *(key for fact, keys in rule.required_if.items() if facts.get(fact) for key in keys)]
    for key in wanted:
        if body.get(key) in (None, "", {}):
            body[key] = _known(key, incident, grades, measures)
    return Report(
        id=report_id,
        incident_id=incident.id,
        stage=rule.kind,
        state=ReportState.DRAFT,
        version=1,
        created_at=now,
        due_at=due_at,
        body=body,
        profile=profile.id,
        stage_id=rule.id,
        receiver=receiver,
    )


def _known(key: str, incident: Incident, grades: Mapping[str, Grade], measures: Any) -> Any:
    """What the incident says of a key that only some profiles ask for."""
    facts = incident.facts
    if key.endswith("_at") and (at := incident.moment(key.removesuffix("_at"))) is not None:
        return _time(at)
    if key == "cn_level":
        found = grades.get("cn-nir-2025")
        return found.word if found else UNKNOWN
    if key == "measures_effect":
        taken = measures if isinstance(measures, list) else []
        results = [result["effect"] for measure in taken for result in measure["results"]]
        return {word: results.count(word) for word in dict.fromkeys(results)} or "none"
    named = {
        "suspected_malicious": "malicious",
        "cross_border_possible": "cross_border",
        "cross_border_impact": "cross_border",
        "cause_preliminary": "cause",
        "approx_numbers": "people_data",
        "harm": "loss_cny",
    }
    return facts.get(named.get(key, key), UNKNOWN)


def _impact(incident: Incident) -> Mapping[str, Any] | str:
    names = ("people_data", "users_offline", "loss_cny", "provinces", "cii_outage_minutes", "cii_function_minutes")
    return {name: incident.facts[name] for name in names if name in incident.facts} or UNKNOWN


def _prior(earlier: Sequence[Report]) -> str:
    """The receipt of the last report that was acknowledged, else its id; "none" where this is the first."""
    sent = sorted((one for one in earlier if one.state is not ReportState.DRAFT), key=lambda one: one.created_at)
    if not sent:
        return "none"
    return f"{sent[-1].id} ({sent[-1].receipt.number})" if sent[-1].receipt else sent[-1].id


def _changes(incident: Incident, earlier: Sequence[Report]) -> list[str] | str:
    """What was written down since the last report that was acknowledged."""
    since = max((one.created_at for one in earlier if one.state is ReportState.ACKNOWLEDGED), default=None)
    found = [
        f"{_time(entry.at)} {entry.name}: {entry.text}"
        for entry in incident.timeline
        if since is None or (entry.recorded_at or entry.at) > since
    ]
    return found[-NAMES_MAX:] or UNKNOWN


def _timeline(incident: Incident) -> list[dict[str, Any]] | str:
    entries = sorted(incident.timeline, key=lambda entry: entry.at)[-NAMES_MAX:]
    return [
        {"at": _time(entry.at), "name": entry.name, "text": entry.text, "correction": entry.corrects}
        for entry in entries
    ] or UNKNOWN


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
        "flows": [_flow(event.eve) for event in events[:EVENTS_MAX]],
    }


def _flow(eve: Mapping[str, Any]) -> dict[str, Any]:
    names = ("timestamp", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "community_id")
    return {name: eve[name] for name in names if isinstance(eve.get(name), (str, int))}
