"""`tapwarden rules update`: the real suricata-update on files here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RULE = 'alert tcp any any -> any any (msg:"{name}"; flow:to_server; content:"{name}"; sid:{sid}; rev:1;)\n'


class Host:
    """An installation, and a publisher's file."""

    def __init__(self, root: Path) -> None:
        self.root, self.etc, self.source = root, root / "etc", root / "source.rules"
        self.etc.mkdir()
        self.rules = root / "lib" / "rules" / "suricata.rules"
        (self.etc / "tapwarden.yaml").write_text(f"sensor: {{rules: ['{self.rules}*']}}\n")
        self.rules.parent.mkdir(parents=True)
        self.rules.write_text("# nothing yet\n")

    def update(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        arguments = ("--root", self.root, "rules", "update", "--url", f"file://{self.source}", "-o", "json", *options)
        command = [sys.executable, "-m", "tapwarden", *map(str, arguments)]
        # The package brings suricata-update; the environment it is in is not on everybody's path.
        env = {**os.environ, "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)

    def updated(self, *options: str | Path) -> dict[str, Any]:
        done = self.update(*options)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_rules_are_fetched_chosen_checked_and_put_in_place(host: Host) -> None:
    host.source.write_text("".join(RULE.format(name=name, sid=sid) for sid, name in ((1, "one"), (2, "two"))))
    (host.etc / "disable.conf").write_text("2\n")
    mine = host.root / "mine.rules"
    mine.write_text(RULE.format(name="mine", sid=3))
    found = host.updated("--local", mine)
    assert (found["loaded"], found["failed"], found["changed"], found["used"]) == (2, 0, True, True)
    text = host.rules.read_text()
    assert "\nalert" in f"\n{text}"
    assert 'msg:"mine"' in text
    assert '# alert tcp any any -> any any (msg:"two"' in text
    assert host.updated("--local", mine)["changed"] is False


def test_rules_that_do_not_load_leave_those_before(host: Host) -> None:
    host.source.write_text(RULE.format(name="one", sid=1))
    host.updated()
    before = host.rules.read_text()
    host.source.write_text('alert tcp any any -> any any (msg:"bad"; nonsense; sid:9; rev:1;)\n')
    done = host.update()
    assert done.returncode == 1
    assert "none of the new rules loads" in done.stderr
    assert host.rules.read_text() == before


def test_a_source_that_is_not_there_is_told(host: Host) -> None:
    done = host.update()
    assert done.returncode == 1
    assert "suricata-update failed" in done.stderr
    assert host.rules.read_text() == "# nothing yet\n"
