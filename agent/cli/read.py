"""``tapwarden read``: capture files in, eve.json out. Imports only what it needs, so it starts at once."""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tapwarden.agent.cli.group import EXIT_PARTIAL, Command, Failure, printable
from tapwarden.agent.native import native
from tapwarden.agent.suricata_yaml import apply_setting, engine_config, read_suricata_yaml, unused_keys

if TYPE_CHECKING:
    from tapwarden._core import CaptureFile, Engine, IndicatorSet, RuleSet

BATCH_PACKETS = 20_000
"""Packets between two writes and two moves of the progress bar."""

SHOWN_RULE_ERRORS = 20
"""Rule errors printed without ``-v``."""


@dataclass
class Job:
    """One capture, where its records go, and what came of it."""

    capture: Path
    target: Path
    events: Counter[str] = field(default_factory=Counter)
    counters: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    problem: str = ""
    failed: bool = False


@click.command("read", cls=Command)
@click.argument("captures", nargs=-1, type=click.Path(path_type=Path), metavar="CAPTURE...")
@click.option("-r", "more_captures", multiple=True, type=click.Path(path_type=Path), help="Another CAPTURE.")
@click.option("-S", "--rules", multiple=True, type=click.Path(path_type=Path), help="Rule file; may be repeated.")
@click.option("--indicators", multiple=True, type=click.Path(path_type=Path), help="Indicator file; may be repeated.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As in suricata.yaml: vars.HOME_NET=[...].")
@click.option("--suricata-yaml", type=click.Path(path_type=Path), help="Variables and engine settings from this file.")
@click.option(
    "-k", "checksum", type=click.Choice(["none", "all"]), default="all", help="Checksums: ignore, or check all [all]."
)
@click.option(
    "-l", "--output", "directory", type=click.Path(path_type=Path), default=Path(), help="Directory for eve.json [.]."
)
@click.option(
    "--workers", type=click.IntRange(0, 256), default=0, help="Captures analysed side by side; 0: one for each core."
)
@click.option("-o", "output", type=click.Choice(["human", "json"]), help="How to print the summary [human].")
@click.pass_context
def read(
    ctx: click.Context,
    captures: tuple[Path, ...],
    more_captures: tuple[Path, ...],
    rules: tuple[Path, ...],
    indicators: tuple[Path, ...],
    settings: tuple[str, ...],
    suricata_yaml: Path | None,
    checksum: str,
    directory: Path,
    workers: int,
    output: str | None,
) -> None:
    """Analyse capture files (pcap, pcapng, also gzip or zstd) and write DIR/eve.json.

    Several captures are analysed each by itself, into DIR/<capture file name>/eve.json. Needs no configuration file, no
    root and no network. Exit code 3 when a capture could only be read in part.
    """
    everything = [*captures, *more_captures]
    if not everything:
        raise click.UsageError("give at least one capture file", ctx)
    verbose = ctx.obj.verbose if ctx.obj else 0
    as_json = (output or (ctx.obj.output if ctx.obj else "human")) == "json"
    tree = read_suricata_yaml(suricata_yaml) if suricata_yaml else {}
    for setting in settings:
        apply_setting(tree, setting)
    if verbose and (ignored := unused_keys(tree)):
        click.echo(f"{suricata_yaml}: not used here: {', '.join(ignored)}", err=True)
    config = json.dumps(engine_config(tree, checksum=checksum))

    started = time.perf_counter()
    rule_set = load_rules(config, rules, verbose=verbose)
    indicator_set = _load_indicators(indicators, verbose=verbose)
    loaded = time.perf_counter()
    jobs = plan_jobs(everything, directory)
    with (
        _progress(jobs, shown=sys.stderr.isatty() and not as_json) as advance,
        ThreadPoolExecutor(workers or None) as pool,
    ):
        for job in pool.map(lambda job: _analyse(job, config, rule_set, indicator_set, advance), jobs):
            if job.problem:
                click.echo(f"{printable(str(job.capture))}: {printable(job.problem)}", err=True)
    summary = summarise(jobs, rule_set, loading_s=loaded - started, elapsed_s=time.perf_counter() - loaded)
    click.echo(json.dumps(summary) if as_json else _human(summary))
    if all(job.failed for job in jobs):
        raise Failure("no capture could be read")
    if any(job.problem for job in jobs):
        ctx.exit(EXIT_PARTIAL)


def plan_jobs(captures: Sequence[Path], directory: Path) -> list[Job]:
    """Where each capture's records go. Captures of the same file name are told apart by ``.2``, ``.3``, ..."""
    if len(captures) == 1:
        return [Job(captures[0], directory / "eve.json")]
    taken: Counter[str] = Counter()
    jobs = []
    for capture in captures:
        taken[capture.name] += 1
        suffix = f".{taken[capture.name]}" if taken[capture.name] > 1 else ""
        jobs.append(Job(capture, directory / f"{capture.name}{suffix}" / "eve.json"))
    return jobs


def load_rules(config: str, files: Sequence[Path], *, verbose: int) -> "RuleSet | None":
    """The rule set of these files, ``None`` without any; rules that are not loaded are told on standard error."""
    if not files:
        return None
    make = native("RuleSet")
    try:
        rule_set: RuleSet = make(config, [str(file) for file in files])
    except OSError as error:
        raise Failure(f"{error.filename or 'rules'}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise Failure(f"configuration: {error}") from error
    errors = rule_set.errors
    for file, line, column, sid, keyword, reason, hint in errors if verbose else errors[:SHOWN_RULE_ERRORS]:
        what = f"{keyword}: {reason}" if keyword else reason
        text = f"{file}:{line}:{column}: rule {sid or '?'} not loaded: {what}" + (f" ({hint})" if hint else "")
        click.echo(printable(text, keep_newlines=False), err=True)
    if len(errors) > SHOWN_RULE_ERRORS and not verbose:
        click.echo(f"... and {len(errors) - SHOWN_RULE_ERRORS} more rules not loaded (-v shows all)", err=True)
    if verbose:
        for file, line, column, sid, keyword, reason, _hint in rule_set.warnings:
            text = f"{file}:{line}:{column}: rule {sid or '?'}: warning: {keyword}: {reason}"
            click.echo(printable(text, keep_newlines=False), err=True)
    return rule_set


def _load_indicators(files: Sequence[Path], *, verbose: int) -> "IndicatorSet | None":
    if not files:
        return None
    from tapwarden.signatures.indicator_file import read_indicators  # noqa: PLC0415

    items = []
    for path in files:
        found = read_indicators(path)
        items += found.items
        if found.bad:
            click.echo(f"{path}: {found.bad} lines are no indicators", err=True)
            for number, text in found.bad_lines if verbose else ():
                click.echo(printable(f"{path}:{number}: {text}", keep_newlines=False), err=True)
    made: IndicatorSet = native("IndicatorSet")(items)
    return made


def _analyse(job: Job, config: str, rules: "RuleSet | None", indicators: "IndicatorSet | None", advance: Any) -> Job:
    """Run one capture through a fresh engine. What goes wrong is told in the job: other captures go on."""
    started = time.perf_counter()
    try:
        source: CaptureFile = native("CaptureFile")(str(job.capture))
        engine: Engine = native("Engine")(config, rules, indicators)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with job.target.open("wb") as out:
            _pump(engine, source, out, job, advance)
        job.counters = engine.counters()
        job.problem = source.problem
    except OSError as error:
        job.problem, job.failed = f"{error.filename or 'input'}: {error.strerror or error}", True
    except ValueError as error:
        job.problem, job.failed = str(error), True
    job.seconds = time.perf_counter() - started
    return job


def _pump(engine: "Engine", source: "CaptureFile", out: Any, job: Job, advance: Any) -> None:
    seen = 0
    while (batch := engine.read(source, BATCH_PACKETS)) is not None:
        out.write(batch.raw)
        job.events.update(batch.kinds())
        advance(source.position_octets - seen)
        seen = source.position_octets
    batch = engine.drain()
    out.write(batch.raw)
    job.events.update(batch.kinds())


@contextmanager
def _progress(jobs: Sequence[Job], *, shown: bool) -> Iterator[Any]:
    """A callable that takes octets read; a bar on standard error while a terminal watches."""
    if not shown:
        yield lambda _octets: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    total = sum(job.capture.stat().st_size for job in jobs if job.capture.exists())
    columns = TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    lock = threading.Lock()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=total)

        def advance(octets: int) -> None:
            with lock:
                bar.advance(task, octets)

        yield advance


def summarise(jobs: Sequence[Job], rules: "RuleSet | None", *, loading_s: float, elapsed_s: float) -> dict[str, Any]:
    """What was seen and what could not be: the JSON summary."""
    events: Counter[str] = Counter()
    counters: Counter[str] = Counter()
    for job in jobs:
        events.update(job.events)
        counters.update(job.counters)
    packets = counters["decoder.pkts"]
    lost = {name: count for name, count in sorted(counters.items()) if count and name.endswith(_LOSS)}
    return {
        "captures": len(jobs),
        "packets": packets,
        "octets": counters["decoder.bytes"],
        "flows": events["flow"] or counters["flow.total"],
        "events": dict(sorted(events.items())),
        "alerts": events["alert"],
        "seconds": round(elapsed_s, 3),
        "packets_per_second": round(packets / elapsed_s) if elapsed_s else 0,
        "rules": {"loaded": rules.loaded if rules else 0, "failed": len(rules.errors) if rules else 0},
        "loading_seconds": round(loading_s, 3),
        "lost": lost,
        "problems": {str(job.capture): job.problem for job in jobs if job.problem},
        "counters": dict(sorted(counters.items())),
    }


_LOSS = ("drop", "drops", "memcap", "overflow", "truncated", "invalid", "gap", "alert_queue_overflow", "suppressed")
"""Ends of the names of counters that say something was dropped, cut or not looked at."""


def _human(summary: dict[str, Any]) -> str:
    rules = summary["rules"]
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in summary["events"].items()) or "none"
    lines = [
        f"packets  {summary['packets']:,}  ({summary['octets']:,} octets, {summary['flows']:,} flows)",
        f"events   {kinds}",
        f"alerts   {summary['alerts']:,}",
        f"rules    {rules['loaded']:,} loaded, {rules['failed']:,} not, in {summary['loading_seconds']:.2f} s",
        f"time     {summary['seconds']:.2f} s, {summary['packets_per_second']:,} packets a second",
    ]
    if summary["lost"]:
        lines.append("lost     " + ", ".join(f"{name} {count:,}" for name, count in summary["lost"].items()))
    if summary["problems"]:
        lines.append(f"partly   {len(summary['problems'])} of {summary['captures']} captures")
    return "\n".join(lines)
