"""New rules for a running agent: none of its packets is lost, and a set that does not load changes nothing."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tapwarden.agent.config import Layout, load
from tapwarden.agent.sensing import detection, reload_rules
from tapwarden.model.errors import ConfigError

GOOD = 'alert udp any any -> any any (msg:"old"; content:"ping"; sid:1;)\n'
NEW = 'alert udp any any -> any any (msg:"new"; content:"ping"; sid:2;)\n'
BAD = 'alert udp any any -> any any (msg:"bad"; nonsense:1; sid:3;)\n'


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An installation whose agent follows a file and has one rule file."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "my.rules").write_text(GOOD)
    (tmp_path / "eve-in.json").touch()
    (tmp_path / "etc" / "tapwarden.yaml").write_text(
        f"sensor: {{capture: eve, eve_file: {tmp_path}/eve-in.json, rules: ['*.rules']}}\n"
        "dashboard: {enabled: false}\n"
    )
    return Layout.at(tmp_path)


def tapwarden(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tapwarden", *map(str, arguments)]


def frames(count: int) -> list[tuple[int, bytes]]:
    """Each a flow of its own."""
    packet = bytes(
        Ether(dst="02:00:00:00:00:02") / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=9) / b"ping"
    )
    ports = range(1024, 1024 + count)
    return [
        (port * 1_000, packet[:34] + port.to_bytes(2, "big") + packet[36:40] + b"\0\0" + packet[42:]) for port in ports
    ]


def sids(batches: list[Any]) -> list[int]:
    records = [json.loads(line) for batch in batches for line in batch.lines()]
    return [record["alert"]["signature_id"] for record in records if record["event_type"] == "alert"]


def test_engines_take_new_rules_between_two_packets_and_miss_none(layout: Layout) -> None:
    config = load(layout, None, ())
    found = detection(config, layout)
    engine = found.engine()
    batches: list[Any] = []
    swapped = threading.Event()

    def feed() -> None:
        everything = frames(20_000)
        for start in range(0, len(everything), 100):
            batches.append(engine.feed(everything[start : start + 100]))
            if start == 5_000:
                swapped.wait(30)

    feeding = threading.Thread(target=feed)
    feeding.start()
    (layout.etc / "my.rules").write_text(NEW)
    assert reload_rules(found, config, layout) == []
    swapped.set()
    feeding.join(60)
    raised = sids(batches)
    # Every packet met exactly one of the two sets, and the new one from the reload on.
    assert len(raised) == 20_000
    assert raised == sorted(raised)
    assert raised.count(2) >= 14_000
    assert engine.counters()["decoder.pkts"] == 20_000
    assert engine.counters()["detect.alert"] == 20_000
    assert sids([found.engine().feed(frames(1))]) == [2]


@pytest.mark.parametrize("text", [BAD, None])
def test_a_set_of_which_nothing_loads_changes_nothing(layout: Layout, text: str | None) -> None:
    config = load(layout, None, ())
    found = detection(config, layout)
    engine = found.engine()
    if text is None:
        (layout.etc / "my.rules").unlink()
    else:
        (layout.etc / "my.rules").write_text(text)
    with pytest.raises(ConfigError, match="nonsense" if text else "no such file"):
        reload_rules(found, config, layout)
    assert found.rule_count == 1
    assert sids([engine.feed(frames(2))]) == [1, 1]


def test_one_bad_rule_among_good_ones_is_told_and_the_rest_is_run(layout: Layout) -> None:
    config = load(layout, None, ())
    found = detection(config, layout)
    (layout.etc / "more.rules").write_text(NEW + BAD)
    (complaint,) = reload_rules(found, config, layout)
    assert "more.rules:2" in complaint
    assert sorted(sids([found.engine().feed(frames(1))])) == [1, 2]


@pytest.fixture
def agent(layout: Layout, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """``tapwarden run`` of this installation."""
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(tapwarden("--root", tmp_path, "run"), stderr=log, stdout=log, text=True)
    deadline = time.monotonic() + 60
    while not (layout.run / "rules.json").exists():
        assert process.poll() is None, (tmp_path / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def test_a_running_agent_is_asked_and_answers(layout: Layout, agent: subprocess.Popen[str], tmp_path: Path) -> None:
    def ask() -> subprocess.CompletedProcess[str]:
        command = tapwarden("--root", tmp_path, "rules", "reload", "-o", "json", "--timeout", "30")
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    (layout.etc / "more.rules").write_text(NEW)
    done = ask()
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["ok"], told["loaded"], told["pid"]) == (True, 2, agent.pid)

    for path in layout.etc.glob("*.rules"):
        path.write_text(BAD)
    done = ask()
    assert done.returncode == 1
    assert "the 2 rules before stay" in done.stderr
    told = json.loads(done.stdout)
    assert (told["ok"], told["loaded"]) == (False, 2)
    assert "nonsense" in told["problem"]
    assert "rules=kept loaded=2" in (tmp_path / "log.txt").read_text()

    (layout.etc / "more.rules").write_text(NEW)
    before = json.loads((layout.run / "rules.json").read_text())["number"]
    agent.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while (status := json.loads((layout.run / "rules.json").read_text()))["number"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (status["ok"], status["loaded"], len(status["complaints"])) == (True, 1, 1)
    assert agent.poll() is None


def test_without_a_running_agent_it_says_so(layout: Layout, tmp_path: Path) -> None:
    command = tapwarden("--root", tmp_path, "rules", "reload")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "no agent runs here" in done.stderr
