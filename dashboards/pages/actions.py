"""Actions: what waits, what is in effect right now, what ended; and taking one back."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, csrf_checked, local_path, needs
from tapwarden.dashboards.render import done, page
from tapwarden.model.decision import LIVE_STATES, ActionState

router = APIRouter(prefix="/actions", dependencies=[Depends(needs(Right.READ))])

TABS: dict[str, tuple[ActionState, ...]] = {
    "pending": (ActionState.PROPOSED, ActionState.SIMULATED),
    "active": tuple(sorted(LIVE_STATES)),
    "ended": (ActionState.EXPIRED, ActionState.ROLLED_BACK, ActionState.REFUSED, ActionState.FAILED),
}
LISTED = 500


@router.get("")
def list_actions(
    request: Request, console: ConsoleDep, person: VisitorDep, tab: Literal["pending", "active", "ended"] = "active"
) -> Response:
    counts = {name: len(console.cases.actions(states=states)) for name, states in TABS.items()}
    rows = console.cases.actions(states=TABS[tab], limit=LISTED)
    decisions = {row.decision_id: console.cases.decision(row.decision_id) for row in rows}
    data = {"tab": tab, "tabs": counts, "actions": rows, "decisions": decisions}
    return page(request, console, person, "actions.html", data)


@router.post("/rollback", dependencies=[Depends(csrf_checked), Depends(needs(Right.DECIDE))])
def roll_back(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    action: Annotated[list[str] | None, Form()] = None,
    reason: Annotated[str, Form(max_length=2000)] = "",
    back: Annotated[str, Form()] = "/actions",
) -> Response:
    ids = tuple(dict.fromkeys(action or ()))[:LISTED]
    if not ids:
        raise DeniedError(400, "Nothing selected", "Select at least one action first.")
    if not reason.strip():
        raise DeniedError(400, "No reason", "Say why it is taken back: the reason goes to the audit trail.")
    if any(console.cases.action(action_id) is None for action_id in ids):
        raise DeniedError(404, "No such action", "A selected action does not exist: reload the page.")
    taken_back = console.desk.rollback(ids, by=person.name, reason=reason.strip())
    notice = f"{len(taken_back)} action{'' if len(taken_back) == 1 else 's'} taken back."
    return done(request, person, local_path(back, "/actions"), notice, {"actions": taken_back})
