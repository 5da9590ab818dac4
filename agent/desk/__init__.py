"""What people do with cases, and what standing policies do in their stead: open, decide, undo, report.

Every step is recorded in the audit trail under who did it. The order is the one of ``pipeline``: plan, guard, apply,
ledger, report; the guard has the last word whoever decides. ``desk`` is the port; what it does is in ``opening``
(incidents), ``deciding`` (decisions and how many people they take), ``approving`` (their word, and undoing),
``reporting`` (drafts) and ``standing`` (policies).
"""

from tapwarden.agent.desk.desk import CaseDesk
from tapwarden.agent.desk.means import Means, ReportingRules
from tapwarden.agent.desk.standing import Outcome

__all__ = ["CaseDesk", "Means", "Outcome", "ReportingRules"]
