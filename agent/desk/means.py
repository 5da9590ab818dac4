"""What a desk works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tapwarden.agent.report.profile import Profile
from tapwarden.agent.report.reporter import Reporter
from tapwarden.mitigation.approval import ApprovalRules
from tapwarden.mitigation.guard import Guard
from tapwarden.mitigation.ledger import Ledger
from tapwarden.model.ports import Mitigator


@dataclass(frozen=True, slots=True)
class ReportingRules:
    """Whose clock runs, who reports, and whether a policy's report goes out without a person's sign-off."""

    profile: Profile
    reporter: Reporter
    auto_send: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """How decisions are carried out."""

    ledger: Ledger
    mitigators: Sequence[Mitigator]
    guard: Callable[[], Guard]
    dry_run: bool = True
    rules: ApprovalRules = field(default_factory=ApprovalRules)
