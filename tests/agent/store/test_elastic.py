"""The Elasticsearch store against a real server: what only it has to get right."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from elasticsearch import ApiError, Elasticsearch

from tapwarden.agent.store.classes import EventClass
from tapwarden.agent.store.elastic import ElasticEventStore, Settings, examine
from tapwarden.agent.store.elastic.template import count_of
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event, EventQuery

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
OpenCluster = Callable[..., ElasticEventStore]


def an_event(number: int, kind: str = "flow", **members: Any) -> Event:
    """The ``number``-th event of a morning, one a second."""
    moment = (NOW - timedelta(seconds=number)).isoformat()
    record = {"timestamp": moment, "event_type": kind, "src_ip": "192.0.2.1", "dest_ip": "198.51.100.1", "host": "gate"}
    return Event(json.dumps(record | members, separators=(",", ":")).encode(), f"eve:{number}")


def events(count: int) -> list[Event]:
    """So many flows."""
    return [an_event(number) for number in range(count)]


@pytest.fixture
def client(elasticsearch: str) -> Iterator[Elasticsearch]:
    """The server itself, to look at what the store made there."""
    with Elasticsearch(elasticsearch) as opened:
        yield opened


@pytest.fixture
def prefix(client: Elasticsearch) -> Iterator[str]:
    """A prefix of the test's own; its indices are removed at the end."""
    name = f"test-{Random().getrandbits(48):012x}"
    yield name
    names = list(client.indices.get(index=f"{name}-*", features="aliases").body)
    if names:
        client.indices.delete(index=names)
    client.options(ignore_status=404).indices.delete_index_template(name=f"{name}-*")


@pytest.fixture
def open_store(elasticsearch: str, prefix: str, tmp_path: Path) -> Iterator[OpenCluster]:
    """Opens stores on the same indices."""
    opened: list[ElasticEventStore] = []

    def opens(url: str = elasticsearch, *, settings: dict[str, Any] | None = None, **options: Any) -> ElasticEventStore:
        made = Settings([url], prefix=prefix, **(settings or {}))
        opened.append(ElasticEventStore(made, tmp_path / "refused.json", **options))
        return opened[-1]

    yield opens
    for store in opened:
        store.close()


# mapping


def test_ten_thousand_distinct_keys_add_no_field(open_store: OpenCluster, client: Elasticsearch, prefix: str) -> None:
    store = open_store()
    store.append([an_event(0)])
    before = client.indices.get_mapping(index=f"{prefix}-network").body
    many = [an_event(1 + n, **{f"key{n}-{k}": {f"inner{k}": k} for k in range(100)}) for n in range(100)]
    assert store.append(many) == 100
    after = client.indices.get_mapping(index=f"{prefix}-network").body
    fields = [count_of(index["mappings"]) for index in (*before.values(), *after.values())]
    assert fields[0] == fields[1]
    assert store.get(many[7].id) == many[7]
    assert "reduced" not in store.status().counters


def test_the_four_classes_of_events_have_four_indices_and_no_more(
    open_store: OpenCluster, client: Elasticsearch, prefix: str
) -> None:
    store = open_store()
    kinds = ("alert", "dns", "flow", "http", "tls", "fileinfo", "stats", "anomaly", "sinkhole", "new")
    store.append([an_event(number, kind) for number, kind in enumerate(kinds)])
    names = sorted(client.indices.get(index=f"{prefix}-*").body)
    assert names == [f"{prefix}-{word}-000001" for word in ("alerts", "detail", "dns", "network")]
    for name in names:
        settings = client.indices.get_settings(index=name).body[name]["settings"]["index"]
        assert settings["number_of_shards"] == "1"


def test_what_the_server_refuses_is_stored_in_a_reduced_form(open_store: OpenCluster) -> None:
    store = open_store()
    odd = an_event(0, "alert", **{"": 1, "alert": {"signature_id": 7, "signature": "TEST evasion", "category": {}}})
    assert store.append([odd, an_event(1)]) == 2
    assert store.status().counters["reduced"] == 1
    assert store.get(odd.id) == odd
    assert store.search(EventQuery(sid=7, signature="evasion", kinds=("alert",), text="EVAS")).events == (odd,)


def test_what_it_refuses_in_any_form_is_put_aside_with_the_reason(
    open_store: OpenCluster, client: Elasticsearch, prefix: str, tmp_path: Path
) -> None:
    own = f"{prefix}-network@custom"
    client.cluster.put_component_template(name=own, template={"mappings": {"_routing": {"required": True}}})
    try:
        store = open_store()
        assert store.append([an_event(0), an_event(1, "alert")]) == 1
        letters = [json.loads(line) for line in (tmp_path / "refused.json").read_text().splitlines()]
        assert [(letter["record"], letter["origin"]) for letter in letters] == [(an_event(0).raw.decode(), "eve:0")]
        assert "routing" in letters[0]["reason"]
        assert store.status().rejected == 1
    finally:
        client.indices.delete(index=f"{prefix}-network-000001", ignore_unavailable=True)
        client.indices.delete_index_template(name=f"{prefix}-network")
        client.cluster.delete_component_template(name=own)


# partitions


def test_what_is_sent_again_after_a_rollover_is_still_stored_once(open_store: OpenCluster) -> None:
    store = open_store()
    assert store.append(events(50)) == 50
    store.partitions.series(EventClass.NETWORK).roll_over()
    assert store.append(events(60)) == 10
    assert store.count(EventQuery()) == 60
    assert len(store.status().partitions) == 2


def test_a_rollover_by_another_sensor_is_noticed(open_store: OpenCluster) -> None:
    ours, theirs = open_store(), open_store()
    assert ours.append(events(50)) == 50
    theirs.partitions.series(EventClass.NETWORK).roll_over()
    assert ours.append(events(60)) == 10
    assert ours.count(EventQuery()) == 60
    assert theirs.append(events(60)) == 0


def test_an_index_that_was_removed_is_made_anew(open_store: OpenCluster, client: Elasticsearch, prefix: str) -> None:
    store = open_store()
    store.append(events(3))
    client.indices.delete(index=f"{prefix}-network-000001")
    with pytest.raises(StoreError, match="made anew"):
        store.append(events(5))
    assert store.append(events(5)) == 5
    assert store.count(EventQuery()) == 5


def test_old_indices_are_dropped_by_age_and_by_size_but_never_the_last(open_store: OpenCluster) -> None:
    store = open_store()
    for kind in ("dns", "flow"):
        store.append([an_event(0, kind)])
        store.partitions.series(EventClass.DNS if kind == "dns" else EventClass.NETWORK).roll_over()
        store.append([an_event(1, kind)])
    now = datetime.now(UTC)
    assert store.expire(now) == []
    assert [name.rpartition("-")[2] for name in store.expire(now + timedelta(days=181))] == ["000001", "000001"]
    assert store.count(EventQuery()) == 2

    small = open_store(settings={"max_octets": 1})
    small.partitions.series(EventClass.NETWORK).roll_over()
    small.partitions.series(EventClass.DNS).roll_over()
    dropped = small.expire(now)
    assert [name.split("-")[-2] for name in dropped] == ["network", "dns"]
    assert small.expire(now) == []


def test_an_index_of_our_name_is_not_written_to(open_store: OpenCluster, client: Elasticsearch, prefix: str) -> None:
    client.indices.create(index=f"{prefix}-network")
    with pytest.raises(StoreError, match="choose another prefix"):
        open_store().append(events(1))


# more than the server answers at once


def test_what_is_too_much_for_one_answer_is_asked_for_in_several(
    open_store: OpenCluster, client: Elasticsearch, prefix: str
) -> None:
    store = open_store()
    number = 10_500
    assert store.append([an_event(second, dest_port=second) for second in range(number)]) == number
    assert store.count(EventQuery()) == number
    client.cluster.put_settings(transient={"search.max_buckets": 10_000})
    try:
        by_second = {"date_histogram": {"field": "@timestamp", "fixed_interval": "1s"}}
        with pytest.raises(ApiError):
            client.search(index=f"{prefix}-network", size=0, aggregations={"by": by_second})
        seconds = store.histogram(EventQuery(), interval_s=1)
    finally:
        client.cluster.put_settings(transient={"search.max_buckets": None})
    assert [bucket.count for bucket in seconds] == [1] * number
    assert (seconds[0].start, seconds[-1].start) == (NOW - timedelta(seconds=number - 1), NOW)

    store.append([an_event(number + again, dest_port=7) for again in range(3)])
    assert [(entry.value, entry.count) for entry in store.top(EventQuery(), "dest_port", limit=1)] == [("7", 4)]
    assert [(entry.value, entry.count) for entry in store.rare(EventQuery(), "dest_port", limit=2)] == [
        ("0", 1),
        ("1", 1),
    ]
    first = store.search(EventQuery(), limit=10_000)
    second = store.search(EventQuery(), limit=10_000, cursor=first.cursor)
    assert (len(first.events), len(second.events), second.cursor) == (10_000, number + 3 - 10_000, "")


# a server that is busy, away, or something else


def test_a_busy_server_is_asked_again_and_nothing_is_lost(
    open_store: OpenCluster, client: Elasticsearch, prefix: str
) -> None:
    """The flood stage's block is answered with 429 for each document."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            client.indices.put_settings(index=f"{prefix}-network", settings={"blocks.read_only_allow_delete": None})

    store = open_store(pause=pause, random=Random(1))
    store.append(events(1))
    client.indices.put_settings(index=f"{prefix}-network", settings={"blocks.read_only_allow_delete": True})
    assert store.append(events(20)) == 19
    assert len(pauses) == 3
    assert pauses == sorted(pauses)
    assert store.status().counters["retried"] == 3 * 20


def test_a_server_that_stays_busy_is_told_after_a_while(
    open_store: OpenCluster, client: Elasticsearch, prefix: str
) -> None:
    passed = [0.0]

    def pause(seconds: float) -> None:
        passed[0] += seconds

    store = open_store(pause=pause, monotonic=lambda: passed[0])
    store.append(events(1))
    client.indices.put_settings(index=f"{prefix}-network", settings={"blocks.read_only_allow_delete": True})
    with pytest.raises(StoreError, match="429"):
        store.append(events(20))
    assert passed[0] < 60
    assert not store.status().writable
    client.indices.put_settings(index=f"{prefix}-network", settings={"blocks.read_only_allow_delete": None})
    assert store.append(events(20)) == 19
    assert store.status().writable


@contextmanager
def proxy(target: str, cut: Sequence[int | None]) -> Iterator[str]:
    """A way to the server that cuts the answers to bulk requests after so many octets, one after the other; None lets
    one through. Its address."""
    host, _, port = target.removeprefix("http://").rpartition(":")
    left = list(cut)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        while octets := source.recv(65536):
            if limit is not None:
                octets, limit = octets[:limit], limit - len(octets)
            sink.sendall(octets)
            if limit is not None and limit <= 0:
                break

    def serve(near: socket.socket) -> None:
        with near, socket.create_connection((host, int(port))) as far:
            while request := near.recv(65536):
                limit = left.pop(0) if b"/_bulk" in request.split(b"\r\n", 1)[0] and left else None
                far.sendall(request)
                wanted = len(request.partition(b"\r\n\r\n")[2])
                length = [line for line in request.split(b"\r\n") if line.lower().startswith(b"content-length:")]
                while length and wanted < int(length[0].split(b":")[1]):
                    more = near.recv(65536)
                    wanted += len(more)
                    far.sendall(more)
                far.settimeout(0.3)
                try:
                    pump(far, near, limit)
                except TimeoutError:
                    far.settimeout(None)  # the answer is complete
                if limit is not None:
                    return

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(near,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


@pytest.mark.parametrize("after", [0, 60, 400])
def test_an_answer_cut_half_way_loses_nothing_and_stores_nothing_twice(
    open_store: OpenCluster, elasticsearch: str, after: int
) -> None:
    open_store().append(events(1))  # the indices are there
    with proxy(elasticsearch, [after, after, None]) as url:
        store = open_store(url, pause=lambda _: None)
        store.append(events(200))
        assert store.count(EventQuery()) == 200
        assert store.append(events(200)) == 0


def test_what_does_not_answer_or_is_something_else_is_told(open_store: OpenCluster, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = open_store(f"http://127.0.0.1:{nobody.getsockname()[1]}", pause=lambda _: None)
        with pytest.raises(StoreError, match="no connection"):
            away.append(events(1))
        with pytest.raises(StoreError, match="no connection"):
            away.search(EventQuery())
        assert "no connection" in away.status().problem
        findings = list(examine(Settings([f"http://127.0.0.1:{nobody.getsockname()[1]}"])))
        assert [state for state, _, _ in findings] == ["fail"]

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                near.recv(65536)
                near.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
                near.close()

        threading.Thread(target=answer, daemon=True).start()
        other = open_store(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(StoreError, match="not Elasticsearch"):
            other.append(events(1))


def test_a_certificate_authority_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"ca\.pem"):
        ElasticEventStore(
            Settings(["https://127.0.0.1:1"], ca_file=str(tmp_path / "ca.pem")), tmp_path / "refused.json"
        )


def test_the_doctor_finds_a_healthy_server(elasticsearch: str) -> None:
    findings = list(examine(Settings([elasticsearch])))
    assert "fail" not in {state for state, _, _ in findings}
    assert any("versions" in text for _, text, _ in findings)


def test_what_is_rare_is_found_among_more_values_than_an_answer_has_and_counted_over_all_indices(
    open_store: OpenCluster, client: Elasticsearch
) -> None:
    store = open_store()
    number = 10_300
    assert store.append([an_event(n, host=f"h{n:05}") for n in range(number)]) == number
    store.partitions.series(EventClass.NETWORK).roll_over()
    store.append([an_event(number + n, host=f"h{n:05}") for n in range(5)])
    store.append([an_event(number + 9, host="a-newcomer", src_ip="192.0.2.77")])
    client.cluster.put_settings(transient={"search.max_buckets": 10_000})
    try:
        found = store.rare(EventQuery(), "sensor", limit=3)
        ends = store.rare(EventQuery(), "src_ip", limit=1)
    finally:
        client.cluster.put_settings(transient={"search.max_buckets": None})
    assert [(entry.value, entry.count) for entry in found] == [("a-newcomer", 1), ("h00005", 1), ("h00006", 1)]
    assert [(entry.value, entry.count) for entry in ends] == [("192.0.2.77", 1)]
