"""A cluster that is reached with an API key: the real server behind a gate that asks for one, as the test distribution
of the server has no keys itself."""

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from elasticsearch import Elasticsearch

from tapwarden.agent.store.elastic import ElasticEventStore, Settings, examine
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event, EventQuery

WRITER, READER = (base64.b64encode(pair).decode() for pair in (b"writer:secret-1", b"reader:secret-2"))

PROBLEMS = {401: "security_exception", 403: "action is unauthorized for API key id [reader]"}


class Gate(ThreadingHTTPServer):
    """Lets requests with a known key through to the server, those of READER only if they change nothing. ``bulks`` has
    the encodings of the bulk requests."""

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.server_at = urlsplit(server).netloc
        self.keys = {WRITER, READER}
        self.bulks: list[str] = []

    @property
    def url(self) -> str:
        """An address that is not known as one of this host, so that requests are packed as they are on a network."""
        return f"http://0.0.0.0:{self.server_address[1]}"


class _Passage(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        path = urlsplit(self.path).path
        if scheme != "ApiKey" or key not in self.server.keys:
            self._answer(401, json.dumps({"error": {"reason": PROBLEMS[401]}, "status": 401}).encode(), {})
            return
        if (
            key == READER
            and self.command not in {"GET", "HEAD"}
            and not path.endswith(("_search", "_refresh", "_analyze"))
        ):
            self._answer(403, json.dumps({"error": {"reason": PROBLEMS[403]}, "status": 403}).encode(), {})
            return
        if path.endswith("/_bulk"):
            self.server.bulks.append(self.headers.get("content-encoding", ""))
        sent = {name: value for name, value in self.headers.items() if name.lower() not in {"authorization", "host"}}
        far = http.client.HTTPConnection(self.server.server_at, timeout=60)
        far.request(self.command, self.path, body or None, sent)
        answer = far.getresponse()
        self._answer(answer.status, answer.read(), dict(answer.getheaders()))
        far.close()

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _pass

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        kept = {name.lower(): value for name, value in headers.items()}
        for name in ("content-type", "content-encoding", "x-elastic-product"):
            if name in kept:
                self.send_header(name, kept[name])
        if not headers:
            self.send_header("content-type", "application/json")
            self.send_header("x-elastic-product", "Elasticsearch")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def gate(elasticsearch: str) -> Iterator[Gate]:
    gate = Gate(elasticsearch)
    threading.Thread(target=gate.serve_forever, daemon=True).start()
    yield gate
    gate.shutdown()
    gate.server_close()


@pytest.fixture
def prefix(elasticsearch: str) -> Iterator[str]:
    name = f"test-{Random().getrandbits(48):012x}"
    yield name
    with Elasticsearch(elasticsearch) as client:
        names = list(client.indices.get(index=f"{name}-*", features="aliases").body)
        client.indices.delete(index=names or "none", ignore_unavailable=True)
        client.options(ignore_status=404).indices.delete_index_template(name=f"{name}-*")


def events(count: int, first: int = 0) -> list[Event]:
    moment = datetime(2026, 11, 24, 12, tzinfo=UTC).isoformat()
    return [
        Event(json.dumps({"timestamp": moment, "event_type": "dns", "n": n}).encode(), f"key:{n}")
        for n in range(first, first + count)
    ]


def test_with_a_key_everything_works_and_without_a_good_one_it_is_said(gate: Gate, prefix: str, tmp_path: Path) -> None:
    def opened(key: str) -> ElasticEventStore:
        return ElasticEventStore(Settings([gate.url], prefix=prefix, api_key=key), tmp_path / "refused.json")

    writer, reader, stranger = opened(WRITER), opened(READER), opened("c3RyYW5nZXI6eA==")
    assert writer.append(events(2500)) == 2500
    assert writer.append(events(2510)) == 10
    assert set(gate.bulks) == {"gzip"}
    assert writer.count(EventQuery()) == 2510  # which also lets others see what was written
    assert reader.count(EventQuery(kinds=("dns",))) == 2510
    assert len(reader.search(EventQuery(), limit=7).events) == 7
    with pytest.raises(StoreError, match=r"may not: .*unauthorized for API key id \[reader\] \(403\)"):
        reader.append([Event(b'{"event_type":"flow"}')])  # which has no index yet
    for ask in (lambda: stranger.append(events(1, 9000)), lambda: stranger.count(EventQuery())):
        with pytest.raises(StoreError, match=r"does not accept our user or API key \(401\)"):
            ask()
    assert not stranger.status().writable

    gate.keys.remove(WRITER)  # the key is withdrawn while we write
    with pytest.raises(StoreError, match=r"\(401\)"):
        writer.append(events(5, 9000))
    gate.keys.add(WRITER)
    assert writer.append(events(5, 9000)) == 5
    assert writer.status().problem == ""
    for store in (writer, reader, stranger):
        store.close()


def test_the_doctor_says_whether_the_key_is_accepted(gate: Gate) -> None:
    good = list(examine(Settings([gate.url], api_key=WRITER)))
    bad = list(examine(Settings([gate.url], api_key="c3RyYW5nZXI6eA==")))
    assert "fail" not in {state for state, _, _ in good}
    assert [(state, "API key (401)" in text) for state, text, _ in bad] == [("fail", True)]
    assert not any("c3RyYW5nZXI6eA" in word for finding in (*good, *bad) for word in finding)
