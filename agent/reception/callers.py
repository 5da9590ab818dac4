"""Who calls: a bearer token, or a client certificate whose common name is a caller's."""

import hmac
from collections.abc import Mapping

from fastapi import HTTPException, Request


class Callers:
    """The callers by name, with their tokens."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = dict(tokens)

    def name(self, request: Request) -> str:
        """The caller's name. HTTPException 401 for nobody we know."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = ""
        if scheme.lower() == "bearer":
            for name, expected in self._tokens.items():  # all of them, so that the time taken tells nothing
                if hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace")):
                    found = name
        elif not scheme:
            common_name = request.scope.get("state", {}).get("common_name", "")
            found = common_name if common_name in self._tokens else ""
        if not found:
            raise HTTPException(401, "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})
        return found
