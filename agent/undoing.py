"""Which actions belong together when something is taken back: of an incident, of an order, of a time."""

from datetime import datetime

from tapwarden.mitigation.ledger import MOST, WAITING, WANTED
from tapwarden.model.decision import AuthorityKind
from tapwarden.model.ports import CaseStore


def undoable(
    cases: CaseStore,
    *,
    incident_id: str = "",
    order_id: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[str, ...]:
    """The ids of actions that have not ended, for which all that is given holds. ``until`` itself is not included.

    Raises KeyError for an incident that does not exist.
    """
    if incident_id and cases.incident(incident_id) is None:
        raise KeyError(incident_id)
    found = cases.actions(states=(*WANTED, *WAITING), incident_id=incident_id, limit=MOST)
    ordered: dict[str, bool] = {}

    def under_order(decision_id: str) -> bool:
        if decision_id not in ordered:
            decision = cases.decision(decision_id)
            authority = decision.authority if decision else None
            named = authority is not None and (authority.kind, authority.name) == (AuthorityKind.ORDER, order_id)
            ordered[decision_id] = named
        return ordered[decision_id]

    return tuple(
        action.id
        for action in found
        if (since is None or action.created_at >= since)
        and (until is None or action.created_at < until)
        and (not order_id or under_order(action.decision_id))
    )
