"""What is done with a complaint: filed, provisionally lifted, answered (the port AppealDesk)."""

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tapwarden.agent.report.workdays import Calendar
from tapwarden.model.appeal import OPEN_APPEALS, Appeal, AppealState
from tapwarden.model.decision import LIVE_STATES, Action, ActionState, Target, TargetType
from tapwarden.model.desks import Desk
from tapwarden.model.errors import RefusedError
from tapwarden.model.ports import AppealStore, CaseStore, Clock

MOST = {"who": 200, "contact": 300, "about": 500, "grounds": 5000, "reasons": 5000}
"""Characters taken of each field."""

BY_PUBLIC = "public complaint form"
"""Who acts, in the audit trail, when somebody without an account does."""

_WANTED = (*sorted(LIVE_STATES), ActionState.FAILED)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class AppealRules:
    """Terms in working days of a calendar, and how many complaints a day are taken at all."""

    ack_days: int = 1
    decision_days: int = 30
    filing_days: int = 10
    per_day: int = 200
    calendar: Calendar = field(default_factory=Calendar)


class Appeals:
    """Complaints over a store. It touches no clock of any incident; what it undoes goes through the desk's ledger."""

    def __init__(
        self,
        *,
        store: AppealStore,
        cases: CaseStore,
        desk: Desk,
        clock: Clock,
        rules: AppealRules,
        new_id: Callable[[], str],
        new_secret: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        self._store, self._cases, self._desk, self._clock = store, cases, desk, clock
        self._rules, self._new_id, self._new_secret = rules, new_id, new_secret

    def file(self, *, who: str, contact: str, about: str, grounds: str) -> tuple[Appeal, str]:
        """See the port."""
        given = {"who": who, "contact": contact, "about": about, "grounds": grounds}
        said = {name: _UNPRINTABLE.sub(" ", text).strip()[: MOST[name]] for name, text in given.items()}
        if not said["about"] or not said["grounds"]:
            raise RefusedError("a complaint says what it is about, and why")
        now, rules = self._clock.now(), self._rules
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        secret = self._new_secret()
        with self._store.transaction():
            count = self._store.filed_since(today)
            if count >= rules.per_day:
                raise RefusedError("no more complaints are taken today: please write to the contact named here")
            filed = Appeal(
                id=self._new_id(),
                number=f"{now:%Y%m%d}-{count + 1:03d}-{secrets.randbelow(10_000):04d}",
                secret_hash=_hash(secret),
                filed_at=now,
                who=said["who"],
                contact=said["contact"],
                about=said["about"],
                grounds=said["grounds"],
                state=AppealState.FILED,
                acknowledged_at=now,
                ack_due=rules.calendar.after(now, rules.ack_days),
                answer_due=rules.calendar.after(now, rules.decision_days),
            )
            filed = replace(filed, late=self._is_late(filed))
            self._store.put(filed)
            detail = f"number {filed.number}, answer due {filed.answer_due:%Y-%m-%d}"
            self._cases.audit(actor=BY_PUBLIC, verb="appeal.file", subject=filed.id, detail=detail, at=now)
        return filed, secret

    def by_secret(self, secret: str) -> Appeal | None:
        """See the port."""
        return self._store.by_secret(_hash(secret)) if 20 <= len(secret) <= 100 else None

    def appeals(self, *, open_only: bool = False, limit: int = 100) -> Sequence[Appeal]:
        """See the port; what is due first comes first."""
        return self._store.all(states=OPEN_APPEALS if open_only else (), limit=limit)

    def appeal(self, id_or_number: str) -> Appeal:
        """See the port."""
        found = self._store.find(id_or_number)
        if found is None:
            raise KeyError(id_or_number)
        return found

    def concerned(self, appeal: Appeal) -> Sequence[Action]:
        """See the port: actions whose target is named in what the complaint is about."""
        words = re.split(r"[\s,;|]+", appeal.about.replace("[.]", "."))
        values = dict.fromkeys(form for word in words if word for form in (word, word.lower()))
        named = [Target(kind, value) for value in values for kind in TargetType]
        return self._cases.actions_on(named, states=_WANTED)

    def lift(self, id_or_number: str, action_ids: Sequence[str], *, by: str, reason: str) -> Appeal:
        """See the port."""
        found, now = self._open(id_or_number), self._clock.now()
        if not action_ids or not reason.strip():
            raise RefusedError("lifting needs the actions that are undone, and a reason")
        undone = self._desk.rollback(action_ids, by=by, reason=f"complaint {found.number}: {reason.strip()}")
        lifted = dict.fromkeys((*found.lifted, *(_named(action) for action in undone)))
        changed = replace(found, state=AppealState.LIFTED, lifted=tuple(lifted))
        return self._changed(changed, "appeal.lift", f"{len(undone)} actions: {reason.strip()}", by, now)

    def answer(self, id_or_number: str, *, granted: bool, reasons: str, by: str) -> Appeal:
        """See the port."""
        found, now = self._open(id_or_number), self._clock.now()
        reasons = reasons.strip()[: MOST["reasons"]]
        if not reasons:
            raise RefusedError("an answer needs reasons")
        if granted and (concerned := self.concerned(found)):
            found = self.lift(found.id, [action.id for action in concerned], by=by, reason=reasons)
        state = AppealState.GRANTED if granted else AppealState.REJECTED
        changed = replace(found, state=state, answered_at=now, answered_by=by, reasons=reasons)
        return self._changed(changed, "appeal.answer", f"{state}: {reasons}", by, now)

    def _is_late(self, filed: Appeal) -> bool:
        began = [action.applied_at or action.created_at for action in self.concerned(filed)]
        window = self._rules.filing_days
        return bool(began) and all(filed.filed_at > self._rules.calendar.after(at, window) for at in began)

    def _open(self, id_or_number: str) -> Appeal:
        found = self.appeal(id_or_number)
        if found.state not in OPEN_APPEALS:
            raise RefusedError(f"this complaint was answered on {found.answered_at:%Y-%m-%d}", entry=found.number)
        return found

    def _changed(self, changed: Appeal, verb: str, detail: str, by: str, now: datetime) -> Appeal:
        with self._store.transaction():
            self._store.put(changed)
            self._cases.audit(actor=by, verb=verb, subject=changed.id, detail=f"{changed.number}: {detail}", at=now)
        return changed


def lifted_targets(store: AppealStore) -> frozenset[str]:
    """Targets (``type value``) that a complaint let go and that are not to be hit again by one person's word."""
    return frozenset(name for one in store.lifting() for name in one.lifted)


def _named(action: Action) -> str:
    return f"{action.target.type.value} {action.target.value}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
