"""What a client said, and the record of it. Pure: octets in, an EVE record out."""

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

MOST_OCTETS = 4096
"""Octets of a client that are read at all."""

_REQUEST = re.compile(rb"([A-Z]{1,20}) ([^ \r\n]{1,4096}) HTTP/1\.[01]\r?\n")


@dataclass(slots=True)
class Visit:
    """One client's contact. ``first`` are the first octets it sent (inside TLS, where it spoke TLS)."""

    source: str
    source_port: int
    target: str
    port: int
    protocol: str
    at: datetime
    first: bytes = b""
    tls: bool = False
    sni: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = ""
    path: str = ""

    @property
    def name(self) -> str:
        """The name it came for, as far as it said one."""
        return self.headers.get("host", "").partition(":")[0].lower() or self.sni

    def read_request(self) -> bool:
        """Whether ``first`` begins an HTTP request; its method, path and headers are taken from it."""
        found = _REQUEST.match(self.first)
        if found is None:
            return False
        self.method, self.path = found[1].decode(), found[2].decode("latin-1")
        for line in self.first[found.end() :].split(b"\n")[:64]:
            key, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                break
            self.headers.setdefault(key.strip().lower(), value.strip())
        return True

    def record(self, keep_octets: int) -> bytes:
        """The event: EVE, one line. Of an HTTP request neither query, cookies nor body are kept.

        ``keep_octets`` of what was said otherwise are: enough to tell a protocol, not to read along.
        """
        said: dict[str, Any] = {"name": self.name, "octets": len(self.first)}
        event: dict[str, Any] = {
            "timestamp": self.at.strftime("%Y-%m-%dT%H:%M:%S.%f%z"),
            "event_type": "sinkhole",
            "src_ip": self.source,
            "src_port": self.source_port,
            "dest_ip": self.target,
            "dest_port": self.port,
            "proto": self.protocol,
        }
        if self.tls:
            event["app_proto"], event["tls"] = "tls", {"sni": self.sni}
        if self.method:
            event["app_proto"] = event.get("app_proto", "http")
            http = {"hostname": self.headers.get("host", "").partition(":")[0], "url": self.path.partition("?")[0]}
            event["http"] = {**http, "http_method": self.method}
            if agent := self.headers.get("user-agent"):
                event["http"]["http_user_agent"] = agent[:512]
        elif self.first and keep_octets:
            said["first_octets"] = base64.b64encode(self.first[:keep_octets]).decode()
        event["tapwarden"] = {"sinkhole": said}
        return json.dumps(event, separators=(",", ":")).encode()


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>This address is blocked</title>
<meta name="viewport" content="width=device-width"><style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;
margin:4rem auto;padding:0 1rem}</style><h1>This address is blocked</h1>
<p>The name you asked for is used by malicious software, so your network does not connect to it.
Nothing you sent was passed on.</p>
<p>If you did not open it yourself, a program on this device may be infected: please tell those who look after it.</p>
<p>__CONTACT__</p></html>
"""
"""What a person's browser shows. It repeats nothing of the request: an attacker may have chosen it."""


def answer(contact: str) -> bytes:
    """The HTTP answer to any request; ``contact`` is the operator's own text, escaped already."""
    body = PAGE.replace("__CONTACT__", contact).encode()
    head = (
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
