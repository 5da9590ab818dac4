"""Bad input, end to end: a clear error, an exit code or a counter, never a traceback, and nothing else is lost.

Stores that are full or read-only, interfaces that go down and coordinators that answer nonsense have theirs beside the
code (tests/agent, tests/collectors); here is what comes in by the command line.
"""

import gzip
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

pytest.importorskip("tapwarden._core", reason="the native core is not built")

ETHERNET, UNKNOWN = 1, 147  # LINKTYPE_ETHERNET, LINKTYPE_USER0
DNS_QUERY = bytes(
    Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    / IP(src="10.0.0.5", dst="198.18.0.53")
    / UDP(sport=20000)
    / DNS(id=1, qd=DNSQR(qname="enemy.example"))
)


def pcap(*packets: bytes, linktype: int = ETHERNET, claimed: int | None = None) -> bytes:
    """A capture; ``claimed`` is written as the length of every packet instead of its own."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, linktype)
    for number, packet in enumerate(packets):
        length = len(packet) if claimed is None else claimed
        out += struct.pack("<IIII", 1_700_000_000 + number, 0, length, length) + packet
    return out


class Ran:
    """What a command did."""

    def __init__(self, *args: object) -> None:
        command = [sys.executable, "-m", "tapwarden", *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        assert "Traceback" not in self.err, self.err

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def read(folder: Path, content: bytes, *args: object, name: str = "bad.pcap") -> Ran:
    (folder / name).write_bytes(content)
    return Ran("read", folder / name, "-l", folder / "out", "-k", "none", "-o", "json", *args)


def kinds(folder: Path) -> list[str]:
    lines = (folder / "out" / "eve.json").read_bytes().splitlines()
    return [json.loads(line)["event_type"] for line in lines]


@pytest.mark.parametrize("cut", [1, 7, len(DNS_QUERY), len(DNS_QUERY) + 9])
def test_a_cut_capture_gives_what_is_whole_and_says_where_it_stopped(tmp_path: Path, cut: int) -> None:
    whole = pcap(DNS_QUERY, DNS_QUERY)
    ran = read(tmp_path, whole[:-cut])
    assert ran.code == 3
    assert "octet" in ran.err
    assert "dns" in kinds(tmp_path)
    assert ran.summary["packets"] == 1
    assert ran.summary["problems"]


def test_a_capture_packed_and_cut_gives_what_can_be_unpacked(tmp_path: Path) -> None:
    noise = os.urandom(60_000)
    packed = gzip.compress(pcap(DNS_QUERY, *(noise[n : n + 1000] for n in range(0, 60_000, 1000))))
    ran = read(tmp_path, packed[: len(packed) // 2], name="bad.pcap.gz")
    assert ran.code == 3
    assert 1 <= ran.summary["packets"] < 61
    assert "dns" in kinds(tmp_path)


def test_a_corrupt_length_stops_there_and_keeps_what_came_before(tmp_path: Path) -> None:
    good, wild = pcap(DNS_QUERY), pcap(DNS_QUERY, claimed=0xFFFF_FFF0)[24:]
    ran = read(tmp_path, good + wild)
    assert ran.code == 3
    assert ran.summary["packets"] == 1
    assert "dns" in kinds(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\xd4\xc3\xb2\xa1", b"not a capture at all, though long enough to be one", b"\0" * 4096]
)
def test_what_is_no_capture_is_one_line_and_a_failure(tmp_path: Path, content: bytes) -> None:
    ran = read(tmp_path, content)
    assert ran.code == 1
    assert "bad.pcap" in ran.err


def test_an_unknown_link_type_is_named(tmp_path: Path) -> None:
    ran = read(tmp_path, pcap(DNS_QUERY, linktype=UNKNOWN))
    assert ran.code == 1
    assert "link type 147" in ran.err.lower()


def test_packets_of_no_length_are_counted_and_the_others_read(tmp_path: Path) -> None:
    ran = read(tmp_path, pcap(b"", DNS_QUERY, b"", b"\0"))
    assert ran.code == 0
    assert ran.summary["packets"] == 4
    assert ran.summary["counters"]["decoder.invalid"] == 3
    assert "dns" in kinds(tmp_path)


def test_giant_packets_are_read_as_far_as_a_packet_can_go(tmp_path: Path) -> None:
    """Larger than any packet on a wire: what offloads make, and what an attacker's file claims."""
    giant = DNS_QUERY + os.urandom(200_000)
    ran = read(tmp_path, pcap(giant, DNS_QUERY))
    assert ran.code == 0
    assert ran.summary["packets"] == 2
    assert kinds(tmp_path).count("dns") == 2


def test_any_octets_are_packets(tmp_path: Path) -> None:
    noise = os.urandom(200_000)
    packets = [noise[n : n + n % 1500] for n in range(0, 190_000, 400)]
    for linktype in (1, 101, 113, 276, 0):
        ran = read(tmp_path, pcap(*packets, linktype=linktype))
        assert ran.code == 0, (linktype, ran.err)
        assert ran.summary["packets"] == len(packets)


RULES = """\
alert dns any any -> any any (msg:"good"; dns.query; content:"enemy"; sid:1; rev:1;)
alert dns any any -> any any (msg:"unknown keyword"; dns.qurey; content:"x"; sid:2; rev:1;)
alert dns any any -> any any (msg:"no end; sid:3; rev:1;
alert tcp $NO_SUCH_VARIABLE any -> any any (msg:"variable"; sid:4; rev:1;)
alert tcp any any -> any 99999 (msg:"port"; sid:5; rev:1;)
alert tcp any any -> any any (msg:"expression"; pcre:"/(/"; sid:6; rev:1;)
this is no rule
alert dns any any -> any any (msg:"good too"; dns.query; content:"example"; sid:8; rev:1;)
"""


def test_broken_rules_are_named_by_line_and_column_and_the_others_alert(tmp_path: Path) -> None:
    (tmp_path / "broken.rules").write_text(RULES)
    ran = read(tmp_path, pcap(DNS_QUERY), "-S", tmp_path / "broken.rules")
    assert ran.code == 0
    assert ran.summary["rules"] == {"loaded": 2, "failed": 6}
    for line in (2, 3, 4, 5, 6, 7):
        assert f"broken.rules:{line}:" in ran.err
    assert "did you mean" in ran.err or "dns.query" in ran.err
    alerts = [json.loads(line) for line in (tmp_path / "out/eve.json").read_bytes().splitlines()]
    assert {alert["alert"]["signature_id"] for alert in alerts if alert["event_type"] == "alert"} == {1, 8}


def test_rules_that_are_no_text_are_an_error_or_told_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "binary.rules").write_bytes(os.urandom(4096))
    ran = read(tmp_path, pcap(DNS_QUERY), "-S", tmp_path / "binary.rules")
    assert ran.code in {0, 1}
    assert "binary.rules" in ran.err
    assert Ran("read", tmp_path / "bad.pcap", "-S", tmp_path / "absent.rules").code == 1


def test_an_output_directory_without_room_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "eve.json").symlink_to("/dev/full")
    ran = read(tmp_path, pcap(DNS_QUERY))
    assert ran.code == 1
    assert "No space left" in ran.err


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("sensor:\n  interfase: eth0\n", "tapwarden.yaml:2: sensor.interfase: unknown key; did you mean interface?"),
        ("sensor:\n  workers: many\n", "tapwarden.yaml:2: sensor.workers"),
        ("store: [a, b]\n", "tapwarden.yaml:1: store"),
        ("sensor: {\n", "tapwarden.yaml:2"),
    ],
)
def test_a_wrong_configuration_starts_nothing_and_names_the_line(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/tapwarden.yaml").write_text(text)
    for command in ("run", "check", "doctor"):
        ran = Ran("--root", tmp_path, command)
        assert ran.code == 1, command
        assert place in ran.err + ran.out, command
    assert not (tmp_path / "lib").exists()


def test_a_capture_that_breaks_off_is_stored_as_far_as_it_went(tmp_path: Path) -> None:
    whole = pcap(DNS_QUERY, DNS_QUERY)
    (tmp_path / "cut.pcap").write_bytes(whole[:-5])
    ran = Ran("--root", tmp_path, "run", "--pcap", tmp_path / "cut.pcap", "--exit", "--no-dashboard")
    assert ran.code == 3, ran.err
    assert "cut.pcap" in ran.err
    lines = (tmp_path / "log/eve.json").read_bytes().splitlines()
    assert "dns" in [json.loads(line)["event_type"] for line in lines]
