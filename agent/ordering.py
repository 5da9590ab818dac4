"""Orders and queries of coordinating centres, from the configuration."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import SystemRandom

from tapwarden.agent.centre import channel_settings
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.coordinate.messages import Messages
from tapwarden.agent.coordinate.taxii_centre import TaxiiCentre
from tapwarden.agent.coordination import Coordination
from tapwarden.agent.desk import CaseDesk
from tapwarden.agent.handling import IncidentHandling
from tapwarden.agent.orders.desk import OrderRules, Orders
from tapwarden.agent.orders.gate import GateRules
from tapwarden.agent.orders.signature import public_key
from tapwarden.agent.store.cases import SqlCaseStore, SqlOrderStore
from tapwarden.mitigation.approval import ApprovalRules
from tapwarden.model.decision import Measure
from tapwarden.model.ports import Clock, Mitigator


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


def orders_of(config: Config, means: Means) -> Orders:
    """The desk of orders. Without ``orders.enabled`` it follows nobody."""
    settings = config.orders
    keys = {issuer.name: public_key(issuer.public_key) for issuer in settings.issuers} if settings.enabled else {}
    gate = GateRules(
        name=settings.name or config.sensor.name or socket.gethostname(),
        keys=keys,
        measures=frozenset(Measure(each) for each in settings.measures),
        longest=settings.longest,
    )
    return Orders(
        store=SqlOrderStore(means.cases),
        cases=means.cases,
        desk=means.desk,
        mitigators=means.mitigators,
        rules=OrderRules(gate, settings.people, means.approval),
        clock=means.clock,
        new_id=means.new_id,
    )


def centre_of(config: Config, layout: Layout, cases: SqlCaseStore) -> TaxiiCentre | None:
    """The TAXII server that is polled; None where there is none. Raises ConfigError."""
    settings = config.orders
    url = settings.taxii or config.reporting.coordinator.url
    if not settings.enabled or not url:
        return None
    polled = ["orders-out", *(["queries-out"] if config.queries.enabled else [])]
    return TaxiiCentre(replace(channel_settings(config, layout), url=url), SqlOrderStore(cases), polled)


def coordination_of(config: Config, means: Means, orders: Orders, centre: TaxiiCentre | None) -> Coordination | None:
    """Staying in touch; None where orders are not followed."""
    if not config.orders.enabled:
        return None
    store = SqlOrderStore(means.cases)
    return Coordination(
        orders=orders,
        queries=None,
        cases=means.cases,
        handling=means.handling,
        messages=Messages(store, centre.way_into, random=SystemRandom()) if centre else None,
        polls=centre.polls if centre else dict,
        clock=means.clock,
    )
