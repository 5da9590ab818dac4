"""Who may do what: the session behind a request, the rights of a role, and the token every change has to carry."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Form, Request

from tapwarden.dashboards.console import Console, console_of
from tapwarden.dashboards.sessions import Session
from tapwarden.model.user import Role, User


class Right(StrEnum):
    """What a page or a button needs."""

    READ = "read"
    TRIAGE = "triage"
    """Archive, escalate, give verdicts, open and close incidents, edit report drafts."""
    DECIDE = "decide"
    """Decide measures, roll back actions, sign reports off."""
    AUDIT = "audit"
    USERS = "users"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.ANALYST: frozenset({Right.READ, Right.TRIAGE}),
    Role.APPROVER: frozenset({Right.READ, Right.TRIAGE, Right.DECIDE}),
    Role.ADMIN: frozenset(Right),
    Role.AUDITOR: frozenset({Right.READ, Right.AUDIT}),
}


class DeniedError(Exception):
    """The request is not let through. ``location`` is where a browser should go instead, if anywhere."""

    def __init__(self, status: int, title: str, reason: str, *, location: str = "") -> None:
        self.status, self.title, self.reason, self.location = status, title, reason, location
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Visitor:
    """The person behind a request, as the case store knows them now."""

    user: User
    session: Session
    token: str

    @property
    def name(self) -> str:
        return self.user.name

    def may(self, right: str) -> bool:
        return Right(right) in RIGHTS[self.user.role]


ConsoleDep = Annotated[Console, Depends(console_of)]

PASSIVE_PATHS = frozenset({"/pulse"})
"""Asked by the page itself every few seconds: does not count as presence."""


def logged_in(request: Request, console: ConsoleDep) -> Visitor:
    """The visitor, whether or not they still have to change their password. Raises DeniedError."""
    token = request.cookies.get(console.cookie, "")
    session = console.sessions.find(token, touch=request.url.path not in PASSIVE_PATHS) if token else None
    user = console.cases.user(session.user) if session else None
    if session is None or user is None or user.disabled:
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = f"?next={quote(asked, safe='/')}" if request.method == "GET" and asked != "/" else ""
        raise DeniedError(401, "Log in", "You are not logged in, or were idle for too long.", location=f"/login{back}")
    return Visitor(user, session, token)


def visitor(person: Annotated[Visitor, Depends(logged_in)]) -> Visitor:
    """The visitor with a password of their own. Raises DeniedError."""
    if person.user.must_change:
        raise DeniedError(403, "Change your password", "A one-time password has to be changed.", location="/password")
    return person


VisitorDep = Annotated[Visitor, Depends(visitor)]


def needs(right: Right) -> Callable[[Visitor], None]:
    """A dependency that lets only people with this right through."""

    def check(person: VisitorDep) -> None:
        if not person.may(right):
            roles = ", ".join(role for role in Role if right in RIGHTS[role])
            raise DeniedError(
                403, "No permission", f"You are {person.user.role}; this needs one of these roles: {roles}."
            )

    return check


def same_origin(request: Request) -> None:
    """Refuse a POST that the browser says comes from another site. Raises DeniedError."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    expected = f"{request.url.scheme}://{request.headers.get('host', '')}"
    tls_ended_before_us = f"https://{request.headers.get('host', '')}"
    if site not in ("same-origin", "none") or (origin is not None and origin not in (expected, tls_ended_before_us)):
        raise DeniedError(403, "From another site", "Changes are only taken from the dashboard's own pages.")


def csrf_checked(
    request: Request,
    person: Annotated[Visitor, Depends(logged_in)],
    csrf: Annotated[str, Form()] = "",
) -> None:
    """Every POST carries the session's token, as the field ``csrf`` or the header X-CSRF-Token. Raises DeniedError."""
    same_origin(request)
    given = request.headers.get("x-csrf-token") or csrf
    if not hmac.compare_digest(given.encode(), person.session.csrf.encode()):
        raise DeniedError(403, "Stale page", "The form's token does not fit your session: reload the page, try again.")


def local_path(path: str, default: str = "/") -> str:
    """``path`` when it stays on this site, else ``default``: a redirect never leads away."""
    stays = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if stays else default
