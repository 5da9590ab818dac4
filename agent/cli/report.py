"""``tapwarden report``: see, sign off and send reports."""

import json

import click

from tapwarden.agent.cli.group import Failure, Group, printable
from tapwarden.agent.cli.incidents import told
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
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
