"""``tapwarden run``: sensor, decisions, reporting and dashboard of one host, until it is told to stop."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
import uvicorn

from tapwarden.agent.cli.group import EXIT_PARTIAL, Command, Failure, printable
from tapwarden.agent.cli.output import set_up_logging, show
from tapwarden.agent.cli.progress import replay_progress, replay_result
from tapwarden.agent.cli.session import configured, invocation
from tapwarden.agent.composition import (
    Parts,
    composed,
    eve_file_of,
    first_alert,
    replayed_now,
    sensor_name,
    sinkhole_of,
    spool_of,
)
from tapwarden.agent.config import Config
from tapwarden.agent.evidence import EvidenceKeeper, evidence_folder
from tapwarden.agent.health import Health
from tapwarden.agent.report.formats import FORMATTERS
from tapwarden.agent.rule_reload import RuleReload
from tapwarden.agent.runtime import Runtime, Watched
from tapwarden.agent.sensing import Detection, detection, new_run
from tapwarden.agent.store.eve_file import EveFile
from tapwarden.collectors import Source, collector
from tapwarden.collectors.interface import default_interface
from tapwarden.dashboards.accounts import ensure_admin
from tapwarden.dashboards.app import create_app
from tapwarden.dashboards.server import make_server
from tapwarden.dashboards.settings import DashboardSettings


@click.command(cls=Command)
@click.option("--pcap", "captures", multiple=True, type=click.Path(path_type=Path), help="Replay FILE; repeatable.")
@click.option("-i", "--interface", help="Watch this interface instead of the configured one.")
@click.option("--no-dashboard", is_flag=True, help="Serve no web pages.")
@click.option("--exit", "end_after", is_flag=True, help="End after the replay instead of serving its result.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lay a setting over the file.")
@click.pass_context
def run(
    ctx: click.Context,
    captures: tuple[Path, ...],
    interface: str | None,
    no_dashboard: bool,
    end_after: bool,
    settings: tuple[str, ...],
) -> None:
    """Watch an interface (or replay captures), decide, report and serve the dashboard.

    Stops on Ctrl-C or SIGTERM: engines are drained and everything seen is stored first. SIGHUP opens eve.json again and
    reloads the rules.
    """
    asked = invocation()
    set_up_logging(asked.verbose)
    config, layout = configured(asked, settings)
    for path in captures:
        if not path.is_file():
            raise Failure(f"{path}: no such file")
    watching = "" if captures or config.sensor.capture == "eve" else interface or config.sensor.interface
    if not captures and config.sensor.capture != "eve" and not watching:
        watching = default_interface()
        if not watching:
            raise Failure("no interface has a default route; name one with --interface or sensor.interface")
    found = detection(config, layout, interface=watching)
    for complaint in found.complaints[:20]:
        click.echo(printable(complaint, keep_newlines=False), err=True)
    if len(found.complaints) > 20:
        click.echo(f"... and {len(found.complaints) - 20} more; `tapwarden check` lists them", err=True)
    # A replay waits for the store; what is live does not.
    spooling = nullcontext() if captures else spool_of(config, layout)
    with composed(config, layout, detected_at=replayed_now if captures else first_alert) as parts, spooling as spool:
        health = Health()
        keeper = None
        if config.evidence.enabled and config.sensor.capture != "eve":
            keeper = EvidenceKeeper(evidence_folder(config, layout), health)
        watched = list(_watched(parts, found, captures, watching, keeper))
        server = None if no_dashboard or not config.dashboard.enabled else _dashboard(parts, health)
        password = ensure_admin(parts.cases, parts.clock, os.urandom) if server else None
        eve_file = eve_file_of(config, layout)
        runtime = Runtime(parts, watched, health, server, eve_file, spool, keeper)
        reload = RuleReload(found, config, layout, health, parts.clock)
        with reload.serving(), _told_to_stop(eve_file, reload) as stopping:
            runtime.start()
            try:
                _announce(parts, found, captures, watching, server, password)
                if captures:
                    replay_progress(runtime, stopping)
                    runtime.settle()
                    show(replay_result(parts, runtime), title="Replayed")
                _wait(runtime, stopping, ends=end_after and bool(captures))
            finally:
                runtime.stop()
        if runtime.failures and len(runtime.failures) == len(watched):
            raise Failure("; ".join(runtime.failures.values()))
        if partly := {**runtime.failures, **runtime.incomplete}:
            lines = "; ".join(f"{name}: {problem}" for name, problem in partly.items())
            click.echo(f"tapwarden: {printable(lines)}", err=True)
            ctx.exit(EXIT_PARTIAL)


def _wait(runtime: Runtime, stopping: threading.Event, *, ends: bool) -> None:
    """Until a signal, the end of a replay that is to end, or a source that cannot be watched at all."""
    while not stopping.wait(0.2):
        if runtime.ended.is_set() and (ends or runtime.failures):
            return


def _watched(
    parts: Parts, found: Detection, captures: tuple[Path, ...], interface: str, keeper: EvidenceKeeper | None
) -> Iterator[Watched]:
    sensor, names = parts.config.sensor, set[str]()
    evidence = keeper.offer if keeper else None
    for path in captures:
        name = path.name if path.name not in names else f"{path.name}.{len(names) + 1}"
        names.add(name)
        yield Watched(collector("pcap", Source(name, path=path, engine=found.engine, evidence=evidence)), can_wait=True)
    if captures:
        return
    if (sinkhole := sinkhole_of(parts.config)) is not None:
        yield Watched(sinkhole, can_wait=False)
    if sensor.capture == "eve":
        bookmark = parts.layout.lib / "eve.bookmark"
        yield Watched(collector("eve", Source("eve", path=sensor.eve_file, bookmark=bookmark)), can_wait=True)
        return
    workers = sensor.workers or os.cpu_count() or 1
    fanout = (os.getpid() & 0xFFFF) or 1 if workers > 1 else 0
    run_id = new_run()
    for worker in range(workers):
        source = Source(
            name=interface if workers == 1 else f"{interface}#{worker}",
            interface=interface,
            engine=found.engine,
            run=run_id,
            promiscuous=sensor.promiscuous,
            bpf=sensor.bpf,
            fanout=fanout,
            evidence=evidence,
        )
        yield Watched(collector(sensor.capture, source), can_wait=False)


def _dashboard(parts: Parts, health: Health) -> uvicorn.Server:
    settings = _dashboard_settings(parts.config, parts)
    app = create_app(
        events=parts.events,
        cases=parts.cases,
        desk=parts.desk,
        clock=parts.clock,
        health=health.report,
        evidence=evidence_folder(parts.config, parts.layout),
        settings=settings,
        incident_desk=parts.handling,
        order_desk=parts.orders if parts.config.orders.enabled else None,
        query_desk=parts.queries,
        office=parts.office,
        formatters=FORMATTERS,
        appeals=parts.appeals,
        replies=parts.replies,
    )
    return make_server(app, settings)


def _dashboard_settings(config: Config, parts: Parts) -> DashboardSettings:
    dashboard = config.dashboard
    hosts = ("localhost", "127.0.0.1", "::1", dashboard.listen, *dashboard.hosts)
    return DashboardSettings(
        host=dashboard.listen,
        port=dashboard.port,
        allowed_hosts=tuple(dict.fromkeys(hosts)),
        tls_certificate=str(parts.layout.setting(dashboard.tls.certificate)) if dashboard.tls.certificate else "",
        tls_key=str(parts.layout.setting(dashboard.tls.key)) if dashboard.tls.key else "",
        site=sensor_name(config),
        enforcing=config.mitigation.mode == "enforce",
        public=config.appeals.public,
        public_intro=config.appeals.intro,
        filings_per_address=config.appeals.per_address,
        legal_bases=tuple(dict.fromkeys(p.decide.legal_basis for p in config.triage.policies if p.decide)),
    )


def _announce(
    parts: Parts,
    found: Detection,
    captures: tuple[Path, ...],
    interface: str,
    server: uvicorn.Server | None,
    password: str | None,
) -> None:
    config = parts.config
    rows: dict[str, str] = {}
    if captures:
        rows["Replaying"] = ", ".join(str(path) for path in captures)
    elif config.sensor.capture == "eve":
        rows["Following"] = str(config.sensor.eve_file)
    else:
        rows["Watching"] = f"{interface} ({config.sensor.capture})"
    rows["With"] = f"{found.rule_count} rules, {found.indicator_count} indicators, {len(parts.policies)} policies"
    rows["Mitigation"] = "enforcing" if config.mitigation.mode == "enforce" else "dry run: nothing is blocked"
    if eve_file := eve_file_of(config, parts.layout):
        rows["Events to"] = str(eve_file.path)
    rows["Reports to"] = config.reporting.coordinator.url or "nobody yet (reporting.coordinator.url)"
    if server is not None and server.started:
        rows["Dashboard"] = _address(config, server)
    if password is not None:
        rows["First log-in"] = f"admin / {password}   (once: it has to be changed)"
    show(rows, title="Tapwarden")


def _address(config: Config, server: uvicorn.Server) -> str:
    port = next((s.getsockname()[1] for one in server.servers for s in one.sockets), config.dashboard.port)
    host = config.dashboard.listen
    scheme = "https" if config.dashboard.tls.certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


@contextmanager
def _told_to_stop(eve_file: EveFile | None, reload: RuleReload) -> Iterator[threading.Event]:
    """An event set by the first SIGINT or SIGTERM; a second one ends at once.

    SIGHUP opens ``eve.json`` again and reloads the rules.
    """
    stopping = threading.Event()

    def stop(number: int, _frame: object) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    def reopen(_number: int, _frame: object) -> None:
        if eve_file:
            eve_file.reopen()
        reload.request()

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: reopen}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
