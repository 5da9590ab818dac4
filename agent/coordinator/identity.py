"""Who is calling: by bearer token, HTTP Basic, a short-lived OAuth 2.0 token, or a client certificate."""

import base64
import binascii
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import HTTPException, Request

from tapwarden.agent.coordinator.settings import CoordinatorSettings

TOKEN_LASTS_S = 600
TOKENS_MAX = 10_000
"""Short-lived tokens in force at once; the oldest goes first."""

CHALLENGE = 'Bearer, Basic realm="Tapwarden coordinator", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose credentials they were."""

    name: str
    officer: bool


class Identities:
    """The agents and officers of the settings. ``monotonic`` counts the seconds of short-lived tokens."""

    def __init__(self, settings: CoordinatorSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._monotonic = settings, monotonic
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[Caller, float]] = {}

    def caller(self, request: Request) -> Caller:
        """Who it is; HTTPException 401 for nobody we know."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        found: Caller | None = None
        if scheme.lower() == "bearer":
            found = self._by_secret(value) or self._by_token(value)
        elif scheme.lower() == "basic":
            found = self._by_basic(value)
        elif not scheme:
            found = self._by_certificate(request.scope.get("state", {}).get("common_name", ""))
        if found is None:
            raise HTTPException(401, "a valid bearer token or password is needed", {"WWW-Authenticate": CHALLENGE})
        return found

    def agent(self, request: Request) -> Caller:
        """The agent that calls; HTTPException 403 for an officer."""
        caller = self.caller(request)
        if caller.officer:
            raise HTTPException(403, "this is for agents")
        return caller

    def officer(self, request: Request) -> Caller:
        """The officer who calls; HTTPException 403 for an agent."""
        caller = self.caller(request)
        if not caller.officer:
            raise HTTPException(403, "this is for officers")
        return caller

    def grant(self, request: Request, client_id: str, client_secret: str) -> tuple[str, int]:
        """A short-lived token for credentials, in the header or the form (RFC 6749 section 2.3.1); its seconds."""
        caller = self._by_password(client_id, client_secret) if client_id else self.caller(request)
        if caller is None:
            raise HTTPException(401, "invalid_client", {"WWW-Authenticate": CHALLENGE})
        token = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._tokens) >= TOKENS_MAX:
                self._tokens.pop(next(iter(self._tokens)))
            self._tokens[token] = (caller, self._monotonic() + TOKEN_LASTS_S)
        return token, TOKEN_LASTS_S

    def _by_secret(self, token: str) -> Caller | None:
        found = None
        for names, officer in ((self._settings.agents, False), (self._settings.officers, True)):
            for name, expected in names.items():  # all of them, so that the time taken tells nothing
                if hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace")):
                    found = Caller(name, officer)
        return found

    def _by_token(self, token: str) -> Caller | None:
        with self._lock:
            caller, until = self._tokens.get(token, (None, 0.0))
            if until < self._monotonic():
                self._tokens.pop(token, None)
                return None
        return caller

    def _by_basic(self, value: str) -> Caller | None:
        try:
            name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return self._by_password(name, password)

    def _by_password(self, name: str, password: str) -> Caller | None:
        found = self._by_secret(password)
        return found if found is not None and found.name == name else None

    def _by_certificate(self, common_name: str) -> Caller | None:
        """The name in a certificate that TLS has verified; officers always show a secret."""
        return Caller(common_name, False) if common_name and common_name in self._settings.agents else None
