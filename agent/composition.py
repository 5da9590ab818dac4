"""From a configuration to the parts: stores, mitigators, guard, ledger, desk, outbox. Nothing runs here.

The command line's short commands and the runtime share it, so that both act under the same guard and ledger.
"""

import html
import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from tapwarden.agent.appeals import Appeals, Replies, lifted_targets
from tapwarden.agent.clock import SystemClock
from tapwarden.agent.clockwork import Clockwork
from tapwarden.agent.compliance import RULES, examine, gather
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.config.schema import Policy as PolicyConfig
from tapwarden.agent.coordinate.notify import NoticeQueue
from tapwarden.agent.coordinate.outbox import Outbox
from tapwarden.agent.coordination import Coordination
from tapwarden.agent.desk import CaseDesk, Means, ReportingRules
from tapwarden.agent.handling import IncidentHandling
from tapwarden.agent.office import CaseOffice
from tapwarden.agent.ordering import Means as OrderingMeans
from tapwarden.agent.ordering import centre_of, coordination_of, misps_of, orders_of, queries_of, sightings_of
from tapwarden.agent.orders.desk import Orders
from tapwarden.agent.progress import Places
from tapwarden.agent.queries.desk import Queries
from tapwarden.agent.report.reporter import Reporter
from tapwarden.agent.reporting import clock_rules_of, mailer_of, notices_of, outbox_of, pseudonym_key
from tapwarden.agent.responses import appeals_of, complaint_link, replies_of, responses_of
from tapwarden.agent.revealing import Revealing
from tapwarden.agent.secret import read_token
from tapwarden.agent.store.cases import SqlCaseStore, SqlOrderStore
from tapwarden.agent.store.cases.appeals import SqlAppealStore
from tapwarden.agent.store.cases.checkpoints import Checkpoints
from tapwarden.agent.store.classes import EventClass
from tapwarden.agent.store.elastic import ElasticEventStore
from tapwarden.agent.store.elastic import Settings as ElasticSettings
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.agent.store.eve_file import EveFile
from tapwarden.agent.store.evidence import SigningKey
from tapwarden.agent.store.spool import Fsync, Spool
from tapwarden.agent.triage.grading import grades, shipped_schemes
from tapwarden.agent.triage.policy import Policy, StandingDecision
from tapwarden.mitigation.allow_list import AllowList
from tapwarden.mitigation.approval import ApprovalRules
from tapwarden.mitigation.guard import Guard, Limits, Protected, protect
from tapwarden.mitigation.ledger import Ledger
from tapwarden.mitigation.protected import Hosts, of_this_host
from tapwarden.mitigation.rpz import TsigKey
from tapwarden.mitigation.ruleset import Rate
from tapwarden.mitigation.sinkhole import Sinkhole
from tapwarden.mitigation.table import MITIGATORS
from tapwarden.model.errors import ConfigError, StoreError
from tapwarden.model.incident import AlertGroup, Grade, Incident
from tapwarden.model.office import Requirement
from tapwarden.model.ports import CaseStore, Clock, Closeable, EventStore, Mitigator
from tapwarden.model.report import StageTimer

DetectedAt = Callable[[Sequence[AlertGroup], datetime], datetime]


@dataclass(frozen=True)
class Parts:
    """Everything that is composed from one configuration."""

    config: Config
    layout: Layout
    clock: Clock
    events: EventStore
    cases: CaseStore
    mitigators: Sequence[Mitigator]
    ledger: Ledger
    guard: Callable[[], Guard]
    desk: CaseDesk
    policies: Sequence[Policy]
    ours: Callable[[str], bool]
    outbox: Outbox | None
    reporter: Reporter
    handling: IncidentHandling
    clockwork: Clockwork
    notices: NoticeQueue
    revealing: Revealing
    office: CaseOffice
    orders: Orders
    coordination: Coordination | None
    queries: Queries | None
    places: Places
    appeals: Appeals
    replies: Replies | None


def first_alert(groups: Sequence[AlertGroup], now: datetime) -> datetime:
    """Detection of live traffic: when the first alert was raised."""
    return min(*(group.first_seen for group in groups), now)


def replayed_now(_groups: Sequence[AlertGroup], now: datetime) -> datetime:
    """Detection in a replay: now. The packets are older than the look at them."""
    return now


@contextmanager
def composed(config: Config, layout: Layout, *, detected_at: DetectedAt = first_alert) -> Iterator[Parts]:
    """The parts, closed at the end. Raises ConfigError, StoreError."""
    clock = SystemClock()
    clocks = clock_rules_of(config, layout)
    reporter = reporter_of(config)
    cases = open_cases(config, layout)
    events = open_events(config, layout, clock)
    closeables: list[object] = [events, cases]
    try:
        mitigators = mitigators_of(config, layout)
        guard = guard_of(config, layout)
        ledger = Ledger(cases, mitigators, guard)
        networks = [ipaddress.ip_network(network) for network in config.sensor.home_net]

        def ours(address: str) -> bool:
            return _within(address, networks)

        schemes = shipped_schemes()

        mailer = mailer_of(config, layout)

        def graded(incident: Incident) -> Mapping[str, Grade]:
            return grades(incident.facts, schemes)

        def drafted(incident: Incident, timer: StageTimer) -> None:
            desk.draft_timer(incident, timer)

        clockwork = Clockwork(cases, clock, clocks, graded, drafted)
        desk = CaseDesk(
            cases=cases,
            events=events,
            means=Means(
                ledger,
                mitigators,
                guard,
                dry_run=config.mitigation.mode != "enforce",
                rules=approval_rules_of(config),
                lifted=lambda: lifted_targets(SqlAppealStore(cases)),
            ),
            rules=ReportingRules(
                clocks.main,
                reporter,
                config.reporting.auto_send,
                {profile.id: profile for profile in (clocks.main, *clocks.also)},
                {name: receiver.name for receiver in config.reporting.receivers for name in receiver.profiles},
                graded,
            ),
            clock=clock,
            new_id=new_id,
            ours=ours,
            detected_at=detected_at,
            followed=clockwork.follow,
            judged=sightings_of(config, cases, events, clock).judged,
        )
        appeals = appeals_of(config, cases, desk, clock, clocks.calendar, new_id)
        handling = IncidentHandling(
            cases=cases,
            clock=clock,
            new_id=new_id,
            ours=ours,
            undo=lambda ids, by, reason: desk.rollback(ids, by=by, reason=reason),
            followed=clockwork.follow,
            schemes=schemes,
        )
        ordering_means = OrderingMeans(
            cases, desk, handling, tuple(mitigators), approval_rules_of(config), clock, new_id, events, ours
        )
        orders = orders_of(config, ordering_means)
        queries = queries_of(config, layout, ordering_means)
        centre = centre_of(config, layout, cases)
        misps = misps_of(config, layout)
        closeables += [centre, *misps.values()]
        outbox = outbox_of(
            config, layout, cases, clock, mailer, ours, obstacle=reporter.obstacle, followed=clockwork.follow_id
        )

        def examined() -> list[Requirement]:
            found = gather(
                now=clock.now(),
                config=config,
                reporter=reporter,
                profiles=(clocks.main, *clocks.also),
                cases=cases,
                events=events,
                orders=orders.orders(limit=10_000),
                appeals=appeals.appeals(limit=10_000),
                drills=office.drills(),
                figures=office.statistics,
                grades=graded,
                mitigators=mitigators,
                checkpoints=sum(1 for _ in checkpoints_of(layout).all()),
            )
            return examine(RULES, found)

        office = CaseOffice(cases, examined)
        yield Parts(
            config,
            layout,
            clock,
            events,
            cases,
            mitigators,
            ledger,
            guard,
            desk,
            [policy_of(policy) for policy in config.triage.policies],
            ours,
            outbox,
            reporter,
            handling,
            clockwork,
            notices_of(config, cases, clock, mailer),
            Revealing(cases, clock, lambda: pseudonym_key(layout), ours),
            office,
            orders,
            coordination_of(config, ordering_means, orders, queries, centre, misps),
            queries,
            SqlOrderStore(cases),
            appeals,
            replies_of(mitigators, cases, clock),
        )
    finally:
        for part in closeables:
            if isinstance(part, Closeable):
                part.close()


def signing_key_of(layout: Layout) -> SigningKey:
    """The key that signs evidence and checkpoints, made on first use. Raises StoreError."""
    return SigningKey.at(layout.state("evidence.key"))


def checkpoints_of(layout: Layout) -> Checkpoints:
    """The audit trail's signed checkpoints."""
    return Checkpoints(layout.state("audit-checkpoints.jsonl"), lambda octets: signing_key_of(layout).sign(octets))


def mitigators_of(config: Config, layout: Layout) -> list[Mitigator]:
    """What carries actions out, as configured. Raises ConfigError, MitigationError."""
    settings = config.mitigation
    nftables, limit = settings.nftables, settings.nftables.rate_limit
    rate = Rate(limit.packets_per_second, limit.burst)
    made = [MITIGATORS["nftables"](table=nftables.table, hooks=nftables.hooks, rate=rate)]
    if settings.rpz.enabled:
        rpz = settings.rpz
        secret = read_token(layout.setting(rpz.tsig.secret_file)) if rpz.tsig.name else ""
        names = [name for name in settings.never_block if not (name[:1].isdigit() or ":" in name or "/" in name)]
        made.append(
            MITIGATORS["rpz"](
                folder=layout.state("rpz"),
                zone=rpz.zone,
                listen=rpz.listen,
                port=rpz.port,
                allow_transfer=rpz.allow_transfer,
                tsig=TsigKey(rpz.tsig.name, secret, rpz.tsig.algorithm) if secret else None,
                notify=rpz.notify,
                verify=rpz.verify,
                block=rpz.block,
                sinkhole=rpz.sinkhole,
                ttl=rpz.ttl,
                zone_file=layout.written(rpz.zone_file) if rpz.zone_file else None,
                passthru=names,
            )
        )
    if settings.bouncer.enabled:
        bouncer = settings.bouncer
        try:
            keys = {puller.name: read_token(layout.setting(puller.key_file)) for puller in bouncer.pullers}
            made.append(
                MITIGATORS["bouncer"](
                    folder=layout.state("bouncer"),
                    keys=keys,
                    listen=bouncer.listen,
                    port=bouncer.port,
                    certificate=layout.setting(bouncer.tls.certificate) if bouncer.tls.certificate else None,
                    key=layout.setting(bouncer.tls.key) if bouncer.tls.key else None,
                )
            )
        except ValueError as error:
            raise ConfigError(str(error), key="mitigation.bouncer.pullers") from error
    return [*made, *responses_of(config, layout)]


def sinkhole_of(config: Config) -> Sinkhole | None:
    """The listener on the sinkhole addresses; None where there is none."""
    sinkhole = config.mitigation.sinkhole
    if not sinkhole.enabled:
        return None
    return Sinkhole(
        addresses=sinkhole.addresses,
        port=sinkhole.port,
        keep_octets=sinkhole.keep_octets,
        contact=html.escape(sinkhole.contact) + complaint_link(config),
    )


def open_cases(config: Config, layout: Layout) -> SqlCaseStore:
    """The case store: a path below the state directory, or an SQLAlchemy URL. Raises StoreError."""
    where = config.store.cases
    return SqlCaseStore(where) if "://" in where else SqlCaseStore.at(layout.state(where))


def open_events(config: Config, layout: Layout, clock: Clock) -> EventStore:
    """The event store. Raises StoreError, ConfigError for a secret that cannot be read."""
    folder = layout.state(config.store.path)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise StoreError(f"cannot make {folder}: {error.strerror}") from error
    if config.store.backend == "elasticsearch":
        return ElasticEventStore(elasticsearch_of(config, layout), folder / "refused.json")
    return EmbeddedEventStore(folder, clock)


def elasticsearch_of(config: Config, layout: Layout) -> ElasticSettings:
    """The cluster as configured, its secrets read. Raises ConfigError."""
    cluster, kept = config.store.elasticsearch, config.retention
    key = "store.elasticsearch"

    def secret(file: str, name: str) -> str:
        return read_token(layout.setting(file), f"{key}.{name}") if file else ""

    return ElasticSettings(
        urls=cluster.urls,
        prefix=cluster.prefix,
        user=cluster.user,
        password=secret(cluster.password_file, "password_file"),
        api_key=secret(cluster.api_key_file, "api_key_file"),
        ca_file=str(layout.setting(cluster.ca_file)) if cluster.ca_file else "",
        compress=cluster.compress,
        timeout_s=cluster.timeout.total_seconds(),
        shard_octets=cluster.shard_size,
        keep={
            EventClass.ALERT: kept.alerts,
            EventClass.DNS: kept.dns,
            EventClass.NETWORK: kept.network,
            EventClass.DETAIL: kept.detail,
        },
        max_octets=cluster.max_size,
    )


@contextmanager
def spool_of(config: Config, layout: Layout) -> Iterator[Spool]:
    """The disk spool, closed at the end. Raises StoreError, also when another process has it."""
    settings = config.spool
    spool = Spool(
        layout.state(settings.path),
        max_octets=settings.max_size,
        fsync=Fsync(settings.fsync),
        fsync_interval_s=settings.fsync_interval.total_seconds(),
    )
    try:
        yield spool
    finally:
        spool.close()


def eve_file_of(config: Config, layout: Layout) -> EveFile | None:
    """Where every event is written as a line; None where that is switched off or an ``eve.json`` is what we read."""
    eve = config.output.eve
    if not eve.enabled or config.sensor.capture == "eve":
        return None
    return EveFile(layout.written(eve.path), max_octets=eve.max_size)


def allow_list_of(layout: Layout) -> AllowList:
    """The allow list that people edit while Tapwarden runs."""
    return AllowList(layout.state("allow-list.txt"))


def guard_of(config: Config, layout: Layout) -> Callable[[], Guard]:
    """The guard as it is now: what this host depends on is read again each time, since it changes while we run."""
    mitigation = config.mitigation
    limits = Limits(mitigation.max_prefix_v4, mitigation.max_prefix_v6, mitigation.actions_per_hour)
    listed = protect(mitigation.never_block, "never_block")
    coordinator = urlsplit(config.reporting.coordinator.url).hostname
    named = Hosts({"coordinator": coordinator} if coordinator else {})

    allowed = allow_list_of(layout)
    last: list[Guard] = []

    def guard() -> Guard:
        found: list[Protected] = [*listed, *allowed.protected(), *of_this_host(), *named.entries()]
        # The same guard while nothing changed: its index costs more than the look at the host.
        if not last or last[0].protected != tuple(found):
            last[:] = [Guard(found, limits)]
        return last[0]

    return guard


def approval_rules_of(config: Config) -> ApprovalRules:
    """Where people are needed, as configured."""
    approval = config.mitigation.approval
    return ApprovalRules(
        automatic_hosts=approval.automatic_hosts,
        high_hosts=approval.high_hosts,
        high_addresses=approval.high_addresses,
        two_people=frozenset(approval.two_people),
        confirm_within_s=int(approval.confirm_within.total_seconds()),
        automatic_confidence=approval.automatic_confidence,
        classes=dict(approval.classes),
        kinds=dict(approval.kinds),
    )


def reporter_of(config: Config) -> Reporter:
    """Who reports, as configured."""
    contact = config.reporting.contact
    reachable = " ".join(part for part in (contact.name, contact.phone, contact.email) if part)
    return Reporter(config.reporting.organisation, config.reporting.responsible, reachable, email=contact.email)


def policy_of(policy: PolicyConfig) -> Policy:
    """A configured policy in triage's terms."""
    decide = policy.decide
    return Policy(
        name=policy.name,
        sids=frozenset(policy.match.sid),
        severity=policy.match.severity,
        signature=policy.match.signature,
        category=policy.match.category,
        indicator_source=policy.match.indicator_source,
        min_count=policy.min_count,
        threat_class=policy.incident.threat_class,
        incident_severity=policy.incident.severity,
        decide=None
        if decide is None
        else StandingDecision(
            decide.measure, decide.targets, decide.scope, decide.reason, decide.legal_basis, decide.duration
        ),
    )


def sensor_name(config: Config) -> str:
    """The sensor's name; the host's unless configured."""
    return config.sensor.name or socket.gethostname()


def new_id() -> str:
    """An unguessable id: 80 random bits."""
    return secrets.token_hex(10)


def _within(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
