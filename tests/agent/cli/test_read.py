"""`tapwarden read` as its users type it: real processes, real files."""

import gzip
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)


def tapwarden(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tapwarden", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd, env=os.environ)


def events(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def example(top: Path) -> Path:
    return top / "examples" / "infected-host.pcap"


def test_a_capture_becomes_events_and_a_summary(example: Path, tmp_path: Path) -> None:
    done = tapwarden("read", example, "-l", tmp_path, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert summary["packets"] == 1112
    kinds = [event["event_type"] for event in events(tmp_path / "eve.json")]
    assert summary["events"] == {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    assert summary["flows"] == kinds.count("flow") > 100


def test_the_same_capture_gives_the_same_octets_again(example: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert tapwarden("read", example, "-l", tmp_path / name).returncode == 0
    assert (tmp_path / "a" / "eve.json").read_bytes() == (tmp_path / "b" / "eve.json").read_bytes()


def test_several_captures_are_analysed_each_by_itself(example: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.pcap.gz"
    packed.write_bytes(gzip.compress(example.read_bytes()))
    twin = tmp_path / "twin" / example.name
    twin.parent.mkdir()
    twin.write_bytes(example.read_bytes())
    done = tapwarden("read", example, "-r", packed, "-r", twin, "-l", tmp_path / "out", "--workers", "2")
    assert done.returncode == 0, done.stderr
    written = [tmp_path / "out" / name / "eve.json" for name in (example.name, packed.name, f"{example.name}.2")]
    assert len({path.read_bytes() for path in written}) == 1


def test_a_truncated_capture_is_read_as_far_as_it_goes_and_exits_3(example: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(example.read_bytes()[:-5])
    done = tapwarden("read", cut, "-l", tmp_path, "-o", "json")
    assert done.returncode == 3
    assert "the capture is cut short at octet" in done.stderr
    assert json.loads(done.stdout)["packets"] == 1111


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no capture: it is empty"),
        (b"this is a text file, long enough to look at", "is no capture: neither pcap nor pcapng"),
        (HEADER[:20] + struct.pack("<I", 147) + bytes(40), "holds frames of link type 147, which cannot be decoded"),
    ],
)
def test_what_is_no_capture_or_cannot_be_decoded_is_said_and_exits_1(
    content: bytes, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.pcap"
    path.write_bytes(content)
    done = tapwarden("read", path, "-l", tmp_path)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_zero_length_and_giant_packets_are_counted_not_fatal(tmp_path: Path) -> None:
    frames = [b"", b"\x00", bytes(262_144), b"\xff" * 200_000]
    records = b"".join(struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame for frame in frames)
    path = tmp_path / "odd.pcap"
    path.write_bytes(HEADER + records)
    done = tapwarden("read", path, "-l", tmp_path, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["packets"] == 4


def test_a_capture_that_is_missing_does_not_stop_the_others(example: Path, tmp_path: Path) -> None:
    done = tapwarden("read", tmp_path / "missing.pcap", example, "-l", tmp_path / "out", "-o", "json")
    assert done.returncode == 3
    assert "missing.pcap" in done.stderr
    assert json.loads(done.stdout)["packets"] == 1112


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ([], 2, "give at least one capture file"),
        (["x.pcap", "--set", "nonsense"], 1, "is not KEY=VALUE"),
        (["x.pcap", "-S", "missing.rules"], 1, "missing.rules"),
        (["x.pcap", "--suricata-yaml", "missing.yaml"], 1, "missing.yaml"),
        (["x.pcap", "--indicators", "missing.txt"], 1, "missing.txt"),
        (["x.pcap", "-k", "some"], 2, "'some' is not one of"),
    ],
)
def test_wrong_use_is_told_in_a_line(arguments: list[str], code: int, complaint: str, tmp_path: Path) -> None:
    done = tapwarden("read", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_help_starts_at_once_and_imports_neither_store_nor_web() -> None:
    code = "import sys; from tapwarden.agent.cli import cli; cli(['read', '--help'], standalone_mode=False)"
    heavy = ["sqlalchemy", "fastapi", "scapy", "pydantic", "elasticsearch", "uvicorn"]
    check = f"{code}; print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"
    assert "--suricata-yaml" in done.stdout
