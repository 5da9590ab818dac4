"""Who may pull: API keys, as CrowdSec's bouncers send them, or as a password where a firewall can do no better."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping


class Keys:
    """API keys by the puller's name; only their SHA-256 is held. ValueError for a key that can be guessed."""

    SHORTEST = 20

    def __init__(self, keys: Mapping[str, str]) -> None:
        for name, key in keys.items():
            if len(key) < self.SHORTEST:
                raise ValueError(f"the API key of {name} has fewer than {self.SHORTEST} characters")
        self._digests = {name: _digest(key) for name, key in keys.items()}

    def name_of(self, key: str) -> str | None:
        """Whose key it is; None for nobody's. Takes the same time for every wrong key."""
        digest, found = _digest(key), None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def caller(self, headers: Mapping[str, str]) -> str | None:
        """Who a request is from: ``X-Api-Key``, or HTTP Basic with the key as password (RFC 7617)."""
        if key := headers.get("x-api-key", ""):
            return self.name_of(key)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            _, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self.name_of(password)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()
