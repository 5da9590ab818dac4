"""Pseudonyms of internal addresses: keyed, one receiver's are not another's, reversible only with the key.

One AES block over the 16 octets of the address (IPv4 as ::ffff:a.b.c.d), as in ipcrypt-deterministic
(draft-denis-ipcrypt): the same host has the same pseudonym in all reports of a year to one receiver, two hosts never
have the same, and nobody without the key can tell which host it is or link those of two receivers.
"""

import base64
import ipaddress
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tapwarden.model.errors import StoreError

PREFIX = "host-"
KEY_OCTETS = 32


class Pseudonyms:
    """The pseudonyms of one receiver in one year (``epoch``)."""

    def __init__(self, master: bytes, receiver: str, epoch: str) -> None:
        info = f"tapwarden pseudonym 1|{receiver}|{epoch}".encode()
        key = HKDF(SHA256(), 16, salt=None, info=info).derive(master)
        self._cipher = Cipher(algorithms.AES(key), modes.ECB())  # one block: a permutation, nothing repeats

    def of(self, address: str) -> str:
        """The pseudonym of an address. ValueError for what is none."""
        encryptor = self._cipher.encryptor()
        block = encryptor.update(_octets(address)) + encryptor.finalize()
        return PREFIX + base64.b32encode(block).decode().rstrip("=").lower()

    def address(self, pseudonym: str) -> str:
        """The address behind a pseudonym of this receiver and year; some other address for one that is not.
        ValueError for what has not the form of one."""
        text = pseudonym.removeprefix(PREFIX).upper()
        block = base64.b32decode(text + "=" * (-len(text) % 8))
        if len(block) != 16:
            raise ValueError(f"{pseudonym!r} is no pseudonym")
        decryptor = self._cipher.decryptor()
        found = ipaddress.IPv6Address(decryptor.update(block) + decryptor.finalize())
        return str(found.ipv4_mapped or found)


def revealed(master: bytes, receiver: str, epochs: Iterable[str], pseudonym: str, ours: Callable[[str], bool]) -> str:
    """The internal address behind a pseudonym, "" where it is none of this receiver's. ValueError."""
    for epoch in epochs:
        address = Pseudonyms(master, receiver, epoch).address(pseudonym)
        if ours(address):
            return address
    return ""


def master_key(path: Path) -> bytes:
    """The key all pseudonyms come from, made on first use, readable by its owner only. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(os.urandom(KEY_OCTETS))
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            pass
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot use {path}: {error.strerror}") from error
    if len(key) != KEY_OCTETS:
        raise StoreError(f"{path} is not a key of {KEY_OCTETS} octets")
    return key


def _octets(address: str) -> bytes:
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return b"\0" * 10 + b"\xff\xff" + parsed.packed
    return parsed.packed
