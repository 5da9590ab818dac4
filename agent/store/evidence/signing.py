"""The key that signs evidence: Ed25519 (RFC 8032), made on first use, readable by its owner only."""

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tapwarden.model.errors import StoreError


class SigningKey:
    """Signs with the private key of a file of 32 octets."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def at(cls, path: Path) -> "SigningKey":
        """The key kept there; made when there is none. Raises StoreError."""
        try:
            try:
                return cls(Ed25519PrivateKey.from_private_bytes(path.read_bytes()))
            except FileNotFoundError:
                made = Ed25519PrivateKey.generate()
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(made.private_bytes_raw())
                return cls(made)
        except ValueError as error:
            raise StoreError(f"{path} is no Ed25519 key") from error
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error

    @property
    def public(self) -> bytes:
        """The public key, 32 octets."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, octets: bytes) -> bytes:
        """The signature, 64 octets."""
        return self._private.sign(octets)


def signed_by(public: bytes, signature: bytes, octets: bytes) -> bool:
    """Whether the holder of this public key signed these octets."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, octets)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: bytes) -> str:
    """What people compare: SHA-256 of the public key, in groups of four hex digits."""
    digest = hashlib.sha256(public).hexdigest()
    return ":".join(digest[at : at + 4] for at in range(0, 32, 4))
