"""EvidenceFolder: packets by day and content hash, found by the alert; holds that exempt an incident's from retention.

``2026-11-24/<sha256>.pcapng``, and beside it ``<event id>.json`` for each alert it is about. The day is the alert's,
which its id begins with, so that finding needs no index. Under a hold both are linked into ``held/<incident>/``, and
stay when the day goes.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tapwarden.agent.store.evidence import pcapng
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event
from tapwarden.model.evidence import FlowPackets, PacketEvidence

EVENT_ID = re.compile(r"[0-9a-f]{32}")
INCIDENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold on an incident's evidence."""

    incident_id: str
    reason: str
    by: str
    at: str


class EvidenceFolder:
    """The EvidenceStore port on a folder; one writer, any readers. Methods raise StoreError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # keeping

    def keep(self, packets: FlowPackets, alerts: Sequence[Event]) -> PacketEvidence:
        """Keep a flow's packets for these alerts (at least one); keeping them again changes nothing."""
        capture = pcapng.write(packets.frames, about=_about(packets, alerts), comments=_comments(packets, alerts))
        digest = hashlib.sha256(capture).hexdigest()
        found = [
            PacketEvidence(
                alert.id,
                digest,
                packets.flow_id,
                len(packets.frames),
                len(capture),
                packets.begun_before,
                _signature(alert),
            )
            for alert in alerts
        ]
        try:
            for evidence in found:
                day = self._day(evidence.event_id)
                day.mkdir(parents=True, exist_ok=True, mode=0o750)
                _write(day / f"{digest}.pcapng", capture)
                _write(day / f"{evidence.event_id}.json", json.dumps(asdict(evidence)).encode())
        except OSError as error:
            raise StoreError(f"evidence cannot be kept in {self.folder}: {error.strerror}") from error
        return found[0]

    # reading

    def find(self, event_id: str) -> PacketEvidence | None:
        """See the port."""
        if EVENT_ID.fullmatch(event_id) is None:
            return None
        for path in (self._day(event_id) / f"{event_id}.json", *self.folder.glob(f"held/*/{event_id}.json")):
            with suppress(OSError, ValueError, TypeError):
                found = PacketEvidence(**json.loads(path.read_bytes()))
                if found.event_id == event_id and SHA256.fullmatch(found.sha256):
                    return found
        return None

    def read(self, evidence: PacketEvidence) -> bytes:
        """See the port."""
        name = f"{evidence.sha256}.pcapng"
        for path in (self._day(evidence.event_id) / name, *self.folder.glob(f"held/*/{name}")):
            with suppress(FileNotFoundError):
                try:
                    capture = path.read_bytes()
                except FileNotFoundError:
                    raise
                except OSError as error:
                    raise StoreError(f"{path}: {error.strerror}") from error
                if hashlib.sha256(capture).hexdigest() != evidence.sha256:
                    raise StoreError(f"{path} was changed: its hash is not its name")
                return capture
        raise StoreError(f"the packets of {evidence.event_id} are gone")

    # legal holds

    def hold(self, hold: Hold) -> None:
        """Exempt an incident's evidence from retention from now on."""
        folder = self._held(hold.incident_id)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            _write(folder / "hold.json", json.dumps(asdict(hold)).encode())
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}") from error

    def extend(self, incident_id: str, event_ids: Sequence[str]) -> int:
        """Take what is kept for these alerts under the incident's hold; how many files were taken anew."""
        held, added = self._held(incident_id), 0
        for event_id in event_ids:
            evidence = self.find(event_id)
            if evidence is None:
                continue
            for name in (f"{event_id}.json", f"{evidence.sha256}.pcapng"):
                try:
                    os.link(self._day(event_id) / name, held / name)
                    added += 1
                except (FileExistsError, FileNotFoundError):
                    continue
                except OSError as error:
                    raise StoreError(f"{held / name}: {error.strerror}") from error
        return added

    def holds(self) -> Sequence[Hold]:
        """All holds, by incident."""
        found = []
        for path in sorted(self.folder.glob("held/*/hold.json")):
            with suppress(OSError, ValueError, TypeError):
                found.append(Hold(**json.loads(path.read_bytes())))
        return found

    def release(self, incident_id: str) -> bool:
        """End a hold; whether there was one. What no day has any more goes with it."""
        folder = self._held(incident_id)
        if not folder.is_dir():
            return False
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}") from error
        return True

    def _day(self, event_id: str) -> Path:
        milliseconds = min(int(event_id[:12], 16), 253402300799999)
        return self.folder / f"{_EPOCH + timedelta(milliseconds=milliseconds):%Y-%m-%d}"

    def _held(self, incident_id: str) -> Path:
        if INCIDENT_ID.fullmatch(incident_id) is None:
            raise StoreError(f"{incident_id!r} is no incident's id")
        return self.folder / "held" / incident_id


def _write(path: Path, octets: bytes) -> None:
    """Whole or not at all, also when the process is killed."""
    if path.exists():
        return
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(octets)
    part.chmod(0o640)
    part.replace(path)


def _about(packets: FlowPackets, alerts: Sequence[Event]) -> str:
    before = "; there was more before" if packets.begun_before else ""
    lines = [f"tapwarden evidence: flow {packets.flow_id}, {len(packets.frames)} packets{before}"]
    return "\n".join([*lines, *map(_line, alerts)])


def _comments(packets: FlowPackets, alerts: Sequence[Event]) -> Mapping[int, str]:
    """Each alert at the packet of its time, else at the last one before it."""
    found: dict[int, str] = {}
    times = [frame.ns // 1000 for frame in packets.frames]
    for alert in alerts:
        at = (alert.timestamp - _EPOCH) // timedelta(microseconds=1)
        places = [place for place, time in enumerate(times) if time <= at]
        place = places[-1] if places else 0
        found[place] = f"{found[place]}\n{_line(alert)}" if place in found else _line(alert)
    return found


def _line(alert: Event) -> str:
    fields: Mapping[str, object] = {}
    with suppress(KeyError, TypeError, ValueError):
        fields = dict(alert.eve["alert"])
    number = ":".join(str(fields.get(name, "?")) for name in ("gid", "signature_id", "rev"))
    return f"alert [{number}] {_signature(alert)} ({alert.id})"


def _signature(alert: Event) -> str:
    with suppress(KeyError, TypeError, ValueError):
        text = str(alert.eve["alert"]["signature"])[:1000]
        return text.encode("utf-8", "replace").decode()
    return ""
