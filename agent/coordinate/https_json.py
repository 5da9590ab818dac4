"""Reports over HTTPS: one POST of the document, answered by a receipt in JSON.

    POST <url>                         201 Created (200 when it had been received before)
    Authorization: Bearer <token>      {"receipt": "...", "report_id": "...", "received_at": "2026-11-24T12:00:00Z"}
    Idempotency-Key: <report id>

Anything else is no acknowledgement: the report stays due.
"""

import json
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from tapwarden.agent.coordinate.transport import ChannelSettings, bounded, check_url, connect, shown
from tapwarden.model.errors import ChannelError
from tapwarden.model.report import Receipt, Report

ANSWER_MAX_OCTETS = 64 * 1024
"""No receipt is longer; what a broken or hostile centre sends beyond it is not read."""

REFUSALS = frozenset({400, 409, 413, 415, 422})
"""Answers that say the content is not acceptable (RFC 9110 section 15.5). All others can pass: a wrong token or path is
set right by a person without the report being changed."""

REPORTS_PATH = "/api/v1/reports"
"""Where the reference centre takes reports; where a URL without a path leads to."""


class HttpsJsonChannel:
    """The channel ``https``. Raises ConfigError for settings that cannot work."""

    name = "https"

    def __init__(self, settings: ChannelSettings) -> None:
        check_url(settings.url, "url")
        parts = urlsplit(settings.url)
        self._url = settings.url if parts.path.strip("/") else f"{settings.url.rstrip('/')}{REPORTS_PATH}"
        self._client = connect(settings, "application/json")

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def send(self, report: Report, payload: bytes, media_type: str) -> Receipt:
        """See the port."""
        headers = {"Content-Type": media_type, "Idempotency-Key": report.id}
        try:
            with self._client.stream("POST", self._url, content=payload, headers=headers) as response:
                answer = bounded(response, ANSWER_MAX_OCTETS)
                status = response.status_code
        except httpx.HTTPError as error:
            raise ChannelError(f"{type(error).__name__}: {error}") from error
        except ValueError as error:  # a report id that no header can carry (httpx), or a location that is none
            raise ChannelError(f"cannot be sent: {error}", permanent=True) from error
        if status in REFUSALS:
            raise ChannelError(f"refused with {status}: {shown(answer)}", permanent=True)
        if status not in {200, 201}:
            raise ChannelError(f"answered {status}: {shown(answer)}")
        return _receipt(answer, report)


def _receipt(answer: bytes, report: Report) -> Receipt:
    try:
        record: Any = json.loads(answer)
        number, received_at, report_id = record["receipt"], record["received_at"], record["report_id"]
        moment = datetime.fromisoformat(received_at)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ChannelError(f"answered no receipt: {shown(answer)}") from error
    if not isinstance(number, str) or not number or report_id != report.id or moment.tzinfo is None:
        raise ChannelError(f"answered a receipt for something else: {shown(answer)}")
    return Receipt(number, moment, answer.decode("utf-8", "replace"))
