"""``tapwarden incidents``: what has to be decided on, and its clock."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from tapwarden.agent.cli.group import Group, printable
from tapwarden.agent.cli.output import print_fields, print_json, print_table, when
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.agent.config.quantity import format_duration
from tapwarden.model.incident import FACTS, SET_ONCE, SUBTYPES, Incident, IncidentState, Ownership, ThreatClass

THREAT_CLASS = click.Choice([threat.value for threat in ThreatClass])


def told(value: Any, sentence: str) -> None:
    """What came of it: the value as JSON, or a sentence for people."""
    if invocation().as_json:
        print_json(value)
    else:
        click.echo(printable(sentence))


def left(incident: Incident, now: datetime) -> str:
    """The time until the report has to be acknowledged."""
    return "closed" if incident.closed_at is not None else _left(incident.due_at, now)


def _left(due_at: datetime | None, now: datetime) -> str:
    if due_at is None:
        return ""
    remaining = due_at - now
    if remaining.total_seconds() <= 0:
        return f"overdue {format_duration(-remaining)}"
    return format_duration(remaining)


@click.group(cls=Group)
def incidents() -> None:
    """Incidents: alerts that belong together, their decisions, their clock."""


@incidents.command("list")
@click.option("--all", "everything", is_flag=True, help="Closed ones too.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_incidents(everything: bool, limit: int) -> None:
    """List incidents."""
    with session() as parts:
        found = parts.cases.incidents(open_only=not everything, limit=limit)
        now = parts.clock.now()
    if invocation().as_json:
        print_json(found)
        return
    print_table(
        ["id", "severity", "title", "state", "opened by", "opened", "report due in"],
        [(i.id, i.severity, i.title, i.state, i.opened_by, i.opened_at, left(i, now)) for i in found],
        empty="no incidents" if everything else "no open incidents",
    )


@incidents.command()
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def due(limit: int) -> None:
    """What is due next: every running clock, the one that ends first on top."""
    with session() as parts:
        timers = parts.clockwork.due(limit=limit)
        now = parts.clock.now()
    if invocation().as_json:
        print_json(timers)
        return
    print_table(
        ["incident", "profile", "stage", "due", "left", "told", "drill"],
        [
            (
                timer.incident_id,
                timer.profile,
                timer.stage_id,
                timer.due_at or "no fixed time",
                _left(timer.due_at, now),
                f"{timer.warned} %" if timer.warned else "",
                "drill" if timer.drill else "",
            )
            for timer in timers
        ],
        empty="no clock runs",
    )


@incidents.command()
@click.argument("incident_id")
def show(incident_id: str) -> None:
    """Show one incident with its timeline, decisions, actions and reports."""
    with session() as parts:
        incident = parts.cases.incident(incident_id)
        if incident is None:
            raise KeyError(incident_id)
        decisions = parts.cases.decisions(incident_id=incident_id)
        actions = parts.cases.actions(incident_id=incident_id)
        reports = parts.cases.reports(incident_id=incident_id)
        timers = parts.cases.timers(incident_id=incident_id)
        grades = parts.handling.grades(incident)
    if invocation().as_json:
        print_json(
            {
                "incident": incident,
                "grades": grades,
                "decisions": decisions,
                "actions": actions,
                "reports": reports,
                "clocks": timers,
            }
        )
        return
    print_fields(
        {
            "title": incident.title,
            "state": incident.state,
            "drill": "yes" if incident.drill else "",
            "class": f"{incident.threat_class} / {incident.subtype or 'no sub-type yet'} {incident.kind_text}".strip(),
            "network": incident.ownership,
            "grade": [" ".join([f"{name}: {grade.word}", *grade.because]) for name, grade in grades.items()],
            "facts": [f"{name}={value}" for name, value in incident.facts.items()],
            "responsible": incident.responsible,
            "determined by": incident.determined_by,
            "related": [f"{kind} {other}" for kind, other in incident.related],
            "severity": incident.severity,
            "opened by": incident.opened_by,
            "report due": f"{when(incident.due_at)} ({left(incident, datetime.now(UTC))})",
            "affected": incident.affected[:20],
            "indicators": incident.indicators[:20],
            "summary": incident.summary,
        }
    )
    for entry in incident.timeline:
        mark = " [correction]" if entry.corrects else ""
        line = f"  {when(entry.at)}  {entry.name:<10} {entry.text}{mark} ({entry.by})"
        click.echo(printable(line, keep_newlines=False))
    for note in incident.notes:
        click.echo(printable(f"note {note}"))
    for timer in timers:
        due = when(timer.due_at) if timer.due_at else "no fixed time"
        met = f", met {when(timer.met_at)}" if timer.met_at else f", {timer.dropped}" if timer.dropped else ""
        click.echo(printable(f"clock {timer.profile}/{timer.stage_id}: due {due}{met}"))
    for decision in decisions:
        names = ", ".join(target.value for target in decision.targets)
        click.echo(
            printable(f"decision {decision.id}: {decision.measure.value} {names} until {when(decision.expires_at)}")
        )
        click.echo(printable(f"  {decision.authority.name}: {decision.reason} ({decision.authority.legal_basis})"))
    for action in actions:
        click.echo(printable(f"action {action.id}: {action.state.value} {action.target.value} {action.detail}"))
    for report in reports:
        number = f", receipt {report.receipt.number}" if report.receipt else ""
        click.echo(printable(f"report {report.id}: {report.stage.value} {report.state.value}{number}"))


@incidents.command("open")
@click.argument("group_ids", nargs=-1, required=True)
@click.option("--title", required=True)
@click.option("--class", "threat_class", type=THREAT_CLASS, default=ThreatClass.EVENT.value, show_default=True)
@click.option("--severity", type=click.IntRange(1, 4), default=2, show_default=True)
@click.option("--summary", default="")
@click.option("--drill", is_flag=True, help="An exercise: it says so in the report.")
def open_incident(
    group_ids: tuple[str, ...], title: str, threat_class: str, severity: int, summary: str, drill: bool
) -> None:
    """Open an incident of alert groups."""
    with session() as parts:
        incident = parts.desk.open_incident(
            group_ids,
            title=title,
            threat_class=ThreatClass(threat_class),
            severity=severity,
            by=person(),
            summary=summary,
            drill=drill,
        )
    told(incident, f"incident {incident.id} opened, report due {incident.due_at:%Y-%m-%d %H:%MZ}")


@incidents.command()
@click.argument("incident_id")
@click.option("--reason", required=True)
def close(incident_id: str, reason: str) -> None:
    """Close an incident. Its actions hold until they expire or are rolled back."""
    with session() as parts:
        incident = parts.desk.close_incident(incident_id, by=person(), reason=reason)
    told(incident, f"incident {incident.id} closed")


@incidents.command()
@click.argument("incident_id")
@click.option("--class", "threat_class", type=THREAT_CLASS, required=True)
@click.option("--subtype", required=True, help="One of the class's; a wrong one names them all.")
@click.option("--text", default="", help="What it is, for the class other.")
def classify(incident_id: str, threat_class: str, subtype: str, text: str) -> None:
    """Say what it is: a class of the Measures and a sub-type of the closed list."""
    with session() as parts:
        incident = parts.handling.classify(
            incident_id, threat_class=ThreatClass(threat_class), subtype=subtype, kind_text=text, by=person()
        )
    told(incident, f"incident {incident.id} is {incident.threat_class} / {incident.subtype}")


@incidents.command()
def classes() -> None:
    """The classes, their sub-types, and the facts that grade an incident."""
    if invocation().as_json:
        print_json({"classes": {c.value: list(kinds) for c, kinds in SUBTYPES.items()}, "facts": FACTS})
        return
    print_table(["class", "sub-types"], [(c, ", ".join(kinds)) for c, kinds in SUBTYPES.items()], empty="")
    click.echo()
    print_table(["fact", "kind", "meaning"], [(name, *told_of) for name, told_of in FACTS.items()], empty="")


@incidents.command()
@click.argument("incident_id")
@click.argument("ownership", type=click.Choice([one.value for one in Ownership]))
@click.option("--reason", required=True)
def own(incident_id: str, ownership: str, reason: str) -> None:
    """Say whose network it is in. In a third party's nothing is done; it is reported."""
    with session() as parts:
        incident = parts.handling.attribute(incident_id, ownership=Ownership(ownership), by=person(), reason=reason)
    told(incident, f"incident {incident.id} is in {'our own' if ownership == 'own' else 'a third party’s'} network")


@incidents.command()
@click.argument("incident_id")
@click.argument("facts", nargs=-1, metavar="[FACT=VALUE]...")
@click.option("--severity", type=click.IntRange(1, 4))
def assess(incident_id: str, facts: tuple[str, ...], severity: int | None) -> None:
    """Say what is known of its reach: people_data=1200000 cii=yes loss_cny=unknown ..."""
    with session() as parts:
        incident = parts.handling.assess(incident_id, facts=_pairs(facts), severity=severity, by=person())
        grades = parts.handling.grades(incident)
    if invocation().as_json:
        print_json({"incident": incident, "grades": grades})
        return
    said = "; ".join(f"{name}: {grade.word}" for name, grade in grades.items())
    told(incident, f"incident {incident.id}: {said}")


@incidents.command()
@click.argument("incident_id")
@click.argument("responsible")
def assign(incident_id: str, responsible: str) -> None:
    """Name who answers for it."""
    with session() as parts:
        incident = parts.handling.assign(incident_id, responsible=responsible, by=person())
    told(incident, f"{incident.responsible} answers for incident {incident.id}")


@incidents.command()
@click.argument("incident_id")
@click.argument("text")
def note(incident_id: str, text: str) -> None:
    """Add a note."""
    with session() as parts:
        incident = parts.handling.note(incident_id, text=text, by=person())
    told(incident, f"noted at incident {incident.id}")


@incidents.command()
@click.argument("incident_id")
@click.argument("name", metavar="MOMENT")
@click.option("--at", required=True, help="RFC 3339 with its timezone, or now.")
@click.option("--text", default="")
@click.option("--correct", is_flag=True, help="It was recorded wrongly: this holds instead, the other stays.")
def stamp(incident_id: str, name: str, at: str, text: str, correct: bool) -> None:
    """Record a moment that clocks count from, once."""
    with session() as parts:
        stamped_at = parts.clock.now() if at == "now" else moment(at)
        incident = parts.handling.stamp(incident_id, name=name, at=stamped_at, text=text, correct=correct, by=person())
    told(incident, f"incident {incident.id}: {name} at {when(stamped_at)}")


stamp.epilog = f"Moments set once: {', '.join(SET_ONCE)}; any other name may be recorded again and again."


@incidents.command()
@click.argument("incident_id")
def submit(incident_id: str) -> None:
    """Submit it for determination (an acknowledged report does so by itself)."""
    with session() as parts:
        incident = parts.handling.submit(incident_id, by=person())
    told(incident, f"incident {incident.id} is submitted")


@incidents.command()
@click.argument("incident_id")
@click.argument("state", type=click.Choice(["confirmed", "rejected", "needs_information"]))
@click.option("--reason", required=True)
def determine(incident_id: str, state: str, reason: str) -> None:
    """Confirm or reject it: somebody else than who detected or submitted it."""
    with session() as parts:
        incident = parts.handling.determine(incident_id, state=IncidentState(state), by=person(), reason=reason)
    told(incident, f"incident {incident.id} is {incident.state}")


@incidents.command()
@click.argument("incident_id")
@click.argument("others", nargs=-1, required=True)
@click.option("--reason", required=True)
def merge(incident_id: str, others: tuple[str, ...], reason: str) -> None:
    """Merge other incidents into the first one named."""
    with session() as parts:
        incident = parts.handling.merge(incident_id, others, by=person(), reason=reason)
    told(incident, f"{len(others)} merged into incident {incident.id}, report due {when(incident.due_at)}")


@incidents.command()
@click.argument("incident_id")
@click.argument("group_ids", nargs=-1, required=True)
@click.option("--title", default="")
@click.option("--reason", required=True)
def split(incident_id: str, group_ids: tuple[str, ...], title: str, reason: str) -> None:
    """Make a new incident of some of its alert groups; its clock starts when the old one's did."""
    with session() as parts:
        incident = parts.handling.split(incident_id, group_ids, title=title, by=person(), reason=reason)
    told(incident, f"incident {incident.id} split from {incident_id}, report due {when(incident.due_at)}")


def _pairs(facts: Sequence[str]) -> dict[str, str | int | bool]:
    pairs: dict[str, str | int | bool] = {}
    for given in facts:
        name, equals, value = given.partition("=")
        if not equals:
            raise click.UsageError(f"write FACT=VALUE, not {given!r}; `tapwarden incidents classes` lists the facts")
        pairs[name] = value
    return pairs


def moment(text: str) -> datetime:
    """A time as people write it. Raises UsageError."""
    try:
        found: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.UsageError(f"{text!r} is not a time with its timezone, for example 2026-11-24T08:30:00Z")
    return found
