"""``tapwarden coordinator``: a reference coordinating centre for tests and drills."""

from pathlib import Path

import click

from tapwarden.agent.cli.group import Command, Failure
from tapwarden.agent.cli.output import set_up_logging
from tapwarden.agent.cli.session import invocation, layout_of
from tapwarden.agent.coordinator.serve import serve
from tapwarden.agent.coordinator.settings import CoordinatorSettings
from tapwarden.agent.secret import read_token


@click.command(cls=Command)
@click.option("--listen", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8766, show_default=True)
@click.option("--token-file", type=click.Path(path_type=Path), required=True, help="Access token of the agents.")
@click.option("--officer-token-file", type=click.Path(path_type=Path), help="Access token that reads all reports.")
@click.option("--database", type=click.Path(path_type=Path), help="Where reports are kept [below the state directory].")
@click.option("--certificate", type=click.Path(path_type=Path), help="TLS certificate (PEM); needed beyond loopback.")
@click.option("--key", type=click.Path(path_type=Path), help="Its key.")
@click.option("--faults", is_flag=True, help="Officers may switch on faults, for tests and drills.")
def coordinator(
    listen: str,
    port: int,
    token_file: Path,
    officer_token_file: Path | None,
    database: Path | None,
    certificate: Path | None,
    key: Path | None,
    faults: bool,
) -> None:
    """Receive, validate and acknowledge reports until stopped."""
    asked = invocation()
    set_up_logging(asked.verbose)
    file = database or layout_of(asked).state("coordinator/reports.db")
    file.parent.mkdir(parents=True, exist_ok=True)
    settings = CoordinatorSettings(
        database=file,
        agents={"agent": read_token(token_file)},
        officers={"officer": read_token(officer_token_file)} if officer_token_file else {},
        host=listen,
        port=port,
        certificate=str(certificate or ""),
        key=str(key or ""),
        faults=faults,
    )
    click.echo(f"coordinator: listening on {listen} port {port}, reports in {file}", err=True)
    try:
        serve(settings)
    except OSError as error:
        raise Failure(f"cannot listen on {listen} port {port}: {error.strerror or error}") from error
