"""What every request passes first: the Host check, the size limit, the security headers, the choice of page or JSON."""

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing inline, nothing from elsewhere, no string that becomes script (Trusted Types): W3C CSP Level 3."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Shield:
    """Pure ASGI, so that it also covers error answers and static files."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: Iterable[str], tls: bool, max_body_octets: int) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._headers = dict(HEADERS)
        if tls:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"
        self._max_body = max_body_octets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope = _choose_format(scope, headers)

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    answer[name] = value
                static = scope["path"].startswith("/static/")
                answer["Cache-Control"] = "no-cache" if static else "no-store"
                answer.add_vary_header("Accept")
            await send(message)

        if host_name(headers.get("host", "")) not in self._hosts:
            refusal = PlainTextResponse("This name is not configured for the dashboard.\n", status_code=421)
            await refusal(scope, receive, send_hardened)
        elif not self._fits(headers):
            await PlainTextResponse("The request is too large.\n", status_code=413)(scope, receive, send_hardened)
        else:
            await self._app(scope, self._bounded(receive), send_hardened)

    def _fits(self, headers: Headers) -> bool:
        length = headers.get("content-length", "0")
        return length.isascii() and length.isdigit() and int(length[:12]) <= self._max_body

    def _bounded(self, receive: Receive) -> Receive:
        """A body sent in chunks says no length: count it, and end the connection when it is too long."""
        seen = 0

        async def receive_bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return message if seen <= self._max_body else {"type": "http.disconnect"}

        return receive_bounded


def host_name(host: str) -> str:
    """The name in a Host header, lower case, without port and without the brackets of an IPv6 address."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _choose_format(scope: Scope, headers: Headers) -> Scope:
    """``state.json`` says whether JSON is wanted: the path ends in .json (taken off) or Accept prefers it to HTML."""
    path: str = scope["path"]
    suffix = path.endswith(".json") and not path.startswith("/static/")
    accept = headers.get("accept", "")
    wanted = suffix or ("application/json" in accept and "text/html" not in accept)
    state = {**scope.get("state", {}), "json": wanted}
    if suffix:
        path = path.removesuffix(".json") or "/"
        path = "/" if path in ("/home", "/") else path
        return {**scope, "path": path, "raw_path": path.encode("utf-8", "replace"), "state": state}
    return {**scope, "state": state}
