"""Data streams: the server of the tests has none, so a translator before it plays a server that has.

It answers what is asked about data streams from plain indices behind an alias, and passes all else on.
"""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tapwarden.agent.store.classes import EventClass
from tapwarden.agent.store.elastic import ElasticEventStore, Settings
from tapwarden.model.event import Event, EventQuery


class Translator(ThreadingHTTPServer):
    """``templates`` are the index templates it was given."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = target
        self.templates: dict[str, Any] = {}

    def ask(
        self, method: str, path: str, body: bytes | None, kind: str = "application/json", accept: str = ""
    ) -> tuple[int, bytes]:
        """The real server's answer."""
        headers = {"content-type": kind, "accept": accept or kind}
        request = urllib.request.Request(f"{self.target}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


class Handler(BaseHTTPRequestHandler):
    """One request after the other."""

    server: Translator
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if length else None
        status, answer = self._answer(self.path, body)
        self.send_response(status)
        self.send_header("x-elastic-product", "Elasticsearch")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def _answer(self, path: str, body: bytes | None) -> tuple[int, bytes]:
        accept = self.headers.get("accept", "application/json")
        kind = self.headers.get("content-type", accept)
        name = path.partition("?")[0].rpartition("/")[2]
        if path.startswith("/_alias/"):
            return 404, b"{}"  # a data stream is no alias
        if path.startswith("/_data_stream/") and self.command == "GET":
            status, answer = self.server.ask("GET", f"/_alias/{name}", None, accept, accept)
            if status != 200:
                return 404, b'{"error":{"type":"index_not_found_exception"},"status":404}'
            indices = [{"index_name": index} for index in sorted(json.loads(answer))]
            return 200, json.dumps({"data_streams": [{"name": name, "indices": indices}]}).encode()
        if path.startswith("/_data_stream/"):
            first = json.dumps({"aliases": {name: {"is_write_index": True}}}).encode()
            return self.server.ask("PUT", f"/ds-{name}-000001", first, accept, accept)
        if path.startswith("/_index_template/") and self.command == "PUT" and body:
            template = self.server.templates[name] = json.loads(body)
            plain = {**template, "index_patterns": [f"ds-{name}-*"]}
            del plain["data_stream"]
            plain["template"] = {key: value for key, value in template["template"].items() if key != "lifecycle"}
            body = json.dumps(plain).encode()
        if "/_rollover" in path:
            return 400, b'{"error":"a data stream is rolled over by its lifecycle"}'
        return self.server.ask(self.command, path.replace("require_data_stream", "require_alias"), body, kind, accept)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def translator(elasticsearch: str) -> Iterator[Translator]:
    """The server with data streams."""
    server = Translator(elasticsearch)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def events(count: int) -> list[Event]:
    """So many flows."""
    record = {"timestamp": "2026-11-24T11:00:00Z", "event_type": "flow", "src_ip": "192.0.2.1"}
    return [Event(json.dumps(record | {"n": n}).encode(), f"eve:{n}") for n in range(count)]


def test_a_server_with_data_streams_keeps_events_in_them(translator: Translator, tmp_path: Path) -> None:
    prefix = f"test-{uuid4().hex[:12]}"
    url = f"http://127.0.0.1:{translator.server_port}"
    passed = [0.0]
    settings = Settings([url], prefix=prefix, keep=dict.fromkeys(EventClass, timedelta(days=30)))
    store = ElasticEventStore(settings, tmp_path / "refused.json", monotonic=lambda: passed[0])
    try:
        assert store.append(events(10)) == 10
        assert store.append(events(12)) == 2
        assert store.count(EventQuery(address="192.0.2.1")) == 12
        assert store.status().partitions == (f"ds-{prefix}-network-000001",)
        template = translator.templates[f"{prefix}-network"]
        assert template["data_stream"] == {}
        assert template["index_patterns"] == [f"{prefix}-network"]
        assert template["template"]["lifecycle"] == {"data_retention": "720h"}
        passed[0] = 3600.0
        assert store.append(events(13)) == 1  # and no rollover of ours
        assert store.expire(datetime.now(UTC) + timedelta(days=900)) == []

        # its lifecycle rolls it over: what the older index has is not stored again
        second = json.dumps({"aliases": {f"{prefix}-network": {"is_write_index": True}}}).encode()
        add = json.dumps(
            {"actions": [{"add": {"index": f"ds-{prefix}-network-000001", "alias": f"{prefix}-network"}}]}
        ).encode()
        off = add.replace(b'"alias"', b'"is_write_index": false, "alias"')
        assert translator.ask("POST", "/_aliases", off)[0] == 200
        assert translator.ask("PUT", f"/ds-{prefix}-network-000002", second)[0] == 200
        assert store.append(events(20)) == 7
        assert store.count(EventQuery()) == 20
        assert len(store.status().partitions) == 2
    finally:
        store.close()
        for number in (1, 2):
            translator.ask("DELETE", f"/ds-{prefix}-network-00000{number}", None)
        translator.ask("DELETE", f"/_index_template/{prefix}-network", None)
