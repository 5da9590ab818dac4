"""Packets of alerts from a replay to a bundle, by the commands people use."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def tapwarden(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tapwarden", "--root", str(root), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def replayed(tmp_path: Path, top: Path) -> Path:
    core = pytest.importorskip("tapwarden._core", reason="the native core is not built")
    if not hasattr(core.Engine, "evidence"):
        pytest.skip("the native core was built without evidence")
    etc = tmp_path / "etc"
    etc.mkdir()
    shutil.copy(top / "examples" / "infected-host.rules", etc)
    (etc / "tapwarden.yaml").write_text("sensor: {rules: [infected-host.rules]}\n")
    ran = tapwarden(tmp_path, "run", "--pcap", str(top / "examples" / "infected-host.pcap"), "--exit", "--no-dashboard")
    assert ran.returncode == 0, ran.stderr
    return tmp_path


def test_from_an_alert_to_its_packets_to_a_bundle_that_proves_itself(replayed: Path, tmp_path: Path) -> None:
    groups = json.loads(tapwarden(replayed, "alerts", "list", "-o", "json").stdout)
    group = next(one for one in groups if "beacon" in one["signature"] and one["count"] > 1)
    shown = json.loads(tapwarden(replayed, "evidence", "show", group["event_id"], "-o", "json").stdout)
    assert shown["evidence"]["event_id"] == group["event_id"]
    assert shown["evidence"]["packets"] == len(shown["packets"]) > 5
    assert b" HTTP/1.1\r\n" in b"".join(bytes.fromhex(packet["hex"]) for packet in shown["packets"])
    capture = tmp_path / "x.pcapng"
    text = tapwarden(replayed, "evidence", "show", group["id"], "-w", str(capture), "-x").stdout
    assert "10.20.0.14" in text
    assert capture.read_bytes()[:4] == b"\n\r\r\n"

    opened = json.loads(tapwarden(replayed, "incidents", "open", group["id"], "--title", "t", "-o", "json").stdout)
    bundle = tmp_path / "bundle.zip"
    assert tapwarden(replayed, "evidence", "export", opened["id"], str(bundle)).returncode == 0
    verified = tapwarden(tmp_path / "elsewhere", "evidence", "verify", str(bundle), "-o", "json")
    assert verified.returncode == 0, verified.stderr
    told = json.loads(verified.stdout)
    names = {file["name"] for file in told["manifest"]["files"]}
    assert {"events.json", "rules.rules", "incident.json", "actions.json", "configuration.json"} <= names
    assert any(name.startswith("packets/") for name in names)
    assert tapwarden(replayed, "evidence", "verify", str(bundle), "--key", told["key"]).returncode == 0

    octets = bytearray(bundle.read_bytes())
    octets[octets.index(b"sid:1000002")] ^= 1
    bundle.write_bytes(octets)
    refused = tapwarden(replayed, "evidence", "verify", str(bundle))
    assert refused.returncode == 1
    assert refused.stderr.startswith("tapwarden: rules.rules: was changed")

    held = tapwarden(replayed, "evidence", "hold", opened["id"], "--reason", "court order")
    assert held.returncode == 0, held.stderr
    (hold,) = json.loads(tapwarden(replayed, "evidence", "holds", "-o", "json").stdout)
    assert (hold["incident_id"], hold["reason"]) == (opened["id"], "court order")
    assert tapwarden(replayed, "evidence", "release", opened["id"], "--reason", "over").returncode == 0
    assert tapwarden(replayed, "evidence", "release", opened["id"], "--reason", "over").returncode == 1


def test_what_has_no_packets_is_said(replayed: Path) -> None:
    ran = tapwarden(replayed, "evidence", "show", "0" * 32)
    assert ran.returncode == 1
    assert "there is no event" in ran.stderr
