"""The runtime as a process: replays through the same path, interfaces that come later, what the end leaves behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tapwarden.agent.supervisor import notify

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `tapwarden run` with everything below tmp_path; what it says is in ``log(tmp_path)``."""
    started: list[subprocess.Popen[str]] = []

    def begin(*args: str, within: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        command = [*within, sys.executable, "-m", "tapwarden", "--root", str(tmp_path), "run", *args]
        with (tmp_path / "said").open("a") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, text=True, env=os.environ | environment))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def log(root: Path) -> str:
    return (root / "said").read_text()


def wait(root: Path, condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log(root)
        time.sleep(0.1)


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def stored(root: Path) -> int:
    from tapwarden.agent.clock import SystemClock
    from tapwarden.agent.store.embedded import EmbeddedEventStore
    from tapwarden.model.event import EventQuery

    store = EmbeddedEventStore(root / "lib" / "events", SystemClock())
    try:
        return store.count(EventQuery())
    finally:
        store.close()


@pytest.fixture
def capture(top: Path) -> Path:
    pytest.importorskip("tapwarden._core", reason="the native core is not built")
    return top / "examples" / "infected-host.pcap"


def test_a_replay_is_stored_once_however_often_it_is_replayed(start: Start, tmp_path: Path, capture: Path) -> None:
    counts = []
    for _ in range(2):
        assert start("--pcap", str(capture), "--exit", "--no-dashboard").wait(60) == 0
        counts.append(stored(tmp_path))
    assert counts[0] == counts[1] > 0


def test_every_event_is_a_line_of_eve_json_unless_that_is_switched_off(
    start: Start, tmp_path: Path, capture: Path
) -> None:
    eve = tmp_path / "log" / "eve.json"
    off = ("--set", "output.eve.enabled=false")
    assert start("--pcap", str(capture), "--exit", "--no-dashboard", *off).wait(60) == 0
    assert not eve.exists()
    assert start("--pcap", str(capture), "--exit", "--no-dashboard").wait(60) == 0
    lines = [json.loads(line) for line in eve.read_bytes().splitlines()]
    assert len(lines) == stored(tmp_path)
    assert {"dns", "http", "flow"} <= {line["event_type"] for line in lines}


def test_a_hangup_opens_eve_json_again_and_ends_nothing(start: Start, tmp_path: Path, capture: Path) -> None:
    process = start("--pcap", str(capture), "--set", "dashboard.port=0")
    wait(tmp_path, lambda: "Dashboard: http" in log(tmp_path))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    assert stop(process) == 0


def test_a_disk_without_room_for_eve_json_keeps_nothing_from_the_store(
    start: Start, tmp_path: Path, capture: Path
) -> None:
    full = ("--set", "output.eve.path=/dev/full")
    assert start("--pcap", str(capture), "--exit", "--no-dashboard", *full).wait(60) == 0
    assert "eve_file=degraded" in log(tmp_path)
    assert stored(tmp_path) > 0


def test_after_a_replay_the_dashboard_is_served_until_it_is_told_to_stop(
    start: Start, tmp_path: Path, capture: Path
) -> None:
    process = start("--pcap", str(capture), "--set", "dashboard.port=0")
    wait(tmp_path, lambda: "Dashboard: http" in log(tmp_path))
    address = next(line for line in log(tmp_path).splitlines() if line.startswith("Dashboard: ")).split()[1]
    wait(tmp_path, lambda: stored(tmp_path) > 0)
    time.sleep(0.5)
    with urllib.request.urlopen(address, timeout=10) as page:
        assert page.status == 200
    assert process.poll() is None
    assert stop(process) == 0


def test_one_capture_of_two_that_cannot_be_read_is_a_partial_success(
    start: Start, tmp_path: Path, capture: Path
) -> None:
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(b"this is no capture at all, but long enough to look at")
    assert start("--pcap", str(capture), "--pcap", str(bad), "--exit", "--no-dashboard").wait(60) == 3
    assert "bad.pcap" in log(tmp_path)
    assert stored(tmp_path) > 0
    assert start("--pcap", str(bad), "--exit", "--no-dashboard").wait(60) == 1


def test_a_supervisor_is_told_when_it_is_ready_and_when_it_stops(start: Start, tmp_path: Path, capture: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(30)
        process = start("--pcap", str(capture), "--no-dashboard", NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert supervisor.recv(1000) == b"READY=1"
        assert supervisor.recv(1000).startswith(b"WATCHDOG=1\nSTATUS=")
        assert stop(process) == 0
        told = supervisor.recv(1000)
        while told.startswith(b"WATCHDOG"):
            told = supervisor.recv(1000)
        assert told == b"STOPPING=1"


def test_without_a_supervisor_nothing_is_told() -> None:
    assert not notify("READY=1", {})
    assert not notify("READY=1", {"NOTIFY_SOCKET": "/nonexistent/socket"})


@pytest.fixture
def netns() -> Iterator[str]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and ip to make network namespaces")
    name = f"tw-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.live
@pytest.mark.parametrize("kind", ["afpacket", "scapy"])
def test_an_interface_that_comes_later_is_watched_and_what_was_seen_is_stored_at_the_end(
    start: Start, tmp_path: Path, netns: str, kind: str
) -> None:
    pytest.importorskip("tapwarden._core", reason="the native core is not built")
    inside = ("ip", "netns", "exec", netns)
    settings = ["--set", f"sensor.capture={kind}", "--set", "sensor.engine={checksum_validation: false}"]
    process = start("--interface", "tap", "--no-dashboard", *settings, within=inside)
    wait(tmp_path, lambda: "interface tap is missing" in log(tmp_path))
    for command in ("link add tap type veth peer name far", "link set tap up", "link set far up"):
        subprocess.run(["ip", "-n", netns, *command.split()], check=True)
    wait(tmp_path, lambda: "capture=tap state=ok" in log(tmp_path))
    sender = (
        "from scapy.all import Ether, IP, UDP, DNS, DNSQR, conf\n"
        "s = conf.L2socket(iface='far')\n"
        "for n in range(50): s.send(Ether(dst='02:00:00:00:00:02')/IP(src='198.18.0.5', dst='198.18.0.1')/"
        "UDP(sport=20000 + n)/DNS(id=n, qd=DNSQR(qname='x.example')))\n"
    )
    subprocess.run([*inside, sys.executable, "-c", sender], check=True, timeout=60, capture_output=True)
    time.sleep(1.5)
    assert stop(process) == 0
    # Flows are written when they end: draining at the stop ends all of them.
    flows = subprocess.run(
        [sys.executable, "-c", COUNT_FLOWS, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(flows.stdout) == 50


COUNT_FLOWS = """
import pathlib, sys
from tapwarden.agent.clock import SystemClock
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.model.event import EventQuery
store = EmbeddedEventStore(pathlib.Path(sys.argv[1]) / "lib" / "events", SystemClock())
print(store.count(EventQuery(kinds=("flow",), src_ip="198.18.0.5")))
"""
