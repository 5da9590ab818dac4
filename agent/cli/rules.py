"""``tapwarden rules``: what rules do to traffic, and new ones for a running agent."""

import dataclasses
import json
import os
import signal
import time
from pathlib import Path

import click

from tapwarden.agent.cli.group import Failure, Group, printable
from tapwarden.agent.cli.output import print_json
from tapwarden.agent.cli.rule_trial import Trial, explain, explanations_shown, summarise, summary_shown
from tapwarden.agent.cli.rule_update import rule_file
from tapwarden.agent.cli.rule_update import update as fetch
from tapwarden.agent.cli.session import configured, invocation
from tapwarden.agent.config import Layout
from tapwarden.agent.rule_reload import Reloaded, last, running
from tapwarden.agent.sensing import engine_settings, expanded
from tapwarden.agent.suricata_yaml import apply_setting, engine_config, read_suricata_yaml


@click.group(cls=Group)
def rules() -> None:
    """Rules in Suricata's language: try them on captures."""


@rules.command("test")
@click.argument("rule_file", type=click.Path(path_type=Path), metavar="RULES")
@click.argument("capture", type=click.Path(path_type=Path))
@click.option("--why", type=click.IntRange(1), multiple=True, metavar="SID", help="Explain this rule; may be repeated.")
@click.option("-n", "--limit", type=click.IntRange(0), default=50, show_default=True, help="Looks listed; 0: all.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As in suricata.yaml: vars.HOME_NET=[...].")
@click.option("--suricata-yaml", type=click.Path(path_type=Path), help="Variables and engine settings from this file.")
@click.option(
    "-k", "checksum", type=click.Choice(["none", "all"]), default="none", help="Checksums: ignore, or check all [none]."
)
@click.pass_context
def test(
    ctx: click.Context,
    rule_file: Path,
    capture: Path,
    why: tuple[int, ...],
    limit: int,
    settings: tuple[str, ...],
    suricata_yaml: Path | None,
    checksum: str,
) -> None:
    """Run the rules of a file over a capture: which alert, how often, on which packets.

    With --why SID: for each packet or transaction the condition of that rule that failed first, what it met instead,
    and where a match matched. Exit code 1 when that rule is not there or not loaded.
    """
    tree = read_suricata_yaml(suricata_yaml) if suricata_yaml else {}
    for setting in settings:
        apply_setting(tree, setting)
    trial = Trial.of(
        rule_file,
        capture,
        json.dumps(engine_config(tree, checksum=checksum)),
        verbose=ctx.obj.verbose if ctx.obj else 0,
    )
    as_json = ctx.obj.as_json if ctx.obj else False
    if not why:
        summary = summarise(trial)
        if as_json:
            print_json(summary)
        else:
            summary_shown(summary)
    else:
        for sid in why:
            if problem := trial.not_loaded(sid):
                raise Failure(problem)
        found = explain(trial, why)
        if as_json:
            print_json(found)
        else:
            for sid in why:
                explanations_shown(sid, [look for look in found["looks"] if look["sid"] == sid], limit=limit)
    if trial.problem:
        raise Failure(f"{capture}: {trial.problem}")


@rules.command("reload")
@click.option("--timeout", "timeout_s", type=click.IntRange(1), default=120, show_default=True, help="Seconds to wait.")
def reload(timeout_s: int) -> None:
    """Have the running agent load its rule files again, without losing a packet.

    Waits until it did. When the new rules do not load, those before stay, and the exit code is 1. The files are those
    that the agent's configuration named when it started; patterns in it are looked up again.
    """
    _, layout = configured(invocation())
    told = _reloaded(layout, timeout_s)
    if told is None:
        raise Failure(f"no agent runs here (looked in {layout.run}); is it another --root?")
    if invocation().as_json:
        print_json(dataclasses.asdict(told))
    else:
        for complaint in told.complaints:
            click.echo(printable(complaint, keep_newlines=False), err=True)
        if told.more:
            click.echo(f"... and {told.more} more rules not loaded", err=True)
        if told.ok:
            click.echo(f"{told.loaded} rules loaded")
    if not told.ok:
        raise Failure(_kept(told))


def _kept(told: Reloaded) -> str:
    return f"not reloaded, the {told.loaded} rules before stay: {told.problem}"


def _reloaded(layout: Layout, timeout_s: int) -> Reloaded | None:
    """Have the agent reload; what it says, ``None`` when none runs. Raises Failure when it does not answer."""
    before = last(layout)
    if before is None or not running(layout):
        return None
    try:
        os.kill(before.pid, signal.SIGHUP)
    except ProcessLookupError as error:
        raise Failure(f"the agent (process {before.pid}) is gone") from error
    deadline = time.monotonic() + timeout_s
    while (told := last(layout)) is None or told.number == before.number:
        if time.monotonic() > deadline:
            raise Failure(f"the agent (process {before.pid}) has not answered for {timeout_s} s; its log says more")
        if not running(layout):
            raise Failure(f"the agent (process {before.pid}) ended")
        time.sleep(0.05)
    return told


@rules.command("update")
@click.option("--url", "urls", multiple=True, help="A rule set or file to fetch instead of the enabled sources.")
@click.option("--local", multiple=True, type=click.Path(exists=True, path_type=Path), help="Rules of your own to add.")
@click.option("--offline", is_flag=True, help="Use what was fetched before.")
@click.option("--no-reload", is_flag=True, help="Leave a running agent with its rules.")
@click.option("--timeout", "timeout_s", type=click.IntRange(1), default=600, show_default=True, help="Seconds to wait.")
def update(urls: tuple[str, ...], local: tuple[Path, ...], offline: bool, no_reload: bool, timeout_s: int) -> None:
    """Fetch rules with suricata-update, check that they load, put them in place and have a running agent take them.

    enable.conf, disable.conf, drop.conf and modify.conf beside the configuration choose among them. When anything does
    not succeed, the rules before stay, and the exit code is 1.
    """
    config, layout = configured(invocation())
    engine = json.dumps(engine_settings(config, ""))
    found = fetch(layout, engine, urls=urls, local=local, offline=offline, timeout_s=timeout_s)
    used = rule_file(layout) in [path.resolve() for path in expanded(config.sensor.rules, layout, "sensor.rules")]
    told = None if no_reload or not used else _reloaded(layout, timeout_s)
    if invocation().as_json:
        agent = dataclasses.asdict(told) if told else None
        print_json({**dataclasses.asdict(found), "used": used, "agent": agent})
    else:
        news = "new rules" if found.changed else "the same rules as before"
        click.echo(f"{news}: {found.loaded} load, {found.failed} do not ({found.file})")
        if not used:
            click.echo(f"they are not run yet: name {found.file} in sensor.rules")
        if told and told.ok:
            click.echo(f"the agent runs {told.loaded} rules")
    if told and not told.ok:
        raise Failure(_kept(told))
