"""``tapwarden actions``: decide, see what is in effect, undo."""

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from tapwarden.agent.cli.group import Failure, Group, Partial, Refused
from tapwarden.agent.cli.output import print_json, print_table
from tapwarden.agent.cli.session import configured, invocation, person, session
from tapwarden.agent.composition import mitigators_of
from tapwarden.agent.config.quantity import parse_duration
from tapwarden.agent.undoing import undoable
from tapwarden.mitigation.ledger import WAITING
from tapwarden.model.decision import LIVE_STATES, Action, ActionState, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError


def _duration(_ctx: click.Context, _param: click.Parameter, value: str) -> timedelta:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """A time in ISO 8601 (UTC where it names no zone), or so long ago."""
    if value is None:
        return None
    try:
        return datetime.now(UTC) - parse_duration(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter("write 2026-03-01T12:00Z, or 2h for two hours ago") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def target_of(text: str) -> Target:  # noqa: PLR0911 - one answer a form
    """What a target given on the command line is: an address, a network, an endpoint, a URL or a name."""
    if "://" in text:
        return Target(TargetType.URL, text)
    if text.startswith("="):
        return Target(TargetType.HOSTNAME, text[1:].lower().rstrip("."))
    if re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]+(/[a-z]+)?", text):
        return Target(TargetType.ENDPOINT, text)
    if re.fullmatch(r"[^/\s]+:[0-9]+-[^/\s]+:[0-9]+(/[a-z]+)?", text):
        return Target(TargetType.CONNECTION, text)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return Target(TargetType.DOMAIN, text.lower().rstrip("."))
    if network.prefixlen == network.max_prefixlen:
        return Target(TargetType.ADDRESS, str(network.network_address))
    return Target(TargetType.NETWORK, str(network))


@click.group(cls=Group)
def actions() -> None:
    """Decisions carried out: what is blocked, until when, on whose word."""


@actions.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that have ended, too.")
@click.option("--incident", "incident_id", default="", help="Of this incident only.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
def list_actions(everything: bool, incident_id: str, limit: int) -> None:
    """List actions, newest first."""
    with session() as parts:
        states = () if everything or incident_id else (*sorted(LIVE_STATES), *WAITING, ActionState.FAILED)
        found = parts.cases.actions(states=states, incident_id=incident_id, limit=limit)
    _print(found, empty="no actions" if everything else "no action is in effect or waiting")


@actions.command()
@click.argument("incident_id")
@click.argument("targets", nargs=-1, required=True)
@click.option(
    "--measure", type=click.Choice([measure.value for measure in Measure]), default="block", show_default=True
)
@click.option("--scope", required=True, help="Where it holds, for example: this host.")
@click.option("--reason", required=True)
@click.option("--legal-basis", required=True, help="Under which authority.")
@click.option("--for", "duration", callback=_duration, required=True, help="How long, for example 4h.")
@click.option("--override", is_flag=True, help="Also where protected hosts would be cut off from it; takes two people.")
def decide(
    incident_id: str,
    targets: tuple[str, ...],
    measure: str,
    scope: str,
    reason: str,
    legal_basis: str,
    duration: timedelta,
    override: bool,
) -> None:
    """Decide on an incident: each of TARGETS is an address, a network, an endpoint, a URL or a name.

    An endpoint is 192.0.2.1:443 or [2001:db8::1]:53/udp. A name is meant with all names below it, =NAME alone.

    What reaches far waits for the approval of somebody else. Exit code 4 when the guard refused all of it, 3 when some.
    """
    with session() as parts:
        found = parts.desk.decide(
            incident_id,
            measure=Measure(measure),
            targets=[target_of(text) for text in targets],
            scope=scope,
            reason=reason,
            legal_basis=legal_basis,
            duration_s=int(duration.total_seconds()),
            by=person(),
            override=override,
        )
    _print(found, empty="nothing to do")
    refused = [action for action in found if action.state is ActionState.REFUSED]
    failed = [action for action in found if action.state is ActionState.FAILED]
    if refused and len(refused) == len(found):
        raise Refused(f"refused: {refused[0].detail}")
    if failed and len(failed) + len(refused) == len(found):
        raise Failure(failed[0].detail)
    if refused or failed:
        raise Partial(f"{len(refused)} refused, {len(failed)} failed of {len(found)}")


@actions.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--last", "span", callback=_duration, default="24h", show_default=True, help="How far to look back.")
def simulate(targets: tuple[str, ...], span: timedelta) -> None:
    """Say what a measure on TARGETS would have hit, had it been in effect. Exit code 4 where the guard would refuse."""
    with session() as parts:
        impact = parts.desk.simulate([target_of(text) for text in targets], since=parts.clock.now() - span)
    if invocation().as_json:
        print_json(impact)
    else:
        more = "" if impact.complete else "at least "
        hosts = f"{impact.hosts} host{'' if impact.hosts == 1 else 's'}"
        flows = f"{impact.flows} flow{'' if impact.flows == 1 else 's'}"
        click.echo(f"would have dropped {more}{flows} of {more}{hosts}, {len(impact.protected)} of them protected")
        for line in (*impact.protected, *(f"refused: {entry}" for entry in impact.refused)):
            click.echo(f"  {line}")
    if impact.refused:
        raise Refused(impact.refused[0])


@actions.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(yes: bool) -> None:
    """Empty every mitigator now, without the case store and without a running Tapwarden: the way out.

    Stop Tapwarden first (or set mitigation.mode: dry-run): one that enforces puts back what its ledger says.
    """
    config, layout = configured(invocation())
    mitigators = mitigators_of(config, layout)
    if not yes:
        click.confirm(f"Let everything pass that {', '.join(one.name for one in mitigators)} hold back?", abort=True)
    problems = []
    for mitigator in mitigators:
        try:
            mitigator.clear()
            click.echo(f"{mitigator.name}: nothing is in effect any more")
        except MitigationError as error:
            problems.append(f"{mitigator.name}: {error}")
    if problems:
        raise Failure("; ".join(problems))


@actions.command()
@click.argument("decision_id")
@click.option("--note", default="")
def approve(decision_id: str, note: str) -> None:
    """Stand behind a decision that waits; it is carried out once enough people do."""
    with session() as parts:
        found = parts.desk.approve(decision_id, by=person(), note=note)
    _print(found, empty="nothing to do")


@actions.command()
@click.argument("decision_id")
@click.option("--reason", required=True)
def reject(decision_id: str, reason: str) -> None:
    """End a decision that waits."""
    with session() as parts:
        found = parts.desk.reject(decision_id, by=person(), note=reason)
    _print(found, empty="nothing to do")


@actions.command()
@click.argument("action_ids", nargs=-1, required=True)
def confirm(action_ids: tuple[str, ...]) -> None:
    """Let actions on trial stay until they expire."""
    with session() as parts:
        found = parts.desk.confirm(action_ids, by=person())
    _print(found, empty="nothing to confirm")


@actions.command()
@click.argument("action_ids", nargs=-1)
@click.option("--incident", "incident_id", default="", help="All of this incident.")
@click.option("--order", "order_id", default="", help="All under this order of the coordinating centre.")
@click.option("--since", callback=_moment, help="All decided from then on: 2026-03-01T12:00Z, or 2h for two hours ago.")
@click.option("--until", callback=_moment, help="All decided before.")
@click.option("--reason", required=True)
def rollback(
    action_ids: tuple[str, ...],
    incident_id: str,
    order_id: str,
    since: datetime | None,
    until: datetime | None,
    reason: str,
) -> None:
    """Undo actions now: by their ids, or all (that have not ended) of an incident, an order, a time.

    Several conditions have to hold together. Nothing is undone where no action is named in one way or the other.
    """
    wide = bool(incident_id or order_id or since or until)
    if bool(action_ids) == wide:
        raise click.UsageError("name actions, or what they belong to: --incident, --order, --since, --until")
    with session() as parts:
        chosen = action_ids
        if wide:
            chosen = undoable(parts.cases, incident_id=incident_id, order_id=order_id, since=since, until=until)
        found = parts.desk.rollback(chosen, by=person(), reason=reason)
    _print(found, empty="nothing to undo")


def _print(found: Sequence[Action], *, empty: str) -> None:
    if invocation().as_json:
        print_json(found)
        return
    print_table(
        ["id", "decision", "measure", "target", "at", "state", "dry run", "until", "incident", "detail"],
        [
            (
                a.id,
                a.decision_id,
                a.measure,
                a.target.value,
                a.mitigator,
                a.state,
                "yes" if a.dry_run else "",
                a.in_effect_until,
                a.incident_id,
                a.detail,
            )
            for a in found
        ],
        empty=empty,
    )
