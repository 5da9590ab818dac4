"""Packet payloads as EVE carries them (base64), for people: hex with ASCII beside it, and printable text."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

MAX_SHOWN = 4096
"""Octets shown of one payload; the JSON page has all of it."""

ROW = 16


@dataclass(frozen=True, slots=True)
class HexRow:
    """One line of a dump: offset in octets, two groups of eight octets, and the ASCII column."""

    offset: str
    hex: str
    text: str


@dataclass(frozen=True, slots=True)
class Payload:
    """A decoded payload; ``octets`` is its whole length, ``rows`` and ``printable`` cover the first ``MAX_SHOWN``."""

    octets: int
    rows: tuple[HexRow, ...]
    printable: str
    truncated: bool


def decode_payload(field: Any) -> Payload | None:
    """The payload of a base64 field; None when there is none or it is not base64."""
    if not isinstance(field, str) or not field:
        return None
    try:
        data = base64.b64decode(field, validate=True)
    except (binascii.Error, ValueError):
        return None
    shown = data[:MAX_SHOWN]
    rows = tuple(_row(at, shown[at : at + ROW]) for at in range(0, len(shown), ROW))
    printable = "".join(chr(c) if 32 <= c < 127 or c in (9, 10) else "·" for c in shown.replace(b"\r\n", b"\n"))
    return Payload(len(data), rows, printable, len(data) > MAX_SHOWN)


def _row(offset: int, data: bytes) -> HexRow:
    left, right = data[:8].hex(" "), data[8:].hex(" ")
    return HexRow(f"{offset:04x}", f"{left:<23}  {right:<23}", "".join(chr(c) if 32 <= c < 127 else "." for c in data))
