"""OpenC2 over HTTPS (Specification for Transfer of OpenC2 Messages via HTTPS 1.1): ``POST /.well-known/openc2``.

A command carries its signed order in ``args.x-order``; ``query features`` needs none. What the command's issuer says
counts, not who brought it: the caller only opens the door.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool

from tapwarden.agent.orders import document, openc2
from tapwarden.agent.orders.desk import Orders
from tapwarden.agent.orders.feedback import content_of
from tapwarden.agent.orders.refusal import OK, Refusal
from tapwarden.agent.reception.callers import Callers
from tapwarden.agent.request_body import read_body

CONTENT_MAX_OCTETS = 256 * 1024


def router(orders: Orders, callers: Callers, name: str, now: Callable[[], datetime]) -> APIRouter:
    """The route."""
    routes = APIRouter()

    @routes.post("/.well-known/openc2")
    async def command(request: Request) -> Response:
        """Take one OpenC2 command; the response's status says what came of it."""
        caller = callers.name(request)
        kind = request.headers.get("content-type", "").replace(" ", "")
        if kind.partition(";")[0] != "application/openc2+json" or kind.partition("version=")[2] not in {"", "1.0"}:
            raise HTTPException(415, f"post {openc2.MEDIA_TYPE}")
        headers, asked = _message(await read_body(request, CONTENT_MAX_OCTETS, "a command"))
        answer = await run_in_threadpool(_obey, orders, asked, name, now())
        args = asked.get("args")
        if isinstance(args, Mapping) and args.get("response_requested") == "none":
            return Response(status_code=204)
        request_id = request.headers.get("x-request-id") or str(headers.get("request_id") or uuid.uuid4())
        told = {"request_id": request_id[:128], "created": int(now().timestamp() * 1000), "from": name, "to": [caller]}
        message = {"headers": told, "body": {"openc2": {"response": answer}}}
        shown = {"X-Request-ID": request_id[:128]} if request_id.isascii() and request_id.isprintable() else {}
        return Response(json.dumps(message), 200, headers=shown, media_type=openc2.MEDIA_TYPE)

    return routes


def _obey(orders: Orders, asked: Mapping[str, Any], name: str, now: datetime) -> dict[str, Any]:
    try:
        action, kind, value = openc2.parts(asked)
        if (action, kind) == ("query", "features"):
            return openc2.response(OK, results=openc2.features(value))
        content, signature = document.carried(asked)
        order = orders.receive(content, signature, via="openc2")
    except Refusal as refusal:
        return openc2.response(refusal.code, refusal.text)
    results = {document.CARRIER: content_of(order, name, now)}
    return openc2.response(order.code, f"{order.state.value} {order.detail}".strip(), results)


def _message(content: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        message = json.loads(content)
        headers, asked = message.get("headers", {}), message["body"]["openc2"]["request"]
        if not isinstance(headers, Mapping) or not isinstance(asked, Mapping):
            raise ValueError("headers and request are objects")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise HTTPException(400, 'post {"headers": {...}, "body": {"openc2": {"request": {...}}}}') from None
    return headers, asked
