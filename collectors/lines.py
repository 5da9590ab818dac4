"""Complete lines of a growing file, from a position on, in bounded memory."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

CHUNK_OCTETS = 1 << 18
MAX_LINE_OCTETS = 8 << 20
"""Longer lines are skipped and counted; Suricata's largest records (payload and packet in base64) stay far below."""

_MARK_OCTETS = 4096


def mark_of(path: Path) -> str:
    """What a file is known by: a digest of its first line (of 4096 octets at most); "" when it has none yet."""
    try:
        with path.open("rb") as file:
            return _mark(file)
    except OSError:
        return ""


def _mark(file: BinaryIO) -> str:
    head = os.pread(file.fileno(), _MARK_OCTETS, 0)
    line, newline, _ = head.partition(b"\n")
    if not newline and len(head) < _MARK_OCTETS:
        return ""
    return hashlib.blake2b(line, digest_size=8).hexdigest()


def end_of_lines(file: BinaryIO) -> int:
    """The octet behind the last newline; in a file without one in its last 8 MiB, its end."""
    size = os.fstat(file.fileno()).st_size
    start = max(0, size - MAX_LINE_OCTETS)
    newline = os.pread(file.fileno(), size - start, start).rfind(b"\n")
    return start + newline + 1 if newline >= 0 or start == 0 else size


class Lines:
    """The lines of an open file. ``offset`` is behind the last line given; the file object is the caller's."""

    def __init__(self, file: BinaryIO, *, offset: int = 0) -> None:
        self._file = file
        self.offset = offset
        self.mark = _mark(file)
        self._buffer = b""
        self._skipping = False
        self._oversized = 0

    def restart(self) -> None:
        """Begin again: the file was truncated."""
        self.offset, self._buffer, self._skipping = 0, b"", False
        self.mark = _mark(self._file)

    def truncated(self) -> bool:
        """Whether what is in the file now is not what was read: it is shorter, or begins otherwise."""
        if os.fstat(self._file.fileno()).st_size < self.offset + len(self._buffer):
            return True
        now = _mark(self._file)
        if not self.mark:
            self.mark = now
        return self.offset > 0 and now != self.mark

    def complete(self, limit: int) -> list[tuple[int, bytes]]:
        """Up to ``limit`` complete lines as (offset, text without newline), empty ones left out."""
        found: list[tuple[int, bytes]] = []
        while len(found) < limit:
            line, newline, rest = self._buffer.partition(b"\n")
            if not newline:
                if not self._fill():
                    break
                continue
            at = self.offset
            self.offset += len(line) + 1
            self._buffer = rest
            if self._skipping:
                self._skipping = False
                continue
            # A writer that kept its position across a truncation leaves a hole of zeros.
            text = line.lstrip(b"\0").strip()
            if text:
                found.append((at, text))
        if not self.mark and found:
            self.mark = _mark(self._file)
        return found

    def rest(self) -> tuple[int, bytes] | None:
        """What stands behind the last newline, as a line; None when nothing does."""
        text = self._buffer.lstrip(b"\0").strip()
        at = self.offset
        self.offset += len(self._buffer)
        self._buffer = b""
        return (at, text) if text and not self._skipping else None

    def take_oversized(self) -> int:
        """Lines skipped for their length since the last call."""
        count, self._oversized = self._oversized, 0
        return count

    def _fill(self) -> bool:
        chunk = os.pread(self._file.fileno(), CHUNK_OCTETS, self.offset + len(self._buffer))
        if not chunk:
            return False
        self._buffer += chunk
        if len(self._buffer) > MAX_LINE_OCTETS and b"\n" not in self._buffer:
            self._oversized += not self._skipping
            self._skipping = True
            self.offset += len(self._buffer)
            self._buffer = b""
        return True
