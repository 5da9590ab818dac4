"""HTTP towards a coordinating centre: who we are, whom we trust, and how much of an answer we read.

Every channel goes through ``connect``: TLS 1.2 or later off the host, no redirects (they would carry reports and tokens
elsewhere), no proxies from the environment, and answers cut where no honest centre's would end.
"""

import json
import ssl
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from tapwarden.model.errors import ChannelError, ConfigError

ATTEMPT_MAX_S = 60.0
"""One attempt with all its pauses, so that a centre that answers a byte at a time holds up nothing else."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

TOKEN_MAX_OCTETS = 64 * 1024
TOKEN_EARLY_S = 30.0
"""A token is renewed this long before it ends, so that it does not end on the way."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How to reach a coordinating centre. ``ca_file`` replaces the system's authorities; paths are PEM files.

    Who we are is said in one of four ways: a bearer ``token``; ``user`` and ``password`` (HTTP Basic); ``user`` and
    ``password`` given to ``token_url`` for a short-lived token (OAuth 2.0 client credentials, RFC 6749 section 4.4); a
    client certificate, alone or with one of them.
    """

    url: str
    token: str = ""
    user: str = ""
    password: str = ""
    token_url: str = ""
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    timeout_s: float = 20.0


def connect(settings: ChannelSettings, accept: str) -> httpx.Client:
    """A client that says who we are. Raises ConfigError for settings that cannot work: a URL without TLS that leaves
    the host, a CA file that cannot be read."""
    for key, url in (("url", settings.url), ("token_url", settings.token_url or settings.url)):
        check_url(url, key)
    if not settings.token.isascii() or any(c.isspace() for c in settings.token):
        raise ConfigError("a token is printable ASCII without spaces", key="token")
    headers = {"User-Agent": "tapwarden", "Accept": accept}
    auth: httpx.Auth | None = None
    tls = _tls(settings)
    if settings.token:
        headers["Authorization"] = f"Bearer {settings.token}"
    elif settings.token_url:
        auth = ClientCredentials(settings.token_url, settings.user, settings.password, tls)
    elif settings.user:
        auth = httpx.BasicAuth(settings.user, settings.password)
    return httpx.Client(
        headers=headers,
        auth=auth,
        timeout=settings.timeout_s,
        verify=tls,
        follow_redirects=False,  # a redirect would carry the report and the token elsewhere
        trust_env=False,
    )


def check_url(url: str, key: str) -> None:
    """Raise ConfigError for a URL that nothing may be sent to."""
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ConfigError("write https://host/path", key=key)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ConfigError("reports leave the host only over https", key=key)


class ClientCredentials(httpx.Auth):
    """A short-lived bearer token, fetched when it is needed and again when it is refused.

    A token endpoint that gives none is a ChannelError: the report stays due.
    """

    def __init__(self, token_url: str, client_id: str, client_secret: str, tls: ssl.SSLContext) -> None:
        self._url, self._id, self._secret, self._tls = token_url, client_id, client_secret, tls
        self._token, self._good_until = "", 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx.Auth."""
        fresh = time.monotonic() >= self._good_until
        if fresh:
            self._fetch()
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == 401 and not fresh:
            self._fetch()
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _fetch(self) -> None:
        grant, who = {"grant_type": "client_credentials"}, httpx.BasicAuth(self._id, self._secret)
        try:
            with (
                httpx.Client(verify=self._tls, trust_env=False, auth=who) as client,
                client.stream("POST", self._url, data=grant, headers={"Accept": "application/json"}) as response,
            ):
                content, status = bounded(response, TOKEN_MAX_OCTETS), response.status_code
            if status != 200:
                raise ChannelError(f"no access token: {self._url} answered {status}: {shown(content)}")
            answer: Any = json.loads(content)
            token, lasts_s = answer["access_token"], float(answer.get("expires_in", 60))
            if not isinstance(token, str) or not token.isascii() or not token or any(c.isspace() for c in token):
                raise ValueError("it is no token")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, httpx.HTTPError) as error:
            raise ChannelError(f"no access token: {type(error).__name__}: {error}") from error
        self._token = token
        self._good_until = time.monotonic() + max(0.0, lasts_s - TOKEN_EARLY_S)


def bounded(response: httpx.Response, most_octets: int) -> bytes:
    """The answer's content. Raises ChannelError when it is longer, or still comes after ``ATTEMPT_MAX_S``."""
    until = time.monotonic() + ATTEMPT_MAX_S
    answer = bytearray()
    for part in response.iter_bytes(8192):
        answer += part
        if len(answer) > most_octets:
            raise ChannelError(f"answered with more than {most_octets} octets")
        if time.monotonic() > until:
            raise ChannelError(f"was still answering after {ATTEMPT_MAX_S:.0f} s")
    return bytes(answer)


def shown(answer: bytes) -> str:
    """The beginning of an answer for people: one line, nothing in it that a terminal would obey."""
    text = answer[:200].decode("utf-8", "replace")
    return text.encode("unicode_escape").decode() or "(nothing)"


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
