"""``tapwarden alerts``: the inbox on the command line."""

import click

from tapwarden.agent.cli.group import Group, Partial
from tapwarden.agent.cli.incidents import THREAT_CLASS, told
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.model.incident import GroupState, ThreatClass, Verdict

STATES = click.Choice([state.value for state in GroupState] + ["all"])


@click.group(cls=Group)
def alerts() -> None:
    """The inbox: alerts grouped by rule, source and destination."""


@alerts.command("list")
@click.option("--state", type=STATES, default="open", show_default=True)
@click.option("--text", default="", help="Part of a signature, address or name.")
@click.option("--min-count", type=click.IntRange(0), default=0, help="At least this many alerts.")
@click.option("--order", type=click.Choice(["priority", "last_seen", "count"]), default="priority", show_default=True)
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_alerts(state: str, text: str, min_count: int, order: str, limit: int) -> None:
    """List alert groups."""
    with session() as parts:
        wanted = None if state == "all" else GroupState(state)
        groups = parts.cases.groups(state=wanted, text=text, min_count=min_count, limit=limit, order=order)
    if invocation().as_json:
        print_json(groups)
        return
    print_table(
        ["id", "severity", "count", "signature", "source", "destination", "names", "last seen", "state"],
        [(g.id, g.severity, g.count, g.signature, g.src_ip, g.dest_ip, g.badges, g.last_seen, g.state) for g in groups],
        empty="no alerts" if state == "all" else f"no {state} alerts",
    )


@alerts.command()
@click.argument("group_id")
def show(group_id: str) -> None:
    """Show one alert group and its latest event."""
    with session() as parts:
        group = parts.cases.group(group_id)
        if group is None:
            raise KeyError(group_id)
        event = parts.events.get(group.event_id)
    record = dict(event.eve) if event else None
    if invocation().as_json:
        print_json({"group": group, "event": record})
        return
    print_fields(
        {
            "signature": f"{group.signature} (sid {group.sid})",
            "category": group.category,
            "severity": group.severity,
            "source": group.src_ip,
            "destination": group.dest_ip,
            "names": group.badges,
            "alerts": group.count,
            "first seen": group.first_seen,
            "last seen": group.last_seen,
            "state": group.state,
            "verdict": group.verdict.value,
            "incident": group.incident_id,
            "latest event": group.event_id,
        }
    )
    if record is not None:
        print_fields({name: str(value)[:2000] for name, value in record.items() if name not in {"payload", "packet"}})


@alerts.command()
@click.argument("group_ids", nargs=-1, required=True)
@click.option("--verdict", type=click.Choice([v.value for v in Verdict if v]), help="What they turned out to be.")
def archive(group_ids: tuple[str, ...], verdict: str | None) -> None:
    """Put groups aside. New alerts open them again, unless the verdict is false_positive."""
    with session() as parts:
        found = Verdict(verdict) if verdict else None
        count = parts.desk.triage(group_ids, state=GroupState.ARCHIVED, verdict=found, by=person())
    told({"archived": count}, f"{count} archived")
    if count < len(set(group_ids)):
        raise Partial(f"{len(set(group_ids)) - count} of the groups do not exist")


@alerts.command()
@click.argument("group_ids", nargs=-1, required=True)
@click.option("--title", help="Title of the incident [the signature].")
@click.option("--class", "threat_class", type=THREAT_CLASS, default=ThreatClass.EVENT.value, show_default=True)
@click.option("--severity", type=click.IntRange(1, 4), default=2, show_default=True)
@click.option("--drill", is_flag=True, help="An exercise: it says so in the report.")
def escalate(group_ids: tuple[str, ...], title: str | None, threat_class: str, severity: int, drill: bool) -> None:
    """Open an incident of these groups: its clock starts at the first detection."""
    with session() as parts:
        first = parts.cases.group(group_ids[0])
        incident = parts.desk.open_incident(
            group_ids,
            title=title or (first.signature if first else ""),
            threat_class=ThreatClass(threat_class),
            severity=severity,
            by=person(),
            drill=drill,
        )
    told(incident, f"incident {incident.id} opened, report due {incident.due_at:%Y-%m-%d %H:%MZ}")
