"""The read side of CrowdSec's local API (its LAPI, v1) and plain-text lists.

``/v1/decisions`` and ``/v1/decisions/stream`` answer as CrowdSec 1.4 to 1.6 does, so that its bouncers work unchanged;
``/lists/KIND`` is for firewalls that pull "external dynamic lists".
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_network
from typing import Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from tapwarden.mitigation.bouncer.access import Keys
from tapwarden.mitigation.bouncer.listing import Listed, Listing
from tapwarden.mitigation.target import parse_network
from tapwarden.model.decision import TargetType
from tapwarden.model.errors import MitigationError

SCOPES = {
    TargetType.ADDRESS: "Ip",
    TargetType.NETWORK: "Range",
    TargetType.DOMAIN: "Domain",
    TargetType.HOSTNAME: "Hostname",
}
"""CrowdSec's words for what a decision is about. Its bouncers pass over scopes they do not know."""

LISTS = {
    "addresses": (TargetType.ADDRESS, TargetType.NETWORK),
    "ipv4": (TargetType.ADDRESS, TargetType.NETWORK),
    "ipv6": (TargetType.ADDRESS, TargetType.NETWORK),
    "domains": (TargetType.DOMAIN, TargetType.HOSTNAME),
    "urls": (TargetType.URL,),
    "endpoints": (TargetType.ENDPOINT,),
}
"""The lists there are, and what is in each."""

FORMATS = ("plain", "csv", "json", "dnsmasq")
"""How a list is written; dnsmasq's is a servers-file."""
ORIGIN, KIND = "tapwarden", "ban"


def make_app(listing: Listing, keys: Keys, now: Callable[[], float]) -> FastAPI:
    """The application. ``now`` gives seconds since 1970."""
    app = FastAPI(title="Tapwarden bouncer interface", docs_url=None, redoc_url=None, openapi_url=None)

    def caller(request: Request) -> str:
        name = keys.caller(request.headers)
        if name is None:
            raise _ForbiddenError
        return name

    @app.exception_handler(_ForbiddenError)
    def forbidden(_request: Request, _problem: Exception) -> Response:
        return JSONResponse({"message": "access forbidden"}, status_code=403)

    @app.exception_handler(MitigationError)
    def broken(_request: Request, problem: Exception) -> Response:
        return JSONResponse({"message": str(problem)}, status_code=500)

    @app.api_route("/v1/decisions", methods=["GET", "HEAD"])
    def decisions(
        request: Request,
        ip: str = "",
        range_: str = Query("", alias="range"),
        scope: str = "",
        value: str = "",
        type_: str = Query("", alias="type"),
    ) -> Response:
        name, at = caller(request), now()
        try:
            asked = parse_network(ip or range_) if ip or range_ else None
        except ValueError as problem:
            return JSONResponse({"message": str(problem)}, status_code=400)
        found = [
            _decision(listed, at)
            for listed in listing.all(tuple(SCOPES))
            if listed.ends_at > at
            and (asked is None or _covers(listed, asked))
            and (not scope or SCOPES[listed.target.type].lower() == scope.lower())
            and (not value or listed.target.value == value)
            and type_ in ("", KIND)
        ]
        if asked is None and not (scope or value):
            listing.told(name, at)
        return JSONResponse(found or None)

    @app.api_route("/v1/decisions/stream", methods=["GET", "HEAD"])
    def stream(request: Request, startup: bool = False, scopes: str = "", origins: str = "") -> Response:
        name, at = caller(request), now()
        if origins and ORIGIN not in origins.lower().split(","):
            return JSONResponse({"new": None, "deleted": None})
        wanted = {word.strip().lower() for word in scopes.split(",") if word.strip()} or {"ip", "range"}
        pulled = listing.pull(name, at, startup=startup)
        return JSONResponse(
            {
                "new": [_decision(one, at) for one in _of(pulled.new, wanted) if one.ends_at > at] or None,
                "deleted": [_decision(one, at) for one in _of(pulled.deleted, wanted)] or None,
            }
        )

    @app.get("/lists/{kind}")
    def plain(request: Request, kind: str, format_: str = Query("plain", alias="format")) -> Response:
        name, at = caller(request), now()
        kind = kind.removesuffix(".txt")
        if kind not in LISTS or format_ not in FORMATS or (format_ == "dnsmasq" and kind != "domains"):
            known, formats = ", ".join(LISTS), ", ".join(FORMATS)
            return PlainTextResponse(f"lists: {known}; format: {formats} (dnsmasq: domains only)\n", status_code=404)
        entries = [one for one in listing.all(LISTS[kind]) if one.ends_at > at and _in_family(one, kind)]
        etag = f'"{hashlib.sha256(repr([format_, *entries]).encode()).hexdigest()[:32]}"'
        listing.told(name, at)
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if etag in [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]:
            return Response(status_code=304, headers=headers)
        return _written(entries, format_, at, headers)

    return app


class _ForbiddenError(Exception):
    """No key, or nobody's."""


def _written(entries: Sequence[Listed], format_: str, at: float, headers: dict[str, str]) -> Response:
    if format_ == "json":
        body = [
            {"value": one.target.value, "type": one.target.type, "seconds": round(one.ends_at - at)} for one in entries
        ]
        return JSONResponse(body, headers=headers)
    if format_ == "csv":
        # Values are canonical targets and never hold a comma or quote but in a URL, which is quoted (RFC 4180).
        rows = [
            f'"{one.target.value.replace(chr(34), chr(34) * 2)}",{one.target.type},{one.ends_at - at:.0f}'
            for one in entries
        ]
        return Response("\r\n".join(["value,type,seconds", *rows, ""]), media_type="text/csv", headers=headers)
    if format_ == "dnsmasq":
        # A server of its own for the name and all below it, and none given: the name does not exist.
        lines = [f"server=/{one.target.value}/\n" for one in entries if one.target.type is TargetType.DOMAIN]
        return PlainTextResponse("".join(lines), headers=headers)
    return PlainTextResponse("".join(f"{one.target.value}\n" for one in entries), headers=headers)


def _of(entries: Iterable[Listed], scopes: set[str]) -> list[Listed]:
    return [one for one in entries if SCOPES.get(one.target.type, "").lower() in scopes]


def _decision(listed: Listed, at: float) -> dict[str, Any]:
    """A decision in CrowdSec's words; the duration in Go's notation."""
    return {
        "id": listed.id,
        "origin": ORIGIN,
        "type": KIND,
        "scope": SCOPES[listed.target.type],
        "value": listed.target.value,
        "duration": f"{listed.ends_at - at:.3f}s" if listed.ends_at > at else "-1s",
        "scenario": listed.reason,
        "simulated": False,
    }


def _covers(listed: Listed, asked: Any) -> bool:
    if listed.target.type not in (TargetType.ADDRESS, TargetType.NETWORK):
        return False
    network = ip_network(listed.target.value)
    return network.version == asked.version and bool(asked.subnet_of(network))


def _in_family(listed: Listed, kind: str) -> bool:
    return kind not in ("ipv4", "ipv6") or ip_network(listed.target.value).version == int(kind[-1])
