"""Notices handed over by HTTPS: one POST of JSON, signed, answered by a 2xx.

POST <url>
Content-Type: application/json; Idempotency-Key: <message id>
X-Tapwarden-Signature: t=<seconds since 1970>,v1=<HMAC-SHA256 hex of "<t>." and the body>
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime

import httpx

from tapwarden.mitigation.notify.letter import plain
from tapwarden.model.errors import ChannelError

TIMEOUT_S = 15.0
MOST_ANSWER = 16_384
REFUSALS = frozenset({400, 404, 405, 409, 410, 413, 415, 422})
"""Answers that trying again does not change (RFC 9110 section 15.5)."""


class WebhookTransport:
    """Posts to receivers; each has a secret of its own, by its URL. Raises ChannelError."""

    def __init__(self, secrets: Mapping[str, str], *, ca_file: str = "") -> None:
        self._secrets = dict(secrets)
        verify = httpx.create_ssl_context(verify=ca_file) if ca_file else True
        # A redirect would carry what was meant for one receiver to another.
        self._client = httpx.Client(timeout=TIMEOUT_S, verify=verify, follow_redirects=False)

    def send(self, url: str, document: Mapping[str, object], message_id: str, at: datetime) -> str:
        """Hand one document over; what the receiver said."""
        body = json.dumps(document, ensure_ascii=True, sort_keys=True).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": message_id}
        if secret := self._secrets.get(url, ""):
            moment = str(int(at.timestamp()))
            signed = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
            headers["X-Tapwarden-Signature"] = f"t={moment},v1={signed}"
        try:
            with self._client.stream("POST", url, content=body, headers=headers) as answer:
                octets = b""
                for chunk in answer.iter_bytes(4096):
                    octets += chunk
                    if len(octets) > MOST_ANSWER:
                        break
                status = answer.status_code
        except httpx.HTTPError as error:
            raise ChannelError(f"{_host(url)}: {type(error).__name__}: {error}"[:300]) from error
        said = plain(octets[:200].decode("utf-8", "replace"), 120)
        if not 200 <= status < 300:
            raise ChannelError(f"{_host(url)}: {status} {said}".strip(), permanent=status in REFUSALS)
        return f"{_host(url)}: {status} {said}".strip()

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()


def _host(url: str) -> str:
    return httpx.URL(url).host
