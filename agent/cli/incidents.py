"""``tapwarden incidents``: what has to be decided on, and its clock."""

from datetime import UTC, datetime
from typing import Any

import click

from tapwarden.agent.cli.group import Group, printable
from tapwarden.agent.cli.output import print_fields, print_json, print_table, when
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.agent.config.quantity import format_duration
from tapwarden.model.incident import Incident, ThreatClass

THREAT_CLASS = click.Choice([threat.value for threat in ThreatClass])


def told(value: Any, sentence: str) -> None:
    """What came of it: the value as JSON, or a sentence for people."""
    if invocation().as_json:
        print_json(value)
    else:
        click.echo(printable(sentence))


def left(incident: Incident, now: datetime) -> str:
    """The time until the report has to be acknowledged."""
    if incident.closed_at is not None:
        return "closed"
    remaining = incident.due_at - now
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
    if invocation().as_json:
        print_json({"incident": incident, "decisions": decisions, "actions": actions, "reports": reports})
        return
    print_fields(
        {
            "title": incident.title,
            "state": incident.state,
            "class": incident.threat_class,
            "severity": incident.severity,
            "opened by": incident.opened_by,
            "report due": f"{when(incident.due_at)} ({left(incident, datetime.now(UTC))})",
            "affected": incident.affected[:20],
            "indicators": incident.indicators[:20],
            "summary": incident.summary,
        }
    )
    for entry in incident.timeline:
        click.echo(printable(f"  {when(entry.at)}  {entry.name:<10} {entry.text} ({entry.by})", keep_newlines=False))
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
