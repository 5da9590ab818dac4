"""Durations (``4h``, ``7d``) and sizes (``20 GB``) as people write them."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_OCTETS = {
    "B": 1,
    **{f"{p}B": 1000**n for n, p in enumerate("kMGT", 1)},
    **{f"{p}iB": 1024**n for n, p in enumerate("KMGT", 1)},
}
_SIZE_UNITS = {unit.lower(): octets for unit, octets in _OCTETS.items()}


def parse_duration(text: str) -> timedelta:
    """``90s``, ``30m``, ``4h``, ``7d``, ``2w`` or several of them (``1h 30m``). Raises ValueError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.lower())
    rest = re.sub(r"(\d+(?:\.\d+)?)\s*([a-z]+)", "", text.lower()).strip()
    if not parts or rest or any(unit not in _SECONDS for _, unit in parts):
        raise ValueError(f"{text!r} is not a duration; write for example 30m, 4h or 7d")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def format_duration(duration: timedelta) -> str:
    """The shortest text that ``parse_duration`` reads back, in at most two units for people."""
    seconds = round(duration.total_seconds())
    if seconds <= 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, _SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts)


def parse_size(text: str) -> int:
    """Octets of ``512 MB``, ``20 GB``, ``64 MiB``. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text.strip())
    if match is None or match[2].lower() not in _SIZE_UNITS:
        raise ValueError(f"{text!r} is not a size; write for example 512 MB or 20 GB")
    return int(float(match[1]) * _SIZE_UNITS[match[2].lower()])


def format_size(octets: float) -> str:
    """For people: at most one digit behind the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.1f} TB"


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{value!r} is not a duration; write it with its unit, for example 30m, 4h or 7d")


def _size(value: Any) -> Any:
    if isinstance(value, str):
        return parse_size(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not a size; write for example 512 MB or 20 GB")


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(format_duration)]
"""A span of time in the configuration."""

Size = Annotated[int, BeforeValidator(_size)]
"""An amount of octets in the configuration."""
