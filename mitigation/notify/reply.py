"""The token in a notice's reply link: says which message it answers, until when, and cannot be made by others."""

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path

from tapwarden.mitigation.database import folder_for
from tapwarden.model.errors import MitigationError

LONGEST = 300


@dataclass(frozen=True, slots=True)
class ReplyTokens:
    """Makes and reads tokens with one secret (32 octets)."""

    secret: bytes

    @classmethod
    def at(cls, folder: Path) -> "ReplyTokens":
        """With the secret in the folder, made on first use, for its owner only. Raises MitigationError."""
        path = folder_for(folder) / "reply.key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32))
                os.fsync(file.fileno())
        except FileExistsError:
            pass
        except OSError as problem:
            raise MitigationError(f"{path}: {problem.strerror}") from problem
        try:
            secret = path.read_bytes()
        except OSError as problem:
            raise MitigationError(f"{path}: {problem.strerror}") from problem
        if len(secret) != 32:
            raise MitigationError(f"{path} is not a key: remove it, and open reply links end")
        return cls(secret)

    def make(self, message_id: str, until: float) -> str:
        """A token for a message, good until then (seconds since 1970): letters, digits, ``-``, ``_`` and ``.``."""
        body = f"{int(until)}.{message_id}"
        return f"{body}.{_text(self._sign(body))}"

    def read(self, token: str, now: float) -> str | None:
        """The message a token answers; None for one that was not made here, or whose time is over."""
        if len(token) > LONGEST or not token.isascii():
            return None
        body, _, signature = token.rpartition(".")
        until, _, message_id = body.partition(".")
        try:
            given = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(given, self._sign(body)) or not until.isdigit() or int(until) < now:
            return None
        return message_id

    def _sign(self, body: str) -> bytes:
        return hmac.new(self.secret, b"tapwarden reply\n" + body.encode(), hashlib.sha256).digest()


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
