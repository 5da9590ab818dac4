"""The mitigators that act beyond this host, from their configuration."""

import html
from collections.abc import Callable, Sequence

from tapwarden.agent.appeals import AppealRules, Appeals, Replies
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.config.response import Bgp as BgpConfig
from tapwarden.agent.report.workdays import Calendar
from tapwarden.agent.reporting import mailer_of
from tapwarden.agent.secret import read_token
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.cases.appeals import SqlAppealStore
from tapwarden.mitigation.bgp import BlackHole, Neighbour
from tapwarden.mitigation.notify import (
    Notify,
    Pap,
    Recipient,
    Sender,
    Tlp,
    Ways,
    WebhookTransport,
)
from tapwarden.mitigation.table import MITIGATORS
from tapwarden.mitigation.target import parse_domain, parse_network
from tapwarden.model.desks import Desk
from tapwarden.model.errors import ConfigError
from tapwarden.model.ports import CaseStore, Clock, Mitigator


def responses_of(config: Config, layout: Layout) -> list[Mitigator]:
    """Those that are enabled. Raises ConfigError, MitigationError."""
    made = []
    if config.mitigation.reset.enabled:
        made.append(reset_of(config, layout))
    if config.mitigation.bgp.enabled:
        made.append(bgp_of(config.mitigation.bgp, layout))
    if config.mitigation.notify.enabled:
        made.append(notify_of(config, layout))
    return made


def appeals_of(
    config: Config,
    cases: SqlCaseStore,
    desk: Desk,
    clock: Clock,
    calendar: Calendar,
    new_id: Callable[[], str],
) -> Appeals:
    """What is done with complaints."""
    terms = config.appeals
    rules = AppealRules(terms.ack_days, terms.decision_days, terms.filing_days, terms.per_day, calendar)
    return Appeals(store=SqlAppealStore(cases), cases=cases, desk=desk, clock=clock, rules=rules, new_id=new_id)


def complaint_link(config: Config) -> str:
    """HTML that leads from the sinkhole's page to the complaint form; "" where there is none."""
    site = config.mitigation.notify.site
    if not config.appeals.public or not site:
        return ""
    return f' <a href="{html.escape(site)}/complaint">Complaint &middot; &#25237;&#35785;</a>'


def replies_of(mitigators: Sequence[Mitigator], cases: CaseStore, clock: Clock) -> Replies | None:
    """What takes answers to notices; None where none are sent."""
    notify = next((one for one in mitigators if isinstance(one, Notify)), None)
    return Replies(notify, cases, clock) if notify else None


def reset_of(config: Config, layout: Layout) -> Mitigator:
    """What ends connections. Raises MitigationError."""
    return MITIGATORS["reset"](
        folder=layout.state("reset"), own=config.sensor.home_net, interface=config.mitigation.reset.interface
    )


def bgp_of(bgp: BgpConfig, layout: Layout) -> Mitigator:
    """What announces blocks to routers. Raises ConfigError, MitigationError."""
    hole = bgp.black_hole
    return MITIGATORS["bgp"](
        folder=layout.state("bgp"),
        neighbours=neighbours_of(bgp, layout),
        black_hole=BlackHole(hole.next_hop_v4, hole.next_hop_v6, hole.communities) if hole.enabled else None,
        flow=bgp.flow.enabled,
        max_routes=bgp.max_routes,
        octets_per_second=bgp.flow.rate,
    )


def neighbours_of(bgp: BgpConfig, layout: Layout) -> Sequence[Neighbour]:
    """The routers that are told, their passwords read. Raises ConfigError."""
    key = "mitigation.bgp.neighbours.password_file"
    return [
        Neighbour(
            one.address,
            one.peer_as,
            one.local_address,
            one.local_as,
            one.router_id or one.local_address,
            one.port,
            read_token(layout.setting(one.password_file), key) if one.password_file else "",
        )
        for one in bgp.neighbours
    ]


def notify_of(config: Config, layout: Layout) -> Mitigator:
    """What tells providers, owners and authorities. Raises ConfigError, MitigationError."""
    notify = config.mitigation.notify
    return MITIGATORS["notify"](
        folder=layout.state("notify"),
        recipients=recipients_of(config),
        ways=Ways(mailer_of(config, layout), webhook_of(config, layout)),
        sender=Sender(config.reporting.organisation, notify.contact, Tlp(notify.tlp), Pap(notify.pap)),
        reply_url=f"{notify.site}/reply/" if notify.site else "",
        per_hour=notify.per_hour,
    )


def recipients_of(config: Config) -> Sequence[Recipient]:
    """Who answers for what. Raises ConfigError."""
    made = []
    for one in config.mitigation.notify.recipients:
        try:
            names = tuple(parse_domain(name) for name in one.names)
        except ValueError as error:
            raise ConfigError(str(error), key="mitigation.notify.recipients.names") from error
        networks = tuple(parse_network(network) for network in one.networks)
        made.append(Recipient(one.name, one.kind, networks, names, one.email, one.webhook, one.language, Tlp(one.tlp)))
    return made


def webhook_of(config: Config, layout: Layout) -> WebhookTransport | None:
    """The way to receivers with a URL; None where nobody has one. Raises ConfigError."""
    hooks = [one for one in config.mitigation.notify.recipients if one.webhook]
    key = "mitigation.notify.recipients.secret_file"
    secrets = {one.webhook: read_token(layout.setting(one.secret_file), key) for one in hooks if one.secret_file}
    return WebhookTransport(secrets) if hooks else None
