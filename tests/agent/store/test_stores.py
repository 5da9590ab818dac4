"""What every event store promises. A new entry in the table of stores is covered for free."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tapwarden.agent.store.stores import EVENT_STORES
from tapwarden.model.event import RANKED_FIELDS, Event, EventOrder, EventQuery
from tapwarden.model.hunt import HuntResult
from tapwarden.model.indicator import Indicator, IndicatorType
from tapwarden.model.ports import EventStore

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SHA256 = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
MD5 = "44d88612fea8a8f36de82e1278abb02f"
JA3 = "e7d705a3286e19ea42f587b344ee6865"
JA4 = "t13d1516h2_8daaf6152771_e5627efa2ab1"
CERTIFICATE = "6c:7e:71:31:5b:0e:ad:d3:19:c8:fe:43:c5:f7:1e:40:84:d3:0a:c9"
EVERYTHING = EventQuery()
COMMUNITY_ID = "1:LQU9qZlK+B5F3KDmev6m5PMibrg="


def an_event(kind: str, minutes_ago: float, origin: str = "", **members: Any) -> Event:
    """A record of this kind, so long before noon."""
    moment = NOW - timedelta(minutes=minutes_ago)
    record = {
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
        "flow_id": 1000 + int(minutes_ago),
        "event_type": kind,
        "src_ip": "192.0.2.10",
        "src_port": 50000,
        "dest_ip": "198.51.100.7",
        "dest_port": 443,
        "proto": "TCP",
        "host": "gate",
    }
    return Event(json.dumps(record | members, separators=(",", ":")).encode(), origin or f"eve:{minutes_ago}")


def an_alert(
    minutes_ago: float, sid: int = 2000001, signature: str = "TEST Beacon to controller", **members: Any
) -> Event:
    """An alert of this rule."""
    alert = {
        "action": "allowed",
        "gid": 1,
        "signature_id": sid,
        "rev": 3,
        "signature": signature,
        "category": "Malware Command and Control Activity Detected",
        "severity": 1,
    }
    return an_event("alert", minutes_ago, **{"app_proto": "tls", "alert": alert} | members)


def a_morning() -> list[Event]:
    """Newest first."""
    return [
        an_alert(1, community_id=COMMUNITY_ID),
        an_alert(2),
        an_alert(3, src_ip="192.0.2.11"),
        an_alert(4, sid=2000002, signature="TEST Scan of 100% of ports"),
        an_event(
            "dns",
            5,
            app_proto="dns",
            dest_port=53,
            proto="UDP",
            dns={"type": "query", "id": 7, "rrname": "www.Evil.example", "rrtype": "A"},
        ),
        an_event(
            "dns",
            6,
            app_proto="dns",
            dest_port=53,
            proto="UDP",
            dns={"version": 3, "type": "request", "queries": [{"rrname": "notevil.example", "rrtype": "A"}]},
        ),
        an_event(
            "tls",
            7,
            app_proto="tls",
            tls={
                "sni": "evil.example",
                "version": "TLS 1.3",
                "ja3": {"hash": JA3, "string": "771"},
                "ja4": JA4,
                "fingerprint": CERTIFICATE,
                "subject": "CN=evil.example",
            },
        ),
        an_event(
            "http",
            8,
            app_proto="http",
            dest_port=80,
            http={
                "hostname": "files.example",
                "url": "/Drop/stage2.bin?id=1",
                "http_method": "GET",
                "status": 200,
                "http_user_agent": "Mozilla/5.0 Odd",
                "length": 4096,
            },
        ),
        an_event(
            "fileinfo",
            9,
            app_proto="http",
            fileinfo={"filename": "/Drop/stage2.bin", "sha256": SHA256, "md5": MD5, "size": 4096, "state": "CLOSED"},
        ),
        an_event(
            "flow",
            10,
            src_ip="2001:db8:20::5",
            dest_ip="2001:db8::1",
            dest_port=22,
            app_proto="ssh",
            flow={
                "pkts_toserver": 4,
                "pkts_toclient": 3,
                "bytes_toserver": 400,
                "bytes_toclient": 300,
                "start": "2026-11-24T11:49:00.000000+0000",
                "end": "2026-11-24T11:50:00.000000+0000",
                "state": "closed",
            },
        ),
        an_event("flow", 11, host="attic", dest_ip="203.0.113.9"),
        an_event("anomaly", 60 * 24, anomaly={"type": "decode", "event": "decoder.ipv4.trunc_pkt"}),
    ]


OpenStore = Callable[[Path], AbstractContextManager[EventStore]]


@pytest.fixture(params=EVENT_STORES)
def store(
    request: pytest.FixtureRequest, event_stores: Mapping[str, OpenStore], tmp_path: Path
) -> Iterator[EventStore]:
    """An empty store of each kind."""
    with event_stores[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module", params=EVENT_STORES)
def filled(
    request: pytest.FixtureRequest, event_stores: Mapping[str, OpenStore], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EventStore]:
    """A store of each kind that holds ``a_morning``, for tests that only read."""
    with event_stores[request.param](tmp_path_factory.mktemp("filled")) as opened:
        opened.append(a_morning())
        yield opened


@pytest.fixture
def morning(store: EventStore) -> Sequence[Event]:
    """What is in the store: ``a_morning``."""
    events = a_morning()
    assert store.append(events) == len(events)
    return events


def test_what_is_stored_comes_back_octet_for_octet_and_once(store: EventStore, morning: Sequence[Event]) -> None:
    assert store.append(morning) == 0
    assert store.count(EventQuery()) == len(morning)
    for event in morning:
        assert store.get(event.id) == event
    assert store.get("0" * 32) is None
    assert store.get("no id") is None


@pytest.mark.parametrize(
    "raw",
    [
        b'{"timestamp":"2026-11-24T11:00:00Z","event_type":"dns","dns":{"rrname":"a\\/b.example"}}',
        b'{"timestamp": "2026-11-24T11:00:00Z", "event_type": "dns" , "n": 1.50, "big": 12345678901234567890123}',
        b'{"timestamp":"2026-11-24T11:00:00Z","event_type":"http","http":{"url":"/\\ud800"}}',
        b'{"timestamp":"2026-11-24T11:00:00Z","event_type":"alert","alert":"none","flow_id":{"a":1},"src_ip":["x"]}',
        b'{"timestamp":"2026-11-24T11:00:00Z","event_type":["alert"],"":{".":1,"a..b":{"":[]}},"alert.gid":{}}',
        b'{"timestamp":"yesterday","src_ip":"no address","dest_port":"https","event_type":"flow","flow":{"age":-1}}',
        b'{"timestamp":"2026-11-24T11:00:00Z","event_type":"stats","a":' + b'{"a":' * 300 + b"1" + b"}" * 301,
        b'{"timestamp":"2026-11-24T11:00:00Z","event_type":"http","http":{"hostname":"' + b"x." * 40_000 + b'"}}',
        b'{"timestamp":"9999-12-31T23:59:59Z","event_type":"flow","src_port":70000,"flow_id":-1}',
        b'{"timestamp":"1960-01-01T00:00:00Z","event_type":"flow","event_type":"dns"}',
    ],
)
def test_whatever_a_record_holds_it_is_stored_and_comes_back(store: EventStore, raw: bytes) -> None:
    event = Event(raw, "odd:1")
    assert store.append([event, an_event("flow", 1)]) == 2
    assert store.get(event.id) == event
    assert store.append([event]) == 0
    assert event in store.search(EventQuery()).events


def test_what_is_no_record_is_counted_and_keeps_nothing_else_out(store: EventStore) -> None:
    assert store.append([Event(b"[1]"), Event(b'{"event'), an_event("flow", 1)]) == 1
    assert store.status().rejected == 2


MATCHES: Sequence[tuple[EventQuery, Sequence[int]]] = [
    (EventQuery(), range(12)),
    (EventQuery(kinds=("dns", "tls")), [4, 5, 6]),
    (EventQuery(address="198.51.100.7"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 11]),
    (EventQuery(address="192.0.2.11"), [2]),
    (EventQuery(address="192.0.2.8/30"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11]),
    (EventQuery(address="2001:db8:20::/48"), [9]),
    (EventQuery(address="2001:DB8::1"), [9]),
    (EventQuery(src_ip="203.0.113.9"), []),
    (EventQuery(dest_ip="203.0.113.0/24"), [10]),
    (EventQuery(port=53), [4, 5]),
    (EventQuery(port=50000, kinds=("flow",)), [9, 10]),
    (EventQuery(sid=2000002), [3]),
    (EventQuery(signature="beacon TO"), [0, 1, 2]),
    (EventQuery(signature="100% of"), [3]),
    (EventQuery(signature="Bea*"), []),
    (EventQuery(domain="evil.example"), [4, 6]),
    (EventQuery(domain="EXAMPLE."), [4, 5, 6, 7]),
    (EventQuery(domain="vil.example"), []),
    (EventQuery(url="files.example/drop/STAGE2"), [7]),
    (EventQuery(url="http://files.example/drop"), [7]),
    (EventQuery(url="stage?.bin"), []),
    (EventQuery(file_hash=SHA256.upper()), [8]),
    (EventQuery(file_hash=MD5), [8]),
    (EventQuery(ja=JA3), [6]),
    (EventQuery(ja=JA4), [6]),
    (EventQuery(community_id=COMMUNITY_ID), [0]),
    (EventQuery(flow_id=1004), [3]),
    (EventQuery(sensor="attic"), [10]),
    (EventQuery(text="oZilla"), [7]),
    (EventQuery(text="Mozilla/5.0 Odd"), [7]),
    (EventQuery(text="trunc_pkt"), [11]),
    (EventQuery(text="nowhere"), []),
    (EventQuery(since=NOW - timedelta(minutes=4)), [0, 1, 2, 3]),
    (EventQuery(until=NOW - timedelta(minutes=4)), range(4, 12)),
    (EventQuery(since=NOW - timedelta(minutes=7), until=NOW - timedelta(minutes=5), domain="evil.example"), [6]),
    (EventQuery(sid=2000001, src_ip="192.0.2.10", text="beacon"), [0, 1]),
]


@pytest.mark.parametrize(("query", "places"), MATCHES, ids=str)
def test_a_query_finds_what_it_says(filled: EventStore, query: EventQuery, places: Sequence[int]) -> None:
    events = a_morning()
    assert list(filled.search(query).events) == [events[place] for place in places]
    assert filled.count(query) == len(places)
    assert sum(bucket.count for bucket in filled.histogram(query, interval_s=3600)) == len(places)


@pytest.mark.parametrize(
    "query", [EventQuery(address="nowhere"), EventQuery(address="192.0.2.0/99"), EventQuery(src_ip="*")], ids=str
)
def test_a_query_that_makes_no_sense_is_refused(filled: EventStore, query: EventQuery) -> None:
    with pytest.raises(ValueError, match="is no"):
        filled.search(query)
    with pytest.raises(ValueError, match="is no"):
        filled.search(EventQuery(), cursor="guess")


@pytest.mark.parametrize("order", EventOrder)
def test_pages_show_each_event_once_while_others_arrive(store: EventStore, order: EventOrder) -> None:
    there = [an_event("flow", minute / 60, origin=f"{minute}") for minute in range(100, 120)]
    there += [an_event("flow", 60 * 24 + minute, origin=f"{minute}") for minute in range(5)]
    store.append(there)
    listed: list[Event] = []
    cursor = ""
    for number in range(100):
        page = store.search(EventQuery(kinds=("flow",)), limit=4, cursor=cursor, order=order)
        listed += page.events
        cursor = page.cursor
        if not cursor:
            break
        assert len(page.events) == 4
        arriving = an_event("flow", 0.001 * number if order is EventOrder.NEWEST else 60 * 48 + number, origin="late")
        store.append([arriving])
    assert listed == (there if order is EventOrder.NEWEST else there[::-1])


def test_events_of_one_moment_are_listed_in_a_stable_order(store: EventStore) -> None:
    there = [an_event("flow", 3, origin=f"{number}") for number in range(30)]
    store.append(there)
    whole = store.search(EventQuery()).events
    paged = [store.search(EventQuery(), limit=10)]
    while paged[-1].cursor:
        paged.append(store.search(EventQuery(), limit=10, cursor=paged[-1].cursor))
    assert [event for page in paged for event in page.events] == list(whole)
    assert set(whole) == set(there)


def test_a_histogram_counts_by_whole_intervals_oldest_first(filled: EventStore) -> None:
    hours = filled.histogram(EventQuery(), interval_s=3600)
    assert [(bucket.start, bucket.count) for bucket in hours] == [
        (NOW - timedelta(hours=24), 1),
        (NOW - timedelta(hours=1), 11),
    ]
    minutes = filled.histogram(EventQuery(kinds=("alert",)), interval_s=60)
    assert [bucket.count for bucket in minutes] == [1, 1, 1, 1]
    assert minutes[0].start == NOW - timedelta(minutes=4)
    with pytest.raises(ValueError, match="interval"):
        filled.histogram(EventQuery(), interval_s=0)


def test_top_and_rare_lists_rank_every_field(filled: EventStore) -> None:
    def top(field: str, query: EventQuery = EVERYTHING, limit: int = 2) -> list[tuple[str, int]]:
        return [(entry.value, entry.count) for entry in filled.top(query, field, limit=limit)]

    def rare(field: str, limit: int = 2) -> list[tuple[str, int]]:
        return [(entry.value, entry.count) for entry in filled.rare(EventQuery(), field, limit=limit)]

    assert top("src_ip") == [("192.0.2.10", 10), ("192.0.2.11", 1)]
    assert rare("src_ip") == [("192.0.2.11", 1), ("2001:db8:20::5", 1)]
    assert top("dest_ip", limit=1) == [("198.51.100.7", 10)]
    assert top("dest_port", limit=2) == [("443", 8), ("53", 2)]
    assert rare("dest_port", limit=3) == [("22", 1), ("80", 1), ("53", 2)]
    assert top("sid") == [("2000001", 3), ("2000002", 1)]
    assert rare("sid") == [("2000002", 1), ("2000001", 3)]
    assert top("signature", limit=1) == [("TEST Beacon to controller", 3)]
    assert top("domain", limit=9) == [
        ("evil.example", 1),
        ("files.example", 1),
        ("notevil.example", 1),
        ("www.evil.example", 1),
    ]
    assert top("event_type", limit=1) == [("alert", 4)]
    assert top("event_type", EventQuery(domain="evil.example")) == [("dns", 1), ("tls", 1)]
    assert top("app_proto", limit=1) == [("tls", 5)]
    assert top("sensor") == [("gate", 11), ("attic", 1)]
    assert rare("sensor") == [("attic", 1), ("gate", 11)]
    for field in RANKED_FIELDS:
        assert len(filled.top(EventQuery(), field, limit=1)) == 1
        assert len(filled.rare(EventQuery(), field, limit=1)) == 1
    for ranked in (filled.top, filled.rare):
        with pytest.raises(ValueError, match="payload"):
            ranked(EventQuery(), "payload; DROP TABLE event")


def test_rare_values_are_found_among_thousands_of_frequent_ones(store: EventStore) -> None:
    store.append([an_event("flow", 1 + n / 1000, dest_port=1 + n % 5000, origin=f"{n}") for n in range(10_000)])
    store.append([an_event("flow", 60 * 24, dest_port=60_000 + n) for n in range(3)])
    assert [(entry.value, entry.count) for entry in store.rare(EventQuery(), "dest_port", limit=4)] == [
        ("60000", 1),
        ("60001", 1),
        ("60002", 1),
        ("1", 2),
    ]


def test_alerts_are_grouped_by_rule_source_and_destination(filled: EventStore) -> None:
    groups = filled.groups(EventQuery())
    assert [(group.sid, group.src_ip, group.dest_ip, group.count) for group in groups] == [
        (2000001, "192.0.2.10", "198.51.100.7", 2),
        (2000001, "192.0.2.11", "198.51.100.7", 1),
        (2000002, "192.0.2.10", "198.51.100.7", 1),
    ]
    assert groups[0].signature == "TEST Beacon to controller"
    assert (groups[0].first, groups[0].last) == (NOW - timedelta(minutes=2), NOW - timedelta(minutes=1))
    assert [group.sid for group in filled.groups(EventQuery(sid=2000002))] == [2000002]
    assert len(filled.groups(EventQuery(), limit=1)) == 1


def indicators(**values: str) -> list[Indicator]:
    """Indicators by type."""
    return [Indicator(IndicatorType(name), value, "feed") for name, value in values.items()]


def hunted(result: HuntResult) -> dict[str, int]:
    """How many events each indicator was found in."""
    return {match.indicator.type.value: match.count for match in result.matches}


def test_a_hunt_finds_indicators_of_every_type_in_the_past(filled: EventStore) -> None:
    result = filled.hunt(
        indicators(
            ip="203.0.113.9",
            ip_port="198.51.100.7:53",
            network="2001:db8:20::/48",
            domain="evil.example",
            url="http://files.example/Drop/stage2.bin?id=1",
            file_hash=SHA256.upper(),
            ja3=JA3,
            ja4=JA4,
            cert_sha1=CERTIFICATE.replace(":", ""),
        )
    )
    assert hunted(result) == {
        "ip": 1,
        "ip_port": 2,
        "network": 1,
        "domain": 2,
        "url": 1,
        "file_hash": 1,
        "ja3": 1,
        "ja4": 1,
        "cert_sha1": 1,
    }
    assert result.complete
    domain = next(match for match in result.matches if match.indicator.type is IndicatorType.DOMAIN)
    events = a_morning()
    assert domain.events == (events[4], events[6])
    assert (domain.first, domain.last) == (events[6].timestamp, events[4].timestamp)
    assert [match.last for match in result.matches] == sorted((match.last for match in result.matches), reverse=True)


def test_a_hunt_keeps_to_its_span_and_says_what_it_cannot_look_for(filled: EventStore) -> None:
    wrong = indicators(ip="nowhere", network="192.0.2.0/99", ip_port="192.0.2.1")
    result = filled.hunt([*indicators(domain="evil.example"), *wrong], since=NOW - timedelta(minutes=6))
    assert hunted(result) == {"domain": 1}
    assert set(result.unsupported) == set(wrong)
    assert not result.complete
    assert hunted(filled.hunt(indicators(domain="evil.example"), until=NOW - timedelta(minutes=6))) == {"domain": 1}


def test_a_hunt_says_which_times_it_had_no_time_to_search(filled: EventStore) -> None:
    result = filled.hunt(indicators(domain="evil.example"), budget_s=0)
    assert not result.complete
    assert result.matches == ()
    for event in a_morning():
        assert any(
            (span.start is None or span.start <= event.timestamp) and (span.end is None or event.timestamp < span.end)
            for span in result.unsearched
        )


def test_a_hunt_for_a_whole_feed_is_one_call(filled: EventStore) -> None:
    feed = [Indicator(IndicatorType.DOMAIN, f"c{n}.bad.example", "feed") for n in range(3000)]
    feed += [Indicator(IndicatorType.IP, f"198.18.{n // 250}.{n % 250}", "feed") for n in range(3000)]
    result = filled.hunt([*feed, *indicators(ip="203.0.113.9")], budget_s=60)
    assert hunted(result) == {"ip": 1}
    assert result.complete


def test_the_status_says_how_much_there_is_and_of_when(filled: EventStore) -> None:
    status = filled.status()
    events = a_morning()
    assert (status.events, status.newest, status.oldest) == (12, events[0].timestamp, events[-1].timestamp)
    assert status.writable
    assert status.size_octets > 0
    assert status.partitions
