"""How values are written on a page: times, sizes, durations, and text that somebody on the network chose."""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

KEPT_CONTROLS = frozenset("\n\t")

SEVERITIES: Mapping[int, tuple[str, str]] = {1: ("High", "▲"), 2: ("Medium", "◆"), 3: ("Low", "●"), 4: ("Info", "○")}
"""EVE's alert.severity -> a word and a shape, so that colour is never the only signal."""


def visible(value: Any) -> Any:
    """Write characters that hide or reorder text as ``\\u{202e}``; what is not text passes unchanged.

    Covers C0/C1 controls but newline and tab, bidirectional overrides, zero-width and other format characters (Unicode
    category Cc, Cf), unpaired surrogates and private use (Cs, Co): see Unicode TR36.
    """
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    return "".join(
        c if c in KEPT_CONTROLS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") else f"\\u{{{ord(c):x}}}"
        for c in value
    )


def editable(value: Any) -> Markup:
    """Text for a form field: escaped, but otherwise unchanged, since it will be sent back."""
    text = "" if value is None else str(value)
    return escape(text.encode("utf-8", "replace").decode())


def iso(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, for machines."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(at: datetime) -> str:
    """``2026-11-24 08:37:19Z``; the page's script adds the local time beside it."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(seconds: float) -> str:
    """``2 d 3 h``, ``3 h 12 min``, ``45 s``: the two largest units, the sign left to the caller."""
    left = abs(int(seconds))
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def ago(at: datetime, now: datetime) -> str:
    """``3 min 2 s ago`` or ``in 4 h``."""
    seconds = (now - at).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(seconds)}"


def octets(size: int | None) -> str:
    """``1.2 MB`` in powers of 1000, as disks and links are sold."""
    value = float(size or 0)
    for unit in ("octets", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "octets" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def number(value: int | float) -> str:
    """Thousands apart by a narrow no-break space (ISO 80000-1)."""
    return f"{value:,}".replace(",", "\u202f")


def words(name: str) -> str:
    """``needs_information`` -> ``needs information``."""
    return str(name).replace("_", " ")


def severity_word(severity: int) -> str:
    return SEVERITIES.get(severity, ("Info", "○"))[0]


def severity_shape(severity: int) -> str:
    return SEVERITIES.get(severity, ("Info", "○"))[1]
