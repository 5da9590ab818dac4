"""Evidence: pcapng that other programs read, kept by content, under holds; bundles in which no bit can be changed."""

import json
import os
import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.agent import keeping
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.evidence import OF_GROUP_A_DAY_MAX, EvidenceKeeper, clock_state, rule_texts
from tapwarden.agent.health import Health
from tapwarden.agent.store.evidence import Bundle, BundleError, EvidenceFolder, Hold, SigningKey, pcapng, verify
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event
from tapwarden.model.evidence import FlowPackets, Frame

AT = datetime(2026, 11, 24, 11, 0, 0, 250_000, tzinfo=UTC)
NS = int(AT.timestamp()) * 10**9 + 250_000_000


def alert(number: int = 1, flow: int = 7, **fields: object) -> Event:
    record = {
        "timestamp": (AT + timedelta(seconds=number)).isoformat(),
        "event_type": "alert",
        "flow_id": flow,
        "src_ip": "192.0.2.1",
        "dest_ip": "192.0.2.2",
        "alert": {"gid": 1, "signature_id": 5, "rev": 2, "signature": "Bad \x1b thing"},
        **fields,
    }
    return Event(json.dumps(record).encode(), str(number))


def packets(count: int = 3, flow: int = 7) -> FlowPackets:
    ethernet = bytes(12) + b"\x08\x00"
    return FlowPackets(
        flow,
        True,
        [Frame(NS + n * 10**9 + n, 60 + n, 1, ethernet + bytes([n]) * (46 + n)) for n in range(count)],
    )


def test_what_is_written_is_read_back_by_us_and_by_scapy(tmp_path: Path) -> None:
    from scapy.utils import PcapNgReader

    frames = [*packets(4).frames, Frame(NS, 9, 101, b"\x45" + bytes(19))]
    written = pcapng.write(frames, about="about", comments={2: "here"})
    assert pcapng.read(written) == frames
    (tmp_path / "x.pcapng").write_bytes(written)
    with PcapNgReader(str(tmp_path / "x.pcapng")) as reader:
        told = [bytes(packet) for packet in reader]
    assert told == [frame.data for frame in frames]


def test_the_alert_is_a_comment_at_its_packet(tmp_path: Path) -> None:
    folder = EvidenceFolder(tmp_path)
    kept = folder.keep(packets(), [alert(1), alert(2)])
    capture = folder.read(kept)
    second, third = (
        capture.index(text.id.encode(), capture.index(b"\x06\x00\x00\x00")) for text in (alert(1), alert(2))
    )
    assert b"[1:5:2] Bad" in capture
    assert second < third
    assert kept == folder.find(alert(1).id)
    assert (other := folder.find(alert(2).id)) is not None
    assert other.sha256 == kept.sha256
    assert folder.find("0" * 32) is None
    assert folder.find("../../etc/passwd") is None


def test_a_capture_that_was_changed_is_not_given_out(tmp_path: Path) -> None:
    folder = EvidenceFolder(tmp_path)
    kept = folder.keep(packets(), [alert()])
    (path,) = tmp_path.rglob("*.pcapng")
    octets = bytearray(path.read_bytes())
    octets[100] ^= 1
    path.chmod(0o600)
    path.write_bytes(octets)
    with pytest.raises(StoreError, match="was changed"):
        folder.read(kept)


def test_a_hold_exempts_an_incidents_evidence_until_it_is_released(tmp_path: Path) -> None:
    folder = EvidenceFolder(tmp_path / "lib" / "evidence")
    held, other = folder.keep(packets(3), [alert(1)]), folder.keep(packets(5), [alert(86_400)])
    folder.hold(Hold("i1", "court order", "me", "now"))
    assert folder.extend("i1", [alert(1).id]) == 2
    assert folder.extend("i1", [alert(1).id]) == 0
    long_ago = AT.timestamp()
    for path in sorted((tmp_path / "lib").rglob("*"), reverse=True):
        os.utime(path, (long_ago, long_ago))
    dropped = keeping.drop(Config(), Layout.at(tmp_path), AT + timedelta(days=400))
    assert len(dropped) == 2
    assert folder.find(other.event_id) is None
    assert folder.find(held.event_id) == held
    assert pcapng.read(folder.read(held)) == list(packets(3).frames)
    assert [one.reason for one in folder.holds()] == ["court order"]
    kept = keeping.examine(Config(), Layout.at(tmp_path), AT + timedelta(days=400))
    assert all(one.fixed for one in kept.holdings)
    assert folder.release("i1")
    assert folder.find(held.event_id) is None
    assert not folder.release("i1")
    with pytest.raises(StoreError):
        folder.release("../..")


def run_keeper(folder: EvidenceFolder, *offers: tuple[list[Event], list[FlowPackets]]) -> EvidenceKeeper:
    keeper = EvidenceKeeper(folder, Health())
    for alerts, captures in offers:
        keeper.offer(alerts, captures)
    keeper.finish()
    keeper.run()
    return keeper


def test_packets_find_their_alerts_whichever_batch_they_came_with(tmp_path: Path) -> None:
    folder = EvidenceFolder(tmp_path)
    single = alert(2, flow=0)
    keeper = run_keeper(
        folder,
        ([alert(1)], []),
        ([], [packets(3)]),
        ([single], [FlowPackets(0, False, [Frame(NS + 2 * 10**9, 60, 1, bytes(60))])]),
        ([], [packets(3, flow=99)]),
    )
    assert folder.find(alert(1).id) is not None
    assert folder.find(single.id) is not None
    assert keeper.counters()["evidence.kept"] == 2


def test_of_one_group_some_captures_a_day_are_kept(tmp_path: Path) -> None:
    offers = [([alert(n, flow=n)], [packets(2, flow=n)]) for n in range(1, 51)]
    keeper = run_keeper(EvidenceFolder(tmp_path), *offers)
    assert keeper.counters()["evidence.kept"] == OF_GROUP_A_DAY_MAX
    assert keeper.counters()["evidence.repeated"] == 50 - OF_GROUP_A_DAY_MAX


def test_nobody_waits_for_evidence(tmp_path: Path) -> None:
    keeper = EvidenceKeeper(EvidenceFolder(tmp_path), Health())
    for n in range(1, 400):
        keeper.offer([alert(n, flow=n)], [packets(2, flow=n)])
    assert keeper.counters()["evidence.dropped"] > 0


def test_a_disk_that_takes_no_evidence_is_said(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_bytes(b"a file")
    health = Health()
    keeper = EvidenceKeeper(EvidenceFolder(tmp_path / "evidence"), health)
    keeper.offer([alert()], [packets()])
    keeper.finish()
    keeper.run()
    assert health.report()["evidence"]["state"] == "degraded"


@pytest.fixture
def bundle(tmp_path: Path) -> bytes:
    made = Bundle({"incident": "i1"})
    made.add("events.json", b'{"a":1}\n')
    made.add("packets/x.pcapng", pcapng.write(packets().frames, about="", comments={}))
    made.add("empty", b"")
    return made.sign(SigningKey.at(tmp_path / "evidence.key"))


def test_a_bundle_proves_itself_and_says_whose_it_is(bundle: bytes, tmp_path: Path) -> None:
    found = verify(bundle)
    assert found.manifest["incident"] == "i1"
    assert found.files["events.json"] == b'{"a":1}\n'
    assert verify(bundle, trusted=found.fingerprint).fingerprint == found.fingerprint
    assert (tmp_path / "evidence.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(BundleError, match="not by"):
        verify(bundle, trusted="0000:1111")


def test_one_flipped_bit_anywhere_is_found(bundle: bytes) -> None:
    choose = random.Random(3)
    places = [*range(0, len(bundle), 7), *range(len(bundle) - 60, len(bundle))]
    for place in places:
        changed = bytearray(bundle)
        changed[place] ^= 1 << choose.randrange(8)
        with pytest.raises(BundleError):
            verify(bytes(changed))
    with pytest.raises(BundleError):
        verify(bundle + b"\0")
    with pytest.raises(BundleError):
        verify(bundle[:-1])


def test_the_file_that_was_changed_is_named(bundle: bytes) -> None:
    changed = bytearray(bundle)
    changed[bundle.index(b'{"a":1}')] ^= 1
    with pytest.raises(BundleError, match=r"^events\.json: "):
        verify(bytes(changed))


def test_a_file_changed_with_its_checksums_is_named_too(bundle: bytes, tmp_path: Path) -> None:
    from tapwarden.agent.store.evidence import bundle as module

    files = module._contents(bundle, "bundle")
    forged = {**files, "packets/x.pcapng": b"other"}
    with pytest.raises(BundleError, match=r"^packets/x\.pcapng: was changed"):
        verify(module._archive(forged))
    with pytest.raises(BundleError, match=r"^added: is not in the manifest"):
        verify(module._archive({**files, "added": b""}))
    del files["empty"]
    with pytest.raises(BundleError, match=r"^empty: is missing"):
        verify(module._archive(files))


@pytest.mark.parametrize("octets", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"x" * 1000])
def test_what_is_no_bundle_is_refused(octets: bytes) -> None:
    with pytest.raises(BundleError):
        verify(octets)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "manifest.json", ""])
def test_a_bundle_has_plain_names_only(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a file"):
        Bundle({}).add(name, b"")


def test_rules_of_an_incident_are_found_in_the_rule_files() -> None:
    files = {"a": b'# alert ip any any -> any any (sid:5;)\nalert ip any any -> any any (msg:"x"; sid:5; rev:1;)\n'}
    assert list(rule_texts(files, {5})) == [b'alert ip any any -> any any (msg:"x"; sid:5; rev:1;)\n']
    assert list(rule_texts(files, {55})) == []


def test_the_clock_says_how_it_is() -> None:
    assert set(clock_state()) == {"offset_s", "max_error_s", "synchronised"}


def test_tshark_reads_the_comment(tmp_path: Path) -> None:
    import shutil

    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed (Debian: tshark)")
    folder = EvidenceFolder(tmp_path)
    (tmp_path / "x.pcapng").write_bytes(folder.read(folder.keep(packets(), [alert()])))
    fields = ["-T", "fields", "-e", "frame.comment", "-e", "frame.time_epoch"]
    ran = subprocess.run(
        ["tshark", "-n", "-r", str(tmp_path / "x.pcapng"), *fields], capture_output=True, text=True, check=True
    )
    lines = ran.stdout.splitlines()
    assert [alert().id in line for line in lines] == [False, True, False]
    assert "251000001" in lines[1].replace(".", "") or "250000001" in lines[1].replace(".", "")
