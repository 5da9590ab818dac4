"""The allow list that people edit while Tapwarden runs: a text file beside the state, one entry a line.

Read again whenever it changed, by every process that asks the guard. A line is ``VALUE  # since when, by whom: why``.
What a hand wrote and nobody can read protects nothing; it is kept, and told by ``problems``.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tapwarden.mitigation.guard import Protected, protect
from tapwarden.model.errors import MitigationError

MOST_OCTETS = 64 << 20
"""A million entries and what is said about them; a larger file is not read."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry: what nothing may be done to, and what was said when it was added."""

    value: str
    note: str = ""


class AllowList:
    """The file at ``path``; none is an empty list. Raises MitigationError where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._protected: tuple[Protected, ...] = ()
        self._problems: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def protected(self) -> Sequence[Protected]:
        """The entries for the guard, as the file is now: looked at each time, read when it changed."""
        with self._lock:
            try:
                stat = self._path.stat()
                seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            except FileNotFoundError:
                self._seen, self._protected, self._problems = None, (), ()
                return ()
            except OSError as error:
                raise MitigationError(f"{self._path}: {error.strerror}") from error
            if seen != self._seen:
                found: list[Protected] = []
                problems: list[str] = []
                for number, entry in enumerate(self._read(), 1):
                    try:
                        found += protect([entry.value], "allow list") if entry.value else []
                    except ValueError as error:
                        problems.append(f"{self._path}:{number}: {error}")
                self._seen, self._protected, self._problems = seen, tuple(found), tuple(problems)
            return self._protected

    def problems(self) -> Sequence[str]:
        """Lines that protect nothing, and why."""
        self.protected()
        return self._problems

    def entries(self) -> Sequence[Allowed]:
        """What is in the file, in its order."""
        return [entry for entry in self._read() if entry.value]

    def add(self, values: Sequence[str], *, by: str, reason: str, now: datetime) -> Sequence[str]:
        """Add entries; those that were not there. ValueError names what is no address, network or name."""
        canonical = [_text(value) for value in values]
        kept = list(self._read())
        there = {_text_or_none(entry.value) for entry in kept}
        new = [value for value in dict.fromkeys(canonical) if value not in there]
        note = " ".join(f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} {by}: {reason}".split())
        self._write([*kept, *(Allowed(value, note) for value in new)])
        return new

    def remove(self, values: Sequence[str]) -> Sequence[str]:
        """Take entries out; those that were there. ValueError names what is no address, network or name."""
        gone = {_text(value) for value in values}
        kept = list(self._read())
        found = [entry.value for entry in kept if _text_or_none(entry.value) in gone]
        if found:
            self._write([entry for entry in kept if _text_or_none(entry.value) not in gone])
        return found

    def _read(self) -> Sequence[Allowed]:
        try:
            with self._path.open("rb") as file:
                octets = file.read(MOST_OCTETS + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise MitigationError(f"{self._path}: {error.strerror}") from error
        if len(octets) > MOST_OCTETS:
            raise MitigationError(f"{self._path} has more than {MOST_OCTETS >> 20} MiB")
        pairs = (line.partition("#") for line in octets.decode(errors="replace").splitlines())
        return [Allowed(value.strip(), note.strip()) for value, _, note in pairs]

    def _write(self, entries: Sequence[Allowed]) -> None:
        """Replace the file as a whole: whoever reads it meanwhile sees the old one or the new one."""
        lines = [f"{entry.value}  # {entry.note}".strip() if entry.note else entry.value for entry in entries]
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            with new.open("w", encoding="utf-8") as file:
                file.write("".join(line + "\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            raise MitigationError(f"{self._path}: {error.strerror}") from error


def _text(value: str) -> str:
    """The canonical text of a value. ValueError."""
    [entry] = protect([value], "")
    network = entry.value
    if isinstance(network, str):
        return network
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _text_or_none(value: str) -> str | None:
    try:
        return _text(value)
    except ValueError:
        return None
