"""Signed checkpoints of the audit trail: what it said at a moment, so that it cannot be rewritten from there unseen.

The chain alone shows a change to whoever cannot rewrite all of it. A checkpoint (number and hash of the last record,
signed with Ed25519) is one line of a file beside the database; copies kept elsewhere, with the public key, protect
against those who can rewrite this host.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tapwarden.model.errors import StoreError

LINE_OCTETS = 4096
"""More than a line has: about 260 octets."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The trail's last record at a moment, and the signature of all three (64 octets)."""

    seq: int
    hash: str
    at: datetime
    signature: bytes

    @property
    def signed(self) -> bytes:
        """What the signature covers."""
        return f"tapwarden audit checkpoint\n{self.seq}\n{self.hash}\n{self.at.astimezone(UTC).isoformat()}\n".encode()

    def line(self) -> str:
        """The checkpoint as one line of JSON."""
        text = base64.b64encode(self.signature).decode()
        return json.dumps({"seq": self.seq, "hash": self.hash, "at": self.at.isoformat(), "signature": text})


class Checkpoints:
    """The file of checkpoints; ``sign`` makes signatures. Raises StoreError."""

    def __init__(self, path: Path, sign: Callable[[bytes], bytes]) -> None:
        self._path, self._sign = path, sign

    def take(self, seq: int, hash_: str, now: datetime) -> Checkpoint | None:
        """Sign where the trail is; None when the last checkpoint says that already."""
        last = _last_of(self._path)
        if seq == 0 or (last is not None and (last.seq, last.hash) == (seq, hash_)):
            return None
        bare = Checkpoint(seq, hash_, now, b"")
        made = Checkpoint(seq, hash_, now, self._sign(bare.signed))
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            with os.fdopen(descriptor, "w") as file:
                file.write(made.line() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error
        return made

    def all(self) -> Iterator[Checkpoint]:
        """The checkpoints, oldest first; none where there is no file."""
        return read_checkpoints(self._path)


def read_checkpoints(path: Path) -> Iterator[Checkpoint]:
    """The checkpoints of a file, oldest first. Raises StoreError for one that cannot be read, by its line."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield _checkpoint(line, f"{path}:{number}")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: {getattr(error, 'strerror', None) or 'is no text'}") from error


def _last_of(path: Path) -> Checkpoint | None:
    """The newest checkpoint of a file, read from its end; None where there is no whole line. Raises StoreError."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LINE_OCTETS))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return _checkpoint(lines[-1].decode(errors="replace"), f"{path}: the last line") if lines else None


def _checkpoint(line: str, where: str) -> Checkpoint:
    try:
        given = json.loads(line)
        signature = base64.b64decode(given["signature"], validate=True)
        at = datetime.fromisoformat(given["at"])
        return Checkpoint(int(given["seq"]), str(given["hash"]), at, signature)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{where}: this is no checkpoint") from error
