"""Up to which batch everything is stored: a number in a small file that is whole after a crash at any moment."""

import os
import struct
import zlib
from pathlib import Path

_SLOT = struct.Struct("<4sQI")
_MAGIC = b"TwSp"
_SLOT_OCTETS = 512
"""A sector: writing one slot never touches the other."""


class Position:
    """Two slots written in turn, each with a checksum; the higher whole one counts. Methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        values = [self._read(0), self._read(1)]
        self.value = max(values)
        self._next_slot = 1 - values.index(self.value)

    def advance(self, value: int, *, sync: bool) -> None:
        """Everything up to this batch is stored."""
        body = struct.pack("<4sQ", _MAGIC, value)
        os.pwrite(self._fd, body + struct.pack("<I", zlib.crc32(body)), self._next_slot * _SLOT_OCTETS)
        if sync:
            os.fdatasync(self._fd)
        self._next_slot = 1 - self._next_slot
        self.value = value

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _read(self, slot: int) -> int:
        data = os.pread(self._fd, _SLOT.size, slot * _SLOT_OCTETS)
        if len(data) < _SLOT.size:
            return 0
        magic, value, crc = _SLOT.unpack(data)
        return int(value) if magic == _MAGIC and zlib.crc32(data[:-4]) == crc else 0
