"""Orders and queries of coordinating centres, from the configuration."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import SystemRandom

from tapwarden.agent.centre import channel_settings
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.coordinate.messages import Messages, Pushing
from tapwarden.agent.coordinate.misp import MispSightings
from tapwarden.agent.coordinate.taxii_centre import TaxiiCentre
from tapwarden.agent.coordinate.transport import ChannelSettings
from tapwarden.agent.coordination import Coordination
from tapwarden.agent.desk import CaseDesk
from tapwarden.agent.handling import IncidentHandling
from tapwarden.agent.orders.desk import OrderRules, Orders
from tapwarden.agent.orders.gate import GateRules
from tapwarden.agent.orders.signature import public_key
from tapwarden.agent.queries.desk import Queries, QueryRules
from tapwarden.agent.queries.templates import Sources
from tapwarden.agent.reception.callers import Callers
from tapwarden.agent.reception.server import Reception, ReceptionSettings, reception_app
from tapwarden.agent.report.pseudonym import Pseudonyms
from tapwarden.agent.reporting import pseudonym_key
from tapwarden.agent.secret import read_token
from tapwarden.agent.sighting import MISP, Sightings
from tapwarden.agent.store.cases import SqlCaseStore, SqlOrderStore
from tapwarden.mitigation.approval import ApprovalRules
from tapwarden.model.decision import Measure
from tapwarden.model.errors import ChannelError, ConfigError
from tapwarden.model.ports import Clock, EventStore, Mitigator

TOKEN_MIN = 16
"""Characters of a caller's token at least."""


@dataclass(frozen=True, slots=True)
class Means:
    """What orders are carried out with."""

    cases: SqlCaseStore
    desk: CaseDesk
    handling: IncidentHandling
    mitigators: tuple[Mitigator, ...]
    approval: ApprovalRules
    clock: Clock
    new_id: Callable[[], str]
    events: EventStore
    ours: Callable[[str], bool]


def orders_of(config: Config, means: Means) -> Orders:
    """The desk of orders. Without ``orders.enabled`` it follows nobody."""
    settings = config.orders
    keys = {issuer.name: public_key(issuer.public_key) for issuer in settings.issuers} if settings.enabled else {}
    gate = GateRules(
        name=agent_name(config),
        keys=keys,
        measures=frozenset(Measure(each) for each in settings.measures),
        longest=settings.longest,
    )
    return Orders(
        store=SqlOrderStore(means.cases),
        cases=means.cases,
        desk=means.desk,
        mitigators=means.mitigators,
        rules=OrderRules(gate, settings.people, means.approval, tells=bool(centre_url(config))),
        clock=means.clock,
        new_id=means.new_id,
    )


def agent_name(config: Config) -> str:
    """What orders call this agent."""
    return config.orders.name or config.sensor.name or socket.gethostname()


def queries_of(config: Config, layout: Layout, means: Means) -> Queries | None:
    """The desk of queries; None where none are answered. Raises StoreError for a key that cannot be had."""
    settings = config.queries
    if not settings.enabled:
        return None
    key = pseudonym_key(layout)

    def pseudonym(asker: str, host: str) -> str:
        """As in reports to the asker: two people can look behind it (``report reveal``)."""
        return Pseudonyms(key, asker, f"{means.clock.now():%Y}").of(host)

    store = SqlOrderStore(means.cases)
    sources = Sources(
        events=means.events,
        cases=means.cases,
        orders=store,
        ours=means.ours,
        pseudonym=pseudonym,
        smallest=settings.smallest,
        most_rows=settings.most_rows,
    )
    rules = QueryRules(agent_name(config), settings.per_hour, settings.tlp)
    return Queries(store=store, cases=means.cases, sources=sources, rules=rules, clock=means.clock)


def reception_of(
    config: Config, layout: Layout, orders: Orders, queries: Queries | None, clock: Clock
) -> Reception | None:
    """Where centres reach us; None where they do not. Raises ConfigError."""
    settings = config.orders.reception
    if not settings.enabled:
        return None

    def file(name: str) -> str:
        return str(layout.setting(name)) if name else ""

    key = "orders.reception.callers"
    tokens = {each.name: read_token(layout.setting(each.token_file), key) for each in settings.callers}
    if any(len(token) < TOKEN_MIN for token in tokens.values()):
        raise ConfigError(f"a token has at least {TOKEN_MIN} characters", key=key)
    app = reception_app(orders, queries, Callers(tokens), agent_name(config), clock.now)
    tls = settings.tls
    where = ReceptionSettings(
        settings.listen, settings.port, file(tls.certificate), file(tls.key), file(settings.client_ca)
    )
    return Reception(app, where)


def centre_url(config: Config) -> str:
    """Where orders are polled and feedback goes; "" where nowhere."""
    return config.orders.taxii or config.reporting.coordinator.url


def centre_of(config: Config, layout: Layout, cases: SqlCaseStore) -> TaxiiCentre | None:
    """The TAXII server that is polled; None where there is none. Raises ConfigError."""
    url = centre_url(config)
    if not config.orders.enabled or not url:
        return None
    polled = ["orders-out", *(["queries-out"] if config.queries.enabled else [])]
    return TaxiiCentre(replace(channel_settings(config, layout), url=url), SqlOrderStore(cases), polled)


def sightings_of(config: Config, cases: SqlCaseStore, events: EventStore, clock: Clock) -> Sightings:
    """What tells verdicts on indicators to their sources."""
    return Sightings(
        store=SqlOrderStore(cases),
        cases=cases,
        events=events,
        clock=clock,
        site=agent_name(config),
        misp=frozenset(each.source for each in config.sightings.misp),
        centre=config.sightings.centre and config.orders.enabled,
        drills=lambda incident_id: (found := cases.incident(incident_id)) is not None and found.drill,
    )


def misps_of(config: Config, layout: Layout) -> Mapping[str, MispSightings]:
    """The ways to MISPs, by collection name. Raises ConfigError."""
    return {
        f"{MISP}{each.source}": MispSightings(
            ChannelSettings(
                each.url,
                token=read_token(layout.setting(each.key_file), "sightings.misp"),
                ca_file=str(layout.setting(each.ca_file)) if each.ca_file else "",
            )
        )
        for each in config.sightings.misp
    }


def coordination_of(
    config: Config,
    means: Means,
    orders: Orders,
    queries: Queries | None,
    centre: TaxiiCentre | None,
    misps: Mapping[str, MispSightings],
) -> Coordination | None:
    """Staying in touch; None where there is nobody to be in touch with."""
    if not config.orders.enabled and not misps:
        return None
    store = SqlOrderStore(means.cases)

    def way_into(name: str) -> Pushing:
        if name in misps:
            return misps[name]
        if centre is None or name.startswith(MISP):
            raise ChannelError("nobody is configured who takes this")
        return centre.way_into(name)

    return Coordination(
        orders=orders,
        queries=queries,
        cases=means.cases,
        handling=means.handling,
        messages=Messages(store, way_into, random=SystemRandom()) if centre or misps else None,
        polls=centre.polls if centre else dict,
        clock=means.clock,
    )
