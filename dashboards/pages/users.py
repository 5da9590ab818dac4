"""Who may log in (for administrators): create, change role, disable, give a new one-time password."""

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from tapwarden.dashboards.access import RIGHTS, ConsoleDep, DeniedError, Right, Visitor, VisitorDep, csrf_checked, needs
from tapwarden.dashboards.accounts import name_problem, one_time_password
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.render import done, page
from tapwarden.model.user import Role, User

router = APIRouter(prefix="/users", dependencies=[Depends(needs(Right.USERS))])


@router.get("")
def list_users(request: Request, console: ConsoleDep, person: VisitorDep) -> Response:
    return _users_page(request, console, person)


@router.post("", dependencies=[Depends(csrf_checked)])
def create_user(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    name: Annotated[str, Form(max_length=200)],
    role: Annotated[Role, Form()],
) -> Response:
    problem = name_problem(name)
    if problem:
        raise DeniedError(400, "Not a name", problem)
    now = console.clock.now()
    password = one_time_password(console.rng)
    user = User(name, role, console.passwords.hash(password), created_at=now, must_change=True)
    with console.cases.transaction():
        if console.cases.user(name) is not None:
            raise DeniedError(409, "Name taken", "There is a user with this name.")
        console.cases.put_user(user)
        console.cases.audit(actor=person.name, verb="user.create", subject=f"user:{name}", detail=role, at=now)
    return _users_page(request, console, person, fresh={"name": name, "password": password})


@router.post("/{name}/role", dependencies=[Depends(csrf_checked)])
def change_role(
    request: Request, console: ConsoleDep, person: VisitorDep, name: str, role: Annotated[Role, Form()]
) -> Response:
    user = _other(console, person, name)
    _put(console, person, dataclasses.replace(user, role=role), "user.role", role)
    return done(request, person, "/users", f"{name} is now {role}.")


@router.post("/{name}/disabled", dependencies=[Depends(csrf_checked)])
def set_disabled(
    request: Request, console: ConsoleDep, person: VisitorDep, name: str, disabled: Annotated[bool, Form()]
) -> Response:
    user = _other(console, person, name)
    verb = "user.disable" if disabled else "user.enable"
    _put(console, person, dataclasses.replace(user, disabled=disabled), verb, "")
    return done(request, person, "/users", f"{name} is {'disabled' if disabled else 'enabled'}.")


@router.post("/{name}/reset", dependencies=[Depends(csrf_checked)])
def reset_password(request: Request, console: ConsoleDep, person: VisitorDep, name: str) -> Response:
    user = _other(console, person, name)
    password = one_time_password(console.rng)
    changed = dataclasses.replace(user, password_hash=console.passwords.hash(password), must_change=True)
    _put(console, person, changed, "user.reset", "")
    return _users_page(request, console, person, fresh={"name": name, "password": password})


def _other(console: Console, person: Visitor, name: str) -> User:
    """The user, who is not the visitor: nobody locks themselves out. Raises DeniedError."""
    user = console.cases.user(name)
    if user is None:
        raise DeniedError(404, "No such user", "There is no user with this name.")
    if name == person.name:
        raise DeniedError(409, "That is you", "Another administrator has to change your account.")
    return user


def _put(console: Console, person: Visitor, user: User, verb: str, detail: str) -> None:
    with console.cases.transaction():
        console.cases.put_user(user)
        now = console.clock.now()
        console.cases.audit(actor=person.name, verb=verb, subject=f"user:{user.name}", detail=detail, at=now)
    console.sessions.close_user(user.name)


def _users_page(
    request: Request, console: Console, person: Visitor, *, fresh: dict[str, str] | None = None
) -> Response:
    rows: list[dict[str, Any]] = [
        {
            "name": user.name,
            "role": user.role,
            "created_at": user.created_at,
            "must_change": user.must_change,
            "disabled": user.disabled,
        }
        for user in sorted(console.cases.users(), key=lambda user: user.name)
    ]
    data = {"users": rows, "roles": {role: sorted(RIGHTS[role]) for role in Role}, "fresh": fresh}
    return page(request, console, person, "users.html", data)
