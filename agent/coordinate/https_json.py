"""Reports over HTTPS: one POST of the document, answered by a receipt in JSON.

    POST <url>                         201 Created (200 when it had been received before)
    Authorization: Bearer <token>      {"receipt": "...", "report_id": "...", "received_at": "2026-11-24T12:00:00Z"}
    Idempotency-Key: <report id>

Anything else is no acknowledgement: the report stays due.
"""

import json
import ssl
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from tapwarden.model.errors import ChannelError, ConfigError
from tapwarden.model.report import Receipt, Report

ANSWER_MAX_OCTETS = 64 * 1024
"""No receipt is longer; what a broken or hostile centre sends beyond it is not read."""

ATTEMPT_MAX_S = 60.0
"""One attempt with all its pauses, so that a centre that answers a byte at a time holds up nothing else."""

REFUSALS = frozenset({400, 409, 413, 415, 422})
"""Answers that say the content is not acceptable (RFC 9110 section 15.5). All others can pass: a wrong token or path is
set right by a person without the report being changed."""

REPORTS_PATH = "/api/v1/reports"
"""Where the reference centre takes reports."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How to reach a coordinating centre. ``ca_file`` replaces the system's authorities; paths are PEM files.

    ``url`` is where reports are posted to; of one without a path, at ``REPORTS_PATH``.
    """

    url: str
    token: str = ""
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    timeout_s: float = 20.0


class HttpsJsonChannel:
    """The channel ``https``. Raises ConfigError for settings that cannot work: a URL without TLS that leaves the host,
    a CA file that cannot be read."""

    name = "https"

    def __init__(self, settings: ChannelSettings) -> None:
        parts = urlsplit(settings.url)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ConfigError("write https://host/path", key="url")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ConfigError("reports leave the host only over https", key="url")
        if not settings.token.isascii() or any(c.isspace() for c in settings.token):
            raise ConfigError("a token is printable ASCII without spaces", key="token")
        self._url = settings.url if parts.path.strip("/") else f"{settings.url.rstrip('/')}{REPORTS_PATH}"
        headers = {"User-Agent": "tapwarden", "Accept": "application/json"}
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        self._client = httpx.Client(
            headers=headers,
            timeout=settings.timeout_s,
            verify=_tls(settings),
            follow_redirects=False,  # a redirect would carry the report and the token elsewhere
            trust_env=False,
        )

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def send(self, report: Report, payload: bytes, media_type: str) -> Receipt:
        """See the port."""
        headers = {"Content-Type": media_type, "Idempotency-Key": report.id}
        try:
            with self._client.stream("POST", self._url, content=payload, headers=headers) as response:
                answer = _bounded(response)
                status = response.status_code
        except httpx.HTTPError as error:
            raise ChannelError(f"{type(error).__name__}: {error}") from error
        except ValueError as error:  # a report id that no header can carry (httpx), or a location that is none
            raise ChannelError(f"cannot be sent: {error}", permanent=True) from error
        if status in REFUSALS:
            raise ChannelError(f"refused with {status}: {_shown(answer)}", permanent=True)
        if status not in {200, 201}:
            raise ChannelError(f"answered {status}: {_shown(answer)}")
        return _receipt(answer, report)


def _tls(settings: ChannelSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.client_certificate:
            context.load_cert_chain(settings.client_certificate, settings.client_key or None)
    except (OSError, ssl.SSLError) as error:
        file = settings.ca_file or settings.client_certificate
        raise ConfigError(f"cannot use {file}: {error}", key="ca_file") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _bounded(response: httpx.Response) -> bytes:
    until = time.monotonic() + ATTEMPT_MAX_S
    answer = bytearray()
    for part in response.iter_bytes(8192):
        answer += part
        if len(answer) > ANSWER_MAX_OCTETS:
            raise ChannelError(f"answered with more than {ANSWER_MAX_OCTETS} octets")
        if time.monotonic() > until:
            raise ChannelError(f"was still answering after {ATTEMPT_MAX_S:.0f} s")
    return bytes(answer)


def _shown(answer: bytes) -> str:
    text = answer[:200].decode("utf-8", "replace")
    return text.encode("unicode_escape").decode() or "(nothing)"


def _receipt(answer: bytes, report: Report) -> Receipt:
    try:
        record: Any = json.loads(answer)
        number, received_at, report_id = record["receipt"], record["received_at"], record["report_id"]
        moment = datetime.fromisoformat(received_at)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ChannelError(f"answered no receipt: {_shown(answer)}") from error
    if not isinstance(number, str) or not number or report_id != report.id or moment.tzinfo is None:
        raise ChannelError(f"answered a receipt for something else: {_shown(answer)}")
    return Receipt(number, moment, answer.decode("utf-8", "replace"))
