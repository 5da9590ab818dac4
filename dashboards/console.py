"""What all pages share: the ports, the settings and the tables of one dashboard."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from jinja2 import Environment

from tapwarden.dashboards.accounts import Passwords, Rng
from tapwarden.dashboards.sessions import SessionTable
from tapwarden.dashboards.settings import DashboardSettings
from tapwarden.dashboards.throttle import LoginThrottle
from tapwarden.model.desks import AppealDesk, Desk, IncidentDesk, ReplyDesk
from tapwarden.model.office import Office
from tapwarden.model.order import OrderDesk, QueryDesk
from tapwarden.model.ports import CaseStore, Clock, EventStore, EvidenceStore, Formatter

Health = Callable[[], Mapping[str, Any]]
"""Part name -> {"state": "ok" | "degraded" | "down" | "off", "detail": text, and counters}."""


@dataclass(frozen=True, slots=True)
class Console:
    """One dashboard's parts; lives in ``app.state.console``."""

    events: EventStore
    cases: CaseStore
    desk: Desk
    clock: Clock
    health: Health
    evidence: EvidenceStore | None
    settings: DashboardSettings
    rng: Rng
    passwords: Passwords
    sessions: SessionTable
    throttle: LoginThrottle
    templates: Environment
    login_secret: bytes
    """Keys the token of the log-in form, which has no session yet."""
    handling: IncidentDesk | None = None
    orders: OrderDesk | None = None
    queries: QueryDesk | None = None
    office: Office | None = None
    formatters: Mapping[str, Formatter] = field(default_factory=dict)
    """What a report can be downloaded as."""
    appeals: AppealDesk | None = None
    replies: ReplyDesk | None = None
    public_throttle: LoginThrottle | None = None
    """How often an address may file or reply; None where nobody without an account may."""

    @property
    def cookie(self) -> str:
        """The session cookie's name; with TLS the browser itself holds it to this host (RFC 6265bis, __Host-)."""
        return "__Host-tapwarden" if self.settings.tls else "tapwarden"


def console_of(request: Request) -> Console:
    console: Console = request.app.state.console
    return console
