"""S/MIME (RFC 8551): a message signed with our certificate, and encrypted to the receiver's."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import (
    PKCS7EnvelopeBuilder,
    PKCS7Options,
    PKCS7SignatureBuilder,
)

from tapwarden.model.errors import ConfigError


class Smime:
    """Signs, encrypts, or both. Files are PEM; a certificate to encrypt to has an RSA key. Raises ConfigError."""

    def __init__(self, *, certificate: Path | None, key: Path | None, to: Path | None) -> None:
        self._certificate = _certificate(certificate) if certificate else None
        self._key = _key(key) if key else None
        self._to = _certificate(to) if to else None

    def wrapped(self, part: bytes) -> bytes:
        """The MIME entity ``part`` (headers and body) as a signed and encrypted entity with headers of its own."""
        if self._certificate is not None and self._key is not None:
            signer = PKCS7SignatureBuilder().set_data(part).add_signer(self._certificate, self._key, SHA256())
            part = signer.sign(Encoding.SMIME, [PKCS7Options.DetachedSignature])
        if self._to is not None:
            envelope = PKCS7EnvelopeBuilder().set_data(part).add_recipient(self._to)
            part = envelope.set_content_encryption_algorithm(AES256).encrypt(Encoding.SMIME, [PKCS7Options.Binary])
        return part


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no certificate: {error}", key="reporting.receivers.smime") from error


def _key(path: Path) -> RSAPrivateKey | EllipticCurvePrivateKey:
    try:
        if path.stat().st_mode & 0o007:
            raise ConfigError(f"{path} can be read by everyone on this host; chmod 600 {path}", key="smime_key")
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: no private key: {error}", key="reporting.smtp.smime_key") from error
    if not isinstance(key, (RSAPrivateKey, EllipticCurvePrivateKey)):
        raise ConfigError(f"{path}: S/MIME signs with RSA or an elliptic curve", key="reporting.smtp.smime_key")
    return key
