"""What a desk works with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tapwarden.agent.report.profile import Profile
from tapwarden.agent.report.reporter import Reporter
from tapwarden.mitigation.approval import ApprovalRules
from tapwarden.mitigation.guard import Guard
from tapwarden.mitigation.ledger import Ledger
from tapwarden.model.incident import Grade, Incident
from tapwarden.model.ports import Mitigator
from tapwarden.model.report import Report


@dataclass(frozen=True, slots=True)
class ReportingRules:
    """Whose clock runs, who reports, and whether a policy's report goes out without a person's sign-off.

    ``profiles`` are those whose stages are drafted besides; ``receivers`` who gets the reports of a profile, where it
    is not the coordinating centre.
    """

    profile: Profile
    reporter: Reporter
    auto_send: bool = False
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    receivers: Mapping[str, str] = field(default_factory=dict)
    grades: Callable[[Incident], Mapping[str, Grade]] = lambda _incident: {}

    def profile_of(self, report: Report) -> Profile:
        """The profile that a report was drafted for."""
        return self.profiles.get(report.profile, self.profile)


@dataclass(frozen=True, slots=True)
class Means:
    """How decisions are carried out. ``lifted``: targets (``type value``) that a complaint let go."""

    ledger: Ledger
    mitigators: Sequence[Mitigator]
    guard: Callable[[], Guard]
    dry_run: bool = True
    rules: ApprovalRules = field(default_factory=ApprovalRules)
    lifted: Callable[[], frozenset[str]] = frozenset
