"""Reversing a pseudonym takes two people: one asks with a reason, another agrees; both stand in the audit trail.

The address itself is never written there: it is told to who agreed, once.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tapwarden.agent.report.document import PSEUDONYM
from tapwarden.agent.report.pseudonym import revealed
from tapwarden.model.errors import RefusedError
from tapwarden.model.ports import CaseStore, Clock

ASKED, TOLD = "pseudonym.ask", "pseudonym.reveal"
GOOD_FOR = timedelta(hours=24)
FIRST_YEAR = 2024


class Revealing:
    """Asks and answers over the audit trail of a case store."""

    def __init__(self, cases: CaseStore, clock: Clock, key: Callable[[], bytes], ours: Callable[[str], bool]) -> None:
        self._cases, self._clock, self._key, self._ours = cases, clock, key, ours

    def ask(self, pseudonym: str, *, receiver: str, by: str, reason: str) -> None:
        """Ask for the address behind a pseudonym that was given to ``receiver``. Raises RefusedError."""
        if not PSEUDONYM.fullmatch(pseudonym):
            raise RefusedError("this has not the form of a pseudonym: host- and 26 letters", entry=pseudonym[:80])
        if not reason.strip():
            raise RefusedError("asking who is behind a pseudonym needs a reason")
        detail = json.dumps({"receiver": receiver, "reason": reason.strip()[:1000]}, ensure_ascii=False)
        self._cases.audit(actor=by, verb=ASKED, subject=pseudonym, detail=detail, at=self._clock.now())

    def agree(self, pseudonym: str, *, by: str) -> str:
        """The address, to somebody else than who asked. Raises RefusedError."""
        now = self._clock.now()
        with self._cases.transaction():
            receiver, asker = self._open_question(pseudonym, now)
            if asker == by:
                raise RefusedError("who asked does not agree: somebody else has to", entry=by)
            years = [str(year) for year in range(now.astimezone(UTC).year, FIRST_YEAR - 1, -1)]
            address = revealed(self._key(), receiver, years, pseudonym, self._ours)
            if not address:
                named = receiver or "the coordinating centre"
                raise RefusedError(f"this is no pseudonym that {named} was given", entry=pseudonym)
            detail = json.dumps({"receiver": receiver, "asked_by": asker}, ensure_ascii=False)
            self._cases.audit(actor=by, verb=TOLD, subject=pseudonym, detail=detail, at=now)
        return address

    def _open_question(self, pseudonym: str, now: datetime) -> tuple[str, str]:
        """Receiver and asker of the latest question that was not answered. Raises RefusedError."""
        for record in self._cases.audit_records(subject=pseudonym, limit=50):
            if record.verb == TOLD:
                break
            if record.verb == ASKED and now - record.at <= GOOD_FOR:
                return str(json.loads(record.detail)["receiver"]), record.actor
        raise RefusedError("nobody has asked for it in the last 24 hours", entry=pseudonym)
