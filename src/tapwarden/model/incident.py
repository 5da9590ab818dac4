"""Alert groups (the inbox) and incidents (what a person or a policy has to decide on)."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class GroupState(StrEnum):
    """Triage state of an alert group."""

    OPEN = "open"
    ARCHIVED = "archived"
    ESCALATED = "escalated"


class Verdict(StrEnum):
    """What an analyst found an alert group to be."""

    NONE = ""
    TRUE_POSITIVE = "true_positive"
    FALSE_POSITIVE = "false_positive"


@dataclass(frozen=True, slots=True)
class AlertGroup:
    """Alerts with the same signature, source and destination: one line of the inbox.

    ``severity`` is 1 (high) to 4 as in EVE; ``event_id`` is the latest alert; ``badges`` are names seen with it
    (DNS name, SNI, HTTP host).
    """

    id: str
    gid: int
    sid: int
    signature: str
    category: str
    severity: int
    src_ip: str
    dest_ip: str
    count: int
    first_seen: datetime
    last_seen: datetime
    event_id: str
    state: GroupState = GroupState.OPEN
    verdict: Verdict = Verdict.NONE
    incident_id: str = ""
    badges: tuple[str, ...] = ()
    sensor: str = ""


class ThreatClass(StrEnum):
    """Classes of the Measures for Monitoring and Handling Public Internet Cybersecurity Threats, art. 2."""

    MALICIOUS_RESOURCE = "malicious_resource"
    MALICIOUS_PROGRAM = "malicious_program"
    HIDDEN_DANGER = "hidden_danger"
    EVENT = "event"
    OTHER = "other"


class IncidentState(StrEnum):
    """Where an incident stands: its life from suspicion to closing."""

    SUSPECTED = "suspected"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    NEEDS_INFORMATION = "needs_information"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One dated fact of an incident; never changed once written. ``name``: occurred, detected, aware, reported, ..."""

    at: datetime
    name: str
    text: str
    by: str


@dataclass(frozen=True, slots=True)
class Incident:
    """What alerts belong together and have to be decided on. It owns the reporting clock.

    ``detected_at`` starts the 24-hour clock; ``due_at`` is when the early report has to be acknowledged.
    ``opened_by`` is a person's name or ``policy:<name>``. ``indicators`` are the observables to act on
    (addresses, names, URLs).
    """

    id: str
    title: str
    threat_class: ThreatClass
    severity: int
    state: IncidentState
    detected_at: datetime
    opened_at: datetime
    opened_by: str
    due_at: datetime
    profile: str = "generic-24h"
    summary: str = ""
    group_ids: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    indicators: tuple[str, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    closed_at: datetime | None = None
    drill: bool = False
    notes: tuple[str, ...] = field(default=())
