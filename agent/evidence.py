"""From engines and alerts to kept packets: ``EvidenceKeeper`` for a running sensor, holds and bundles for people."""

import ctypes
import hashlib
import json
import logging
import queue
import re
import socket
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tapwarden import __version__
from tapwarden.agent.composition import Parts, sensor_name
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.health import Health
from tapwarden.agent.plain import plain
from tapwarden.agent.sensing import expanded
from tapwarden.agent.store.evidence import Bundle, EvidenceFolder
from tapwarden.model.errors import ConfigError, StoreError
from tapwarden.model.event import Event, EventQuery
from tapwarden.model.evidence import FlowPackets
from tapwarden.model.incident import AlertGroup

log = logging.getLogger(__name__)

QUEUED_MAX = 256
ALERTS_MAX = 20_000
"""Flows whose alerts wait for their packets."""

ALERTS_OF_FLOW_MAX = 16
OF_GROUP_A_DAY_MAX = 20
"""Captures kept of one rule, source and destination on one day: the twenty-first shows nothing new."""

GROUPS_MAX = 50_000
EVENTS_MAX = 10_000
"""Events of one incident that a hold or a bundle takes."""


class EvidenceKeeper:
    """Takes alerts and packets from the collectors' threads, never makes them wait, writes from a thread of its own."""

    def __init__(self, folder: EvidenceFolder, health: Health) -> None:
        self._folder, self._health = folder, health
        self._queue: queue.Queue[tuple[Sequence[Event], Sequence[FlowPackets]] | None] = queue.Queue(QUEUED_MAX)
        self._alerts: OrderedDict[object, list[Event]] = OrderedDict()
        self._of_group: OrderedDict[object, int] = OrderedDict()
        self._counts: Counter[str] = Counter({"evidence.kept": 0, "evidence.repeated": 0, "evidence.dropped": 0})

    def offer(self, alerts: Sequence[Event], packets: Sequence[FlowPackets]) -> None:
        """Alerts of a batch and the packets that were finished with it; dropped and counted when there is no room."""
        try:
            self._queue.put_nowait((alerts, packets))
        except queue.Full:
            self._counts["evidence.dropped"] += len(packets)

    def run(self) -> None:
        """Write until ``finish``; meant for a thread of its own."""
        while (taken := self._queue.get()) is not None:
            alerts, packets = taken
            try:
                for alert in alerts:
                    self._remember(alert)
                for one in packets:
                    self._keep(one)
            except Exception:
                # The boundary of the task: one record or capture that cannot be kept must not end the keeping.
                self._counts["evidence.failures"] += 1
                log.exception("evidence=failed")

    def finish(self) -> None:
        """Let ``run`` end once everything offered before is written."""
        self._queue.put(None)

    def counters(self) -> Mapping[str, int]:
        """What was kept and what was not."""
        return dict(self._counts)

    def _remember(self, alert: Event) -> None:
        flow = alert.eve.get("flow_id") or alert.timestamp
        waiting = self._alerts.setdefault(flow, [])
        if len(waiting) < ALERTS_OF_FLOW_MAX:
            waiting.append(alert)
        if len(self._alerts) > ALERTS_MAX:
            self._alerts.popitem(last=False)

    def _keep(self, packets: FlowPackets) -> None:
        alerts = self._alerts.pop(packets.flow_id, []) if packets.flow_id else self._of_single(packets)
        wanted = [alert for alert in alerts if self._is_new(alert)]
        self._counts["evidence.repeated"] += bool(alerts) and not wanted
        if not wanted:
            return
        try:
            self._folder.keep(packets, wanted)
        except StoreError as error:
            self._counts["evidence.dropped"] += 1
            if self._health.set("evidence", "degraded", str(error)):
                log.error("evidence=degraded error=%r", str(error))
        else:
            self._counts["evidence.kept"] += 1
            self._health.set("evidence", "ok")

    def _of_single(self, packets: FlowPackets) -> list[Event]:
        """Alerts on a packet without a flow go by its time."""
        found: list[Event] = []
        for moment in {frame.ns // 1000 for frame in packets.frames}:
            key = next((k for k in self._alerts if isinstance(k, datetime) and _micros(k) == moment), None)
            found += self._alerts.pop(key, []) if key is not None else []
        return found

    def _is_new(self, alert: Event) -> bool:
        fields = alert.eve.get("alert")
        sid = fields.get("signature_id") if isinstance(fields, dict) else None
        key = (alert.timestamp.date(), sid, alert.eve.get("src_ip"), alert.eve.get("dest_ip"))
        count = self._of_group.pop(key, 0) + 1
        self._of_group[key] = count
        if len(self._of_group) > GROUPS_MAX:
            self._of_group.popitem(last=False)
        return count <= OF_GROUP_A_DAY_MAX


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def evidence_folder(config: Config, layout: Layout) -> EvidenceFolder:
    """Where this host's evidence is."""
    return EvidenceFolder(layout.state(config.evidence.path))


def alerts_of(parts: Parts, groups: Iterable[AlertGroup]) -> Iterator[Event]:
    """The alerts of these groups that are still stored, newest first, bounded."""
    left = EVENTS_MAX
    for group in groups:
        query = EventQuery(kinds=("alert",), sid=group.sid, src_ip=group.src_ip, dest_ip=group.dest_ip)
        for event in parts.events.search(query, limit=max(1, left)).events:
            left -= 1
            yield event


def groups_of(parts: Parts, incident_id: str) -> list[AlertGroup]:
    """The incident's alert groups. Raises KeyError for an incident that does not exist."""
    incident = parts.cases.incident(incident_id)
    if incident is None:
        raise KeyError(incident_id)
    return [group for one in incident.group_ids if (group := parts.cases.group(one)) is not None]


def extend_holds(parts: Parts) -> int:
    """What came for incidents under a hold since the last time is held as well. Raises StoreError."""
    folder, added = evidence_folder(parts.config, parts.layout), 0
    for hold in folder.holds():
        try:
            groups = groups_of(parts, hold.incident_id)
        except KeyError:
            continue
        added += folder.extend(hold.incident_id, [event.id for event in alerts_of(parts, groups)])
    return added


def bundle_of(parts: Parts, incident_id: str, *, now: datetime, by: str) -> Bundle:
    """Everything that proves an incident. Raises KeyError, StoreError."""
    groups = groups_of(parts, incident_id)
    alerts = list(alerts_of(parts, groups))
    folder = evidence_folder(parts.config, parts.layout)
    events: dict[str, Event] = {alert.id: alert for alert in alerts}
    for alert in alerts[:500]:
        flow = alert.eve.get("flow_id")
        if isinstance(flow, int) and len(events) < EVENTS_MAX:
            events |= {one.id: one for one in parts.events.search(EventQuery(flow_id=flow), limit=100).events}
    sids = {group.sid for group in groups}
    rules = rule_files(parts.config, parts.layout)
    bundle = Bundle(
        {
            "tapwarden": __version__,
            "created_at": now.isoformat(),
            "created_by": by,
            "host": socket.gethostname(),
            "sensor": sensor_name(parts.config),
            "incident": incident_id,
            "clock": clock_state(),
            "ruleset_sha256": ruleset_hash(rules),
            "configuration_sha256": hashlib.sha256(_configuration(parts.config)).hexdigest(),
        }
    )
    incident = parts.cases.incident(incident_id)
    for name, value in {
        "incident.json": incident,
        "groups.json": groups,
        "decisions.json": parts.cases.decisions(incident_id=incident_id, limit=1000),
        "actions.json": parts.cases.actions(incident_id=incident_id),
        "reports.json": parts.cases.reports(incident_id=incident_id),
        "audit.json": parts.cases.audit_records(subject=incident_id, limit=10_000),
    }.items():
        bundle.add(name, _json(value))
    bundle.add("configuration.json", _configuration(parts.config))
    bundle.add("rules.rules", b"".join(rule_texts(rules, sids)))
    ordered = sorted(events.values(), key=lambda one: (one.timestamp, one.id))
    bundle.add("events.json", b"".join(one.raw + b"\n" for one in ordered))
    kept = [found for alert in alerts if (found := folder.find(alert.id)) is not None]
    bundle.add("packets.json", _json(kept))
    for one in {one.sha256: one for one in kept}.values():
        bundle.add(f"packets/{one.sha256}.pcapng", folder.read(one))
    return bundle


def rule_files(config: Config, layout: Layout) -> Mapping[str, bytes]:
    """The rule files as they are now, by path; those that cannot be read are left out."""
    found: dict[str, bytes] = {}
    try:
        paths: Sequence[Path] = expanded(config.sensor.rules, layout, "sensor.rules")
    except ConfigError:
        paths = []
    for path in paths:
        try:
            found[str(path)] = path.read_bytes()
        except OSError as error:
            log.warning("rules=%s error=%r: not in the bundle", path, error.strerror)
    return found


def ruleset_hash(files: Mapping[str, bytes]) -> str:
    """One hash for all rule files, in the order they are loaded."""
    return hashlib.sha256(b"".join(hashlib.sha256(octets).digest() for octets in files.values())).hexdigest()


def rule_texts(files: Mapping[str, bytes], sids: set[int]) -> Iterator[bytes]:
    """The lines of rules with these numbers."""
    for octets in files.values():
        for line in octets.splitlines():
            found = re.search(rb"[;(]\s*sid\s*:\s*(\d{1,10})\s*;", line)
            if found and int(found[1]) in sids and not line.lstrip().startswith(b"#"):
                yield line + b"\n"


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), its first members; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def clock_state() -> Mapping[str, Any]:
    """What the kernel knows of its clock: offset and largest error in seconds, whether it is synchronised."""
    state = _Timex()
    try:
        told = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state))
    except (OSError, AttributeError):
        told = -1
    if told < 0:
        return {"offset_s": None, "max_error_s": None, "synchronised": None}
    nanoseconds = bool(state.status & 0x2000)  # STA_NANO
    return {
        "offset_s": state.offset / (1e9 if nanoseconds else 1e6),
        "max_error_s": state.maxerror / 1e6,
        "synchronised": not state.status & 0x40,  # STA_UNSYNC
    }


def _configuration(config: Config) -> bytes:
    return json.dumps(config.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True).encode()


def _json(value: Any) -> bytes:
    return json.dumps(plain(value), indent=1, sort_keys=True).encode()
