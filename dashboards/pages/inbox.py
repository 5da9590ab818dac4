"""The alert inbox: groups of alerts, most urgent first, worked off with the keyboard and undone with one key."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, csrf_checked, local_path, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.display import iso, number
from tapwarden.dashboards.inboxfilter import find_groups, parse_filter
from tapwarden.dashboards.render import done, page
from tapwarden.dashboards.sessions import TriageStep
from tapwarden.model.incident import AlertGroup, GroupState, Verdict

router = APIRouter(dependencies=[Depends(needs(Right.READ))])

PAGE = 50
MAX_SELECTED = 500

Verb = Literal["archive", "escalate", "escalate_archive", "false_positive", "true_positive", "reopen"]

VERBS: dict[str, tuple[GroupState | None, Verdict | None, str]] = {
    "archive": (GroupState.ARCHIVED, None, "Archived"),
    "escalate": (GroupState.ESCALATED, None, "Escalated"),
    "escalate_archive": (GroupState.ARCHIVED, Verdict.TRUE_POSITIVE, "Marked true positive and archived"),
    "false_positive": (GroupState.ARCHIVED, Verdict.FALSE_POSITIVE, "Marked false positive and archived"),
    "true_positive": (None, Verdict.TRUE_POSITIVE, "Marked true positive"),
    "reopen": (GroupState.OPEN, Verdict.NONE, "Reopened"),
}


@router.get("/inbox")
def inbox(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    q: Annotated[str, Query(max_length=500)] = "",
    order: Literal["priority", "last_seen", "count"] = "priority",
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    wanted = parse_filter(q)
    found = find_groups(console.cases, wanted, order=order, limit=PAGE, offset=offset)
    newest = console.cases.groups(state=GroupState.OPEN, limit=1, order="last_seen")
    data = {
        "groups": found.groups,
        "more": found.more,
        "incomplete": found.incomplete,
        "problems": wanted.problems,
        "state": wanted.state or "all",
        "q": q,
        "order": order,
        "offset": offset,
        "page_size": PAGE,
        "counts": counts_by_state(console),
        "newest": iso(newest[0].last_seen) if newest else "",
        "undo_steps": len(person.session.undo),
    }
    return page(request, console, person, "inbox.html", data)


@router.post("/inbox/triage", dependencies=[Depends(csrf_checked), Depends(needs(Right.TRIAGE))])
def triage(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    do: Annotated[Verb, Form()],
    group: Annotated[list[str] | None, Form()] = None,
    back: Annotated[str, Form()] = "/inbox",
) -> Response:
    state, verdict, text = VERBS[do]
    groups = selected_groups(console, group)
    steps = tuple(
        TriageStep(
            item.id,
            (item.state, item.verdict),
            (item.state if state is None else state, item.verdict if verdict is None else verdict),
        )
        for item in groups
    )
    changed = console.desk.triage([item.id for item in groups], state=state, verdict=verdict, by=person.name)
    person.session.undo.append(steps)
    alerts = sum(item.count for item in groups)
    notice = f"{text}: {_count(changed, 'group')} with {_count(alerts, 'alert')}. Press z to undo."
    data = {"groups": changed, "alerts": alerts, "counts": counts_by_state(console)}
    return done(request, person, local_path(back, "/inbox"), notice, data)


@router.post("/inbox/undo", dependencies=[Depends(csrf_checked), Depends(needs(Right.TRIAGE))])
def undo(
    request: Request, console: ConsoleDep, person: VisitorDep, back: Annotated[str, Form()] = "/inbox"
) -> Response:
    if not person.session.undo:
        return done(request, person, local_path(back, "/inbox"), "There is nothing to undo.", {"groups": 0})
    undone = skipped = 0
    for step in person.session.undo.pop():
        group = console.cases.group(step.group_id)
        if group is None or (group.state, group.verdict) != step.after:
            skipped += 1
            continue
        state, verdict = step.before
        undone += console.desk.triage([step.group_id], state=state, verdict=verdict, by=person.name)
    notice = f"Undone: {_count(undone, 'group')}."
    if skipped:
        notice += f" {_count(skipped, 'group')} had changed since and stayed as they are."
    return done(request, person, local_path(back, "/inbox"), notice, {"groups": undone, "skipped": skipped})


def counts_by_state(console: Console) -> dict[GroupState, int]:
    return {state: console.cases.count_groups(state=state) for state in GroupState}


def selected_groups(console: Console, ids: Sequence[str] | None) -> tuple[AlertGroup, ...]:
    """The groups a form selected. Raises DeniedError when there are none, too many, or one does not exist."""
    unique = tuple(dict.fromkeys(ids or ()))
    if not unique:
        raise DeniedError(400, "Nothing selected", "Select at least one group first (x, or the box in its row).")
    if len(unique) > MAX_SELECTED:
        raise DeniedError(400, "Too many selected", f"At most {MAX_SELECTED} groups can be changed at once.")
    found = [console.cases.group(group_id) for group_id in unique]
    groups = tuple(group for group in found if group is not None)
    if len(groups) != len(unique):
        raise DeniedError(404, "No such group", "A selected group does not exist any more: reload the inbox.")
    return groups


def _count(n: int, what: str) -> str:
    return f"{number(n)} {what}{'' if n == 1 else 's'}"
