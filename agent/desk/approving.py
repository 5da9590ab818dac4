"""People's word on decisions: approve, reject, confirm, undo."""

from collections.abc import Sequence
from datetime import datetime

from tapwarden.agent.desk.deciding import Deciding, waits
from tapwarden.mitigation.approval import still_needed
from tapwarden.mitigation.ledger import WAITING, Ledger
from tapwarden.model.decision import Action, Approval, Decision
from tapwarden.model.errors import RefusedError
from tapwarden.model.ports import CaseStore, Clock


class Approvals:
    """Nobody approves what they asked for, and nobody twice."""

    def __init__(self, *, cases: CaseStore, ledger: Ledger, deciding: Deciding, clock: Clock) -> None:
        self._cases, self._ledger, self._deciding, self._clock = cases, ledger, deciding, clock

    def approve(self, decision_id: str, *, by: str, note: str = "") -> Sequence[Action]:
        """See the port."""
        now = self._clock.now()
        decision, waiting = self._waiting(decision_id, now)
        if by == decision.requested_by:
            raise RefusedError(
                "nobody approves what they asked for: somebody else has to", entry=decision.needed_because
            )
        approvals = self._cases.approvals(decision_id)
        if any(approval.by == by for approval in approvals):
            raise RefusedError(
                "you have approved it already; it waits for somebody else", entry=decision.needed_because
            )
        with self._cases.transaction():
            self._cases.put_approval(Approval(decision_id, by, now, granted=True, note=note))
            self._cases.audit(actor=by, verb="approve", subject=decision_id, detail=note, at=now)
        missing = still_needed(decision, len(approvals) + 1)
        if missing:
            return self._ledger.hold(waiting, now, by=by, because=waits(missing, decision.needed_because))
        return self._deciding.enact(decision, waiting, by)

    def reject(self, decision_id: str, *, by: str, note: str) -> Sequence[Action]:
        """See the port."""
        if not note.strip():
            raise RefusedError("rejecting needs a reason")
        now = self._clock.now()
        decision, waiting = self._waiting(decision_id, now)
        with self._cases.transaction():
            self._cases.put_approval(Approval(decision.id, by, now, granted=False, note=note.strip()))
            self._cases.audit(actor=by, verb="reject", subject=decision_id, detail=note.strip(), at=now)
        ids = [action.id for action in waiting]
        return self._ledger.rollback(ids, now, by=by, reason=f"rejected: {note.strip()}")

    def confirm(self, action_ids: Sequence[str], *, by: str) -> Sequence[Action]:
        """See the port."""
        return self._ledger.confirm(action_ids, self._clock.now(), by=by)

    def rollback(self, action_ids: Sequence[str], *, by: str, reason: str) -> Sequence[Action]:
        """See the port."""
        if not reason.strip():
            raise RefusedError("undoing needs a reason")
        return self._ledger.rollback(action_ids, self._clock.now(), by=by, reason=reason)

    def _waiting(self, decision_id: str, now: datetime) -> tuple[Decision, list[Action]]:
        """A decision that waits for people, and its actions that do. Raises KeyError, RefusedError."""
        decision = self._cases.decision(decision_id)
        if decision is None:
            raise KeyError(decision_id)
        actions = self._cases.actions(decision_id=decision_id, states=WAITING)
        if not actions or decision.expires_at <= now:
            raise RefusedError("this decision does not wait (any more)", entry=decision_id)
        return decision, list(actions)
