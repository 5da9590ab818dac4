"""The EventStore port on the embedded store."""

import json
import os
import random
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapwarden.agent.store.embedded import EmbeddedEventStore, layout
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Bucket, Event, EventQuery, TopEntry
from tapwarden.model.indicator import Indicator, IndicatorType

T0 = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class FixedClock:
    """Noon of one day."""

    def now(self) -> datetime:
        return T0


def an_event(at: datetime = T0, origin: str = "", **eve: Any) -> Event:
    record: dict[str, Any] = {
        "timestamp": at.isoformat(timespec="microseconds").replace("+00:00", "+0000"),
        "event_type": "flow",
        "src_ip": "192.0.2.1",
        "dest_ip": "198.51.100.9",
        "src_port": 40000,
        "dest_port": 443,
    } | eve
    return Event(json.dumps(record).encode(), origin)


Opens = Callable[..., EmbeddedEventStore]


@pytest.fixture
def opens(tmp_path: Path) -> Iterator[Opens]:
    opened: list[EmbeddedEventStore] = []

    def open_store(folder: Path | None = None, **options: Any) -> EmbeddedEventStore:
        opened.append(EmbeddedEventStore(folder or tmp_path / "events", FixedClock(), **options))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(opens: Opens) -> EmbeddedEventStore:
    return opens()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tapwarden-test", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def everything(store: EmbeddedEventStore, query: EventQuery | None = None, limit: int = 7) -> list[Event]:
    events: list[Event] = []
    cursor = ""
    while True:
        page = store.search(query or EventQuery(), limit=limit, cursor=cursor)
        events += page.events
        cursor = page.cursor
        if not cursor:
            return events


def test_what_was_stored_comes_back_octet_for_octet_after_reopening(opens: Opens) -> None:
    events = [
        an_event(origin="eve.json:7:0"),
        Event(b'{ "timestamp":"2026-11-24T12:00:00.5+0200", "odd" : "spac\\u0000ing \\ud800" , "x": 1e3}', "o\ud800"),
        Event('{"event_type":"dns","dns":{"rrname":"bücher.example"}}'.encode()),
    ]
    store = opens()
    assert store.append(events) == 3
    store.close()
    again = opens()
    for event in events:
        assert again.get(event.id) == event
    assert set(everything(again)) == set(events)
    assert again.get("0" * 32) is None
    assert again.get("nonsense") is None


def test_the_same_events_again_are_stored_once(store: EmbeddedEventStore) -> None:
    events = [an_event(T0 + timedelta(milliseconds=n), origin=f"a:{n}") for n in range(300)]
    assert store.append(events[:200] + events[:10]) == 200
    assert store.append(events[100:]) == 100
    assert store.append(events) == 0
    assert store.append([]) == 0
    assert store.count(EventQuery()) == store.status().events == 300
    assert store.append([Event(events[0].raw, "another origin")]) == 1


def test_events_whose_numbers_meet_are_all_kept(store: EmbeddedEventStore) -> None:
    # a number has 26 bits of the id: of 16,000 events of one moment a few share theirs, here or with one stored before
    events = [an_event(origin=str(n)) for n in range(32_000)]
    low = Counter(int(event.id[-7:], 16) & layout.HASH_MASK for event in events)
    meeting = [event for event in events if low[int(event.id[-7:], 16) & layout.HASH_MASK] > 1]
    assert len(meeting) > 2
    assert store.append(events[:16_000]) == 16_000
    assert store.append(events[10_000:]) == 16_000
    assert store.append(events[::-1]) == 0
    for event in meeting:
        assert store.get(event.id) == event
    assert set(everything(store, limit=5000)) == set(events)


def test_small_batches_are_put_together_and_cursors_stay_good(opens: Opens, tmp_path: Path) -> None:
    store = opens()
    moments = list(range(2_000))
    random.Random(3).shuffle(moments)
    events = [an_event(T0 - timedelta(seconds=n), origin=str(n)) for n in moments]
    for event in events[:200]:
        assert store.append([event]) == 1
        assert store.get(event.id) == event, "what came alone is there at once"
    page = store.search(EventQuery(), limit=10)
    for begin in range(200, 2_000, 50):
        store.append(events[begin : begin + 50])
    store.append(events[:300])  # again
    with sqlite3.connect(tmp_path / "events" / "events-2026-11-24.network.db") as connection:
        (blocks,) = connection.execute("SELECT count(*) FROM block").fetchone()
    connection.close()
    assert blocks <= 4 * 8
    last = page.events[-1].timestamp
    older = sorted((e for e in events if e.timestamp < last), key=lambda e: e.timestamp, reverse=True)
    assert list(store.search(EventQuery(), limit=10, cursor=page.cursor).events) == older[:10]
    assert everything(store, limit=300) == sorted(events, key=lambda e: e.timestamp, reverse=True)
    assert store.status().counters["duplicates"] == 300


def test_lists_over_runs_of_blocks_say_what_the_blocks_say(opens: Opens, tmp_path: Path) -> None:
    store = opens()
    for begin in range(0, 34 * 5000, 10_000):
        store.append(
            [
                an_event(
                    T0 - timedelta(milliseconds=100 * n),
                    origin=str(n),
                    event_type=("flow", "tls", "http")[n % 3],
                    src_ip=f"192.0.2.{n % 50}",
                    tls={"sni": f"n{n % 700}.example"},
                )
                for n in range(begin, begin + 10_000)
            ]
        )
    with sqlite3.connect(tmp_path / "events" / "events-2026-11-24.network.db") as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (2,)
    connection.close()
    kinds = ("tls", "http")
    by_tally, by_block = EventQuery(kinds=kinds), EventQuery(kinds=kinds, src_ip="192.0.2.0/24")
    for field in ("src_ip", "domain", "event_type", "dest_port"):
        assert list(store.top(by_tally, field, limit=800)) == list(store.top(by_block, field, limit=800))
        assert list(store.rare(by_tally, field, limit=9)) == list(store.rare(by_block, field, limit=9))
    assert sum(line.count for line in store.top(by_tally, "event_type")) == store.count(by_tally)


def test_paging_is_newest_first_across_days_and_stable_while_events_arrive(store: EmbeddedEventStore) -> None:
    events = [an_event(T0 - n * timedelta(hours=7), origin=str(n)) for n in range(20)]
    store.append(events)
    first = store.search(EventQuery(), limit=6)
    assert list(first.events) == events[:6]
    store.append([an_event(T0 + timedelta(hours=n), origin="later") for n in range(5)])
    rest = everything_after = []
    cursor = first.cursor
    while cursor:
        page = store.search(EventQuery(), limit=6, cursor=cursor)
        rest += page.events
        cursor = page.cursor
    assert everything_after == events[6:]
    with pytest.raises(ValueError, match="no cursor"):
        store.search(EventQuery(), cursor="2026-99-99:1")


def test_every_filter_finds_its_events_and_no_others(store: EmbeddedEventStore) -> None:
    dns = an_event(
        T0 - 2 * DAY,
        event_type="dns",
        src_ip="2001:0db8:0000:0000:0000:0000:0000:0005",
        dest_port=53,
        flow_id=1234567890123456,
        community_id="1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        dns={"version": 3, "queries": [{"rrname": "WWW.Evil.Example"}, {"rrname": "b.example"}]},
        host="tap2",
    )
    alert = an_event(
        T0 - DAY,
        event_type="alert",
        src_ip="10.1.2.3",
        alert={"signature_id": 2024001, "signature": "ET 100% TROJAN_beacon"},
        http={"hostname": "evil.example:8080", "url": "/gate.php?id=1"},
        app_proto="http",
    )
    tls = an_event(
        T0,
        event_type="tls",
        dest_ip="10.1.200.3",
        tls={"sni": "notevil.example", "ja3": {"hash": "AB" * 16}, "ja4": "t13d1516h2_8daaf6152771_b186095e22b6"},
        payload_printable="Hidden TEXT here",
    )
    file = an_event(T0 + timedelta(seconds=1), event_type="fileinfo", fileinfo={"sha256": "CD" * 32})
    store.append([dns, alert, tls, file])

    def found(**query: Any) -> list[Event]:
        events = everything(store, EventQuery(**query))
        assert store.count(EventQuery(**query)) == len(events)
        return events

    assert found() == [file, tls, alert, dns]
    assert found(since=T0 - DAY, until=T0) == [alert]
    assert found(since=T0) == [file, tls]
    assert found(until=T0 - DAY) == [dns]
    assert found(kinds=("dns", "alert", "nothing")) == [alert, dns]
    assert found(kinds=("nothing",)) == []
    assert found(address="2001:db8::5") == [dns]
    assert found(address="10.1.2.3") == [alert]
    assert found(address="10.1.0.0/16") == [tls, alert]
    assert found(address="2001:db8::/32") == [dns]
    assert found(address="0.0.0.0/0") == [file, tls, alert, dns]
    assert found(src_ip="10.1.0.0/16") == [alert]
    assert found(dest_ip="10.1.200.3") == [tls]
    assert found(src_ip="10.1.200.3") == []
    assert found(port=53) == [dns]
    assert found(port=40000, address="10.1.2.3") == [alert]
    assert found(sid=2024001) == [alert]
    assert found(sid=2024002) == []
    assert found(signature="100% trojan_BEACON") == [alert]
    assert found(signature="0%n") == []
    assert found(domain="evil.example") == [alert, dns]
    assert found(domain="www.evil.example.") == [dns]
    assert found(domain="EXAMPLE") == [tls, alert, dns]
    assert found(domain="vil.example") == []
    assert found(url="http://evil.example:8080/gate") == [alert]
    assert found(url="GATE.php?id=1") == [alert]
    assert found(url="g_te") == []
    assert found(file_hash="cd" * 32) == [file]
    assert found(ja="ab" * 16) == [tls]
    assert found(ja="t13d1516h2_8daaf6152771_b186095e22b6") == [tls]
    assert found(community_id="1:LQU9qZlK+B5F3KDmev6m5PMibrg=") == [dns]
    assert found(flow_id=1234567890123456) == [dns]
    assert found(sensor="tap2") == [dns]
    assert found(text="hidden text") == [tls]
    assert found(text="example", kinds=("alert",)) == [alert]
    for nonsense in ("10.1.2", "evil.example", "10.0.0.0/99"):
        with pytest.raises(ValueError, match="is no"):
            store.search(EventQuery(address=nonsense))


def test_histograms_and_top_lists_count_over_all_days(store: EmbeddedEventStore) -> None:
    store.append(
        [
            an_event(
                T0 - n * timedelta(hours=8),
                origin=str(n),
                src_ip=f"192.0.2.{n % 3}",
                event_type="dns",
                app_proto="dns",
                dns={"rrname": f"{'ab'[n % 2]}.example"},
            )
            for n in range(10)
        ]
    )
    assert [bucket.count for bucket in store.histogram(EventQuery(), interval_s=86400)] == [2, 3, 3, 2]
    assert list(store.histogram(EventQuery(domain="a.example", since=T0 - DAY), interval_s=3600)) == [
        Bucket(T0 - timedelta(hours=16), 1),
        Bucket(T0, 1),
    ]
    week = store.histogram(EventQuery(), interval_s=7 * 86400)
    assert sum(bucket.count for bucket in week) == 10
    assert all(bucket.start.timestamp() % (7 * 86400) == 0 for bucket in week)
    assert list(store.top(EventQuery(), "src_ip")) == [
        TopEntry("192.0.2.0", 4),
        TopEntry("192.0.2.1", 3),
        TopEntry("192.0.2.2", 3),
    ]
    assert list(store.top(EventQuery(src_ip="192.0.2.1"), "domain", limit=1)) == [TopEntry("b.example", 2)]
    expected = {"dest_port": "443", "event_type": "dns", "app_proto": "dns", "dest_ip": "198.51.100.9"}
    for field, value in expected.items():
        assert list(store.top(EventQuery(), field)) == [TopEntry(value, 10)]
    for field in ("sid", "signature", "sensor"):
        assert list(store.top(EventQuery(), field)) == []
    with pytest.raises(ValueError, match="top lists"):
        store.top(EventQuery(), "payload; DROP TABLE event")
    with pytest.raises(ValueError, match="second"):
        store.histogram(EventQuery(), interval_s=0)


def test_readers_and_the_writer_do_not_wait_for_each_other(opens: Opens) -> None:
    writer, reader = opens(), opens()
    writer.append([an_event(origin="first")])
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(reader.count(EventQuery()))
            reader.search(EventQuery(address="192.0.2.1"), limit=10)

    thread = threading.Thread(target=read)
    thread.start()
    slowest = 0.0
    for batch in range(40):
        started = time.monotonic()
        writer.append([an_event(T0 + timedelta(seconds=batch), origin=f"{batch}:{n}") for n in range(50)])
        slowest = max(slowest, time.monotonic() - started)
    done.set()
    thread.join()
    assert slowest < 2
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "a reader saw the store grow"
    assert reader.count(EventQuery()) == 2001


def test_records_that_are_no_events_are_counted_and_do_not_stop_the_others(store: EmbeddedEventStore) -> None:
    nonsense = [b"", b"{", b"[1, 2]", b'"text"', b"\xff\xfe", b"[" * 5000, b"null"]
    assert store.append([*(Event(raw) for raw in nonsense), an_event()]) == 1
    status = store.status()
    assert (status.events, status.rejected) == (1, len(nonsense))


def test_absurd_times_open_a_bounded_number_of_files(opens: Opens) -> None:
    store = opens(partitions_max=5)
    absurd = [
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "1969-12-31T23:59:59Z",
        "yesterday",
        "",
        None,
        {},
    ]
    events = [an_event(timestamp=stamp, origin=str(n)) for n, stamp in enumerate(absurd)]
    events += [an_event(T0 + n * DAY, origin="future") for n in range(2, 400)]
    events += [an_event(T0 - n * DAY, origin="past") for n in range(2, 400)]
    assert store.append(events) == len(events)
    assert store.append([an_event()]) == 1
    status = store.status()
    assert len(status.partitions) <= 7
    assert any(name.startswith("2026-11-24.") for name in status.partitions)
    assert status.partitions[-1] == "undated"
    assert status.counters["undated"] > 700
    assert set(everything(store, limit=100)) == {*events, an_event()}
    assert store.append(events) == 0
    for event in events:
        assert store.get(event.id) == event
    assert store.count(EventQuery(since=T0 + 2 * DAY, until=T0 + 4 * DAY)) == 2
    assert sum(bucket.count for bucket in store.histogram(EventQuery(), interval_s=3600)) == len(events) + 1
    assert len(store._writers) <= 8


def test_a_full_disk_is_an_error_and_nothing_stored_is_lost(opens: Opens, small_disk: Path) -> None:
    store = opens(small_disk / "events")
    filler = small_disk / "filler"
    stored: list[Event] = [an_event(origin="kept")]
    store.append(stored)
    filler.write_bytes(os.urandom(1_200_000))

    def fill() -> None:
        for batch in range(1000):
            events = [an_event(origin=f"{batch}:{n}", noise=os.urandom(400).hex()) for n in range(200)]
            store.append(events)
            stored.extend(events)

    with pytest.raises(StoreError, match="full"):
        fill()
    assert store.status().writable is False
    assert "full" in store.status().problem
    assert set(everything(store, limit=500)) == set(stored)
    filler.unlink()
    assert store.append([an_event(origin="after")]) == 1
    assert store.status().writable is True
    assert store.status().problem == ""
    assert store.count(EventQuery()) == len(stored) + 1


def test_a_read_only_folder_answers_and_takes_nothing(opens: Opens, small_disk: Path) -> None:
    store = opens(small_disk / "events")
    store.append([an_event(origin="kept")])
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    again = opens(small_disk / "events")
    assert everything(again) == [an_event(origin="kept")]
    with pytest.raises(StoreError, match=r"readonly|read-only|unable"):
        again.append([an_event(origin="new")])
    assert again.status().writable is False
    assert again.status().events == 1


def test_a_folder_that_cannot_be_made_is_a_clear_error(opens: Opens, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make"):
        opens(tmp_path / "file" / "events")


@pytest.mark.parametrize("damage", ["no database", "torn", "empty pages"])
def test_a_damaged_day_is_set_aside_named_and_counted_and_the_others_answer(
    opens: Opens, tmp_path: Path, damage: str
) -> None:
    store = opens()
    yesterday, today = an_event(T0 - DAY), an_event(T0)
    many = [an_event(T0 - timedelta(seconds=n), origin=str(n), noise=os.urandom(300).hex()) for n in range(1000)]
    store.append([yesterday, today, *many])
    store.close()
    path = tmp_path / "events" / "events-2026-11-24.network.db"
    content = bytearray(path.read_bytes())
    if damage == "no database":
        content[:] = b"garbage" * 1000
    elif damage == "torn":
        del content[len(content) // 3 :]
    else:
        content[8192:] = bytes(len(content) - 8192)
    path.write_bytes(content)

    again = opens()
    assert everything(again) == [yesterday]
    status = again.status()
    assert status.counters["damaged_files"] == 1
    assert "events-2026-11-24.network.db is damaged" in status.problem
    assert "set aside as events-2026-11-24.network.db.damaged-1" in status.problem
    assert (tmp_path / "events" / "events-2026-11-24.network.db.damaged-1").exists()
    assert again.append([today]) == 1
    assert everything(again) == [today, yesterday]


def test_a_day_found_damaged_while_writing_is_set_aside_and_a_new_one_takes_the_events(
    opens: Opens, tmp_path: Path
) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    (folder / "events-2026-11-24.network.db").write_bytes(b"garbage" * 1000)
    store = opens()
    assert store.append([an_event()]) == 1
    assert everything(store) == [an_event()]
    assert "damaged-1" in store.status().problem


def test_a_flipped_bit_in_the_records_is_found_and_counted(opens: Opens, tmp_path: Path) -> None:
    store = opens()
    store.append([an_event(T0 - DAY, origin="good"), an_event()])
    with sqlite3.connect(tmp_path / "events" / "events-2026-11-24.network.db") as connection:
        (data,) = connection.execute("SELECT data FROM piece WHERE id % 32 = 12").fetchone()
        changed = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
        connection.execute("UPDATE piece SET data = ? WHERE id % 32 = 12", (changed,))
    connection.close()
    assert everything(store) == [an_event(T0 - DAY, origin="good")]
    assert store.status().counters["damaged_blocks"] == 1
    assert "2026-11-24.network has 1 damaged block" in store.status().problem


@pytest.mark.parametrize("column", [0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 16, 17, 18, 19])
def test_a_column_that_is_damaged_leaves_its_block_out_and_the_others_in(
    opens: Opens, tmp_path: Path, column: int
) -> None:
    store = opens()
    more: dict[str, Any] = {"app_proto": "http", "http": {"hostname": "a.example", "url": "/x?id=1"}, "flow_id": 7}
    store.append([an_event(T0 - DAY, origin="good", **more), an_event(**more)])
    with sqlite3.connect(tmp_path / "events" / "events-2026-11-24.network.db") as connection:
        assert connection.execute("UPDATE piece SET data = x'28b52ffd00' WHERE id % 32 = ?", (column,)).rowcount == 1
    connection.close()
    queries = [
        EventQuery(address="192.0.2.1", port=443, domain="example", url="x?id=1", flow_id=7, kinds=("flow",)),
        EventQuery(src_ip="192.0.2.0/24", dest_ip="198.51.100.9"),
        EventQuery(until=T0 + timedelta(microseconds=1)),
    ]
    for query in queries:
        assert an_event(T0 - DAY, origin="good", **more) in store.search(query).events
        assert store.count(query) in {1, 2}
        store.top(query, "app_proto")
        assert store.hunt([Indicator(IndicatorType.DOMAIN, "example", "feed")]).matches[0].count in {1, 2}
    assert store.status().counters["damaged_blocks"] == 1
    assert store.append([an_event(origin="new")]) == 1


def test_paging_goes_on_behind_damaged_records(opens: Opens, tmp_path: Path) -> None:
    store = opens()
    for n in range(6):
        store.append([an_event(T0 - timedelta(minutes=n), origin=str(n))])
    with sqlite3.connect(tmp_path / "events" / "events-2026-11-24.network.db") as connection:
        connection.execute("UPDATE piece SET data = x'00' WHERE id % 32 = 12 AND id / 32 BETWEEN 2 AND 5")
    connection.close()
    assert everything(store, limit=2) == [an_event(T0, "0"), an_event(T0 - timedelta(minutes=5), "5")]


def test_a_file_of_another_version_is_left_alone_and_named(opens: Opens, tmp_path: Path) -> None:
    store = opens()
    store.append([an_event(), an_event(T0 - DAY)])
    store.close()
    path = tmp_path / "events" / "events-2026-11-24.network.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    again = opens()
    assert everything(again) == [an_event(T0 - DAY)]
    assert "format 99" in again.status().problem
    with pytest.raises(StoreError, match="format 99"):
        again.append([an_event()])
    assert path.exists()


def test_a_day_dropped_while_others_read_is_simply_gone(opens: Opens, tmp_path: Path) -> None:
    store = opens()
    store.append([an_event(), an_event(T0 - DAY)])
    page = store.search(EventQuery(), limit=1)
    for path in (tmp_path / "events").glob("events-2026-11-23.network.db*"):
        path.unlink()
    assert store.search(EventQuery(), limit=1, cursor=page.cursor).events == ()


def test_a_file_replaced_behind_the_store_is_noticed_by_writer_and_readers(opens: Opens, tmp_path: Path) -> None:
    store = opens()
    store.append([an_event(origin="old")])
    assert store.count(EventQuery()) == 1
    for path in (tmp_path / "events").glob("events-2026-11-24.network.db*"):
        path.unlink()
    assert store.append([an_event(origin="new")]) == 1
    assert everything(store) == [an_event(origin="new")]
    store.close()
    assert everything(opens()) == [an_event(origin="new")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=8,
)
PLAIN = ["timestamp", "event_type", "src_ip", "dest_ip", "src_port", "dest_port", "flow_id", "host", "community_id"]
NESTED = ["alert", "dns", "http", "tls", "quic", "fileinfo", "files", "app_proto"]
names = st.sampled_from([*PLAIN, *NESTED])
inner = st.dictionaries(
    st.sampled_from(
        ["signature_id", "signature", "rrname", "queries", "query", "sni", "ja3", "ja4", "hostname", "url", "sha256"]
    ),
    json_values,
    max_size=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.dictionaries(names, json_values | inner, max_size=8), min_size=1, max_size=5))
def test_no_record_whatever_its_values_is_lost_or_breaks_the_store(
    store: EmbeddedEventStore, records: list[dict[str, Any]]
) -> None:
    events = [Event(json.dumps(record).encode()) for record in records]
    store.append(events)
    for event in events:
        assert store.get(event.id) == event
