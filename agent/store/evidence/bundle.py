"""Evidence bundles: a ZIP file with a signed manifest that names every file in it by its hash.

The archive is written in one way only (stored, in order, without times), so that verifying can write it again from its
contents: a bit flipped anywhere, in the archive's own fields as well, is found.
"""

import base64
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from tapwarden.agent.store.evidence.signing import SigningKey, fingerprint, signed_by

FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"


class BundleError(Exception):
    """A bundle that does not prove itself. ``name`` is the file in it that is wrong, or that of the bundle itself."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"{name}: {reason}")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle that proves itself says: the manifest, its files, and whose key signed it."""

    manifest: Mapping[str, Any]
    files: Mapping[str, bytes]
    fingerprint: str


class Bundle:
    """Collects files, then writes the archive. ``facts`` go into the manifest as they are (JSON)."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = dict(facts)
        self._files: dict[str, bytes] = {}

    def add(self, name: str, octets: bytes) -> None:
        """One file; ``name`` is relative and plain. ValueError for one that is not, or is there already."""
        if not _is_plain(name) or name in {MANIFEST, SIGNATURE} or name in self._files:
            raise ValueError(f"{name!r} cannot be a file of a bundle")
        self._files[name] = octets

    def sign(self, key: SigningKey) -> bytes:
        """The archive."""
        listed = [
            {"name": name, "sha256": hashlib.sha256(octets).hexdigest(), "octets": len(octets)}
            for name, octets in sorted(self._files.items())
        ]
        manifest = {
            "format": FORMAT,
            **self._facts,
            "public_key": base64.b64encode(key.public).decode(),
            "files": listed,
        }
        text = json.dumps(manifest, indent=1, sort_keys=True).encode()
        return _archive(
            {MANIFEST: text, SIGNATURE: base64.b64encode(key.sign(text)), **dict(sorted(self._files.items()))}
        )


def verify(octets: bytes, *, trusted: str = "", name: str = "bundle") -> Verified:
    """The bundle's contents if it proves itself; ``trusted`` is the fingerprint of the key it has to be signed with.

    Raises BundleError, which names the file that is wrong.
    """
    files = _contents(octets, name)
    for needed in (MANIFEST, SIGNATURE):
        if needed not in files:
            raise BundleError(needed, "is missing")
    text = files.pop(MANIFEST)
    signature = files.pop(SIGNATURE)
    manifest, public, listed = _read_manifest(text)
    try:
        signed = signed_by(public, base64.b64decode(signature, validate=True), text)
    except ValueError as error:
        raise BundleError(SIGNATURE, "is no signature") from error
    if not signed:
        raise BundleError(MANIFEST, f"is not what was signed (or {SIGNATURE} was changed)")
    if trusted and fingerprint(public) != trusted.lower():
        raise BundleError(SIGNATURE, f"is by the key {fingerprint(public)}, not by {trusted}")
    for missing in sorted(set(listed) - set(files)):
        raise BundleError(missing, "is missing")
    for added in sorted(set(files) - set(listed)):
        raise BundleError(added, "is not in the manifest")
    for one, content in sorted(files.items()):
        if hashlib.sha256(content).hexdigest() != listed[one]:
            raise BundleError(one, "was changed: its hash is not that of the manifest")
    if _archive({MANIFEST: text, SIGNATURE: signature, **dict(sorted(files.items()))}) != octets:
        raise BundleError(name, "the archive around the files was changed")
    return Verified(manifest, files, fingerprint(public))


def _read_manifest(text: bytes) -> tuple[Mapping[str, Any], bytes, Mapping[str, str]]:
    try:
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise BundleError(MANIFEST, f"has format {manifest['format']!r}; this version reads {FORMAT}")
        public = base64.b64decode(manifest["public_key"], validate=True)
        listed = {str(file["name"]): str(file["sha256"]) for file in manifest["files"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(MANIFEST, "was changed: it cannot be read") from error
    return manifest, public, listed


def _contents(octets: bytes, name: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        archive = zipfile.ZipFile(io.BytesIO(octets))
        infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, IndexError) as error:
        raise BundleError(name, f"is no bundle: {error}") from error
    for info in infos:
        if info.filename in files or not _is_plain(info.filename):
            raise BundleError(info.filename, "has no place in a bundle")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(octets):
            raise BundleError(info.filename, "was changed: its entry in the archive is wrong")
        try:
            files[info.filename] = archive.read(info)
        except (zipfile.BadZipFile, ValueError, RuntimeError, OSError, EOFError, zlib.error) as error:
            raise BundleError(info.filename, f"was changed: {error}") from error
    return files


def _is_plain(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and name.isascii() and name.isprintable()


def _archive(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, octets in files.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o640 << 16
            archive.writestr(info, octets)
    return written.getvalue()
