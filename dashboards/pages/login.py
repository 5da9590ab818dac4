"""Log in, log out, change the password."""

import dataclasses
import hashlib
import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from tapwarden.dashboards.access import ConsoleDep, Visitor, csrf_checked, local_path, logged_in, same_origin
from tapwarden.dashboards.accounts import MAX_NAME, MAX_PASSWORD, MIN_PASSWORD, password_problem
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.display import duration
from tapwarden.dashboards.render import done, json_answer, page, wants_json
from tapwarden.dashboards.sessions import new_token

router = APIRouter()

LOGIN_COOKIE = "tapwarden_login"


@router.get("/login")
def show_login(request: Request, console: ConsoleDep, next: str = "/") -> Response:
    return _login_page(request, console, next)


@router.post("/login", dependencies=[Depends(same_origin)])
def log_in(
    request: Request,
    console: ConsoleDep,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    csrf: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    nonce = request.cookies.get(LOGIN_COOKIE, "")
    given = request.headers.get("x-csrf-token") or csrf
    if not nonce or not hmac.compare_digest(given.encode(), _login_token(console, nonce).encode()):
        return _login_page(request, console, next, problem="The form was too old: please try again.", status=403)
    address = request.client.host if request.client else "unknown"
    name = name[:MAX_NAME]
    wait = console.throttle.charge(name, address)
    if wait > 0:
        problem = f"Too many failed log-ins. Try again in {duration(wait + 1)}."
        return _login_page(request, console, next, problem=problem, status=429, retry_after=int(wait) + 1)
    user = console.cases.user(name)
    now = console.clock.now()
    if not console.passwords.verify(user, password) or user is None:
        console.cases.audit(
            actor=name, verb="user.log_in_failed", subject=f"user:{name}", detail=f"from {address}", at=now
        )
        return _login_page(request, console, next, problem="Name or password is wrong.", status=401)
    console.throttle.succeeded(name, address)
    if console.passwords.outdated(user):
        console.cases.put_user(dataclasses.replace(user, password_hash=console.passwords.hash(password)))
    # A log-in over a log-in must not leave the older session behind.
    console.sessions.close(request.cookies.get(console.cookie, ""))
    token = console.sessions.open(user.name)
    console.cases.audit(
        actor=user.name, verb="user.log_in", subject=f"user:{user.name}", detail=f"from {address}", at=now
    )
    location = "/password" if user.must_change else local_path(next)
    session = console.sessions.find(token)
    answer: Response
    if wants_json(request):
        answer = json_answer({"location": location, "csrf": session.csrf if session else ""})
    else:
        answer = RedirectResponse(location, status_code=303)
    tls = console.settings.tls
    answer.set_cookie(console.cookie, token, path="/", httponly=True, samesite="strict", secure=tls)
    answer.delete_cookie(LOGIN_COOKIE, path="/")
    return answer


@router.post("/logout", dependencies=[Depends(csrf_checked)])
def log_out(request: Request, console: ConsoleDep, person: Annotated[Visitor, Depends(logged_in)]) -> Response:
    console.sessions.close(person.token)
    console.cases.audit(actor=person.name, verb="user.log_out", subject=f"user:{person.name}", at=console.clock.now())
    answer: Response = json_answer({"location": "/login"}) if wants_json(request) else RedirectResponse("/login", 303)
    answer.delete_cookie(console.cookie, path="/")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


@router.get("/password")
def show_password(request: Request, console: ConsoleDep, person: Annotated[Visitor, Depends(logged_in)]) -> Response:
    return _password_page(request, console, person)


@router.post("/password", dependencies=[Depends(csrf_checked)])
def change_password(
    request: Request,
    console: ConsoleDep,
    person: Annotated[Visitor, Depends(logged_in)],
    current: Annotated[str, Form()] = "",
    new: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    address = request.client.host if request.client else "unknown"
    wait = console.throttle.charge(person.name, address)
    if wait > 0:
        problem = f"Too many attempts. Try again in {duration(wait + 1)}."
        return _password_page(request, console, person, problem=problem, status=429)
    if not console.passwords.verify(person.user, current):
        return _password_page(request, console, person, problem="The current password is wrong.", status=400)
    console.throttle.succeeded(person.name, address)
    problem = password_problem(person.name, new)
    if not problem and new != again:
        problem = "The two new passwords differ."
    if not problem and new == current:
        problem = "The new password is the old one."
    if problem:
        return _password_page(request, console, person, problem=problem, status=400)
    now = console.clock.now()
    with console.cases.transaction():
        changed = dataclasses.replace(person.user, password_hash=console.passwords.hash(new), must_change=False)
        console.cases.put_user(changed)
        console.cases.audit(actor=person.name, verb="user.password", subject=f"user:{person.name}", at=now)
    ended = console.sessions.close_user(person.name, keep=person.session)
    also = f" {ended} other sessions of yours ended." if ended else ""
    return done(request, person, "/", f"Your password is changed.{also}")


def _login_token(console: Console, nonce: str) -> str:
    return hmac.new(console.login_secret, nonce.encode(), hashlib.sha256).hexdigest()


def _login_page(
    request: Request, console: Console, next_path: str, *, problem: str = "", status: int = 200, retry_after: int = 0
) -> Response:
    nonce = new_token(console.rng)
    data = {"login_csrf": _login_token(console, nonce), "next": local_path(next_path), "problem": problem}
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    answer = page(request, console, None, "login.html", data, status=status, headers=headers)
    tls = console.settings.tls
    answer.set_cookie(LOGIN_COOKIE, nonce, path="/", httponly=True, samesite="strict", secure=tls, max_age=3600)
    return answer


def _password_page(
    request: Request, console: Console, person: Visitor, *, problem: str = "", status: int = 200
) -> Response:
    data = {"problem": problem, "must_change": person.user.must_change, "min": MIN_PASSWORD, "max": MAX_PASSWORD}
    return page(request, console, person, "password.html", data, status=status)
