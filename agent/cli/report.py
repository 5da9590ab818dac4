"""``tapwarden report``: see, sign off and send reports."""

import json
from pathlib import Path

import click

from tapwarden.agent.cli.group import Failure, Group, printable
from tapwarden.agent.cli.incidents import told
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.agent.report.formats import FORMATTERS
from tapwarden.model.report import ReportState


@click.group(cls=Group)
def report() -> None:
    """Reports to the coordinating centre, from draft to receipt."""


@report.command("list")
@click.option("--state", type=click.Choice([state.value for state in ReportState]))
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_reports(state: str | None, limit: int) -> None:
    """List reports."""
    with session() as parts:
        found = parts.cases.reports(state=ReportState(state) if state else None, limit=limit)
    if invocation().as_json:
        print_json(found)
        return
    print_table(
        ["id", "incident", "stage", "state", "due", "attempts", "receipt", "last error"],
        [
            (
                r.id,
                r.incident_id,
                r.stage,
                r.state,
                r.due_at,
                r.attempts,
                r.receipt.number if r.receipt else "",
                r.last_error,
            )
            for r in found
        ],
        empty="no reports",
    )


@report.command()
@click.argument("report_id")
def show(report_id: str) -> None:
    """Show a report as it is or will be sent."""
    with session() as parts:
        found = parts.cases.report(report_id)
        if found is None:
            raise KeyError(report_id)
    if invocation().as_json:
        print_json(found)
        return
    print_fields(
        {
            "state": found.state,
            "due": found.due_at,
            "signed off by": found.signed_off_by,
            "attempts": found.attempts,
            "last error": found.last_error,
            "receipt": found.receipt.number if found.receipt else "",
        }
    )
    click.echo(printable(json.dumps(dict(found.body), indent=2, ensure_ascii=False)))


@report.command()
@click.argument("report_id")
@click.option("--format", "name", default="json", show_default=True, help="One of `report formats`.")
@click.option(
    "--to", "path", type=click.Path(path_type=Path, dir_okay=False), help="A file  [default: standard output]."
)
def export(report_id: str, name: str, path: Path | None) -> None:
    """Write a report in a format."""
    if name not in FORMATTERS:
        raise click.UsageError(f"there is no format {name}; there are {', '.join(FORMATTERS)}")
    with session() as parts:
        found = parts.cases.report(report_id)
        incident = parts.cases.incident(found.incident_id) if found else None
        if found is None or incident is None:
            raise KeyError(report_id)
    try:
        payload = FORMATTERS[name].format(found, incident)
    except ValueError as error:
        raise Failure(f"cannot be written as {name}: {error}") from error
    if path is None:
        click.echo(payload, nl=False)
        return
    path.write_bytes(payload)
    told({"path": str(path), "octets": len(payload)}, f"{len(payload)} octets of {name} in {path}")


@report.command()
def formats() -> None:
    """The formats a report can be written in."""
    if invocation().as_json:
        print_json({name: formatter.media_type for name, formatter in FORMATTERS.items()})
        return
    print_table(["format", "media type"], [(name, one.media_type) for name, one in FORMATTERS.items()], empty="")


@report.command()
@click.argument("report_id")
def redraft(report_id: str) -> None:
    """Write a draft anew from what its incident now is."""
    with session() as parts:
        found = parts.desk.redraft(report_id, by=person())
    told(found, f"report {found.id} drafted again, version {found.version}")


@report.command("sign-off")
@click.argument("report_id")
def sign_off(report_id: str) -> None:
    """Release a draft for sending."""
    with session() as parts:
        found = parts.desk.sign_off(report_id, by=person())
    told(found, f"report {found.id} is ready; `tapwarden run` sends it, or `tapwarden report send` now")


@report.command()
def send() -> None:
    """Send what is signed off and due now, instead of waiting for the running agent."""
    with session() as parts:
        if parts.outbox is None:
            raise Failure("no coordinator is configured: set reporting.coordinator.url")
        outcome = parts.outbox.send_due()
    told(outcome, f"{outcome.acknowledged} acknowledged, {outcome.refused} refused, {outcome.failed} failed")
    if outcome.obstacle:
        raise Failure(outcome.obstacle)
    if outcome.failed or outcome.refused:
        raise Failure("not everything was acknowledged; `tapwarden report list` says why")
