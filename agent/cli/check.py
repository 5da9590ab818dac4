"""``tapwarden check``: configuration, rules and indicators, every mistake with its place."""

import click

from tapwarden.agent.cli.group import EXIT_FAILED, Command, printable
from tapwarden.agent.cli.output import print_json
from tapwarden.agent.cli.session import invocation, layout_of
from tapwarden.agent.config import default_text, load, problems
from tapwarden.agent.sensing import detection
from tapwarden.model.errors import ConfigError


@click.command(cls=Command)
@click.option("--default", "print_default", is_flag=True, help="Print the commented default configuration and exit.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Check with this setting.")
@click.option(
    "--strict/--lenient",
    default=True,
    show_default=True,
    help="Whether a rule or an indicator that cannot be loaded makes it fail; `run` starts without it.",
)
@click.pass_context
def check(ctx: click.Context, print_default: bool, settings: tuple[str, ...], strict: bool) -> int:
    """Check the configuration, the rules and the indicators.

    Every mistake is one line, FILE:LINE:COLUMN: what is wrong; with one, the exit code is 1. With --lenient it is 1
    only for what would keep `run` from starting: bad rules and indicators are told as warnings.
    """
    if print_default:
        click.echo(default_text(), nl=False)
        return 0
    asked = invocation()
    layout = layout_of(asked)
    complaints = [str(error) for error in problems(layout, asked.config, settings)]
    warnings: list[str] = []
    rules = indicators = 0
    if not complaints:
        try:
            found = detection(load(layout, asked.config, settings), layout)
            if found.rules is None:
                found.engine()
            rules, indicators = found.rule_count, found.indicator_count
            (complaints if strict else warnings).extend(found.complaints)
        except ConfigError as error:
            complaints = [str(error)]
    if asked.as_json:
        counted = {"rules": rules, "indicators": indicators}
        print_json({"ok": not complaints, **counted, "problems": complaints, "warnings": warnings})
    else:
        for warning in warnings:
            click.echo(f"warning: {printable(warning, keep_newlines=False)}", err=True)
        for complaint in complaints:
            click.echo(printable(complaint, keep_newlines=False), err=True)
        if complaints:
            click.echo(f"{len(complaints)} problem{'s' if len(complaints) > 1 else ''} found", err=True)
        else:
            click.echo(f"configuration ok; {rules} rules and {indicators} indicators loaded")
    if complaints:
        ctx.exit(EXIT_FAILED)
    return 0
