"""Alert groups (the inbox) and incidents (what a person or a policy has to decide on)."""

from collections.abc import Mapping
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


SUBTYPES: Mapping[ThreatClass, tuple[str, ...]] = {
    ThreatClass.MALICIOUS_RESOURCE: (
        "c2_ip",
        "c2_domain",
        "malicious_url",
        "phishing_site",
        "phishing_mail",
        "phishing_sms",
        "phishing_im",
        "scanner",
        "ddos_source",
    ),
    ThreatClass.MALICIOUS_PROGRAM: ("trojan", "virus", "bot", "mobile", "ransomware", "miner"),
    ThreatClass.HIDDEN_DANGER: (
        "hardware_flaw",
        "code_flaw",
        "logic_flaw",
        "weak_password",
        "backdoor",
        "exposed_service",
    ),
    ThreatClass.EVENT: (
        "host_controlled",
        "data_leak",
        "page_tampering",
        "intrusion",
        "dns_hijack",
        "ddos_victim",
    ),
    ThreatClass.OTHER: ("other",),
}
"""The closed list of sub-types by class (Measures art. 2); ``other`` takes a text that says what it is."""


FACTS: Mapping[str, tuple[str, str]] = {
    "people_data": ("count", "people whose personal data got out"),
    "users_offline": ("count", "users without service"),
    "loss_cny": ("count", "direct loss in yuan"),
    "provinces": ("count", "provinces affected"),
    "prefectures": ("count", "prefectures affected"),
    "nationwide": ("flag", "an outbreak or outage in the whole country"),
    "cn_resolution": ("flag", "resolution of .CN drops sharply"),
    "important_system": ("flag", "a nationally important site or a large resolution system is abnormal"),
    "provincial_site": ("flag", "an important site of one province is abnormal"),
    "cii": ("flag", "critical information infrastructure"),
    "cii_outage_minutes": ("count", "minutes of full outage of critical infrastructure"),
    "cii_function_minutes": ("count", "minutes without its main function"),
    "entity_kind": ("text", "whose: cii, central-organ, other; trust-service-provider"),
    "ransomware": ("flag", "ransomware is involved"),
    "ransom_amount": ("text", "the ransom demanded"),
    "ransom_method": ("text", "how it is to be paid"),
    "ransom_date": ("text", "when it was demanded"),
    "ransom_paid": ("flag", "a ransom was paid"),
    "malicious": ("flag", "caused unlawfully or maliciously"),
    "cross_border": ("flag", "may reach other countries"),
    "significant": ("flag", "a significant incident (NIS2 art. 23)"),
    "ongoing": ("flag", "still going on"),
    "personal_data_breach": ("flag", "a breach of personal data"),
    "risk_unlikely": ("flag", "unlikely to be a risk to people's rights"),
    "financial_entity": ("flag", "a financial entity's"),
    "major": ("flag", "a major incident (DORA)"),
    "covered_entity": ("flag", "a covered entity's (CIRCIA)"),
    "covered_incident": ("flag", "a covered incident (CIRCIA)"),
    "annexure1_type": ("text", "the type of CERT-In's Annexure I"),
    "system": ("text", "what the affected system is and does"),
    "place": ("text", "where"),
    "cause": ("text", "what caused it"),
    "lessons": ("text", "what is learnt from it"),
}
"""What can be known of an incident's reach: name -> kind (count, flag, text) and meaning. Grades and profiles look at
them; "unknown" is a value of each."""


@dataclass(frozen=True, slots=True)
class Grade:
    """What a grading scheme makes of the facts: ``level`` 1 (gravest) to 4, 0 where no threshold is reached.

    ``because`` names the facts; ``reportable`` is whether the scheme's authority wants to be told.
    """

    scheme: str
    level: int = 0
    word: str = "none"
    colour: str = ""
    because: tuple[str, ...] = ()
    reportable: bool = False


class Ownership(StrEnum):
    """Whose network or system the threat is in. On a third party's nothing is ever done; it is only reported."""

    OWN = "own"
    THIRD_PARTY = "third_party"


class IncidentState(StrEnum):
    """Where an incident stands: its life from suspicion to closing."""

    SUSPECTED = "suspected"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    NEEDS_INFORMATION = "needs_information"
    CLOSED = "closed"


SET_ONCE = (
    "occurred",
    "detected",
    "aware",
    "significant",
    "classified",
    "believed",
    "ransom_paid",
    "handled",
    "closed",
)
"""Moments that clocks count from. Each is written once; what was wrong is corrected by a further entry."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One dated fact of an incident; never changed once written. ``name``: occurred, detected, aware, reported, ...

    ``recorded_at`` is when it was written down (None in what older versions wrote: unknown). ``corrects`` marks an
    entry that holds instead of an earlier one of its name, which stays.
    """

    at: datetime
    name: str
    text: str
    by: str
    recorded_at: datetime | None = None
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Incident:
    """What alerts belong together and have to be decided on. It owns the reporting clock.

    ``detected_at`` starts the 24-hour clock; ``due_at`` is when the early report has to be acknowledged.
    ``opened_by`` is a person's name or ``policy:<name>``. ``indicators`` are the observables to act on
    (addresses, names, URLs). ``subtype`` is one of ``SUBTYPES`` or "" while nobody said; ``kind_text`` says what an
    ``other`` is. ``facts`` are what is known of its reach (people, records, loss, ...), from which it is graded and
    which profiles look at; "unknown" is a value. ``determined_by`` is who confirmed or rejected it, never who opened
    it. ``related`` are pairs of ``merged_into``, ``merged_from``, ``split_into`` or ``split_from`` and an incident.
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
    subtype: str = ""
    kind_text: str = ""
    ownership: Ownership = Ownership.OWN
    responsible: str = ""
    facts: Mapping[str, str | int | bool] = field(default_factory=dict)
    determined_by: str = ""
    determined_at: datetime | None = None
    related: tuple[tuple[str, str], ...] = ()

    def moment(self, name: str) -> datetime | None:
        """When ``occurred``, ``detected``, ``aware``, ... was: the last correction, else the first entry; None unset.

        Of what may happen again and again (``changed``, ``reported``) the latest.
        """
        entries = [entry for entry in self.timeline if entry.name == name]
        corrections = [entry for entry in entries if entry.corrects]
        if corrections:
            return corrections[-1].at
        if name in SET_ONCE:
            return entries[0].at if entries else None
        return max((entry.at for entry in entries), default=None)
