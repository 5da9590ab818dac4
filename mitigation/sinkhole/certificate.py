"""A certificate for whatever name a client asks for: nobody trusts it, and the client shows what it came for."""

import contextlib
import ssl
import tempfile
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

KEPT = 256
"""Names whose certificates are kept; the one longest not asked for goes first."""
NAMELESS = "sinkhole.invalid"
"""For a client that names nobody (RFC 2606: nobody can have this name)."""


class Certificates:
    """TLS contexts by name, one key for all. Safe to use from several threads."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._made: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        self._lock = Lock()

    def context(self, name: str) -> ssl.SSLContext:
        """A server's context for ``name``; whatever is no name gets the nameless one."""
        wanted = name.lower() if 0 < len(name) <= 64 and name.isascii() and name.isprintable() else NAMELESS
        with self._lock:
            context = self._made.pop(wanted, None) or self._make(wanted)
            self._made[wanted] = context
            if len(self._made) > KEPT:
                self._made.popitem(last=False)
            return context

    def _make(self, name: str) -> ssl.SSLContext:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
        )
        with contextlib.suppress(ValueError):  # what is no DNS name is named by the subject alone
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED  # malware speaks what it spoke when it was written
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # the ssl module takes files only
            key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            file.write(certificate.public_bytes(Encoding.PEM) + key)
            file.flush()
            context.load_cert_chain(Path(file.name))
        return context
