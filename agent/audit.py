"""Whether the audit trail is what it was: the chain, and each signed checkpoint against it."""

from collections.abc import Iterable
from dataclasses import dataclass

from tapwarden.agent.store.cases.checkpoints import Checkpoint
from tapwarden.agent.store.evidence.signing import signed_by
from tapwarden.model.ports import CaseStore


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. ``broken_at`` is the number of the first record that is not what it was, 0 where all are."""

    records: int
    checkpoints: int
    broken_at: int = 0
    problem: str = ""


def examine(cases: CaseStore, checkpoints: Iterable[Checkpoint], public: bytes) -> Verdict:
    """Follow the chain from the first record, and hold every checkpoint against it. Raises StoreError."""
    records = next((record.seq for record in cases.audit_records(limit=1)), 0)
    seen = 0
    if misfit := cases.verify_audit():
        problem = f"record {misfit} was changed, removed, or does not follow the one before it"
        return Verdict(records, 0, misfit, problem)
    for checkpoint in checkpoints:
        seen += 1
        when = f"the checkpoint of {checkpoint.at:%Y-%m-%d %H:%M} UTC"
        if not signed_by(public, checkpoint.signature, checkpoint.signed):
            return Verdict(records, seen, checkpoint.seq, f"{when} is not signed with this key, or was changed")
        record = cases.audit_record(checkpoint.seq)
        if record is None:
            return Verdict(records, seen, checkpoint.seq, f"{when} knew record {checkpoint.seq}, which is gone")
        if record.hash != checkpoint.hash:
            problem = f"the trail up to record {checkpoint.seq} is not the one {when} signed: it was rewritten"
            return Verdict(records, seen, checkpoint.seq, problem)
    return Verdict(records, seen)
