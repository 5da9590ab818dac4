"""``tapwarden coordinator``: a reference coordinating centre for tests, drills and small sites."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx

from tapwarden.agent.cli.group import Failure, Group
from tapwarden.agent.cli.output import print_fields, print_json, set_up_logging
from tapwarden.agent.cli.session import invocation, layout_of
from tapwarden.agent.coordinate.transport import ChannelSettings, connect
from tapwarden.agent.coordinator.centre import signing_key
from tapwarden.agent.coordinator.serve import serve
from tapwarden.agent.coordinator.settings import CoordinatorSettings
from tapwarden.agent.orders.signature import shown_key
from tapwarden.agent.secret import read_token
from tapwarden.model.decision import TargetType
from tapwarden.model.order import CATEGORIES

FILE = click.Path(path_type=Path)


@click.group(cls=Group)
def coordinator() -> None:
    """A reference coordinating centre: reports in, orders out, feedback in."""


def _settings(given: Mapping[str, Any]) -> CoordinatorSettings:
    file = given["database"] or layout_of(invocation()).state("coordinator/reports.db")
    agents = _named(given["agent"])
    if given["token_file"]:
        agents["agent"] = read_token(given["token_file"])
    officers = _named(given["officer"])
    if given["officer_token_file"]:
        officers["officer"] = read_token(given["officer_token_file"])
    if not agents:
        raise Failure("name the agents: --agent NAME=TOKENFILE")
    return CoordinatorSettings(
        database=file if "://" in str(file) else Path(file),
        agents=agents,
        officers=officers,
        host=given["listen"],
        port=given["port"],
        certificate=str(given["certificate"] or ""),
        key=str(given["key"] or ""),
        faults=given["faults"],
        name=given["name"],
        signing_key=given["signing_key"],
        client_ca=str(given["client_ca"] or ""),
    )


def _named(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for each in given:
        name, equals, file = each.partition("=")
        if not name or not equals:
            raise Failure(f"write NAME=TOKENFILE, not {each!r}")
        found[name] = read_token(Path(file))
    return found


@coordinator.command("serve")
@click.option("--listen", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8766, show_default=True)
@click.option("--name", default="coordinator", show_default=True, help="What orders say they are from.")
@click.option("--agent", multiple=True, metavar="NAME=TOKENFILE", help="An agent and its secret; may be repeated.")
@click.option("--officer", multiple=True, metavar="NAME=TOKENFILE", help="A person of the centre; may be repeated.")
@click.option("--token-file", type=FILE, help="Secret of the one agent, which is called `agent` then.")
@click.option("--officer-token-file", type=FILE, help="Secret of the one officer, called `officer` then.")
@click.option("--database", help="SQLite file or postgresql:// URL [coordinator/reports.db below the state directory].")
@click.option("--signing-key", type=FILE, help="Key that signs orders, made on first use [beside the database].")
@click.option("--certificate", type=FILE, help="TLS certificate (PEM); needed beyond loopback.")
@click.option("--key", type=FILE, help="Its key.")
@click.option("--client-ca", type=FILE, help="Authority of agents' certificates; their common names are agents.")
@click.option("--faults", is_flag=True, help="Officers may switch on faults, for tests and drills.")
def serve_centre(**given: Any) -> None:
    """Take reports, issue orders, hear feedback until stopped: TAXII 2.1 at /taxii2/, pages for officers at /."""
    set_up_logging(invocation().verbose)
    settings = _settings(given)
    if isinstance(settings.database, Path):
        settings.database.parent.mkdir(parents=True, exist_ok=True)
    where = f"{settings.host} port {settings.port}"
    click.echo(f"coordinator: listening on {where}, reports in {settings.database}", err=True)
    click.echo(f"coordinator: orders are signed with {shown_key(signing_key(settings).public)}", err=True)
    try:
        serve(settings)
    except OSError as error:
        raise Failure(f"cannot listen on {where}: {error.strerror or error}") from error


def _at_the_centre(command: Any) -> Any:
    for option in (
        click.option("--url", default="http://127.0.0.1:8766", show_default=True, help="The centre."),
        click.option("--token-file", type=FILE, required=True, help="The officer's secret."),
        click.option("--ca-file", type=FILE, help="Authority to trust instead of the system's."),
    ):
        command = option(command)
    return command


@coordinator.command()
@_at_the_centre
@click.option("--to", required=True, help="The agent.")
@click.option("--measure", type=click.Choice(["block", "reject", "sinkhole"]), default="block", show_default=True)
@click.option("--target", required=True, multiple=True, metavar="TYPE:VALUE", help="For example domain:c2.example.")
@click.option("--category", type=click.Choice(sorted(CATEGORIES)), required=True, metavar="CLASS.SUBTYPE")
@click.option("--instrument", required=True, help="Legal basis: the instrument.")
@click.option("--article", required=True, help="Legal basis: its article.")
@click.option("--scope", required=True, help="How far it reaches, in words.")
@click.option("--reason", required=True)
@click.option("--lasts-s", type=int, default=86400, show_default=True)
@click.option("--due-within-s", type=int, default=3600, show_default=True)
@click.option("--paper-for", default="", help="This is the paper of that oral order.")
@click.option("--drill", is_flag=True)
def order(url: str, token_file: Path, ca_file: Path | None, **given: Any) -> None:
    """Issue a signed order."""
    wanted = []
    for each in given["target"]:
        kind, _, value = each.partition(":")
        if kind not in set(TargetType) or not value:
            raise Failure(f"write TYPE:VALUE with one of {', '.join(TargetType)}, not {each!r}")
        wanted.append({"measure": given["measure"], "type": kind, "value": value})
    body = {
        "wanted": wanted,
        "legal_basis": {"instrument": given["instrument"], "article": given["article"]},
        "scope": {"text": given["scope"]},
        **{name: given[name] for name in ("to", "category", "reason", "lasts_s", "due_within_s", "paper_for", "drill")},
    }
    _print(_post(url, token_file, ca_file, "/api/v1/orders", body))


@coordinator.command()
@_at_the_centre
@click.argument("order_id")
@click.option("--reason", required=True)
def revoke(url: str, token_file: Path, ca_file: Path | None, order_id: str, reason: str) -> None:
    """End an order."""
    path = f"/api/v1/orders/{quote(order_id, safe='')}/revocation"
    _print(_post(url, token_file, ca_file, path, {"reason": reason}))


@coordinator.command()
@_at_the_centre
@click.argument("receipt")
@click.argument("state", type=click.Choice(["confirmed", "rejected", "needs_information"]))
@click.option("--reason", required=True)
def determine(url: str, token_file: Path, ca_file: Path | None, receipt: str, state: str, reason: str) -> None:
    """Say what a reported threat was found to be; its agent hears of it."""
    path = f"/api/v1/reports/{quote(receipt, safe='')}/determination"
    _print(_post(url, token_file, ca_file, path, {"state": state, "reason": reason}))


@coordinator.command()
@_at_the_centre
@click.argument("template", type=click.Choice(["indicator-seen", "top-classes", "order-status"]))
@click.argument("subject", default="")
@click.option("--to", required=True, help="The agent.")
@click.option("--purpose", required=True)
@click.option("--rows", is_flag=True, help="Ask for rows; a person there decides.")
def ask(
    url: str, token_file: Path, ca_file: Path | None, template: str, subject: str, to: str, purpose: str, rows: bool
) -> None:
    """Ask an agent: indicator-seen INDICATOR, top-classes, order-status ORDER."""
    names = {"indicator-seen": "indicator", "order-status": "order_id"}
    parameters = {names[template]: subject} if template in names else {}
    body = {"to": to, "template": template, "purpose": purpose, "parameters": parameters, "rows": rows}
    _print(_post(url, token_file, ca_file, "/api/v1/queries", body))


def _post(url: str, token_file: Path, ca_file: Path | None, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    settings = ChannelSettings(url, token=read_token(token_file), ca_file=str(ca_file or ""))
    try:
        with connect(settings, "application/json") as client:
            answer = client.post(url.rstrip("/") + path, json=dict(body))
            said = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Failure(f"{url}: {type(error).__name__}: {error}") from error
    if answer.is_error or not isinstance(said, dict):
        raise Failure(f"{url} answered {answer.status_code}: {said.get('detail') if isinstance(said, dict) else said}")
    return said


def _print(said: Mapping[str, Any]) -> None:
    if invocation().as_json:
        print_json(said)
    else:
        print_fields({name: str(value) for name, value in said.items()})
