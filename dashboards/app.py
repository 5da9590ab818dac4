"""The application: pages over the given stores and desk, behind the shield."""

import logging
import os
from collections.abc import Mapping

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from tapwarden.dashboards.access import DeniedError, Visitor, logged_in
from tapwarden.dashboards.accounts import Passwords, Rng
from tapwarden.dashboards.console import Console, Health
from tapwarden.dashboards.pages import (
    actions,
    audit,
    complaint,
    decide,
    event,
    handling,
    home,
    inbox,
    incidents,
    login,
    orders,
    reports,
    search,
    users,
)
from tapwarden.dashboards.pages import (
    appeals as appeal_pages,
)
from tapwarden.dashboards.pages import (
    office as office_pages,
)
from tapwarden.dashboards.render import HERE, page, template_environment, wants_json
from tapwarden.dashboards.sessions import SessionTable
from tapwarden.dashboards.settings import DashboardSettings
from tapwarden.dashboards.shield import Shield
from tapwarden.dashboards.throttle import LoginThrottle
from tapwarden.model.desks import AppealDesk, Desk, IncidentDesk, ReplyDesk
from tapwarden.model.errors import RefusedError, StoreError
from tapwarden.model.office import Office
from tapwarden.model.order import OrderDesk, QueryDesk
from tapwarden.model.ports import CaseStore, Clock, EventStore, EvidenceStore, Formatter

log = logging.getLogger(__name__)

ROUTERS: tuple[APIRouter, ...] = (
    login.router,
    home.router,
    inbox.router,
    event.router,
    search.router,
    decide.router,
    incidents.router,
    handling.router,
    reports.router,
    office_pages.router,
    actions.router,
    orders.router,
    users.router,
    audit.router,
    appeal_pages.router,
    complaint.router,
)


def create_app(
    *,
    events: EventStore,
    cases: CaseStore,
    desk: Desk,
    clock: Clock,
    health: Health,
    settings: DashboardSettings,
    evidence: EvidenceStore | None = None,
    incident_desk: IncidentDesk | None = None,
    order_desk: OrderDesk | None = None,
    query_desk: QueryDesk | None = None,
    office: Office | None = None,
    formatters: Mapping[str, Formatter] | None = None,
    appeals: AppealDesk | None = None,
    replies: ReplyDesk | None = None,
    rng: Rng = os.urandom,
    passwords: Passwords | None = None,
) -> FastAPI:
    """The dashboard over these stores. It closes none of them. ``health`` is asked on every home and health page."""
    app = FastAPI(title="Tapwarden", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.console = Console(
        events=events,
        cases=cases,
        desk=desk,
        clock=clock,
        health=health,
        evidence=evidence,
        settings=settings,
        rng=rng,
        passwords=passwords or Passwords(),
        sessions=SessionTable(
            clock,
            rng,
            idle_s=settings.idle_s,
            lifetime_s=settings.lifetime_s,
            limit=settings.max_sessions,
            per_user=settings.max_sessions_per_user,
        ),
        throttle=LoginThrottle(
            clock,
            per_name=settings.login_failures,
            per_address=settings.login_failures_per_address,
            window_s=settings.login_window_s,
        ),
        templates=template_environment(),
        login_secret=rng(32),
        handling=incident_desk,
        orders=order_desk,
        queries=query_desk,
        office=office,
        formatters=formatters or {},
        appeals=appeals,
        replies=replies,
        public_throttle=LoginThrottle(
            clock, per_name=settings.filings_per_address, per_address=settings.filings_per_address, window_s=3600
        )
        if settings.public
        else None,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    _add_error_pages(app)
    app.add_middleware(
        Shield, allowed_hosts=settings.allowed_hosts, tls=settings.tls, max_body_octets=settings.max_body_octets
    )
    return app


def _add_error_pages(app: FastAPI) -> None:
    @app.exception_handler(DeniedError)
    def denied(request: Request, error: DeniedError) -> Response:
        if error.location and not wants_json(request):
            return RedirectResponse(error.location, status_code=303)
        return _error_page(request, error.status, error.title, error.reason)

    @app.exception_handler(RefusedError)
    def refused(request: Request, error: RefusedError) -> Response:
        return _error_page(request, 409, "Refused by policy", str(error), entry=error.entry)

    @app.exception_handler(StoreError)
    def store_down(request: Request, error: StoreError) -> Response:
        log.error("store_error path=%s error=%r", request.url.path, str(error))
        return _error_page(request, 503, "The store is down", f"Nothing was changed. The store says: {error}")

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        said = "; ".join(f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in error.errors())
        return _error_page(request, 400, "Not understood", said[:2000])

    @app.exception_handler(HTTPException)
    def failed(request: Request, error: HTTPException) -> Response:
        title = "No such page" if error.status_code == 404 else "Not possible"
        return _error_page(request, error.status_code, title, str(error.detail), headers=error.headers)


def _error_page(
    request: Request,
    status: int,
    title: str,
    reason: str,
    *,
    entry: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    console: Console = request.app.state.console
    data = {"status": status, "title": title, "reason": reason, "entry": entry}
    return page(request, console, _person(request, console), "error.html", data, status=status, headers=headers)


def _person(request: Request, console: Console) -> Visitor | None:
    """The visitor for the frame of an error page; none when that cannot be said now."""
    try:
        return logged_in(request, console)
    except (DeniedError, StoreError):
        return None
