"""The HTTP server around the application."""

import ipaddress

import uvicorn
from fastapi import FastAPI

from tapwarden.dashboards.settings import DashboardSettings
from tapwarden.model.errors import ConfigError


def make_server(app: FastAPI, settings: DashboardSettings) -> uvicorn.Server:
    """A server to ``run()`` in a thread and end by ``should_exit = True``.

    Raises ConfigError when it would listen beyond loopback without TLS: passwords would cross the network in clear.
    """
    if not settings.tls and not _loopback(settings.host):
        raise ConfigError(
            "listening beyond loopback needs tls_certificate and tls_key, or behind_tls", key="dashboard.host"
        )
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        limit_concurrency=200,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=64 * 1024,
    )
    return uvicorn.Server(config)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
