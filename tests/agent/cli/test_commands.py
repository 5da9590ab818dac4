"""Commands as processes: what they print for people and programs, and their exit codes."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tapwarden.agent.cli import COMMANDS, cli
from tapwarden.agent.composition import composed
from tapwarden.agent.config import Config, Layout, default_text
from tapwarden.agent.triage.grouping import group_alerts
from tapwarden.model.event import Event


def tapwarden(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tapwarden", "--root", str(root), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def configure(root: Path, text: str) -> None:
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / "etc" / "tapwarden.yaml").write_text(text)


@pytest.mark.parametrize("name", [entry.name for entry in COMMANDS])
def test_every_command_of_the_table_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "--root" in result.output
    assert "-o" in result.output


def test_read_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from tapwarden.agent.cli import cli; cli(['read', '--help'], standalone_mode=False);"
    heavy = "('sqlalchemy', 'fastapi', 'scapy', 'pydantic', 'rich')"
    check = f"print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    assert ran.stderr == "[]\n"


@pytest.mark.parametrize("args", [["check"], ["-T"]])
def test_check_accepts_the_default_configuration(tmp_path: Path, args: list[str]) -> None:
    configure(tmp_path, default_text())
    ran = tapwarden(tmp_path, *args)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "configuration ok; 0 rules and 0 indicators loaded\n"


@pytest.mark.parametrize("args", [["check"], ["-T"]])
def test_check_lists_every_mistake_with_its_place_and_exits_with_1(tmp_path: Path, args: list[str]) -> None:
    configure(tmp_path, "sensor:\n  nme: x\nretention:\n  dns: 3\n")
    ran = tapwarden(tmp_path, *args)
    lines = ran.stderr.splitlines()
    assert ran.returncode == 1
    assert lines[0].endswith("tapwarden.yaml:2: sensor.nme: unknown key; did you mean name?")
    assert lines[-1] == "2 problems found"


def test_check_names_a_rule_file_that_is_not_there(tmp_path: Path) -> None:
    configure(tmp_path, "sensor: {rules: [absent.rules]}\n")
    ran = tapwarden(tmp_path, "check", "-o", "json")
    assert ran.returncode == 1
    assert "absent.rules: no such file" in json.loads(ran.stdout)["problems"][0]


def test_check_names_lines_that_are_no_indicators(tmp_path: Path) -> None:
    if not hasattr(pytest.importorskip("tapwarden._core", reason="the native core is not built"), "IndicatorSet"):
        pytest.skip("the native core was built without indicators")
    configure(tmp_path, "sensor: {indicators: [list.txt]}\n")
    (tmp_path / "etc" / "list.txt").write_text("192.0.2.1\nnot an indicator\n")
    ran = tapwarden(tmp_path, "check")
    assert ran.returncode == 1
    assert "list.txt:2:1: no indicator: not an indicator" in ran.stderr


BAD_AND_GOOD = """\
alert dns any any -> any any (msg:"good"; dns.query; content:"x"; sid:1; rev:1;)
alert dns any any -> any any (msg:"bad"; no_such_keyword; sid:2; rev:1;)
"""


def test_a_rule_that_cannot_be_loaded_fails_a_check_and_is_a_warning_for_a_lenient_one(tmp_path: Path) -> None:
    if not hasattr(pytest.importorskip("tapwarden._core", reason="the native core is not built"), "RuleSet"):
        pytest.skip("the native core was built without rules")
    configure(tmp_path, "sensor: {rules: [two.rules]}\n")
    (tmp_path / "etc" / "two.rules").write_text(BAD_AND_GOOD)
    for args in (["check"], ["check", "--strict"], ["-T"]):
        ran = tapwarden(tmp_path, *args)
        assert ran.returncode == 1, args
        assert re.search(r"two\.rules:2:\d+: rule 2 not loaded: .*no_such_keyword", ran.stderr)
    ran = tapwarden(tmp_path, "check", "--lenient")
    assert ran.returncode == 0
    assert "warning: " in ran.stderr
    assert "two.rules:2:" in ran.stderr
    assert "1 rules and 0 indicators loaded" in ran.stdout


def test_a_lenient_check_still_refuses_what_keeps_run_from_starting(tmp_path: Path) -> None:
    for text in ("sensor: {nme: x}\n", "sensor: {rules: [absent.rules]}\n", "sensor: {indicators: [absent.txt]}\n"):
        configure(tmp_path, text)
        assert tapwarden(tmp_path, "check", "--lenient").returncode == 1, text


def test_a_native_core_without_rules_is_one_clear_line(tmp_path: Path) -> None:
    """An editable install whose core was built from an older checkout has no RuleSet."""
    configure(tmp_path, "sensor: {rules: [some.rules], interface: lo}\n")
    (tmp_path / "etc" / "some.rules").write_text("")
    old = "import sys, types; sys.modules['tapwarden._core'] = types.ModuleType('tapwarden._core');"
    begin = (
        "import tapwarden as t; t._core = sys.modules['tapwarden._core']; from tapwarden.__main__ import main; main()"
    )
    for args in (["run"], ["check"], ["read", "x.pcap", "-S", str(tmp_path / "etc" / "some.rules")]):
        command = [sys.executable, "-c", old + begin, "--root", str(tmp_path), *args]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 1, args
        assert "the native core is missing or older than this package" in ran.stderr, args
        assert "Traceback" not in ran.stderr, args


def test_doctor_tells_each_part_and_what_to_do(tmp_path: Path) -> None:
    configure(tmp_path, "sensor: {interface: nosuch0}\nreporting: {coordinator: {url: 'http://127.0.0.1:9/'}}\n")
    ran = tapwarden(tmp_path, "doctor", "-o", "json")
    assert ran.returncode == 1
    found = {finding["part"]: finding for finding in json.loads(ran.stdout)}
    assert found["interface"]["state"] == "fail"
    assert "set sensor.interface to one of" in found["interface"]["advice"]
    assert found["coordinator"]["state"] == "fail"
    assert found["event store"]["state"] == "ok"
    assert all(finding["advice"] for finding in found.values() if finding["state"] != "ok")


def test_doctor_with_a_broken_configuration_says_so_and_stops(tmp_path: Path) -> None:
    configure(tmp_path, "sensor: [\n")
    ran = tapwarden(tmp_path, "doctor")
    assert ran.returncode == 1
    assert "fail  configuration:" in ran.stdout


def test_a_signature_from_the_network_cannot_steer_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J[red]\u202ebeacon"
    record = {
        "timestamp": "2026-01-01T00:00:00Z",
        "event_type": "alert",
        "src_ip": "10.0.0.5",
        "dest_ip": "192.0.2.9",
        "alert": {"signature_id": 1, "signature": evil, "severity": 1},
    }
    with composed(Config(), Layout.at(tmp_path)) as parts:
        event = Event(json.dumps(record).encode())
        parts.events.append([event])
        (group,) = parts.cases.merge_groups([s.group for s in group_alerts([event], lambda _: ())])
    for args in (["alerts", "list"], ["alerts", "show", group.id]):
        shown = on_a_terminal(tmp_path, *args)
        assert "beacon" in shown.replace("\r\n", "")
        assert "\x1b]0;" not in shown
        assert "\x1b[2J" not in shown
        assert "\u202e" not in shown
        assert "[red]" in shown.replace("\r\n", "")


def on_a_terminal(root: Path, *args: str) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tapwarden", "--root", str(root), *args]
    process = subprocess.Popen(
        command, stdout=theirs, stderr=theirs, env=os.environ | {"COLUMNS": "200", "TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass
    os.close(ours)
    assert process.wait(30) == 0, shown
    return shown.decode()


def test_a_token_file_that_everyone_can_read_is_refused(tmp_path: Path) -> None:
    configure(tmp_path, "reporting: {coordinator: {url: 'https://c.example/', token_file: token}}\n")
    token = tmp_path / "etc" / "token"
    token.write_text("x")
    token.chmod(0o644)
    ran = tapwarden(tmp_path, "alerts", "list")
    assert ran.returncode == 1
    assert "can be read by everyone on this host; chmod 600" in ran.stderr


def test_a_state_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("a file, not a directory")
    ran = tapwarden(tmp_path, "alerts", "list")
    assert ran.returncode == 1
    assert ran.stderr.startswith("tapwarden: cannot make")
    assert len(ran.stderr.splitlines()) == 1
