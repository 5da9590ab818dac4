"""``tapwarden report``: see, sign off and send reports."""

import json
from dataclasses import replace
from pathlib import Path

import click

from tapwarden.agent.cli.group import Failure, Group, printable
from tapwarden.agent.cli.incidents import moment, told
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.agent.coordinate.acknowledging import acknowledge as record_receipt
from tapwarden.agent.report.formats import FORMATTERS
from tapwarden.model.errors import RefusedError
from tapwarden.model.office import Period
from tapwarden.model.report import Receipt, ReportState


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
        ["id", "incident", "profile", "stage", "receiver", "state", "due", "attempts", "receipt", "last error"],
        [
            (
                r.id,
                r.incident_id,
                r.profile,
                r.stage_id or r.stage,
                r.receiver,
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
            "profile and stage": f"{found.profile} {found.stage_id or found.stage}".strip(),
            "receiver": found.receiver or "coordinating centre",
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


@report.command()
@click.argument("report_id")
@click.option("--number", required=True, help="The receipt's number, or who took it on the telephone.")
@click.option("--at", default="now", show_default=True, help="When it was received: RFC 3339 with its timezone.")
@click.option("--text", default="", help="The answer itself.")
def acknowledge(report_id: str, number: str, at: str, text: str) -> None:
    """Record an acknowledgement that came by another way: e-mail, telephone, paper."""
    with session() as parts:
        now = parts.clock.now()
        found = parts.cases.report(report_id)
        if found is None:
            raise KeyError(report_id)
        received_at = now if at == "now" else moment(at)
        if received_at > now:
            raise click.UsageError("what has not been received yet cannot be recorded")
        by = person()
        receipt = Receipt(number, received_at, text or f"recorded by {by}")
        new = record_receipt(parts.cases, found, receipt, by=by, now=now, followed=parts.clockwork.follow_id)
    told({"report_id": report_id, "recorded": new}, f"report {report_id}: {'acknowledged' if new else 'it was before'}")


@report.command()
@click.argument("report_id")
def resend(report_id: str) -> None:
    """Send a report again whose receiver says it never came."""
    with session() as parts, parts.cases.transaction():
        found = parts.cases.report(report_id)
        if found is None:
            raise KeyError(report_id)
        if found.state is not ReportState.SENT:
            raise RefusedError(f"only what was sent and not acknowledged is sent again; this is {found.state}")
        now = parts.clock.now()
        parts.cases.put_report(replace(found, state=ReportState.READY, next_attempt_at=now))
        parts.cases.audit(actor=person(), verb="report.resend", subject=report_id, at=now)
    told({"report_id": report_id}, f"report {report_id} is sent again")


@report.command()
@click.option("--receiver", default="", help="Of this receiver only.")
@click.option("--incident", "incident_id", default="", help="Of this incident only.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def left(receiver: str, incident_id: str, limit: int) -> None:
    """What left the house: each document, for whom, what was held back of it."""
    with session() as parts:
        found = parts.cases.departures(receiver=receiver, incident_id=incident_id, limit=limit)
    if invocation().as_json:
        print_json(found)
        return
    print_table(
        [
            "at",
            "report",
            "receiver",
            "channel",
            "format",
            "octets",
            "TLP",
            "pseudonyms",
            "withheld",
            "receipt",
            "sha256",
        ],
        [
            (
                one.at,
                one.report_id,
                one.receiver or "coordinating centre",
                one.channel,
                f"{one.format}{' (drill)' if one.drill else ''}",
                one.octets,
                one.tlp,
                one.pseudonyms,
                ", ".join(one.withheld),
                one.receipt,
                one.sha256[:16],
            )
            for one in found
        ],
        empty="nothing has left",
    )


@report.command()
@click.option("--period", type=click.Choice([one.value for one in Period]), default="quarter", show_default=True)
@click.option("--at", default="", help="A day in it  [default: today].")
def statistics(period: str, at: str) -> None:
    """Figures of a day, a week, a quarter: by class, measure and how long it took."""
    with session() as parts:
        day = parts.clock.now() if not at else moment(at if "T" in at else f"{at}T00:00:00Z")
        found = parts.office.statistics(Period(period), day)
    if invocation().as_json:
        print_json(found)
        return
    wrong = "" if found.false_positives is None else f"{found.false_positives:.1%}"
    print_fields(
        {
            "period": f"{found.since:%Y-%m-%d} to {found.until:%Y-%m-%d} (UTC)",
            "incidents": str(found.incidents),
            "drills": str(found.drills),
            "rejected of determined": wrong,
            "states": [f"{name} {count}" for name, count in found.by_state.items()],
            "severity": [f"{name}: {count}" for name, count in found.by_severity.items()],
            "reports": [f"{name} {count}" for name, count in found.reports.items()],
        }
    )
    classes = [(name, kind, n) for name, kinds in found.by_class.items() for kind, n in kinds.items()]
    print_table(["class", "sub-type", "incidents"], classes, empty="no incidents")
    measures = [(name, state, n) for name, kinds in found.by_measure.items() for state, n in kinds.items()]
    print_table(["measure", "state", "actions"], measures, empty="no measures")
    took = [
        (name.replace("_", " "), one.count, *(f"{s / 3600:.2f} h" for s in (one.median_s, one.p90_s, one.most_s)))
        for name, one in found.latencies.items()
    ]
    print_table(["latency", "times", "median", "90 %", "longest"], took, empty="no latencies")


@report.group(cls=Group)
def reveal() -> None:
    """Who is behind a pseudonym: one person asks, another agrees."""


@reveal.command()
@click.argument("pseudonym")
@click.option("--receiver", default="", help="Whom it was given to  [default: the coordinating centre].")
@click.option("--reason", required=True)
def ask(pseudonym: str, receiver: str, reason: str) -> None:
    """Ask, with a reason."""
    with session() as parts:
        parts.revealing.ask(pseudonym, receiver=receiver, by=person(), reason=reason)
    told({"pseudonym": pseudonym}, f"asked; somebody else: tapwarden report reveal agree {pseudonym}")


@reveal.command()
@click.argument("pseudonym")
def agree(pseudonym: str) -> None:
    """Agree to what somebody else asked, and see the address."""
    with session() as parts:
        address = parts.revealing.agree(pseudonym, by=person())
    told({"pseudonym": pseudonym, "address": address}, address)


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
