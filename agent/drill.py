"""A drill: a synthetic incident through the whole chain, marked in every message, scored step by step.

What it decides is rehearsed whatever the mode, and the address it is about is a documentation one (RFC 5737), so that
nothing of it touches traffic. Its reports go the way real ones go, marked as a drill.
"""

import ipaddress
import time
from collections.abc import Callable, Sequence
from typing import Any

from tapwarden.agent.composition import Parts
from tapwarden.agent.office import DRILLS, written_drill
from tapwarden.agent.report.formats import FORMATTERS
from tapwarden.agent.reporting import gate_of, pseudonym_key
from tapwarden.model.decision import ActionState, Measure, Target, TargetType
from tapwarden.model.errors import RefusedError
from tapwarden.model.incident import AlertGroup, GroupState, Incident, IncidentState, Ownership, ThreatClass
from tapwarden.model.office import DrillResult, DrillStep
from tapwarden.model.report import Report, ReportState, Stage

CULPRIT = "203.0.113.66"
SID = 9_000_000
RECEIPT_WITHIN_S = 30.0
VICTIM = "192.0.2.77"
"""Whom it befalls where no network of ours is configured (RFC 5737)."""

Seen = tuple[bool, str]


class Drill:
    """One drill over the parts of this system. ``by`` runs it."""

    def __init__(self, parts: Parts, *, by: str, drill_id: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._parts, self._by, self._id, self._sleep = parts, by, drill_id, sleep
        self._incident_id = ""
        self._group_id = ""
        self._victim = _inside(parts.config.sensor.home_net)

    def run(self) -> DrillResult:
        """Every step in order; the first that fails does not end it. Raises StoreError."""
        started = self._parts.clock.now()
        steps = [
            self._step("detection", "an alert group lies in the inbox", self._detected),
            self._step("incident", "opened, marked as a drill, with a running clock", self._opened),
            self._step("classification", "class, sub-type and grade recorded", self._classified),
            self._step("third party", "a measure in somebody else's network is refused", self._refused),
            self._step("decision", "planned, guarded and rehearsed only", self._decided),
            self._step("warning", "people were told in time, marked as a drill", self._warned),
            self._step("draft", "complete by its profile, marked in every format", self._drafted),
            self._step("privacy", "no internal address in what leaves", self._private),
            self._step("acknowledgement", "the receiver acknowledged it", self._acknowledged),
            self._step("determination", "not by who detected it, but by somebody else", self._determined),
            self._step("withdrawal", "what was decided is taken back", self._withdrawn),
            self._step("closing", "closed, with a final report drafted", self._closed),
        ]
        result = DrillResult(
            id=self._id,
            incident_id=self._incident_id,
            by=self._by,
            started_at=started,
            ended_at=self._parts.clock.now(),
            profile=self._parts.config.reporting.profile,
            steps=tuple(steps),
        )
        self._parts.cases.audit(
            actor=self._by, verb="drill", subject=DRILLS, detail=written_drill(result), at=result.ended_at
        )
        return result

    def _step(self, name: str, expected: str, act: Callable[[], Seen]) -> DrillStep:
        began = time.monotonic()
        try:
            passed, seen = act()
        except (RefusedError, KeyError, ValueError) as error:
            passed, seen = False, f"{type(error).__name__}: {error}"
        return DrillStep(name, expected, passed, seen, time.monotonic() - began)

    def _detected(self) -> Seen:
        now = self._parts.clock.now()
        group = AlertGroup(
            id=f"drill-{self._id}",
            gid=1,
            sid=SID,
            signature=f"[DRILL] control end beacon {self._id}",
            category="drill",
            severity=1,
            src_ip=self._victim,
            dest_ip=CULPRIT,
            count=3,
            first_seen=now,
            last_seen=now,
            event_id="",
        )
        # A group is known by rule, source and destination: that of an earlier drill is taken up again.
        (stored,) = self._parts.cases.merge_groups([group])
        self._group_id = stored.id
        return stored.count >= 3, f"group {stored.id}, {stored.count} alerts"

    def _opened(self) -> Seen:
        before = self._parts.cases.group(self._group_id)
        incident = self._parts.desk.open_incident(
            [self._group_id],
            title=f"[DRILL] control end beacon {self._id}",
            threat_class=ThreatClass.MALICIOUS_PROGRAM,
            severity=2,
            by=self._by,
            drill=True,
        )
        self._incident_id = incident.id
        clocks = self._parts.cases.timers(incident_id=incident.id, running=True)
        due = f"{clocks[0].due_at:%Y-%m-%d %H:%M} UTC" if clocks and clocks[0].due_at else "no clock"
        return incident.drill and bool(clocks), f"incident {incident.id}, due {due}, group {before and before.state}"

    def _classified(self) -> Seen:
        handling = self._parts.handling
        handling.classify(self._incident_id, threat_class=ThreatClass.MALICIOUS_PROGRAM, subtype="trojan", by=self._by)
        incident = handling.assess(self._incident_id, facts={"people_data": 1_200_000}, by=self._by)
        grade = handling.grades(incident)["cn-nir-2025"]
        return grade.word == "relatively-large", f"{incident.threat_class} / {incident.subtype}, {grade.word}"

    def _refused(self) -> Seen:
        handling = self._parts.handling
        handling.attribute(self._incident_id, ownership=Ownership.THIRD_PARTY, by=self._by, reason="drill")
        try:
            self._decide()
            seen = False, "it was decided all the same"
        except RefusedError as error:
            seen = "third party" in str(error), str(error)
        handling.attribute(self._incident_id, ownership=Ownership.OWN, by=self._by, reason="drill")
        return seen

    def _decide(self) -> Sequence[Any]:
        return self._parts.desk.decide(
            self._incident_id,
            measure=Measure.BLOCK,
            targets=[Target(TargetType.ADDRESS, CULPRIT)],
            scope="drill",
            reason="drill",
            legal_basis="drill plan",
            duration_s=3600,
            by=self._by,
        )

    def _decided(self) -> Seen:
        actions = self._decide()
        rehearsed = [one for one in actions if one.dry_run and one.state is not ActionState.FAILED]
        return bool(actions) and len(rehearsed) == len(actions), ", ".join(
            f"{one.mitigator}: {one.state.value}{' (rehearsed)' if one.dry_run else ''}" for one in actions
        ) or "no mitigator took it"

    def _warned(self) -> Seen:
        timers = [one for one in self._parts.cases.timers(incident_id=self._incident_id, running=True) if one.next_at]
        if not timers or timers[0].next_at is None:
            return False, "no clock with a warning ahead"
        percent = self._parts.clockwork.ring(timers[0].id, timers[0].next_at)
        self._parts.notices.deliver_due()
        notices = self._parts.cases.notices(incident_id=self._incident_id)
        reached = [one for one in notices if one.delivered_at]
        marked = all(one.drill and "[DRILL]" in one.subject for one in notices)
        people = ", ".join(sorted({person for one in notices for person in one.to if person})) or "nobody is named"
        problem = next((one.last_error for one in notices if one.last_error), "")
        return bool(
            reached
        ) and marked, f"{percent} %: {len(reached)} of {len(notices)} told ({people}) {problem}".strip()

    def _drafted(self) -> Seen:
        report = self._report()
        incident = self._incident()
        unmarked = []
        for name, formatter in FORMATTERS.items():
            if name.startswith("pdf") or (name == "xarf" and "@" not in self._parts.reporter.email):
                continue
            payload = formatter.format(report, incident)
            if payload and b"drill" not in payload.lower() and "演练".encode() not in payload:
                unmarked.append(name)
        return not unmarked, f"report {report.id}; unmarked: {', '.join(unmarked) or 'none'}"

    def _private(self) -> Seen:
        parts, report = self._parts, self._report()
        privacy = parts.config.reporting.privacy
        gate = gate_of("", privacy, lambda: pseudonym_key(parts.layout), parts.ours)
        passed = gate.passed(report)
        payload = FORMATTERS["json"].format(passed.report, self._incident())
        kept = self._victim.encode() in payload
        seen = f"{passed.pseudonyms} pseudonyms, withheld: {', '.join(passed.withheld) or 'nothing'}"
        if privacy.internal == "clear":
            return True, f"{seen}; internal addresses may leave as configured"
        return not kept and not gate.leak(payload) and passed.pseudonyms > 0, seen

    def _acknowledged(self) -> Seen:
        report = self._parts.desk.sign_off(self._report().id, by=self._by)
        if self._parts.outbox is None:
            return False, "no coordinating centre or receiver is configured"
        deadline = time.monotonic() + RECEIPT_WITHIN_S
        while True:
            outcome = self._parts.outbox.send_due()
            found = self._parts.cases.report(report.id)
            if found is None or outcome.obstacle:
                return False, outcome.obstacle or "the report is gone"
            if found.state is ReportState.ACKNOWLEDGED and found.receipt is not None:
                took = (found.receipt.received_at - self._incident().detected_at).total_seconds()
                return True, f"receipt {found.receipt.number}, {max(0.0, took):.1f} s after detection"
            nowhere = "no receiver named" in found.last_error
            if found.state in (ReportState.REFUSED, ReportState.SENT) or nowhere or time.monotonic() > deadline:
                return False, f"{found.state.value}: {found.last_error or 'no receipt came'}"
            self._sleep(1.0)

    def _determined(self) -> Seen:
        handling, incident = self._parts.handling, self._incident()
        if incident.state is IncidentState.SUSPECTED:
            handling.submit(self._incident_id, by=self._by)
        try:
            handling.determine(self._incident_id, state=IncidentState.CONFIRMED, by=self._by, reason="drill")
            return False, f"{self._by} determined what they detected"
        except RefusedError:
            after = handling.determine(
                self._incident_id, state=IncidentState.CONFIRMED, by=f"drill:{self._id}", reason="drill"
            )
        return after.state is IncidentState.CONFIRMED, f"{self._by} was refused; determined by {after.determined_by}"

    def _withdrawn(self) -> Seen:
        actions = self._parts.cases.actions(incident_id=self._incident_id)
        open_ones = [one.id for one in actions if one.ended_at is None and one.state is not ActionState.REFUSED]
        after = self._parts.desk.rollback(open_ones, by=self._by, reason="the drill is over")
        return all(one.state is ActionState.ROLLED_BACK for one in after), f"{len(after)} taken back"

    def _closed(self) -> Seen:
        closed = self._parts.desk.close_incident(self._incident_id, by=self._by, reason="the drill is over")
        self._parts.cases.set_groups(
            [self._group_id], state=GroupState.ARCHIVED, by=self._by, at=self._parts.clock.now()
        )
        final = [r for r in self._parts.cases.reports(incident_id=self._incident_id) if r.stage is Stage.FINAL]
        return closed.closed_at is not None and bool(final), f"{len(final)} final report drafted"

    def _incident(self) -> Incident:
        incident = self._parts.cases.incident(self._incident_id)
        if incident is None:
            raise KeyError(self._incident_id)
        return incident

    def _report(self) -> Report:
        reports = self._parts.cases.reports(incident_id=self._incident_id)
        main = self._parts.config.reporting.profile
        return next(one for one in reports if one.stage is Stage.EARLY and one.profile == main)


def _inside(networks: Sequence[str]) -> str:
    """The last host of the first network of ours: an internal address that hardly anything has."""
    for network in networks:
        parsed = ipaddress.ip_network(network)
        if parsed.version == 4 and parsed.num_addresses > 2:
            return str(parsed.broadcast_address - 1)
    return VICTIM
