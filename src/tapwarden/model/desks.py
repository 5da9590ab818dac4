"""The desks: what the dashboard, the command line and the path do with cases; tapwarden.agent fills them in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from tapwarden.model.appeal import Appeal
from tapwarden.model.decision import (
    Action,
    Impact,
    Measure,
    Target,
)
from tapwarden.model.incident import (
    Grade,
    GroupState,
    Incident,
    IncidentState,
    Ownership,
    ThreatClass,
    Verdict,
)
from tapwarden.model.report import Report


class Desk(Protocol):
    """What people at the dashboard and the command line do with cases; tapwarden.agent fills it in.

    Every call is recorded in the audit trail under ``by``. Raises RefusedError where policy says no, KeyError for an id
    that does not exist, StoreError.
    """

    def triage(
        self, group_ids: Sequence[str], *, state: GroupState | None = None, verdict: Verdict | None = None, by: str
    ) -> int: ...

    def open_incident(
        self,
        group_ids: Sequence[str],
        *,
        title: str,
        threat_class: ThreatClass,
        severity: int,
        by: str,
        summary: str = "",
        drill: bool = False,
    ) -> Incident:
        """Opens it, starts its clock at the first detection, drafts its early report."""
        ...

    def close_incident(self, incident_id: str, *, by: str, reason: str) -> Incident: ...

    def decide(
        self,
        incident_id: str,
        *,
        measure: Measure,
        targets: Sequence[Target],
        scope: str,
        reason: str,
        legal_basis: str,
        duration_s: int,
        by: str,
        override: bool = False,
    ) -> Sequence[Action]:
        """Decide under the person's authority: simulate, plan, guard, record and (when enforcing) apply.

        The returned actions say what happened to each target: applied, refused (with the guard's entry), failed, or
        simulated: waiting for the approval of somebody else. RefusedError where hosts that are protected would lose
        their connections and ``override`` is not given.
        """
        ...

    def simulate(self, targets: Sequence[Target], *, since: datetime) -> Impact:
        """What would have been hit, had it been in effect since then."""
        ...

    def approve(self, decision_id: str, *, by: str, note: str = "") -> Sequence[Action]:
        """Stand behind a decision that waits, once and not one's own (RefusedError); enough people carry it out."""
        ...

    def reject(self, decision_id: str, *, by: str, note: str) -> Sequence[Action]:
        """End a decision that waits."""
        ...

    def confirm(self, action_ids: Sequence[str], *, by: str) -> Sequence[Action]:
        """What was carried out on trial stays until it expires."""
        ...

    def rollback(self, action_ids: Sequence[str], *, by: str, reason: str) -> Sequence[Action]: ...

    def edit_report(self, report_id: str, body: Mapping[str, Any], *, by: str) -> Report: ...

    def sign_off(self, report_id: str, *, by: str) -> Report:
        """Release a draft for sending."""
        ...


class IncidentDesk(Protocol):
    """What people do to an incident itself: say what it is, whose, how grave, since when; determine, merge, split.

    Every call is recorded in the audit trail and in the incident's timeline under ``by``, and moves its clocks. Raises
    RefusedError where the rules say no, KeyError for an id that does not exist, StoreError.
    """

    def grades(self, incident: Incident) -> Mapping[str, Grade]:
        """Its grade in each scheme, from its facts."""
        ...

    def classify(
        self, incident_id: str, *, threat_class: ThreatClass, subtype: str, by: str, kind_text: str = ""
    ) -> Incident:
        """Its class and a sub-type of the closed list; an ``other`` takes a text that says what it is."""
        ...

    def attribute(self, incident_id: str, *, ownership: Ownership, by: str, reason: str) -> Incident:
        """Whose network it is in."""
        ...

    def assess(
        self, incident_id: str, *, by: str, facts: Mapping[str, str | int | bool], severity: int | None = None
    ) -> Incident:
        """What is known of its reach; the facts given replace those of the same names."""
        ...

    def assign(self, incident_id: str, *, responsible: str, by: str) -> Incident: ...
    def note(self, incident_id: str, *, text: str, by: str) -> Incident: ...
    def stamp(
        self, incident_id: str, *, name: str, at: datetime, by: str, text: str = "", correct: bool = False
    ) -> Incident:
        """Record a moment. One of ``SET_ONCE`` that is set takes ``correct`` and a text that says why."""
        ...

    def submit(self, incident_id: str, *, by: str) -> Incident: ...
    def determine(self, incident_id: str, *, state: IncidentState, by: str, reason: str) -> Incident:
        """Confirmed, rejected or needs_information, by somebody else than who opened or submitted it."""
        ...

    def merge(self, incident_id: str, others: Sequence[str], *, by: str, reason: str) -> Incident:
        """The others' groups, indicators and affected go into this one; they are closed and say so."""
        ...

    def split(self, incident_id: str, group_ids: Sequence[str], *, title: str, by: str, reason: str) -> Incident:
        """A new incident of some of its groups; its clock starts when the old one's did."""
        ...


class AppealDesk(Protocol):
    """What the public and those who answer it do with complaints. Every change is in the audit trail.

    Raises RefusedError where the rules say no, KeyError for a number that does not exist, StoreError.
    """

    def file(self, *, who: str, contact: str, about: str, grounds: str) -> tuple[Appeal, str]:
        """Take a complaint from anybody; with it the secret of its status page, which is kept nowhere."""
        ...

    def by_secret(self, secret: str) -> Appeal | None: ...
    def appeals(self, *, open_only: bool = False, limit: int = 100) -> Sequence[Appeal]: ...
    def appeal(self, id_or_number: str) -> Appeal: ...
    def concerned(self, appeal: Appeal) -> Sequence[Action]:
        """Actions in effect on what it is about."""
        ...

    def lift(self, id_or_number: str, action_ids: Sequence[str], *, by: str, reason: str) -> Appeal:
        """Undo actions for the time being: one person may."""
        ...

    def answer(self, id_or_number: str, *, granted: bool, reasons: str, by: str) -> Appeal:
        """End it with reasons; what is granted undoes what is still in effect on what it is about."""
        ...


@dataclass(frozen=True, slots=True)
class ReplyAsked:
    """What a reply link is about, as its recipient already knows it."""

    recipient: str
    target: str
    incident_id: str
    answered: str = ""


class ReplyDesk(Protocol):
    """Answers of those who got a notice. Raises StoreError, MitigationError."""

    def asked(self, token: str) -> ReplyAsked | None:
        """What the link's token is about; None for one that was not made here, or whose time is over."""
        ...

    def reply(self, token: str, *, answer: str, text: str) -> bool:
        """Record an answer on the incident; False where the token is not good."""
        ...
