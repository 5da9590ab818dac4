"""The sinkhole's listener, visited by real clients over a diverted address in a namespace."""

import base64
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.sinkhole import Sinkhole
from tapwarden.mitigation.sinkhole import listener as listener_module
from tapwarden.mitigation.sinkhole.visit import Visit
from tapwarden.model.errors import SourceError
from tapwarden.model.event import Event

FOUR, SIX = "198.18.0.9", "2001:db8::9"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


class Running:
    """A sinkhole whose batches are gathered."""

    def __init__(self, netns: str) -> None:
        self.netns = netns
        self.sinkhole = Sinkhole(addresses=[FOUR, SIX], netns=netns, contact="Ask the help desk.")
        self.events: list[Event] = []
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._thread.start()
        wait_for(lambda: "tproxy" in nft(netns))

    def _gather(self) -> None:
        for batch in self.sinkhole.batches():
            self.events += batch

    def stop(self) -> None:
        self.sinkhole.stop()
        self._thread.join(15)

    def seen(self, count: int = 1) -> list[dict[str, Any]]:
        """The records of that many events."""
        wait_for(lambda: len(self.events) >= count)
        return [json.loads(event.raw) for event in self.events]


@pytest.fixture
def running(netns: str) -> Iterator[Running]:
    for command in (f"addr add {FOUR}/32 dev lo", f"addr add {SIX}/128 dev lo nodad"):
        subprocess.run(["ip", "-n", netns, *command.split()], check=True, timeout=10)
    made = Running(netns)
    yield made
    made.stop()
    assert "tproxy" not in nft(netns), "the addresses are given back"


def nft(netns: str) -> str:
    command = ["ip", "netns", "exec", netns, "nft", "list", "ruleset"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def wait_for(condition: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


def say(running: Running, address: str, port: int, octets: bytes) -> bytes:
    def work() -> bytes:
        with socket.create_connection((address, port), timeout=8) as client:
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
            heard = b""
            while more := client.recv(4096):
                heard += more
            return heard

    return inside(running.netns, work)


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_a_request_on_any_port_is_an_event_and_the_person_is_told_why(running: Running, address: str) -> None:
    request = b"GET /gate.php?id=secret HTTP/1.1\r\nHost: C2.example:8080\r\nCookie: sid=1\r\nUser-Agent: bot/1\r\n\r\n"
    page = say(running, address, 8081, request).decode()
    assert page.startswith("HTTP/1.1 403 ")
    assert "Ask the help desk." in page
    assert "gate.php" not in page, "an attacker may have chosen it"
    [event] = running.seen()
    assert (event["event_type"], event["dest_ip"], event["dest_port"], event["app_proto"]) == (
        "sinkhole",
        address,
        8081,
        "http",
    )
    assert event["http"] == {
        "hostname": "C2.example",
        "url": "/gate.php",
        "http_method": "GET",
        "http_user_agent": "bot/1",
    }
    assert event["tapwarden"]["sinkhole"] == {"name": "c2.example", "octets": len(request)}
    assert "secret" not in json.dumps(event)


def test_a_tls_client_gets_a_certificate_for_the_name_it_asks_for(running: Running) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def work() -> tuple[bytes, bytes]:
        with (
            socket.create_connection((FOUR, 443), timeout=8) as plain,
            context.wrap_socket(plain, server_hostname="panel.c2.example") as client,
        ):
            certificate = client.getpeercert(binary_form=True) or b""
            client.sendall(b"POST /in HTTP/1.1\r\nHost: panel.c2.example\r\n\r\npassword=1")
            return certificate, client.recv(4096)

    certificate, page = inside(running.netns, work)
    assert b"panel.c2.example" in certificate
    assert page.startswith(b"HTTP/1.1 403 ")
    [event] = running.seen()
    assert (event["app_proto"], event["tls"]["sni"], event["http"]["http_method"]) == (
        "tls",
        "panel.c2.example",
        "POST",
    )
    assert event["tapwarden"]["sinkhole"]["name"] == "panel.c2.example"
    assert "password" not in json.dumps(event)


def test_what_is_neither_is_kept_in_its_first_octets_only(running: Running) -> None:
    assert say(running, FOUR, 6667, b"NICK bot\r\n" + b"x" * 200) == b""
    [event] = running.seen()
    kept = base64.b64decode(event["tapwarden"]["sinkhole"]["first_octets"])
    assert kept == (b"NICK bot\r\n" + b"x" * 200)[:64]


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_a_datagram_is_an_event_with_the_port_it_was_sent_to(running: Running, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(running.netns, lambda: socket.socket(family, socket.SOCK_DGRAM)) as sender:
        sender.sendto(b"beacon", (address, 4711))
    [event] = running.seen()
    assert (event["proto"], event["dest_ip"], event["dest_port"]) == ("UDP", address, 4711)
    assert base64.b64decode(event["tapwarden"]["sinkhole"]["first_octets"]) == b"beacon"


def test_too_many_at_a_time_are_told_and_counted_but_not_heard(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.sinkhole, "_places", threading.BoundedSemaphore(2))
    clients = [inside(running.netns, lambda: socket.create_connection((FOUR, 80), timeout=8)) for _ in range(5)]
    wait_for(lambda: running.sinkhole.counters().get("sinkhole.connections_refused") == 3)
    for client in clients:
        client.close()
    assert len(running.seen(5)) == 5


def test_events_that_nobody_takes_are_dropped_and_counted(netns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "WAITING_EVENTS", 3)
    sinkhole = Sinkhole(addresses=[FOUR], netns=netns)
    for number in range(5):
        sinkhole._tell(Visit("10.0.0.1", number, FOUR, 80, "TCP", datetime.now(UTC)))
    assert sinkhole.counters() == {"sinkhole.contacts": 3, "sinkhole.events_dropped": 2}


def test_a_port_that_is_taken_is_a_clear_error_that_is_tried_again(netns: str) -> None:
    with inside(netns, lambda: socket.create_server(("0.0.0.0", 8699))):
        with pytest.raises(SourceError, match="the sinkhole cannot listen") as told:
            next(iter(Sinkhole(addresses=[FOUR], netns=netns).batches()))
        assert told.value.retry


@given(st.binary(max_size=300))
def test_whatever_a_client_says_becomes_one_line_of_json(octets: bytes) -> None:
    visit = Visit("10.0.0.1", 1, FOUR, 80, "TCP", datetime.now(UTC), first=b"GET / HTTP/1.1\r\n" + octets)
    assert visit.read_request()
    line = visit.record(64)
    assert b"\n" not in line
    assert json.loads(line)["event_type"] == "sinkhole"
