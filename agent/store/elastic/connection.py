"""The connection to the cluster: how to get there, and what its errors mean to the caller."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from elastic_transport import ConnectionError as Unreachable
from elastic_transport import ConnectionTimeout, SerializationError, TlsError, TransportError
from elasticsearch import ApiError, Elasticsearch, OrjsonSerializer, UnsupportedProductError
from elasticsearch.exceptions import AuthenticationException, AuthorizationException, BadRequestError, NotFoundError

from tapwarden.agent.store.classes import EventClass
from tapwarden.model.errors import StoreError

__all__ = ["BadRequestError", "NotFoundError", "Settings", "connect", "reason_of", "talking"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the cluster is, who we are there, and what our indices are called.

    ``urls`` name one or several nodes. An API key wins over ``user`` and ``password``. ``ca_file`` "" means the
    system's authorities. ``keep`` says how long each class of event is kept; ``max_octets`` 0 means no limit on all
    indices together.
    """

    urls: Sequence[str]
    prefix: str = "tapwarden"
    user: str = ""
    password: str = ""
    api_key: str = ""
    ca_file: str = ""
    compress: bool = True
    timeout_s: float = 30.0
    shard_octets: int = 25_000_000_000
    keep: Mapping[EventClass, timedelta] = field(default_factory=lambda: dict.fromkeys(EventClass, timedelta(days=180)))
    max_octets: int = 0


def is_loopback(url: str) -> bool:
    """Whether a node is on this host."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def connect(settings: Settings) -> Elasticsearch:
    """A client; nothing is sent yet. Raises StoreError for a CA file that cannot be used."""
    options: dict[str, Any] = {}
    if settings.ca_file:
        try:
            options["ssl_context"] = ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:  # SSLError is one
            raise StoreError(f"{settings.ca_file}: {error.strerror or 'is no certificate (PEM)'}") from error
    if settings.api_key:
        options["api_key"] = settings.api_key
    elif settings.user:
        options["basic_auth"] = (settings.user, settings.password)
    try:
        return Elasticsearch(
            list(settings.urls),
            serializer=OrjsonSerializer(),
            request_timeout=settings.timeout_s,
            max_retries=max(len(settings.urls) - 1, 0),  # another node at once; waiting is up to the caller
            retry_on_timeout=False,
            connections_per_node=8,
            **options,
        )
    except ValueError as error:
        raise StoreError(f"cannot reach Elasticsearch: {error}") from error


@contextmanager
def talking(to_do: str) -> Iterator[None]:
    """What goes wrong within becomes a StoreError that says what to look at.

    BadRequestError and NotFoundError are left to the caller, who knows what was asked.
    """
    try:
        yield
    except (BadRequestError, NotFoundError):
        raise
    except UnsupportedProductError as error:
        raise StoreError(f"cannot {to_do}: what answers is not Elasticsearch") from error
    except AuthenticationException as error:
        raise StoreError(f"cannot {to_do}: the server does not accept our user or API key (401)") from error
    except AuthorizationException as error:
        raise StoreError(f"cannot {to_do}: our user or API key may not: {reason_of(error)} (403)") from error
    except ApiError as error:
        raise StoreError(f"cannot {to_do}: {reason_of(error)} ({error.status_code})") from error
    except TlsError as error:
        raise StoreError(f"cannot {to_do}: the server's certificate is not accepted: {_plain(error)}") from error
    except ConnectionTimeout as error:
        raise StoreError(f"cannot {to_do}: no answer in time") from error
    except Unreachable as error:
        raise StoreError(f"cannot {to_do}: no connection: {_plain(error)}") from error
    except SerializationError as error:
        raise StoreError(f"cannot {to_do}: the answer is damaged") from error
    except TransportError as error:
        raise StoreError(f"cannot {to_do}: {_plain(error)}") from error


def reason_of(error: ApiError) -> str:
    """The innermost reason in the server's answer."""
    body = error.body
    found = body.get("error", body) if isinstance(body, dict) else body
    while isinstance(found, dict) and isinstance(found.get("caused_by"), dict):
        found = found["caused_by"]
    if isinstance(found, dict):
        causes = found.get("root_cause")
        if isinstance(causes, list) and causes and not found.get("reason"):
            found = causes[0]
        return str(found.get("reason") or found.get("type") or error.message)[:500]
    # an answer to HEAD has no body
    return str(found)[:500] if found else "the server gives no reason"


def _plain(error: TransportError) -> str:
    return str(error.message)[:300]
