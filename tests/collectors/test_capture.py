"""Replaying capture files: the same file gives the same ids, a cut one is read as far as it goes."""

from pathlib import Path

import pytest

pytest.importorskip("tapwarden._core", reason="the native core is not built")

from tapwarden._core import Engine
from tapwarden.collectors import COLLECTORS, Source, collector
from tapwarden.collectors.capture import CaptureCollector
from tapwarden.model.errors import SourceError
from tapwarden.model.event import Event


def replay(path: Path) -> tuple[list[Event], CaptureCollector]:
    made = collector("pcap", Source(path.name, path=path, engine=lambda: Engine('{"checksum_validation": false}')))
    assert isinstance(made, CaptureCollector)
    return [event for batch in made.batches() for event in batch], made


@pytest.fixture
def example(top: Path) -> Path:
    return top / "examples" / "infected-host.pcap"


def test_the_same_file_gives_the_same_ids_wherever_it_lies(example: Path, tmp_path: Path) -> None:
    first, made = replay(example)
    copy = tmp_path / "other.pcap"
    copy.write_bytes(example.read_bytes())
    assert first
    assert [e.id for e in replay(copy)[0]] == [e.id for e in first]
    counters = made.counters()
    assert counters["capture.position_octets"] == counters["capture.size_octets"] == example.stat().st_size


def test_a_cut_file_is_read_as_far_as_it_goes_and_says_so(example: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(example.read_bytes()[:-7])
    events, made = replay(cut)
    assert events
    assert made.problem
    assert made.counters()["capture.problems"] == 1


@pytest.mark.parametrize("content", [b"", b"no capture at all, only text that is long enough"])
def test_what_is_no_capture_is_an_error_not_worth_trying_again(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        replay(path)
    assert not caught.value.retry


@pytest.mark.parametrize("kind", COLLECTORS)
def test_every_collector_can_be_stopped_before_it_began_and_tells_counters(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    path.touch()
    made = collector(kind, Source("x", path=path, interface="lo", engine=lambda: Engine("{}")))
    made.stop()
    assert made.name == "x"
    assert isinstance(made.counters(), dict)
