"""Canonical JSON (RFC 8785): the one octet string of a JSON value, which is what is signed.

By the library rfc8785: integers beyond 2^53, infinities and lone surrogates are refused.
"""

import hashlib
from typing import Any

import rfc8785


def canonical(value: Any) -> bytes:
    """The value's canonical form. Raises ValueError for what I-JSON cannot carry, or is too deep."""
    try:
        return rfc8785.dumps(value)
    except RecursionError as error:
        raise ValueError("too many levels") from error


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()
