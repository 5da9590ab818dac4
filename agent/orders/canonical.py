"""Canonical JSON (RFC 8785): the one octet string of a JSON value, which is what is signed."""

import hashlib
import json
import math
from typing import Any

DEPTH_MAX = 64
INTEGER_MAX = 2**53 - 1
"""Integers beyond are not exact where numbers are IEEE 754 doubles (RFC 7493 section 2.2)."""


def canonical(value: Any) -> bytes:
    """The value's canonical form. Raises ValueError for what JSON, or I-JSON, cannot carry."""
    return _written(value, 0).encode("utf-8")


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _written(value: Any, depth: int) -> str:
    if depth > DEPTH_MAX:
        raise ValueError(f"more than {DEPTH_MAX} levels")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        value.encode("utf-8")  # UnicodeEncodeError, a ValueError, for a lone surrogate
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise ValueError(f"{value} is beyond the integers that are exact everywhere")
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_written(each, depth + 1) for each in value) + "]"
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key that is no text")
        # RFC 8785 section 3.2.3: sorted by UTF-16 code units.
        names = sorted(value, key=lambda key: key.encode("utf-16-be"))
        pairs = (f"{_written(name, depth + 1)}:{_written(value[name], depth + 1)}" for name in names)
        return "{" + ",".join(pairs) + "}"
    raise ValueError(f"JSON carries no {type(value).__name__}")


def _number(value: float) -> str:
    """As ECMAScript writes it (RFC 8785 section 3.2.2.3): the shortest digits, plain from 1e-6 to below 1e21."""
    if not math.isfinite(value):
        raise ValueError("JSON carries no infinity and no NaN")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"
