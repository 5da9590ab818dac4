"""Pages and their JSON: one mapping of data, rendered by a template or written as it is."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tapwarden.dashboards import display
from tapwarden.dashboards.access import Visitor
from tapwarden.dashboards.console import Console
from tapwarden.model.event import Event
from tapwarden.model.incident import GroupState

HERE = Path(__file__).parent


def template_environment() -> Environment:
    """Autoescape everywhere; every printed text passes ``display.visible`` first; a missing name is an error."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=display.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("ago", "duration", "editable", "iso", "number", "octets", "severity_shape", "severity_word", "utc")
    env.filters.update({name: getattr(display, name) for name in (*filters, "words")})
    env.filters["query"] = query_string
    env.filters["pretty"] = lambda value: json.dumps(jsonable(value), indent=2, ensure_ascii=False, sort_keys=False)
    return env


def query_string(params: Mapping[str, Any], **changes: Any) -> str:
    """``?a=1&b=2`` of the non-empty ones, with changes: the way every link keeps the page's state."""
    merged = {key: value for key, value in {**params, **changes}.items() if value not in (None, "", ())}
    return "?" + urlencode(merged, doseq=True) if merged else ""


def jsonable(value: Any) -> Any:  # noqa: PLR0911 - one answer a type
    """The same data for JSON: times as RFC 3339, enums as their text, events as their EVE record with an ``id``."""
    if isinstance(value, Event):
        return {"id": value.id, **value.eve}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return display.iso(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: jsonable(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(jsonable(key)): jsonable(item) for key, item in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(jsonable(item) for item in value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [jsonable(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def wants_json(request: Request) -> bool:
    return bool(getattr(request.state, "json", False))


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in ASCII, and with < and & as escapes: whatever looks at it as markup finds none."""
    text = json.dumps(jsonable(data), separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Response(text, status, dict(headers or {}), media_type="application/json")


def page(
    request: Request,
    console: Console,
    person: Visitor | None,
    template: str,
    data: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with the template, or with ``data`` itself where JSON is wanted."""
    if wants_json(request):
        return json_answer(data, status, headers)
    notices = []
    if person:
        while person.session.notices:
            notices.append(person.session.notices.popleft())
    frame = {
        "now": console.clock.now(),
        "person": person,
        "csrf": person.session.csrf if person else "",
        "settings": console.settings,
        "notices": notices,
        "here": request.url.path,
        "address": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "open_groups": console.cases.count_groups(state=GroupState.OPEN)
        if person and not person.user.must_change
        else 0,
    }
    html = console.templates.get_template(template).render(**frame, **data)
    return HTMLResponse(html.encode("utf-8", "replace"), status, dict(headers or {}))


def done(
    request: Request, person: Visitor, location: str, notice: str, data: Mapping[str, Any] | None = None
) -> Response:
    """Answer a change: JSON with what happened, or back to a page that says it once."""
    if wants_json(request):
        return json_answer({"notice": notice, "location": location, **(data or {})})
    person.session.notices.append(("done", notice))
    return RedirectResponse(location, status_code=303)
