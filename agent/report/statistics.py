"""Figures of a day, a week, a quarter, as the Measures ask for them. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from tapwarden.model.decision import Action, ActionState, AuthorityKind, Decision
from tapwarden.model.incident import Incident, IncidentState
from tapwarden.model.office import Latency, Period, Statistics
from tapwarden.model.report import Report, ReportState

EFFECTIVE = (ActionState.APPLIED, ActionState.VERIFIED)


def bounds(period: Period, at: datetime) -> tuple[datetime, datetime]:
    """First moment of the calendar period of ``at``, and first moment after it, UTC. Weeks begin on Monday."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period is Period.DAY:
        return day, day + timedelta(days=1)
    if period is Period.WEEK:
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    months = {Period.MONTH: 1, Period.QUARTER: 3, Period.YEAR: 12}[period]
    first = day.replace(day=1, month=(day.month - 1) // months * months + 1)
    later = first.month - 1 + months
    return first, first.replace(year=first.year + later // 12, month=later % 12 + 1)


def statistics(
    period: Period,
    at: datetime,
    *,
    incidents: Iterable[Incident],
    reports: Iterable[Report],
    decisions: Iterable[Decision],
    actions: Iterable[Action],
) -> Statistics:
    """The figures; what was detected outside the period is left out."""
    since, until = bounds(period, at)
    within = [one for one in incidents if since <= one.detected_at < until]
    real = {one.id: one for one in within if not one.drill}
    of_reports = [report for report in reports if report.incident_id in real]
    of_decisions = {one.id: one for one in decisions if one.incident_id in real}
    of_actions = [one for one in actions if one.decision_id in of_decisions]
    states = Counter(one.state.value for one in real.values())
    confirmed = sum(one.determined_at is not None and one.state is not IncidentState.REJECTED for one in real.values())
    rejected = states.get(IncidentState.REJECTED.value, 0)
    first = _first_acknowledged(of_reports)
    latencies = {
        "detect_to_report": _latency(at - real[key].detected_at for key, at in first.items()),
        "report_to_determination": _latency(
            one.determined_at - first[one.id] for one in real.values() if one.determined_at and one.id in first
        ),
        "order_to_effective": _latency(
            one.applied_at - of_decisions[one.decision_id].authority.granted_at
            for one in of_actions
            if one.applied_at
            and not one.dry_run
            and of_decisions[one.decision_id].authority.kind is AuthorityKind.ORDER
        ),
    }
    return Statistics(
        period=period,
        since=since,
        until=until,
        incidents=len(real),
        drills=len(within) - len(real),
        by_class=_tables((one.threat_class.value, one.subtype or "unknown") for one in real.values()),
        by_severity=dict(sorted(Counter(one.severity for one in real.values()).items())),
        by_state=dict(states),
        by_ownership=dict(Counter(one.ownership.value for one in real.values())),
        by_measure=_tables((one.measure.value, "rehearsed" if one.dry_run else one.state.value) for one in of_actions),
        reports={
            **Counter(report.state.value for report in of_reports),
            "late": sum(
                report.receipt is not None and report.receipt.received_at > report.due_at for report in of_reports
            ),
        },
        latencies={name: found for name, found in latencies.items() if found is not None},
        series=_series(period, since, until, real.values()),
        false_positives=rejected / (confirmed + rejected) if confirmed + rejected else None,
    )


def _first_acknowledged(reports: Sequence[Report]) -> Mapping[str, datetime]:
    found: dict[str, datetime] = {}
    for report in reports:
        if report.state is ReportState.ACKNOWLEDGED and report.receipt is not None:
            at = report.receipt.received_at
            found[report.incident_id] = min(at, found.get(report.incident_id, at))
    return found


def _latency(spans: Iterable[timedelta]) -> Latency | None:
    seconds = sorted(max(0.0, span.total_seconds()) for span in spans)
    if not seconds:
        return None
    return Latency(len(seconds), _part(seconds, 0.5), _part(seconds, 0.9), seconds[-1])


def _part(ordered: Sequence[float], part: float) -> float:
    """The value that this part of the values does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def _tables(pairs: Iterable[tuple[str, str]]) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, Counter[str]] = {}
    for outer, inner in pairs:
        found.setdefault(outer, Counter())[inner] += 1
    return {outer: dict(inner.most_common()) for outer, inner in sorted(found.items())}


def _series(
    period: Period, since: datetime, until: datetime, incidents: Iterable[Incident]
) -> Sequence[tuple[datetime, int]]:
    """Counts by hour of a day, by day of a week or month, by week of what is longer."""
    step = timedelta(hours=1)
    if period is not Period.DAY:
        step = timedelta(days=1 if period in (Period.WEEK, Period.MONTH) else 7)
    counts = Counter((one.detected_at - since) // step for one in incidents)
    return [(since + n * step, counts.get(n, 0)) for n in range(-((since - until) // step))]
