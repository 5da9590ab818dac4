"""The server of the reception: a Service beside the other parts."""

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import uvicorn
from fastapi import FastAPI

from tapwarden.agent.orders.desk import Orders
from tapwarden.agent.peer_name import NamedProtocol
from tapwarden.agent.queries.desk import Queries
from tapwarden.agent.reception import openc2_http, query_http
from tapwarden.agent.reception.callers import Callers
from tapwarden.model.errors import MitigationError

START_MAX_S = 20.0


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """Where it listens, and TLS (PEM files; none on loopback)."""

    host: str
    port: int
    certificate: str = ""
    key: str = ""
    client_ca: str = ""


def reception_app(
    orders: Orders, queries: Queries | None, callers: Callers, name: str, now: Callable[[], datetime]
) -> FastAPI:
    """The application: OpenC2, and queries where they are answered."""
    app = FastAPI(title=f"Tapwarden agent {name}", version="1", docs_url=None, redoc_url=None)
    app.include_router(openc2_http.router(orders, callers, name, now))
    if queries is not None:
        app.include_router(query_http.router(queries, callers))
    return app


class Reception:
    """Serves in a thread between ``start`` and ``stop``. ``port`` is the one it got."""

    name = "reception"

    def __init__(self, app: FastAPI, settings: ReceptionSettings) -> None:
        self._settings = settings
        config = uvicorn.Config(
            app,
            http=NamedProtocol,
            host=settings.host,
            port=settings.port,
            ssl_certfile=settings.certificate or None,
            ssl_keyfile=settings.key or None,
            ssl_ca_certs=settings.client_ca or None,
            ssl_cert_reqs=ssl.CERT_OPTIONAL if settings.client_ca else ssl.CERT_NONE,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=50,
            timeout_graceful_shutdown=3,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="reception", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    def start(self) -> None:
        """Begin to answer. Raises MitigationError when the address cannot be had."""
        self._thread.start()
        until = time.monotonic() + START_MAX_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise MitigationError(f"it cannot listen on {self._settings.host} port {self._settings.port}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join(10)

    def _run(self) -> None:
        try:
            self._server.run()
        except SystemExit:  # uvicorn's way to say that the address is taken
            return
