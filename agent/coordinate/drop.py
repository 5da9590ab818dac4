"""A folder that is carried over an air gap: reports out, receipts back.

    out/<time>-<report id>-v<version>.<ending>        the document
    out/<time>-<report id>-v<version>.manifest.json   its report, receiver, media type, size, SHA-256, whether a drill
    receipts/*.json                                   {"report_id": ..., "receipt": ..., "received_at": ...} from there
    receipts/recorded/, receipts/refused/             what was taken over; what was none, so that it holds up nothing

A file is whole or not there (written aside, flushed to the disk, renamed), and the same report is the same file.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tapwarden.model.errors import ChannelError
from tapwarden.model.report import Receipt, Report

RECEIPT_MAX_OCTETS = 64 * 1024
RECEIPTS_AT_ONCE = 10_000
ENDINGS = {
    "application/json": "json",
    "application/stix+json": "stix.json",
    "application/xml": "xml",
    "application/x-ndjson": "jsonl",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
}


class DropChannel:
    """The channel ``drop``. Its acknowledgement comes as a file."""

    name = "drop"

    def __init__(self, folder: Path, receiver: str) -> None:
        self._out, self._receipts, self._receiver = folder / "out", folder / "receipts", receiver

    def send(self, report: Report, payload: bytes, media_type: str) -> Receipt | None:
        """Write the document and its manifest; nothing where they are there already."""
        stem = f"{report.created_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{file_name(report.id)}-v{report.version}"
        digest = hashlib.sha256(payload).hexdigest()
        manifest = {
            "report_id": report.id,
            "incident_id": report.incident_id,
            "receiver": self._receiver,
            "media_type": media_type,
            "octets": len(payload),
            "sha256": digest,
            "drill": report.body.get("drill") is True,
        }
        ending = ENDINGS.get(media_type.partition(";")[0], "bin")
        try:
            self._out.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._receipts.mkdir(parents=True, exist_ok=True, mode=0o770)
            _put(self._out / f"{stem}.{ending}", payload)
            text = json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=True)
            _put(self._out / f"{stem}.manifest.json", text.encode())
        except OSError as error:
            raise ChannelError(f"{error.filename or self._out}: {error.strerror}") from error
        return None

    def receipts(self) -> Sequence[tuple[str, Receipt]]:
        """See the port. What is no receipt is put aside."""
        found = []
        try:
            names = sorted(self._receipts.glob("*.json"))[:RECEIPTS_AT_ONCE] if self._receipts.is_dir() else []
            for path in names:
                try:
                    found.append(_receipt(path))
                except (ValueError, KeyError, TypeError, RecursionError):
                    aside = self._receipts / "refused"
                    aside.mkdir(exist_ok=True)
                    path.replace(aside / path.name)
        except OSError as error:
            raise ChannelError(f"{error.filename or self._receipts}: {error.strerror}") from error
        return found

    def recorded(self, report_ids: Collection[str]) -> None:
        """See the port: their files are moved to ``receipts/recorded``."""
        try:
            for path in sorted(self._receipts.glob("*.json"))[:RECEIPTS_AT_ONCE]:
                if _receipt(path)[0] in report_ids:
                    done = self._receipts / "recorded"
                    done.mkdir(exist_ok=True)
                    path.replace(done / path.name)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ChannelError(f"{self._receipts}: {error}") from error


def file_name(text: str) -> str:
    """A report id as part of a file name: itself where it is one, else a hash of it."""
    return text if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", text) else hashlib.sha256(text.encode()).hexdigest()[:40]


def _receipt(path: Path) -> tuple[str, Receipt]:
    with path.open("rb") as file:
        raw = file.read(RECEIPT_MAX_OCTETS + 1)
    if len(raw) > RECEIPT_MAX_OCTETS:
        raise ValueError("longer than a receipt")
    record = json.loads(raw)
    report_id, number, moment = record["report_id"], record["receipt"], datetime.fromisoformat(record["received_at"])
    if not (isinstance(report_id, str) and isinstance(number, str) and number) or moment.tzinfo is None:
        raise ValueError("no receipt")
    return report_id, Receipt(number[:200], moment.astimezone(UTC), raw.decode("utf-8", "replace"))


def _put(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    aside = path.with_name(f".{path.name}.part")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
