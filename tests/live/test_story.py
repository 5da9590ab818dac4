"""The story: an infected host calls home; Tapwarden, on real traffic with real tools, sees, stops and reports it."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tapwarden import _core
from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.nftables import Nftables

TOKEN, OFFICER = "agent-token-for-the-story", "officer-token-for-the-story"
LISTED = "c2.beacon.test"
C2 = {"198.18.2.20", "2001:db8:2::20"}

RULES = r"""
alert http any any -> any any (msg:"STORY beacon to a command and control server"; flow:established,to_server; \
    http.method; content:"POST"; http.uri; content:"/gate.php"; startswith; http.user_agent; content:"(beacon)"; \
    classtype:command-and-control; sid:1000002; rev:1;)
"""

LOOK_UP = r"""
alert dns any any -> any any (msg:"STORY look-up of a listed domain"; dns.query; content:"c2.beacon.test"; \
    classtype:trojan-activity; sid:1000001; rev:1;)
"""
"""For Suricata, which has no indicator file of ours."""

SETTINGS: dict[str, Any] = {
    "sensor": {
        "name": "gateway-tap",
        "interface": "tap",
        "home_net": ["198.18.1.0/24", "2001:db8:1::/48"],
        "rules": ["story.rules"],
        "indicators": ["listed.txt"],
    },
    "triage": {
        "policies": [
            {
                "name": "command-and-control",
                "match": {"sid": [1000002]},
                "incident": {"class": "malicious_resource", "severity": 1},
                "decide": {
                    "measure": "block",
                    "targets": "dest",
                    "scope": "traffic of our own network that passes this gateway",
                    "reason": "Beacon to a command and control server",
                    "legal_basis": "Network operations policy, section 4",
                    "duration": "1h",
                },
            }
        ]
    },
    "reporting": {
        "organisation": "Example Office",
        "responsible": "R. Esponsible",
        "contact": {"name": "Night Desk", "email": "soc@office.example", "phone": "+1 555 0100"},
        "coordinator": {"url": "http://127.0.0.1:8766", "token_file": "coordinator.token"},
        "auto_send": True,
    },
    "dashboard": {"enabled": False},
}


class Host:
    """Tapwarden's programs on the gateway: in its namespace, with everything below one directory."""

    def __init__(self, netns: str, root: Path) -> None:
        self.netns, self.root = netns, root

    def configure(self, *, mode: str = "enforce", **sensor: Any) -> None:
        """Write the configuration (JSON is YAML)."""
        settings = {**SETTINGS, "sensor": {**SETTINGS["sensor"], **sensor}, "mitigation": {"mode": mode}}
        (self.root / "etc/tapwarden.yaml").write_text(json.dumps(settings))

    def ask(self, *arguments: str) -> Any:
        """The JSON answer of a short command."""
        command = self._command(*arguments, "-o", "json")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def targets(self, state: str) -> set[str]:
        """The targets of all actions, provided that all are in this state; else nothing."""
        actions = self.ask("actions", "list")
        return {a["target"]["value"] for a in actions} if {a["state"] for a in actions} == {state} else set()

    def start(self, *arguments: str, ready: str = "") -> "Running":
        environment = {**os.environ, "NOTIFY_SOCKET": ready} if ready else dict(os.environ)
        log = self.root / f"{arguments[0]}.log"
        with log.open("wb") as output:
            command = self._command(*arguments)
            return Running(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment), log)

    def _command(self, *arguments: str) -> list[str]:
        inner = [sys.executable, "-m", "tapwarden", *arguments, "--root", str(self.root)]
        return ["ip", "netns", "exec", self.netns, *inner]


@dataclass(frozen=True)
class Running:
    """A program that runs, and what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it the way systemd does; killed when it does not end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


def wait_for(condition: Callable[[], bool], within_s: float, what: str, running: Running) -> None:
    """Wait for something that a running program is to bring about."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert running.process.poll() is None, f"it ended with {running.process.returncode}: {running.said()}"
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}\n{running.said()}"
        time.sleep(0.2)


@contextmanager
def run(host: Host) -> Iterator[Running]:
    """``tapwarden run`` on the gateway, from READY=1 until it is told to stop."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as readiness:
        readiness.bind(f"{folder}/ready")
        readiness.setblocking(False)
        watching = host.start("run", ready=f"{folder}/ready")
        try:
            wait_for(lambda: _told(readiness, b"READY=1"), 60, "tapwarden run says READY=1", watching)
            yield watching
        finally:
            watching.stop()


def _told(readiness: socket.socket, what: bytes) -> bool:
    try:
        return what in readiness.recv(4096)
    except BlockingIOError:
        return False


@pytest.fixture
def host(network: Any, tmp_path: Path) -> Host:
    """The gateway's rules, indicators and tokens."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "story.rules").write_text(RULES)
    (etc / "listed.txt").write_text(f"{LISTED},command and control domain\n")
    for name, token in (("coordinator.token", TOKEN), ("officer.token", OFFICER)):
        (etc / name).write_text(token)
        (etc / name).chmod(0o600)
    return Host(network.gateway, tmp_path)


@pytest.fixture
def coordinator(host: Host) -> Iterator[Running]:
    """The coordinating centre, on the gateway's loopback."""
    etc = host.root / "etc"
    tokens = ["--token-file", str(etc / "coordinator.token"), "--officer-token-file", str(etc / "officer.token")]
    started = host.start("coordinator", "serve", *tokens)
    try:
        wait_for(lambda: _serves(host.netns, 8766), 30, "the coordinator serves", started)
        yield started
    finally:
        started.stop()


def _serves(netns: str, port: int) -> bool:
    try:
        inside(netns, lambda: socket.create_connection(("127.0.0.1", port), timeout=1)).close()
    except OSError:
        return False
    return True


@pytest.fixture
def suricata(network: Any, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A Suricata on the tap; the sensor's settings that follow its eve.json."""
    if shutil.which("suricata") is None:
        pytest.skip("Suricata is not installed")
    (tmp_path / "suricata.rules").write_text(RULES + LOOK_UP)
    log, eve = tmp_path / "suricata.log", tmp_path / "eve.json"
    command = ["suricata", "-i", "tap", "-S", str(tmp_path / "suricata.rules"), "-l", str(tmp_path)]
    with log.open("wb") as output:
        command = ["ip", "netns", "exec", network.gateway, *command]
        started = Running(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT), log)
    try:
        # "Threads created -> ... Engine started."
        wait_for(lambda: eve.exists() and b"ngine started" in log.read_bytes(), 60, "Suricata runs", started)
        yield {"capture": "eve", "eve_file": str(eve), "rules": [], "indicators": []}
    finally:
        started.stop()


@pytest.fixture(params=["afpacket", "scapy", pytest.param("eve", marks=pytest.mark.suricata, id="eve of a Suricata")])
def sensor(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How the traffic is seen: the sensor's settings."""
    if request.param == "eve":
        settings: dict[str, Any] = request.getfixturevalue("suricata")
        return settings
    if not hasattr(_core, "RuleSet"):
        pytest.skip("this native core was built without the rule engine")
    return {"capture": request.param}


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("coordinator")
def test_a_beacon_is_captured_blocked_reported_and_passes_again_after_undo(
    network: Any, host: Host, sensor: dict[str, Any]
) -> None:
    host.configure(**sensor)
    assert network.beacon(4)
    assert network.beacon(6)

    with run(host) as watching:
        # It is seen, and stopped: IPv4 and IPv6, each by its own address.
        wait_for(lambda: not network.beacon(4), 30, "the IPv4 beacon stops", watching)
        wait_for(lambda: not network.beacon(6), 30, "the IPv6 beacon stops", watching)
        assert network.browse(4), "only the beacon's server is blocked"
        assert network.browse(6), "only the beacon's server is blocked"
        assert {entry.target.value for entry in Nftables(netns=network.gateway).list()} == C2
        wait_for(lambda: host.targets("verified") == C2, 30, "both blocks are verified", watching)

        # It is known why: the look-up of the listed name, the beacon, an incident under the policy's authority.
        alerts = host.ask("alerts", "list", "--state", "all")
        assert {alert["dest_ip"] for alert in alerts if alert["sid"] == 1000002} == C2
        assert any(LISTED in alert["badges"] and alert["dest_ip"] == "198.18.2.53" for alert in alerts)
        incidents = host.ask("incidents", "list")
        assert {incident["opened_by"] for incident in incidents} == {"policy:command-and-control"}

        # It is reported, and the coordinating centre acknowledged every report.
        def acknowledged() -> bool:
            reports = host.ask("report", "list")
            return len(reports) == len(incidents) and {r["state"] for r in reports} == {"acknowledged"}

        wait_for(acknowledged, 60, "the coordinator acknowledges", watching)
        receipts = {report["receipt"]["number"] for report in host.ask("report", "list")}
        assert receipts == set(_received(network.gateway))

        # It can be undone: the kernel lets it pass, and it stays so, though the infected host goes on.
        ids = [action["id"] for action in host.ask("actions", "list")]
        undone = host.ask("actions", "rollback", *ids, "--reason", "a drill")
        assert {action["state"] for action in undone} == {"rolled_back"}
        deadline = time.monotonic() + 12
        while time.monotonic() < deadline:
            assert network.beacon(4), watching.said()
            assert network.beacon(6), watching.said()
            time.sleep(0.5)
        assert Nftables(netns=network.gateway).list() == []
        assert watching.process.poll() is None, watching.said()
    assert watching.process.returncode == 0, watching.said()


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("coordinator")
def test_killed_the_block_stays_and_the_next_start_knows_it_and_puts_a_flushed_rule_set_back(
    network: Any, host: Host, sensor: dict[str, Any]
) -> None:
    host.configure(**sensor)
    with run(host) as watching:
        wait_for(lambda: not network.beacon(4), 30, "the beacon stops", watching)
        watching.process.kill()
        watching.process.wait(10)
        assert not network.beacon(4), "a crash must not open the gate"
    with run(host) as watching:
        assert not network.beacon(4)
        wait_for(lambda: host.targets("verified") == {"198.18.2.20"}, 30, "the restarted one verifies it", watching)

        subprocess.run(["ip", "netns", "exec", network.gateway, "nft", "flush", "ruleset"], check=True, timeout=20)
        wait_for(lambda: b"event=drift" in watching.log.read_bytes(), 15, "the drift is told", watching)
        wait_for(lambda: not network.beacon(4), 5, "the block is back", watching)
    assert watching.process.returncode == 0, watching.said()


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("coordinator")
def test_a_dry_run_records_what_it_would_block_and_blocks_nothing(
    network: Any, host: Host, sensor: dict[str, Any]
) -> None:
    host.configure(mode="dry-run", **sensor)
    with run(host) as watching:

        def recorded() -> bool:
            assert network.beacon(4)
            return host.targets("approved") == {"198.18.2.20"}

        wait_for(recorded, 30, "the block is recorded", watching)
        assert network.beacon(4)
        assert Nftables(netns=network.gateway).list() == []


def _received(netns: str) -> list[str]:
    """Receipt numbers that the coordinating centre's officers see."""
    with inside(netns, lambda: socket.create_connection(("127.0.0.1", 8766), timeout=20)) as sock:
        connection = http.client.HTTPConnection("127.0.0.1", 8766)
        connection.sock = sock
        connection.request("GET", "/api/v1/reports", headers={"Authorization": f"Bearer {OFFICER}"})
        answer = connection.getresponse()
        assert answer.status == 200
        received = json.loads(answer.read())
    return [report["receipt"] for report in received]
