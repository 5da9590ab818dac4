"""Serving the coordinating centre: in the foreground, or beside other things in a thread."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tapwarden.agent.coordinator.app import create_coordinator
from tapwarden.agent.coordinator.settings import CoordinatorSettings
from tapwarden.agent.peer_name import NamedProtocol

START_MAX_S = 20.0


def serve(settings: CoordinatorSettings) -> None:
    """Serve until interrupted. Raises StoreError, ConfigError; OSError when the address cannot be had."""
    with _listening(settings) as listener:
        _server(settings).run(sockets=[listener])


@contextmanager
def serving(settings: CoordinatorSettings) -> Iterator[str]:
    """Serve in a thread; gives the base URL. Port 0 takes any free one."""
    with _listening(settings) as listener:
        server = _server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="coordinator", daemon=True)
        thread.start()
        waited_until = time.monotonic() + START_MAX_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > waited_until:
                raise RuntimeError("the coordinator did not start")
            time.sleep(0.01)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        try:
            yield f"{'https' if settings.certificate else 'http'}://{shown}:{port}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def _listening(settings: CoordinatorSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server((settings.host, settings.port), family=family) as listener:
        yield listener


def _server(settings: CoordinatorSettings) -> uvicorn.Server:
    config = uvicorn.Config(
        create_coordinator(settings),
        http=NamedProtocol,
        ssl_certfile=settings.certificate or None,
        ssl_keyfile=settings.key or None,
        ssl_ca_certs=settings.client_ca or None,
        ssl_cert_reqs=ssl.CERT_OPTIONAL if settings.client_ca else ssl.CERT_NONE,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
