"""Pages without a log-in: a complaint, its status, an answer to a notice. What they show is only what was given."""

import hashlib
import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, same_origin
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.display import duration
from tapwarden.dashboards.render import json_answer, page, wants_json
from tapwarden.dashboards.sessions import new_token

router = APIRouter()

FORM_COOKIE = "tapwarden_form"

ANSWERS = (
    ("done", "It is put right / 已处置"),
    ("examining", "We are looking into it / 正在核查"),
    ("not ours", "It is not ours / 非我方资源"),
    ("refused", "We see no reason / 不予处置"),
)

Short = Annotated[str, Form(max_length=300)]
Long = Annotated[str, Form(max_length=5000)]


@router.get("/complaint")
def show_form(request: Request, console: ConsoleDep, about: str = "") -> Response:
    _open(console)
    return _form(request, console, {"about": about[:500]})


@router.post("/complaint")
def file(
    request: Request,
    console: ConsoleDep,
    who: Short = "",
    contact: Short = "",
    about: Annotated[str, Form(max_length=500)] = "",
    grounds: Long = "",
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    _open(console)
    given = {"who": who, "contact": contact, "about": about, "grounds": grounds}
    if problem := _problem(request, console, csrf):
        return _form(request, console, given, problem=problem[1], status=problem[0])
    if not about.strip() or not grounds.strip():
        words = "Say what it is about, and why. / 请填写涉及对象和理由。"
        return _form(request, console, given, problem=words, status=400)
    appeals = console.appeals
    if appeals is None:
        raise DeniedError(404, "Not here", "Complaints are taken elsewhere.")
    filed, secret = appeals.file(**given)
    location = f"/complaint/{secret}"
    if wants_json(request):
        return json_answer({"number": filed.number, "location": location, "answer_due": filed.answer_due}, 201)
    return RedirectResponse(location, status_code=303)


@router.get("/complaint/{secret}")
def show_status(request: Request, console: ConsoleDep, secret: str) -> Response:
    _open(console)
    found = console.appeals.by_secret(secret) if console.appeals else None
    if found is None:
        raise DeniedError(404, "No such complaint", "This link leads to no complaint. / 无此投诉记录。")
    shown = ("number", "state", "about", "filed_at", "acknowledged_at", "answer_due", "answered_at", "reasons")
    return page(request, console, None, "complaint_status.html", {name: getattr(found, name) for name in shown})


@router.get("/reply/{token}")
def show_reply(request: Request, console: ConsoleDep, token: str) -> Response:
    _open(console)
    return _reply_page(request, console, token)


@router.post("/reply/{token}")
def reply(
    request: Request,
    console: ConsoleDep,
    token: str,
    answer: Annotated[str, Form(max_length=40)] = "",
    text: Annotated[str, Form(max_length=2000)] = "",
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    _open(console)
    if problem := _problem(request, console, csrf):
        return _reply_page(request, console, token, problem=problem[1], status=problem[0])
    if console.replies is None or not console.replies.reply(token, answer=answer, text=text):
        raise _no_notice()
    if wants_json(request):
        return json_answer({"recorded": True}, 201)
    return RedirectResponse(f"/reply/{token}", status_code=303)


def _open(console: Console) -> None:
    if console.public_throttle is None:
        raise DeniedError(404, "No such page", "There is no such page.")


def _problem(request: Request, console: Console, csrf: str) -> tuple[int, str] | None:
    """Why a form is not taken: from another site, not from a page of ours, or too many from this address."""
    same_origin(request)
    nonce = request.cookies.get(FORM_COOKIE, "")
    if not nonce or not hmac.compare_digest(csrf.encode(), _token(console, nonce).encode()):
        return 403, "The form was too old: please send it again. / 表单已过期,请重新提交。"
    address = request.client.host if request.client else "unknown"
    wait = console.public_throttle.charge("form", address) if console.public_throttle else 0.0
    if wait > 0:
        return 429, f"Too many from your address. Try again in {duration(wait + 1)}. / 提交过于频繁,请稍后再试。"
    return None


def _token(console: Console, nonce: str) -> str:
    return hmac.new(console.login_secret, b"form\n" + nonce.encode(), hashlib.sha256).hexdigest()


def _form(
    request: Request, console: Console, given: dict[str, str], *, problem: str = "", status: int = 200
) -> Response:
    fields = {name: given.get(name, "") for name in ("who", "contact", "about", "grounds")}
    data = {**fields, "problem": problem, "intro": console.settings.public_intro}
    return _with_token(request, console, "complaint.html", data, status)


def _reply_page(request: Request, console: Console, token: str, *, problem: str = "", status: int = 200) -> Response:
    asked = console.replies.asked(token) if console.replies else None
    if asked is None:
        raise _no_notice()
    data = {"asked": asked, "token": token, "answers": ANSWERS, "problem": problem}
    return _with_token(request, console, "reply.html", data, status)


def _no_notice() -> DeniedError:
    words = "This link leads to no notice, or its time is over. / 链接无效或已过期。"
    return DeniedError(404, "No such notice", words)


def _with_token(request: Request, console: Console, template: str, data: dict[str, Any], status: int) -> Response:
    nonce = new_token(console.rng)
    answer = page(request, console, None, template, {**data, "form_csrf": _token(console, nonce)}, status=status)
    tls = console.settings.tls
    answer.set_cookie(FORM_COOKIE, nonce, path="/", httponly=True, samesite="strict", secure=tls, max_age=3600)
    return answer
