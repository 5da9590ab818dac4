"""Following eve.json: real files, written, renamed, truncated and cut in the middle while they are read."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tapwarden.collectors import Source, collector
from tapwarden.collectors.eve import EveCollector
from tapwarden.model.errors import SourceError
from tapwarden.model.event import Event
from tapwarden.model.ports import Acknowledged


class Reader:
    """Runs a collector in a thread and keeps what it gave."""

    def __init__(self, path: Path, *, from_start: bool = True, acknowledge: bool = True) -> None:
        made = collector("eve", Source("eve", path=path, bookmark=path.parent / "mark", from_start=from_start))
        assert isinstance(made, EveCollector)
        self.collector = made
        self.events: list[Event] = []
        self._acknowledge = acknowledge
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for batch in self.collector.batches():
            self.events.extend(batch)
            if self._acknowledge:
                self.collector.acknowledge(batch)

    @property
    def numbers(self) -> list[int]:
        return [event.eve["n"] for event in self.events]

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, self.numbers
            time.sleep(0.01)

    def stop(self) -> Sequence[int]:
        self.collector.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()
        return self.numbers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "eve.json"


def line(number: int) -> str:
    return (
        json.dumps({"timestamp": f"2026-01-01T00:00:{number % 60:02}.{number:06}Z", "event_type": "dns", "n": number})
        + "\n"
    )


def write(path: Path, numbers: Iterator[int] | range) -> None:
    with path.open("a") as file:
        file.writelines(line(number) for number in numbers)


def test_lines_are_read_as_they_are_written(path: Path) -> None:
    write(path, range(3))
    reader = Reader(path)
    reader.wait(lambda: len(reader.events) == 3)
    write(path, range(3, 6))
    reader.wait(lambda: len(reader.events) == 6)
    assert reader.stop() == list(range(6))


def test_a_half_written_last_line_waits_for_its_end(path: Path) -> None:
    path.write_text(line(0) + line(1)[:20])
    reader = Reader(path)
    reader.wait(lambda: reader.numbers == [0])
    time.sleep(0.5)
    with path.open("a") as file:
        file.write(line(1)[20:])
    reader.wait(lambda: reader.numbers == [0, 1])
    reader.stop()
    assert reader.collector.counters()["eve.bad_lines"] == 0


def test_bad_lines_are_counted_and_the_rest_is_read(path: Path) -> None:
    bad = ["{", "[]", "1", '{"x": 1}', "\udcff", '{"event_type": 7}', "[" * 100_000]
    path.write_text(line(0) + "\n".join(bad) + "\n" + line(1), errors="surrogateescape")
    reader = Reader(path)
    reader.wait(lambda: reader.numbers == [0, 1])
    reader.stop()
    assert reader.collector.counters()["eve.bad_lines"] == len(bad)


def test_a_line_without_end_is_skipped_in_bounded_memory(path: Path) -> None:
    path.write_text(line(0) + "x" * (20 << 20) + "\n" + line(1))
    reader = Reader(path)
    reader.wait(lambda: reader.numbers == [0, 1])
    reader.stop()
    assert reader.collector.counters()["eve.bad_lines"] == 1


def test_nothing_is_lost_or_doubled_across_renaming_while_it_is_written(path: Path) -> None:
    write(path, range(100))
    reader = Reader(path)
    reader.wait(lambda: len(reader.events) == 100)
    for turn in range(1, 4):
        write(path, range(turn * 100, turn * 100 + 50))
        path.rename(path.with_name(f"eve.json.{turn}"))
        # The writer still has the old file for a moment, as Suricata has until it is told to reopen.
        write(path.with_name(f"eve.json.{turn}"), range(turn * 100 + 50, turn * 100 + 90))
        time.sleep(0.3)
        write(path, range(turn * 100 + 90, turn * 100 + 100))
    reader.wait(lambda: len(reader.events) >= 400)
    assert reader.stop() == list(range(400))
    assert reader.collector.counters()["eve.rotations"] == 3


def test_a_copied_and_truncated_file_is_read_from_its_new_start(path: Path) -> None:
    write(path, range(100))
    reader = Reader(path)
    reader.wait(lambda: len(reader.events) == 100)
    shutil.copy(path, path.with_name("eve.json.1"))
    os.truncate(path, 0)
    write(path, range(100, 103))
    reader.wait(lambda: len(reader.events) == 103)
    assert reader.stop() == list(range(103))
    assert reader.collector.counters()["eve.truncations"] == 1


def test_a_truncated_file_that_has_grown_beyond_the_old_size_is_noticed(path: Path) -> None:
    write(path, range(10))
    reader = Reader(path)
    reader.wait(lambda: len(reader.events) == 10)
    with path.open("r+") as file:
        file.write("".join(line(n) for n in range(100, 150)))
    reader.wait(lambda: len(reader.events) == 60)
    assert reader.stop() == [*range(10), *range(100, 150)]


def test_after_a_restart_it_goes_on_behind_what_was_stored(path: Path) -> None:
    write(path, range(5))
    reader = Reader(path)
    reader.wait(lambda: len(reader.events) == 5)
    reader.stop()
    write(path, range(5, 8))
    second = Reader(path)
    second.wait(lambda: len(second.events) >= 3)
    assert second.stop() == [5, 6, 7]


def test_what_was_not_stored_is_read_again_with_the_same_ids(path: Path) -> None:
    write(path, range(5))
    first, second = Reader(path, acknowledge=False), None
    first.wait(lambda: len(first.events) == 5)
    first.stop()
    second = Reader(path)
    second.wait(lambda: len(second.events) == 5)
    second.stop()
    assert [e.id for e in first.events] == [e.id for e in second.events]


@pytest.mark.parametrize("way", ["rename", "copytruncate"])
def test_what_was_rotated_away_while_it_was_down_is_read_first(path: Path, way: str) -> None:
    write(path, range(5))
    reader = Reader(path)
    reader.wait(lambda: len(reader.events) == 5)
    reader.stop()
    write(path, range(5, 8))
    if way == "rename":
        path.rename(path.with_name("eve.json.1"))
    else:
        shutil.copy(path, path.with_name("eve.json.1"))
        os.truncate(path, 0)
    write(path, range(8, 10))
    second = Reader(path)
    second.wait(lambda: len(second.events) >= 5)
    assert second.stop() == [5, 6, 7, 8, 9]


def test_the_first_time_only_what_is_new_is_read(path: Path) -> None:
    path.write_text(line(0) + line(1) + line(2)[:10])
    reader = Reader(path, from_start=False)
    time.sleep(0.4)
    with path.open("a") as file:
        file.write(line(2)[10:])
    reader.wait(lambda: len(reader.events) == 1)
    assert reader.stop() == [2]


def test_a_missing_file_is_an_error_worth_trying_again_and_then_read_from_its_start(path: Path) -> None:
    made = collector("eve", Source("eve", path=path))
    with pytest.raises(SourceError) as caught:
        next(iter(made.batches()))
    assert caught.value.retry
    write(path, range(2))
    assert [event.eve["n"] for event in next(iter(made.batches()))] == [0, 1]


def test_a_damaged_bookmark_is_as_none(path: Path) -> None:
    write(path, range(2))
    (path.parent / "mark").write_text('{"mark": ')
    reader = Reader(path)
    reader.wait(lambda: len(reader.events) == 2)
    reader.stop()


def test_it_beats_at_least_once_a_second(path: Path) -> None:
    write(path, range(1))
    made = collector("eve", Source("eve", path=path, from_start=True))
    batches = iter(made.batches())
    next(batches)
    start = time.monotonic()
    assert next(batches) == ()
    assert time.monotonic() - start < 1.2
    assert isinstance(made, Acknowledged)
