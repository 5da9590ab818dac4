"""EVE records: every field by the name and type that Suricata 7 gives it.

``fields.json`` is the table: event type, field (``dns.answers[].rdata``), type. What stands in it was seen in records
of Suricata 7.0.10 and ours on the same captures; programs that read EVE rely on it. Our own fields stand under
``tapwarden``.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TABLE: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "fields.json").read_text())
COMMON = TABLE["every record"]
CARRYING = ("alert", "fileinfo")
"""Records that show the transaction they are about as its own record does."""

FREE = ("alert.metadata.", "metadata.flowints.", "metadata.flowvars[].", "metadata.pktvars[].", "tapwarden.")
"""Objects whose members rules name, and ours."""

ALWAYS = ("timestamp", "event_type", "src_ip", "dest_ip", "proto", "flow_id")
LINK_TYPES = (1, 101, 0, 9, 12, 14, 50, 104, 108, 113, 228, 229, 276, 147)
NAMES = {str: "text", int: "integer", float: "number", bool: "boolean"}

OURS_ONLY = {
    "community_id": "always on",
    "email.subject": "Suricata 7 has it of some mails only",
    "email.url[]": "as subject",
    "tls.ja4": "always on where the hello is there; an option of the build in Suricata",
    "quic.ja4": "as tls.ja4",
    "quic.ja3.string": "as tls.ja4",
}
"""Fields we write where Suricata does not, and why."""

NOT_OURS = {
    "fileinfo.magic": "where the configuration asks for it, not because a rule did",
    "files[].magic": "as fileinfo.magic",
    "tx_guessed": "what a transaction has to do with a match is known",
    "pcap_cnt": "numbers of packets that stand for a flow's end differ",
    "email.has_ipv6_url": "kinds of URLs are not told apart",
    "email.has_ipv4_url": "as has_ipv6_url",
    "email.has_exe_url": "as has_ipv6_url",
    "http.redirect": "not in the records of files",
    "tls.from_proto": "not told",
}
"""Fields Suricata writes where we do not, and why."""


def fields(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of a record: its path and type."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{path}[]")
    else:
        yield path, NAMES[type(value)]


def allowed(kind: str) -> dict[str, str]:
    """Fields a record of this kind may have."""
    carried = {name: of for other in TABLE.values() for name, of in other.items()} if kind in CARRYING else {}
    return {**carried, **COMMON, **TABLE[kind]}


def complaints(record: dict[str, Any]) -> list[str]:
    """What is wrong with a record."""
    kind = record["event_type"]
    if kind not in TABLE:
        return []
    known = allowed(kind)
    wrong = [
        f"{kind}: {name} is a {of}, not {known.get(name, 'known')}"
        for name, of in fields(record)
        if not name.startswith(FREE) and known.get(name) != of
    ]
    has_address = "src_ip" in record
    return wrong + [f"{kind}: no {name}" for name in ALWAYS if name not in record and has_address and name != "flow_id"]


def as_pcap(octets: bytes) -> bytes:
    """Frames of the fuzz corpus as a capture file."""
    capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINK_TYPES[octets[0]])
    rest, number = octets[1:], 0
    while len(rest) >= 2:
        length = int.from_bytes(rest[:2], "big")
        frame, rest = rest[2 : 2 + length], rest[2 + length :]
        capture += (
            struct.pack("<IIII", 1_700_000_000 + number // 10, number % 10 * 100_000, len(frame), len(frame)) + frame
        )
        number += 1
    return capture


@pytest.fixture(scope="session")
def captures(top: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Our own: sessions of each protocol, a frame of each link type and tunnel, the example."""
    folder, corpus = tmp_path_factory.mktemp("captures"), top / "native" / "fuzz" / "corpus"
    made = [top / "examples" / "infected-host.pcap"]
    for path in sorted([*(corpus / "rules_on_frames").iterdir(), *(corpus / "frames").iterdir()]):
        if path.name in ("unknown", "raw-openbsd", "found") or path.name.startswith("found"):
            continue
        made.append(folder / f"{path.parent.name}-{path.name}.pcap")
        made[-1].write_bytes(as_pcap(path.read_bytes()))
    return made


@pytest.fixture(scope="session")
def rules(top: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules of every kind."""
    path = tmp_path_factory.mktemp("rules") / "all.rules"
    text = (top / "native" / "fuzz" / "src" / "rules.rules").read_text()
    everything = (
        'alert ip any any -> any any (msg:"all"; metadata:a b, a c, d e; target:dest_ip;'
        " flowbits:set,seen; flowint:count,+,1; sid:100;)\n"
        'alert http any any -> any any (msg:"request"; flow:to_server; http.method; content:"T"; sid:101;)\n'
        'alert dns any any -> any any (msg:"dns"; dns.query; content:"example"; sid:102;)\n'
    )
    # A rule that lets flows pass would keep others from being shown.
    path.write_text(everything + "\n".join(line for line in text.splitlines() if not line.startswith(("pass", "drop"))))
    return path


def ours(captures: list[Path], rules: Path | None, folder: Path) -> list[dict[str, Any]]:
    """Our records."""
    command = [sys.executable, "-m", "tapwarden", "read", "-k", "none", "-l", str(folder), *map(str, captures)]
    command += ["-S", str(rules)] if rules else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=os.environ)
    assert done.returncode in (0, 3), done.stderr
    lines = [line for path in sorted(folder.rglob("eve.json")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_every_field_is_one_that_suricata_has_with_its_type(captures: list[Path], rules: Path, tmp_path: Path) -> None:
    records = ours(captures, rules, tmp_path)
    wrong = {text for record in records for text in complaints(record)}
    assert not wrong, "\n".join(sorted(wrong))
    kinds = {record["event_type"] for record in records}
    assert kinds >= {"alert", "anomaly", "dhcp", "dns", "fileinfo", "flow", "ftp", "http", "smb", "smtp", "ssh", "tls"}
    assert any("tunnel" in record for record in records)
    assert any("flowints" in record.get("metadata", {}) for record in records)


def test_captures_from_elsewhere_have_no_other_fields(shared: Path, tmp_path: Path) -> None:
    cases = shared / "conformance" / "visible"
    if not cases.is_dir():
        pytest.skip("../shared is not there")
    found = sorted(cases.glob("*/input.pcap"), key=lambda path: path.stat().st_size)
    # Every fourth of those that are read in no time.
    chosen = []
    for number, path in enumerate(found[: 3 * len(found) // 4 : 4]):
        chosen.append(tmp_path / f"{number}.pcap")
        chosen[-1].symlink_to(path)
    records = ours(chosen, None, tmp_path / "out")
    assert len(records) > 100
    wrong = {text for record in records for text in complaints(record)}
    assert not wrong, "\n".join(sorted(wrong))


SURICATA_YAML = """%YAML 1.1
---
vars: {address-groups: {HOME_NET: any, EXTERNAL_NET: any}}
outputs:
  - eve-log:
      enabled: yes
      filename: eve.json
      types:
        - alert: {payload: yes, payload-printable: yes, packet: yes, metadata: yes}
        - anomaly: {enabled: yes, types: {decode: no, stream: no, applayer: yes}}
        - http: {extended: yes}
        - dns
        - tls: {extended: yes}
        - files: {force-hash: [md5, sha1, sha256]}
        - smtp: {extended: yes}
        - ftp
        - ssh
        - smb
        - dhcp: {enabled: yes, extended: yes}
        - flow
app-layer: {protocols: {tls: {enabled: yes, ja3-fingerprints: yes}, ssh: {enabled: yes, hassh: yes},
  smb: {enabled: yes}, dhcp: {enabled: yes}, ftp: {enabled: yes}, smtp: {enabled: yes}, http: {enabled: yes}}}
"""


def test_field_by_field_as_the_installed_suricata_writes_them(
    captures: list[Path], rules: Path, tmp_path: Path
) -> None:
    suricata = shutil.which("suricata")
    if suricata is None:
        pytest.skip("Suricata is not installed")
    config = tmp_path / "suricata.yaml"
    config.write_text(SURICATA_YAML)
    # By kind of record: field to type, each side's over all captures.
    sides: dict[str, dict[str, dict[str, str]]] = {"suricata": defaultdict(dict), "ours": defaultdict(dict)}
    chosen = [path for path in captures if path.name.startswith("rules_on_frames") or "dhcp" in path.name]
    for number, capture in enumerate(chosen):
        folder = tmp_path / str(number)
        folder.mkdir()
        command = [suricata, "-c", str(config), "-S", str(rules), "-l", str(folder), "-r", str(capture), "-k", "none"]
        done = subprocess.run([*command, "--runmode=single"], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        theirs = [json.loads(line) for line in (folder / "eve.json").read_text().splitlines()]
        for side, records in (("suricata", theirs), ("ours", ours([capture], rules, folder / "ours"))):
            for record in records:
                sides[side][record["event_type"]].update(fields(record))
    kinds = [kind for kind in sides["ours"] if kind in TABLE]
    assert len(kinds) >= 10
    differ = []
    for kind in kinds:
        mine, theirs_of = sides["ours"][kind], sides["suricata"][kind]
        for name in mine.keys() | theirs_of.keys():
            if name.startswith(FREE) or name in (OURS_ONLY if name in mine else NOT_OURS):
                continue
            if mine.get(name) != theirs_of.get(name):
                differ.append(f"{kind}: {name}: {theirs_of.get(name, 'none')} there, {mine.get(name, 'none')} here")
    assert not differ, "\n".join(sorted(differ))
