"""The coordinating centre as one application: API, TAXII server and pages."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI

from tapwarden.agent.coordinator import order_api, order_pages, pages, report_api
from tapwarden.agent.coordinator.centre import Centre
from tapwarden.agent.coordinator.faults import Faults
from tapwarden.agent.coordinator.frame import Frame
from tapwarden.agent.coordinator.identity import Identities
from tapwarden.agent.coordinator.settings import CoordinatorSettings
from tapwarden.agent.coordinator.taxii import TaxiiServer


def _now() -> datetime:
    return datetime.now(UTC)


def create_coordinator(settings: CoordinatorSettings, *, now: Callable[[], datetime] = _now) -> FastAPI:
    """The application; the database is opened here (StoreError) and closed when the application stops."""
    centre, faults, identities = Centre(settings), Faults(), Identities(settings)

    def moment() -> datetime:
        return now() + faults.ahead

    centre.docket.publish_missing(moment())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        centre.close()

    app = FastAPI(title="Tapwarden coordinator", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(report_api.router(centre, identities, faults, with_faults=settings.faults, now=moment))
    app.include_router(order_api.router(centre, identities, now=moment))
    taxii = TaxiiServer(
        centre.shelf,
        identities,
        centre.agents,
        faults,
        title=f"Coordinating centre {settings.name}",
        now=moment,
        intake=lambda caller, collection, things: centre.intake.take(caller, collection, things, moment()),
    )
    app.include_router(taxii.router())
    frame = Frame(centre, identities)
    app.include_router(pages.router(frame, now=moment))
    app.include_router(order_pages.router(frame, now=moment))
    return app
