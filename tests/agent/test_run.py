"""`tapwarden run` as a process: alerts in, incident, decision, report acknowledged, and a clean end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
sensor: {name: gate, capture: eve, eve_file: %(eve)s, home_net: [10.0.0.0/8]}
triage:
  policies:
    - name: beacon
      match: {sid: 9000001}
      incident: {class: malicious_resource, severity: 1}
      decide:
        measure: block
        targets: dest
        scope: this host
        reason: Known server
        legal_basis: Policy 4
        duration: 4h
reporting:
  organisation: Example
  responsible: R. Esponsible
  contact: {name: desk, phone: "1"}
  coordinator: {url: "http://127.0.0.1:%(port)d/api/v1/reports", token_file: token}
  auto_send: true
dashboard: {port: 0}
"""


class Host:
    """One installation below a directory."""

    def __init__(self, root: Path, port: int = 1) -> None:
        self.root, self.eve = root, root / "eve.json"
        (root / "etc").mkdir(parents=True)
        (root / "etc" / "tapwarden.yaml").write_text(CONFIG % {"eve": self.eve, "port": port})
        token = root / "etc" / "token"
        token.write_text("an-agent-token-of-length\n")
        token.chmod(0o600)
        self.eve.touch()

    def start(self, *args: str) -> subprocess.Popen[str]:
        log = (self.root / "log.txt").open("a")
        command = [sys.executable, "-m", "tapwarden", "--root", str(self.root), "run", *args]
        with log:
            return subprocess.Popen(command, stderr=log, stdout=log, text=True, env=os.environ | {"NO_COLOR": "1"})

    @property
    def log(self) -> str:
        return (self.root / "log.txt").read_text()

    def ask(self, *args: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "tapwarden", "--root", str(self.root), *args, "-o", "json"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == code, ran.stderr
        return json.loads(ran.stdout) if ran.stdout else ran.stderr

    def alert(self, number: int, dest: str = "192.0.2.9", sid: int = 9000001) -> None:
        signature = {"signature_id": sid, "gid": 1, "signature": "beacon", "category": "c2", "severity": 1}
        record = {
            "timestamp": datetime.now(UTC).isoformat(),
            "event_type": "alert",
            "flow_id": number,
            "src_ip": "10.0.0.5",
            "dest_ip": dest,
            "alert": signature,
        }
        with self.eve.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def wait(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)


@pytest.fixture
def running() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(host: Host, *args: str) -> subprocess.Popen[str]:
        started.append(host.start(*args))
        host.wait(lambda: "Mitigation:" in host.log or started[-1].poll() is not None)
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def test_an_alert_becomes_an_incident_a_decision_and_an_acknowledged_report(
    tmp_path: Path, running: Callable[..., subprocess.Popen[str]]
) -> None:
    from tapwarden.agent.coordinator.serve import serving
    from tapwarden.agent.coordinator.settings import CoordinatorSettings

    centre = CoordinatorSettings(database=tmp_path / "centre.db", agents={"agent": "an-agent-token-of-length"}, port=0)
    with serving(centre) as url:
        host = Host(tmp_path / "host", int(url.rsplit(":", 1)[1]))
        process = running(host)
        assert "First log-in: admin / " in host.log
        for number in range(3):
            host.alert(number)
        host.wait(lambda: "acknowledged" in host.log)
        assert end(process) == 0
    (incident,) = host.ask("incidents", "list")
    assert incident["opened_by"] == "policy:beacon"
    (action,) = host.ask("actions", "list")
    assert (action["target"]["value"], action["dry_run"], action["state"]) == ("192.0.2.9", True, "approved")
    (report,) = host.ask("report", "list")
    assert report["state"] == "acknowledged"
    (group,) = host.ask("alerts", "list", "--state", "escalated")
    assert (group["count"], group["incident_id"]) == (3, incident["id"])
    shown = host.ask("incidents", "show", incident["id"])
    assert [d["authority"]["name"] for d in shown["decisions"]] == ["beacon"]
    host.ask("actions", "rollback", action["id"], "--reason", "mistaken")
    assert host.ask("actions", "list") == []


def test_the_same_matter_opens_one_incident_also_after_a_restart(
    tmp_path: Path, running: Callable[..., subprocess.Popen[str]]
) -> None:
    host = Host(tmp_path / "host")
    for turn in range(2):
        process = running(host, "--no-dashboard")
        host.alert(turn)
        host.wait(
            lambda turn=turn: (
                host.ask("alerts", "list", "--state", "all")[0:1] != []
                and host.ask("alerts", "list", "--state", "all")[0]["count"] == turn + 1
            )
        )
        assert end(process) == 0
    assert len(host.ask("incidents", "list")) == 1
    assert len(host.ask("actions", "list")) == 1


def test_a_protected_target_is_refused_whoever_asks(
    tmp_path: Path, running: Callable[..., subprocess.Popen[str]]
) -> None:
    host = Host(tmp_path / "host")
    process = running(host, "--no-dashboard")
    host.alert(1, dest="127.0.0.1")
    host.wait(lambda: host.ask("incidents", "list") != [])
    assert end(process) == 0
    (incident,) = host.ask("incidents", "list")
    (action,) = host.ask("actions", "list", "--all")
    assert action["state"] == "refused"
    assert "loopback" in action["detail"]
    decide = ["--scope", "here", "--reason", "r", "--legal-basis", "l", "--for", "1h"]
    host.ask("actions", "decide", incident["id"], "127.0.0.1", *decide, code=4)
    host.ask("actions", "decide", incident["id"], "127.0.0.1", "192.0.2.77", *decide, code=3)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["incidents", "show", "nonsense"], 1, "there is no 'nonsense'"),
        (["report", "sign-off", "nonsense"], 1, "there is no 'nonsense'"),
        (["actions", "decide", "x", "192.0.2.1"], 2, "Missing option"),
        (["run", "--pcap", "absent.pcap"], 1, "absent.pcap: no such file"),
        (["alerts", "archive", "nonsense"], 3, "1 of the groups do not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(
    tmp_path: Path, args: list[str], code: int, message: str
) -> None:
    host = Host(tmp_path / "host")
    command = [sys.executable, "-m", "tapwarden", "--root", str(host.root), *args]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == code, ran.stderr
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
