"""Erasing somebody from the audit trail and from complaints: by two people, with a reason, the chain as it was.

Names in decisions, incidents and reports go with those (retention); what is in effect on an address needs its name.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.cases.appeals import SqlAppealStore
from tapwarden.agent.store.cases.people import ERASED, Erased
from tapwarden.agent.store.cases.trail import ERASURE
from tapwarden.model.appeal import OPEN_APPEALS, Appeal
from tapwarden.model.decision import LIVE_STATES
from tapwarden.model.errors import RefusedError

FIELDS = ("who", "contact", "about", "grounds")


@dataclass(frozen=True, slots=True)
class Erasure:
    """What came of it. ``waits``: asked for, and somebody else has to ask for the same."""

    waits: bool
    erased: Erased
    complaints: int = 0


def erase(cases: SqlCaseStore, subject: str, *, reason: str, by: str, now: datetime) -> Erasure:
    """Ask for an erasure, or as the second person carry it out. Raises RefusedError where the name is still needed.

    ``subject`` is what the trail names: an account, an address, a mailbox.
    """
    subject, reason = subject.strip(), reason.strip()
    if not subject or not reason:
        raise RefusedError("an erasure says whose, and why")
    if subject.lower() in reason.lower():
        raise RefusedError("the reason stays in the trail: leave the name out of it")
    appeals = SqlAppealStore(cases)
    if obstacle := _obstacle(cases, appeals, subject):
        raise RefusedError(obstacle)
    with cases.transaction():
        first = cases.ask_erasure(subject, by, now)
        if first == by:
            cases.audit(actor=by, verb="person.ask_erasure", subject="person", detail=reason, at=now)
            return Erasure(waits=True, erased=Erased("", 0, 0))
    with cases.transaction():
        erased = cases.erase_person(subject)
        complaints = [one for one in appeals.all(limit=100_000) if _names(one, subject)]
        for one in complaints:
            changed = {name: getattr(one, name).replace(subject, ERASED) for name in FIELDS}
            appeals.put(replace(one, **changed))
        detail = f"{erased.records} records, {len(complaints)} complaints; asked for by two people: {reason}"
        cases.audit(actor=by, verb=ERASURE, subject=f"person:{erased.token or 'unknown'}", detail=detail, at=now)
    cases.wipe_keys()
    return Erasure(waits=False, erased=erased, complaints=len(complaints))


def _obstacle(cases: SqlCaseStore, appeals: SqlAppealStore, subject: str) -> str:
    """Why the name is still needed; "" where it is not."""
    live = [one for one in cases.actions(states=sorted(LIVE_STATES), limit=1_000_000) if one.target.value == subject]
    if live:
        return f"action {live[0].id} is in effect on it: undo it, or wait until it has expired"
    account = cases.user(subject)
    if account is not None and not account.disabled:
        return "this is somebody's account: disable it first"
    waiting = [one for one in appeals.all(states=OPEN_APPEALS, limit=100_000) if _names(one, subject)]
    return f"complaint {waiting[0].number} waits for an answer" if waiting else ""


def _names(appeal: Appeal, subject: str) -> bool:
    return any(subject in getattr(appeal, name) for name in FIELDS)
