"""The disk spool: what was appended reaches the store once, in order, whatever happens to process, disk and store."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tapwarden.agent.store.classes import kind_of
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.agent.store.spool import Drain, Fsync, Spool
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event, EventQuery

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Noon:
    def now(self) -> datetime:
        return NOON


def event(number: int, kind: str = "flow", padding: int = 0) -> Event:
    noise = random.Random(number).randbytes(padding).hex()
    record = {"timestamp": "2026-11-24T11:00:00+00:00", "event_type": kind, "n": number, "noise": noise}
    return Event(json.dumps(record, separators=(",", ":")).encode(), f"t:{number}")


def numbers(events: Sequence[Event]) -> list[int]:
    return [one.eve["n"] for one in events]


class Sink:
    """A store that keeps a list, refuses while it is down, and takes its time."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.down = False
        self.calls = 0

    def append(self, events: Sequence[Event]) -> int:
        self.calls += 1
        if self.down:
            raise StoreError("away")
        before = len(self.events)
        self.events.update((one.id, one) for one in events)
        return len(self.events) - before


@pytest.fixture
def spool_at() -> Iterator[Callable[..., Spool]]:
    opened: list[Spool] = []

    def opens(folder: Path, max_octets: int = 50_000_000, **options: object) -> Spool:
        opened.append(Spool(folder, max_octets=max_octets, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield opens
    for spool in opened:
        spool.close()


def everything(spool: Spool) -> list[Event]:
    found: list[Event] = []
    while (batch := spool.take(0)) is not None:
        found += batch.events
        spool.confirm(batch.last_seq)
    spool.commit()
    return found


def drained(spool: Spool, sink: object, folder: Path) -> Drain:
    drain = Drain(spool, sink, refused_file=folder / "refused.json", tell=lambda _state, _text: False)  # type: ignore[arg-type]
    thread = threading.Thread(target=drain.run, daemon=True)
    thread.start()
    drain.wait_until_empty(60)
    drain.finish(20)
    thread.join(20)
    return drain


def test_what_was_appended_comes_out_in_order_also_from_another_process_later(
    tmp_path: Path, spool_at: Callable[..., Spool]
) -> None:
    spool = spool_at(tmp_path)
    for batch in range(50):
        kinds = ("flow", "dns", "alert")
        spool.append([event(3 * batch + k, kind) for k, kind in enumerate(kinds)])
    first = spool.take(0, events_max=30)
    assert first is not None
    assert numbers(first.events) == list(range(30))
    spool.confirm(first.last_seq)
    spool.commit()
    spool.close()
    assert sorted(numbers(everything(spool_at(tmp_path)))) == list(range(30, 150))


def test_octets_of_records_and_origins_come_back_as_they_were(tmp_path: Path, spool_at: Callable[..., Spool]) -> None:
    events = [Event(b'{"event_type": "flow", "x": "\xff"}', "a\udcff:1"), Event(b"no json", "b:2"), Event(b"", "")]
    spool = spool_at(tmp_path)
    spool.append(events)
    spool.close()
    found = everything(spool_at(tmp_path))
    assert [(one.raw, one.origin) for one in found] == [(one.raw, one.origin) for one in events]


def test_a_spool_belongs_to_one_process(tmp_path: Path, spool_at: Callable[..., Spool]) -> None:
    spool_at(tmp_path)
    with pytest.raises(StoreError, match="in use"):
        Spool(tmp_path, max_octets=1_000_000)


@pytest.mark.parametrize("fsync", list(Fsync))
def test_a_drained_spool_takes_little_room(tmp_path: Path, spool_at: Callable[..., Spool], fsync: Fsync) -> None:
    spool = spool_at(tmp_path, 4_000_000, fsync=fsync)
    for start in range(0, 4000, 100):
        spool.append([event(number, padding=100) for number in range(start, start + 100)])
        assert len(everything(spool)) == 100
    assert spool.empty
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 500_000


def test_over_its_bound_context_goes_before_dns_before_alerts_and_all_of_it_is_counted(
    tmp_path: Path, spool_at: Callable[..., Spool]
) -> None:
    spool = spool_at(tmp_path, 1_000_000)
    kinds = ("flow", "http", "dns", "alert")
    given = Counter[str]()
    for number in range(4000):
        kind = kinds[number % 4]
        spool.append([event(number, kind, padding=400)])
        given[kind] += 1
    assert spool.status().size_octets <= 1_000_000
    shed = Counter({k.removeprefix("shed."): n for k, n in spool.status().counters.items() if k.startswith("shed.")})
    kept = Counter(kind_of(one) for one in everything(spool))
    assert kept + shed == given
    assert kept["flow"] + kept["http"] < 50  # what came last, into the room that a dropped segment left
    assert kept["alert"] == 1000 > kept["dns"] > 0 == shed["alert"]


def test_over_its_bound_with_alerts_only_the_oldest_go(tmp_path: Path, spool_at: Callable[..., Spool]) -> None:
    spool = spool_at(tmp_path, 1_000_000)
    for number in range(4000):
        spool.append([event(number, "alert", padding=400)])
    shed = spool.status().counters["shed.alert"]
    assert shed > 0
    for number in range(4000, 4200):
        spool.append([event(number, "flow", padding=400)])
    assert spool.status().counters["shed.alert"] == shed
    assert spool.status().counters["shed.flow"] > 0
    assert numbers(everything(spool))[: 4000 - shed] == list(range(shed, 4000))


def test_a_torn_last_record_is_cut_off_and_counted(tmp_path: Path, spool_at: Callable[..., Spool]) -> None:
    spool = spool_at(tmp_path)
    for number in range(10):
        spool.append([event(number)])
    spool.close()
    (segment,) = tmp_path.glob("network-*.seg")
    torn = segment.stat().st_size - 7
    os.truncate(segment, torn)
    spool = spool_at(tmp_path)
    assert spool.status().counters["damaged_octets"] == torn - segment.stat().st_size > 0
    spool.append([event(10)])
    assert numbers(everything(spool)) == [*range(9), 10]


@pytest.mark.parametrize("where", [0.0, 0.5, 0.999])
def test_a_flipped_bit_costs_one_record_wherever_it_is(
    tmp_path: Path, spool_at: Callable[..., Spool], where: float
) -> None:
    spool = spool_at(tmp_path, 1_600_000)  # several segments, of which the last is looked at closely
    for number in range(400):
        spool.append([event(number, padding=500)])
    spool.close()
    for segment in tmp_path.glob("*.seg"):
        data = bytearray(segment.read_bytes())
        data[int(where * (len(data) - 1))] ^= 0x10
        segment.write_bytes(data)
    damaged = len(list(tmp_path.glob("*.seg")))
    spool = spool_at(tmp_path, 1_600_000)
    kept = numbers(everything(spool))
    assert damaged > 1
    assert len(kept) == 400 - damaged
    assert kept == sorted(kept)
    assert spool.status().counters["damaged_octets"] > 0


def test_a_position_file_that_is_torn_costs_nothing(tmp_path: Path, spool_at: Callable[..., Spool]) -> None:
    spool = spool_at(tmp_path / "spool")
    sink = Sink()
    for number in range(20):
        spool.append([event(number)])
    drained(spool, sink, tmp_path)
    spool.close()
    (tmp_path / "spool" / "position").write_bytes(b"torn")
    spool = spool_at(tmp_path / "spool")
    spool.append([event(20)])
    drain = drained(spool, sink, tmp_path)
    assert len(sink.events) == 21
    assert drain.counters()["duplicates"] == 20


def test_a_store_that_is_away_is_caught_up_with_when_it_is_back(tmp_path: Path, spool_at: Callable[..., Spool]) -> None:
    spool, sink = spool_at(tmp_path / "spool"), Sink()
    told: list[str] = []
    sink.down = True
    drain = Drain(spool, sink, refused_file=tmp_path / "refused", tell=lambda state, _text: told.append(state) or False)
    thread = threading.Thread(target=drain.run, daemon=True)
    thread.start()
    began = time.monotonic()
    for start in range(0, 5000, 100):
        spool.append([event(number) for number in range(start, start + 100)])
    assert time.monotonic() - began < 2, "appending waited for the store"
    while not sink.calls:
        time.sleep(0.01)
    assert not sink.events
    sink.down = False
    assert drain.wait_until_empty(20)
    drain.finish(10)
    thread.join(10)
    assert numbers(list(sink.events.values())) == list(range(5000))
    assert told[0] == "down"
    assert told[-1] == "ok"


def test_a_record_that_the_store_trips_over_holds_up_nothing(tmp_path: Path, spool_at: Callable[..., Spool]) -> None:
    class Trips(Sink):
        def append(self, events: Sequence[Event]) -> int:
            if any(one.eve["n"] == 7 for one in events):
                raise ZeroDivisionError
            return super().append(events)

    spool, sink = spool_at(tmp_path / "spool"), Trips()
    for number in range(20):
        spool.append([event(number)])
    drain = drained(spool, sink, tmp_path)
    assert numbers(list(sink.events.values())) == [n for n in range(20) if n != 7]
    assert drain.counters()["refused"] == 1
    assert json.loads((tmp_path / "refused.json").read_text())["n"] == 7


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_without_room_costs_context_before_alerts(small_disk: Path, spool_at: Callable[..., Spool]) -> None:
    spool = spool_at(small_disk / "spool", 100_000_000)  # a bound that the disk does not have
    failed = 0
    for number in range(4000):
        try:
            spool.append([event(number, "alert" if number % 10 == 0 else "flow", padding=400)])
        except StoreError:
            failed += 1
    assert failed > 0
    counters = spool.status().counters
    kept = Counter(kind_of(one) for one in everything(spool))
    assert kept["alert"] == 400
    assert counters["shed.flow"] > 0
    spool.append([event(5000, "alert")])  # there is room again
    assert numbers(everything(spool)) == [5000]


def test_a_read_only_disk_is_said_and_what_is_spooled_stays(small_disk: Path, spool_at: Callable[..., Spool]) -> None:
    spool = spool_at(small_disk / "spool")
    spool.append([event(number) for number in range(10)])
    spool.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match=r"(?i)read-only"):
        spool_at(small_disk / "spool")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert numbers(everything(spool_at(small_disk / "spool"))) == list(range(10))


SENSOR = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.agent.store.spool import Drain, Spool
from tapwarden.model.event import Event

class Noon:
    def now(self):
        return datetime(2026, 11, 24, 12, tzinfo=UTC)

top, run = Path(sys.argv[1]), sys.argv[2]
spool = Spool(top / "spool", max_octets=500_000_000)
drain = Drain(
    spool, EmbeddedEventStore(top / "events", Noon()), refused_file=top / "refused", tell=lambda _s, _t: False
)
threading.Thread(target=drain.run, daemon=True).start()
number = 0
while True:
    batch = []
    for _ in range(40):
        kind = ("flow", "dns", "alert", "http")[number % 4]
        raw = '{"timestamp":"2026-11-24T11:%02d:00+00:00","event_type":"%s","run":"%s","n":%d}'
        batch.append(Event((raw % (number // 40 % 60, kind, run, number)).encode(), f"{run}:{number}"))
        number += 1
    spool.append(batch)
    print(number, flush=True)  # acknowledged
"""


def test_whatever_was_acknowledged_is_in_the_store_exactly_once_after_many_kills(
    tmp_path: Path, spool_at: Callable[..., Spool]
) -> None:
    choose = random.Random(5)
    acknowledged: dict[str, int] = {}
    for run in range(12):
        process = subprocess.Popen([sys.executable, "-c", SENSOR, str(tmp_path), str(run)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(choose.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        said = [line for line in (first + process.stdout.read()).splitlines(keepends=True) if line.endswith(b"\n")]
        process.stdout.close()
        process.wait()
        acknowledged[str(run)] = int(said[-1])
    store = EmbeddedEventStore(tmp_path / "events", Noon())
    try:
        spool = spool_at(tmp_path / "spool")
        drained(spool, store, tmp_path)
        assert spool.empty
        found = Counter[str]()
        cursor, ids = "", set()
        while True:
            page = store.search(EventQuery(), limit=10_000, cursor=cursor)
            for one in page.events:
                found[one.eve["run"]] += 1
                ids.add((one.eve["run"], one.eve["n"]))
            cursor = page.cursor
            if not cursor:
                break
    finally:
        store.close()
    assert sum(acknowledged.values()) > 5000
    for run, count in acknowledged.items():
        assert {(run, number) for number in range(count)} <= ids, f"run {run} lost events"
    assert len(ids) == sum(found.values()), "an event is there twice"
