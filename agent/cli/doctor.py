"""``tapwarden doctor``: what would keep this host from seeing, storing, acting and reporting."""

import click

from tapwarden.agent.cli.group import EXIT_FAILED, EXIT_PARTIAL, Command, printable
from tapwarden.agent.cli.output import print_json
from tapwarden.agent.cli.session import configured, invocation
from tapwarden.agent.examination import CHECKS, Finding
from tapwarden.model.errors import ConfigError

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(cls=Command)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Examine with this setting.")
@click.pass_context
def doctor(ctx: click.Context, settings: tuple[str, ...]) -> None:
    """Examine this host: each line says ok, warn or fail, and what to do.

    Exit code 1 when something fails, 3 when there are warnings only.
    """
    asked = invocation()
    try:
        config, layout = configured(asked, settings)
    except ConfigError as error:
        findings = [Finding("configuration", "fail", str(error), "correct it; `tapwarden check` lists every mistake")]
    else:
        findings = [Finding("configuration", "ok", "it is valid")]
        for examine in CHECKS:
            findings += examine(config, layout)
    if asked.as_json:
        print_json(findings)
    else:
        for finding in findings:
            mark = click.style(f"{finding.state:<4}", fg=COLOURS[finding.state])
            advice = f"\n       -> {finding.advice}" if finding.advice and finding.state != "ok" else ""
            click.echo(f"{mark}  {finding.part}: {printable(finding.text)}{printable(advice)}")
    states = {finding.state for finding in findings}
    if "fail" in states:
        ctx.exit(EXIT_FAILED)
    if "warn" in states:
        ctx.exit(EXIT_PARTIAL)
