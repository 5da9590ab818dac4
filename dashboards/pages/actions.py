"""Actions: what waits, what is in effect right now, what ended; and taking one back."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, csrf_checked, local_path, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.render import done, page
from tapwarden.model.decision import LIVE_STATES, Action, ActionState

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
    incident: Annotated[str, Form(max_length=200)] = "",
    reason: Annotated[str, Form(max_length=2000)] = "",
    back: Annotated[str, Form()] = "/actions",
) -> Response:
    """Those selected, or with ``incident`` all of it that have not ended."""
    if incident:
        states = (*TABS["pending"], *TABS["active"], ActionState.FAILED)
        ids = tuple(one.id for one in console.cases.actions(states=states, incident_id=incident, limit=100_000))
    else:
        ids = tuple(dict.fromkeys(action or ()))[:LISTED]
    _selected(console, ids)
    if not reason.strip():
        raise DeniedError(400, "No reason", "Say why it is taken back: the reason goes to the audit trail.")
    taken_back = console.desk.rollback(ids, by=person.name, reason=reason.strip())
    notice = f"{len(taken_back)} action{'' if len(taken_back) == 1 else 's'} taken back."
    return done(request, person, local_path(back, "/actions"), notice, {"actions": taken_back})


@router.post("/approve", dependencies=[Depends(csrf_checked), Depends(needs(Right.DECIDE))])
def approve(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    verdict: Annotated[Literal["approve", "reject", "confirm"], Form()],
    action: Annotated[list[str] | None, Form()] = None,
    reason: Annotated[str, Form(max_length=2000)] = "",
    back: Annotated[str, Form()] = "/actions?tab=pending",
) -> Response:
    """A word on what waits (all actions of the decisions that the selected ones belong to), or on what is on trial."""
    ids = tuple(dict.fromkeys(action or ()))[:LISTED]
    found = _selected(console, ids)
    if verdict == "reject" and not reason.strip():
        raise DeniedError(400, "No reason", "Say why it is rejected: the reason goes to the audit trail.")
    desk, by = console.desk, person.name
    if verdict == "confirm":
        changed = list(desk.confirm(ids, by=by))
    else:
        changed = []
        for decision_id in dict.fromkeys(one.decision_id for one in found):
            if verdict == "approve":
                changed += desk.approve(decision_id, by=by, note=reason.strip())
            else:
                changed += desk.reject(decision_id, by=by, note=reason.strip())
    waiting = sum(one.state is ActionState.SIMULATED for one in changed)
    done_to = {"approve": "approved", "reject": "rejected", "confirm": "confirmed"}[verdict]
    notice = f"{len(changed)} action{'' if len(changed) == 1 else 's'} {done_to}."
    if waiting:
        notice += f" {waiting} wait for one more person."
    return done(request, person, local_path(back, "/actions"), notice, {"actions": changed})


def _selected(console: Console, ids: Sequence[str]) -> list[Action]:
    """The actions with these ids. Raises DeniedError for none, or for one that does not exist."""
    if not ids:
        raise DeniedError(400, "Nothing selected", "Select at least one action first.")
    found = [console.cases.action(action_id) for action_id in ids]
    if None in found:
        raise DeniedError(404, "No such action", "A selected action does not exist: reload the page.")
    return [one for one in found if one is not None]
