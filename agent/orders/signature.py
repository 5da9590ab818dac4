"""Ed25519 signatures (RFC 8032) over canonical JSON, and the keys of those whose orders are followed."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from tapwarden.agent.orders.canonical import canonical
from tapwarden.agent.store.evidence.signing import signed_by

ALGORITHM = "Ed25519"
CONTEXT = b"tapwarden order 1\n"
"""Put before what is signed, so that a signature made for something else never is one of an order."""

PublicKeys = Mapping[str, bytes]
"""Public keys (32 octets) by the issuer's name."""


def sign(content: Mapping[str, Any], issuer: str, signer: Callable[[bytes], bytes]) -> dict[str, str]:
    """The signature object of a signed content."""
    value = signer(CONTEXT + canonical(dict(content)))
    return {"alg": ALGORITHM, "key_id": issuer, "value": base64.b64encode(value).decode()}


def is_signed(content: Mapping[str, Any], signature: Any, issuer: str, keys: PublicKeys) -> bool:
    """Whether this issuer signed this content with the key known here."""
    if not isinstance(signature, Mapping) or signature.get("alg") != ALGORITHM or signature.get("key_id") != issuer:
        return False
    public = keys.get(issuer)
    try:
        value = base64.b64decode(str(signature.get("value", "")), validate=True)
        octets = CONTEXT + canonical(dict(content))
    except (binascii.Error, ValueError):
        return False
    return public is not None and signed_by(public, value, octets)


def public_key(text: str) -> bytes:
    """A public key as it is exchanged: ``ed25519:`` and base64 of 32 octets. Raises ValueError."""
    name, _, value = text.strip().partition(":")
    octets = base64.b64decode(value, validate=True)
    if name != "ed25519" or len(octets) != 32:
        raise ValueError("write a public key as ed25519:<base64 of 32 octets>")
    return octets


def shown_key(public: bytes) -> str:
    """A public key as text."""
    return f"ed25519:{base64.b64encode(public).decode()}"
