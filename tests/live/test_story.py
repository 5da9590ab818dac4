"""The story: an infected host calls home; Tapwarden, on real traffic with real tools, sees, stops and reports it."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import Host, Running, fetch, run, serves, wait_for

from tapwarden import _core
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


def settings(*, mode: str = "enforce", **sensor: Any) -> dict[str, Any]:
    """The gateway's configuration."""
    return {**SETTINGS, "sensor": {**SETTINGS["sensor"], **sensor}, "mitigation": {"mode": mode}}


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
        wait_for(lambda: serves(host.netns, 8766), 30, "the coordinator serves", started)
        yield started
    finally:
        started.stop()


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
        followed: dict[str, Any] = request.getfixturevalue("suricata")
        return followed
    if not hasattr(_core, "RuleSet"):
        pytest.skip("this native core was built without the rule engine")
    return {"capture": request.param}


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("coordinator")
def test_a_beacon_is_captured_blocked_reported_and_passes_again_after_undo(
    network: Any, host: Host, sensor: dict[str, Any]
) -> None:
    host.configure(settings(**sensor))
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
    host.configure(settings(**sensor))
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
    host.configure(settings(mode="dry-run", **sensor))
    with run(host) as watching:

        def recorded() -> bool:
            assert network.beacon(4)
            return host.targets("approved") == {"198.18.2.20"}

        wait_for(recorded, 30, "the block is recorded", watching)
        assert network.beacon(4)
        assert Nftables(netns=network.gateway).list() == []


def _received(netns: str) -> list[str]:
    """Receipt numbers that the coordinating centre's officers see."""
    return [report["receipt"] for report in fetch(netns, 8766, "/api/v1/reports", OFFICER)]
