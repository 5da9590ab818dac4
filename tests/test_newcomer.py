"""What a newcomer does and sees: `make run PCAP=examples/infected-host.pcap`, from the packets to the receipt.

The script that `make run` calls, real processes, real pages. The picture in the README is made here:

    TAPWARDEN_SCREENSHOTS=docs/images pytest tests/test_newcomer.py
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("tapwarden._core", reason="the native core is not built")

PASSWORD = "correct horse battery staple"
C2 = {"203.0.113.66", "2001:db8:66::66"}
BROWSER_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@dataclass
class Demo:
    """A checkout in which `make run PCAP=...` runs."""

    tree: Path
    process: subprocess.Popen[str]
    port: int

    @property
    def said(self) -> str:
        return (self.tree / "said").read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def one_time_password(self) -> str:
        found = re.search(r"First log-in: admin / (\S+)", self.said)
        assert found, self.said
        return found[1]

    def ask(self, *args: str) -> Any:
        command = [self.tree / ".venv/bin/tapwarden", "--root", self.tree / "var/replay", *args, "-o", "json"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(ran.stdout)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """Ours; a PYTHONPATH relative to this checkout holds from another directory as well."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in paths if path)} | more


def checkout(top: Path, tree: Path) -> None:
    """What `make run` needs of a checkout, with this Python's tapwarden in the place of the virtual environment's."""
    for folder in ("examples", "tools"):
        shutil.copytree(top / folder, tree / folder)
    bin = tree / ".venv/bin"
    bin.mkdir(parents=True)
    for name, inner in (("python", ""), ("tapwarden", "-m tapwarden ")):
        (bin / name).write_text(f'#!/bin/sh\nexec {sys.executable} {inner}"$@"\n')
        (bin / name).chmod(0o755)


@pytest.fixture(scope="module")
def demo(top: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    tree = tmp_path_factory.mktemp("checkout")
    checkout(top, tree)
    port = free_port()
    ports = {"PORT": str(port), "COORDINATOR_PORT": str(free_port())}
    with (tree / "said").open("w") as said:
        process = subprocess.Popen(
            ["tools/run.sh", "", "examples/infected-host.pcap"],
            cwd=tree,
            stdout=said,
            stderr=said,
            text=True,
            env=environment(**ports),
            start_new_session=True,
        )
    running = Demo(tree, process, port)
    try:
        deadline = time.monotonic() + 60
        while "Reports:" not in running.said:
            assert process.poll() is None, running.said
            assert time.monotonic() < deadline, running.said
            time.sleep(0.1)
        yield running
        process.terminate()
        assert process.wait(60) == 0, running.said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_the_capture_becomes_events_and_alerts_of_rules_and_of_indicators(demo: Demo) -> None:
    events = [json.loads(line) for line in (demo.tree / "var/replay/log/eve.json").read_bytes().splitlines()]
    assert {"dns", "http", "flow", "alert", "fileinfo"} <= {event["event_type"] for event in events}
    alerts = [event for event in events if event["event_type"] == "alert"]
    assert {1000001, 1000002, 1000003} <= {alert["alert"]["signature_id"] for alert in alerts}
    named = [alert["tapwarden"]["indicator"] for alert in alerts if alert["alert"]["gid"] == 1000]
    assert {"ip", "domain"} <= {indicator["type"] for indicator in named}
    assert {indicator["source"] for indicator in named} == {"indicators"}
    assert re.search(r"[1-9]\d* alerts", demo.said)


def test_the_beacon_becomes_an_incident_an_authorised_block_and_an_acknowledged_report(demo: Demo) -> None:
    incidents = demo.ask("incidents", "list")
    assert incidents
    assert {incident["opened_by"] for incident in incidents} == {"policy:command-and-control"}
    actions = demo.ask("actions", "list")
    assert {action["target"]["value"] for action in actions} == C2
    assert all(action["dry_run"] and action["state"] == "approved" for action in actions)
    for incident_id in {action["incident_id"] for action in actions}:
        [decision] = demo.ask("incidents", "show", incident_id)["decisions"]
        assert decision["authority"] == decision["authority"] | {
            "kind": "standing_policy",
            "name": "command-and-control",
        }
        assert decision["scope"]
        assert decision["reason"]
        assert decision["expires_at"] > decision["decided_at"]
    reports = demo.ask("report", "list")
    assert {report["state"] for report in reports} == {"acknowledged"}
    assert {report["incident_id"] for report in reports} == {incident["id"] for incident in incidents}
    assert all(report["receipt"] for report in reports)


def test_the_dashboard_shows_all_of_it(demo: Demo) -> None:
    """Each page, as JSON, after the log-in with the password that the start printed."""
    with httpx.Client(base_url=demo.url, headers={"Accept": "application/json"}) as client:
        form = client.get("/login", headers={"Accept": "text/html"}).text
        token = re.search(r'name="csrf" value="([^"]+)"', form)
        assert token
        login = {"name": "admin", "password": demo.one_time_password, "csrf": token[1]}
        answer = client.post("/login", data=login, headers={"Origin": demo.url})
        assert answer.status_code == 200, answer.text
        assert answer.json()["location"] == "/password"
        # A one-time password opens nothing else.
        assert client.get("/inbox").status_code in {303, 403}


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_the_first_look_is_the_picture_in_the_readme(demo: Demo, tmp_path: Path, top: Path) -> None:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian: chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    shots = Path(os.environ.get("TAPWARDEN_SCREENSHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=BROWSER_FLAGS)
        context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=demo.url, timezone_id="UTC")
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/login")
        page.fill("input[name=name]", "admin")
        page.fill("input[name=password]", demo.one_time_password)
        page.click("button.primary")
        page.wait_for_url("**/password")
        for name, value in (("current", demo.one_time_password), ("new", PASSWORD), ("again", PASSWORD)):
            page.fill(f"input[name={name}]", value)
        page.click("button.primary")
        page.wait_for_url(f"{demo.url}/")
        page.reload()
        home = page.inner_text("main")
        assert "beacon to a command and control server" in home
        assert "acknowledged" in home
        assert page.locator("svg.histogram rect.bar").count() > 3
        page.screenshot(path=shots / "home.png")
        page.goto("/inbox?q=is:escalated")
        assert "beacon to a command and control server" in page.inner_text("main")
        page.goto("/actions")
        actions = page.inner_text("main")
        assert all(address in actions for address in C2), actions
        page.goto("/incidents")
        page.click("main a[href^='/incidents/'] >> text=203.0.113.66")
        page.wait_for_url("**/incidents/*")
        shown = page.inner_text("main")
        assert "203.0.113.66" in shown
        assert "acknowledged" in shown
        page.screenshot(path=shots / "incident.png")
        page.click("main a[href^='/events/']")
        page.wait_for_url("**/events/*")
        assert "gate.php" in page.inner_text("main")
        browser.close()
    assert complaints == []
    for name in ("home.png", "incident.png"):
        assert (top / "docs/images" / name).stat().st_size < 300_000


def test_a_taken_port_is_one_line_that_says_what_to_do(demo: Demo) -> None:
    command = ["tools/run.sh", "", "examples/infected-host.pcap"]
    for variable, moved in (("PORT", "PORT=8687"), ("COORDINATOR_PORT", "COORDINATOR_PORT=8767")):
        ports = {"PORT": str(free_port()), "COORDINATOR_PORT": str(free_port()), variable: str(demo.port)}
        ran = subprocess.run(
            command,
            cwd=demo.tree,
            env=environment(**ports),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 1
        assert ran.stderr.count("\n") == 1
        assert "is taken" in ran.stderr
        assert moved in ran.stderr


def test_a_capture_that_is_not_there_is_one_line(demo: Demo) -> None:
    ran = subprocess.run(
        ["tools/run.sh", "", "absent.pcap"], cwd=demo.tree, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "absent.pcap cannot be read" in ran.stderr
