"""The response policy zone, taken by real resolvers: BIND and Unbound, both ways of transfer."""

import shutil
import socket
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.zone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resolvers import RESOLVER_PORT, SECRET, Resolver, Resolvers

from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.rpz import Rpz
from tapwarden.mitigation.rpz.mitigator import TsigKey
from tapwarden.model.decision import Action, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError

KEY = TsigKey("tapwarden", SECRET)
SINKHOLE = ("198.18.0.9", "2001:db8::9")
NOTIFY = (f"127.0.0.1@{RESOLVER_PORT}",)


@pytest.fixture
def servers(netns: str, tmp_path: Path) -> Iterator[Resolvers]:
    for program in ("named", "unbound", "pdns_recursor", "kresd"):
        if not (shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")):
            pytest.skip(f"{program} is not installed")
    started = Resolvers(netns, tmp_path)
    try:
        started.authority()
        yield started
    finally:
        started.stop()


@pytest.fixture
def make(netns: str, tmp_path: Path) -> Iterator[Callable[..., Rpz]]:
    made: list[Rpz] = []

    def one(**changes: object) -> Rpz:
        given: dict[str, object] = {"folder": tmp_path / "rpz", "port": 0, "netns": netns, "sinkhole": SINKHOLE}
        rpz = Rpz(**{**given, **changes})  # type: ignore[arg-type]
        rpz.start()
        made.append(rpz)
        return rpz

    yield one
    for rpz in made:
        rpz.stop()


@pytest.fixture
def block(act: Callable[..., Action]) -> Callable[..., Action]:
    def make(name: str, measure: Measure = Measure.BLOCK, kind: TargetType = TargetType.DOMAIN) -> Action:
        return act(Target(kind, name), id=f"{measure}-{kind}-{name}", measure=measure, mitigator="rpz")

    return make


def the_zone_does_what_was_decided(rpz: Rpz, resolver: Resolver, block: Callable[..., Action], now: datetime) -> None:
    assert resolver.ask("c2.example") == "198.18.0.66"
    whole, alone = block("c2.example"), block("www.good.example", kind=TargetType.HOSTNAME)
    sunk = block("sink.good.example", Measure.SINKHOLE)
    rpz.apply([whole, alone, sunk], now)
    resolver.reload()
    assert resolver.comes_to("c2.example", "nxdomain")
    assert resolver.ask("deep.below.c2.example") == "nxdomain"
    assert resolver.ask("www.good.example") == "nxdomain"
    assert resolver.ask("below.www.good.example") == "198.18.0.67"
    assert resolver.ask("sink.good.example") == SINKHOLE[0]
    assert resolver.ask("a.sink.good.example", "AAAA") == SINKHOLE[1]
    assert resolver.ask("good.example") == "198.18.0.66"
    rpz.withdraw([whole, sunk])
    resolver.reload()
    assert resolver.comes_to("c2.example", "198.18.0.66")
    assert resolver.comes_to("sink.good.example", "198.18.0.67")
    assert resolver.ask("www.good.example") == "nxdomain"


def test_bind_transfers_the_zone_signed_and_incrementally(
    servers: Resolvers, make: Callable[..., Rpz], block: Callable[..., Action], now: datetime
) -> None:
    rpz = make(tsig=KEY, notify=NOTIFY)
    the_zone_does_what_was_decided(rpz, servers.bind(primary=rpz.port), block, now)
    assert rpz.counters["axfr"] >= 1
    assert rpz.counters["ixfr"] >= 2
    assert rpz.counters["notified"] >= 2


def test_unbound_transfers_the_zone(
    servers: Resolvers, make: Callable[..., Rpz], block: Callable[..., Action], now: datetime
) -> None:
    rpz = make(notify=NOTIFY)
    the_zone_does_what_was_decided(rpz, servers.unbound(primary=rpz.port), block, now)
    assert rpz.counters["axfr"] + rpz.counters["ixfr"] >= 3


def test_powerdns_transfers_the_zone_signed(
    servers: Resolvers, make: Callable[..., Rpz], block: Callable[..., Action], now: datetime
) -> None:
    rpz = make(tsig=KEY)
    started = servers.powerdns(primary=rpz.port)
    the_zone_does_what_was_decided(rpz, Resolver(started.netns), block, now)
    assert rpz.counters["ixfr"] >= 2


@pytest.mark.parametrize("kind", ["bind", "unbound", "powerdns", "knot"])
def test_a_resolver_reads_the_zone_file(
    kind: str, servers: Resolvers, make: Callable[..., Rpz], block: Callable[..., Action], now: datetime, tmp_path: Path
) -> None:
    path = tmp_path / "rpz.zone"
    rpz = make(zone_file=path)
    wait_for(path.exists)

    class Reloading(Resolver):
        def comes_to(self, name: str, expected: str, within_s: float = 15) -> bool:
            for _ in range(int(within_s)):
                self.reload()
                if super().comes_to(name, expected, within_s=1):
                    return True
            return False

    started = getattr(servers, kind)(file=path)
    the_zone_does_what_was_decided(rpz, Reloading(started.netns, started.reload), block, now)
    assert "decision d-1" in path.read_text()


@pytest.mark.parametrize(("response", "seen"), [("nodata", "nodata"), ("drop", "silence")])
def test_blocking_can_also_be_no_data_or_silence(
    response: str,
    seen: str,
    servers: Resolvers,
    make: Callable[..., Rpz],
    block: Callable[..., Action],
    now: datetime,
) -> None:
    bind = response == "nodata"
    rpz = make(notify=NOTIFY, block=response, tsig=KEY if bind else None)
    resolver = servers.bind(primary=rpz.port) if bind else servers.unbound(primary=rpz.port)
    rpz.apply([block("c2.example")], now)
    assert resolver.comes_to("c2.example", seen)


def test_a_name_that_passes_passes_whatever_is_said_of_the_names_above_it(
    servers: Resolvers, make: Callable[..., Rpz], block: Callable[..., Action], now: datetime
) -> None:
    rpz = make(notify=NOTIFY, passthru=["portal.c2.example"], tsig=KEY)
    resolver = servers.bind(primary=rpz.port)
    rpz.apply([block("c2.example")], now)
    assert resolver.comes_to("c2.example", "nxdomain")
    assert resolver.ask("portal.c2.example") == "198.18.0.67"


def test_only_a_resolver_that_was_seen_to_obey_counts_as_effect(
    servers: Resolvers, make: Callable[..., Rpz], block: Callable[..., Action], now: datetime
) -> None:
    rpz = make(notify=NOTIFY, verify=NOTIFY)
    rpz.apply([block("c2.example")], now)
    assert [entry.effective for entry in rpz.list()] == [False], "nobody answers there yet"
    servers.unbound(primary=rpz.port)
    wait_for(lambda: [entry.effective for entry in rpz.list()] == [True])


def test_an_entry_ends_by_itself_and_the_resolver_follows(
    servers: Resolvers, make: Callable[..., Rpz], block: Callable[..., Action], now: datetime
) -> None:
    rpz = make(notify=NOTIFY)
    resolver = servers.unbound(primary=rpz.port)
    action = block("c2.example")
    rpz.apply([action], action.expires_at - timedelta(seconds=4))
    assert resolver.comes_to("c2.example", "nxdomain", within_s=3.5)
    assert resolver.comes_to("c2.example", "198.18.0.66")
    assert list(rpz.list()) == []


def wait_for(condition: Callable[[], bool], within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.1)


# who may take the zone


def ask(rpz: Rpz, netns: str, kind: str = "SOA", **signing: object) -> dns.message.Message:
    query = dns.message.make_query("rpz.tapwarden", kind)
    if signing:
        query.use_tsig(**signing)  # type: ignore[arg-type]
    return inside(netns, lambda: dns.query.tcp(query, "127.0.0.1", timeout=5, port=rpz.port))


def test_without_the_key_or_with_a_wrong_one_nothing_is_said(make: Callable[..., Rpz], netns: str) -> None:
    rpz = make(tsig=KEY)
    assert ask(rpz, netns, "AXFR").rcode() == dns.rcode.REFUSED
    for name, secret in (("tapwarden", "d3Jvbmd3cm9uZ3dyb25nd3Jvbmc="), ("stranger", SECRET)):
        keyring = dns.tsigkeyring.from_text({name: secret})
        query = dns.message.make_query("rpz.tapwarden", "AXFR")
        query.use_tsig(keyring)
        answer = inside(netns, partial(raw, rpz.port, query.to_wire()))
        assert answer is not None
        assert answer[3] & 0xF == dns.rcode.NOTAUTH
        assert struct.unpack("!H", answer[6:8]) == (0,)
    assert ask(rpz, netns, keyring=dns.tsigkeyring.from_text({"tapwarden": SECRET})).answer
    assert rpz.counters["refused_bad_signature"] == 1
    assert rpz.counters["refused_unknown_key"] == 1


def test_a_stranger_is_refused(make: Callable[..., Rpz], netns: str) -> None:
    rpz = make(allow_transfer=["192.0.2.0/24"])
    assert ask(rpz, netns).rcode() == dns.rcode.REFUSED
    assert rpz.counters["refused_not_allowed"] == 1


def raw(port: int, wire: bytes) -> bytes | None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(struct.pack("!H", len(wire)) + wire)
        connection.settimeout(2)
        head = connection.recv(2)
        return connection.recv(65535) if len(head) == 2 else None


def test_octets_that_are_no_query_neither_break_it_nor_get_an_answer(make: Callable[..., Rpz], netns: str) -> None:
    rpz = make()

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=80))
    def send(octets: bytes) -> None:
        def work() -> None:
            with socket.create_connection(("127.0.0.1", rpz.port), timeout=5) as connection:
                connection.sendall(struct.pack("!H", len(octets)) + octets)

        inside(netns, work)

    send()
    assert ask(rpz, netns).answer


def test_twenty_thousand_names_are_published_in_one_step_and_one_more_in_another(
    make: Callable[..., Rpz], block: Callable[..., Action], now: datetime, netns: str
) -> None:
    rpz = make()
    rpz.apply([block(f"n{number}.example") for number in range(20_000)], now)
    zone = dns.zone.Zone("rpz.tapwarden")
    inside(netns, lambda: dns.query.inbound_xfr("127.0.0.1", zone, port=rpz.port, lifetime=60, timeout=60))
    assert len(zone.nodes) == 40_001
    serial = zone.get_soa().serial
    rpz.apply([block("one.more.example")], now)
    query = dns.message.make_query("rpz.tapwarden", "IXFR")
    query.authority.append(
        dns.rrset.from_text("rpz.tapwarden.", 60, "IN", "SOA", f"localhost. nobody.invalid. {serial} 60 30 604800 60")
    )
    answer = inside(netns, lambda: raw(rpz.port, query.to_wire()))
    assert answer is not None
    assert len(answer) < 1000


# state on disk


def test_a_new_process_goes_on_where_the_old_one_was(
    make: Callable[..., Rpz], block: Callable[..., Action], now: datetime, tmp_path: Path
) -> None:
    make().apply([block("c2.example")], now)
    again = Rpz(folder=tmp_path / "rpz", port=0, sinkhole=SINKHOLE)
    assert [entry.target.value for entry in again.list()] == ["c2.example"]


def test_another_response_makes_another_zone_and_no_step_leads_there(
    make: Callable[..., Rpz], block: Callable[..., Action], now: datetime, netns: str, tmp_path: Path
) -> None:
    rpz = make()
    rpz.apply([block("c2.example")], now)
    before = ask(rpz, netns).answer[0][0].serial
    other = make(block="nodata")
    zone = dns.zone.Zone("rpz.tapwarden")
    inside(netns, lambda: dns.query.inbound_xfr("127.0.0.1", zone, port=other.port))
    assert zone.get_soa().serial > before
    assert "*." in str(zone.find_rdataset("c2.example", "CNAME"))


def test_a_damaged_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "rpz.db").write_bytes(b"no database" * 100)
    with pytest.raises(MitigationError, match=r"rpz\.db: file is not a database"):
        Rpz(folder=tmp_path)


def test_a_port_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MitigationError, match=f"cannot be served on 127.0.0.1 port {port}"):
            Rpz(folder=tmp_path, port=port).start()


def test_a_name_too_long_for_the_zone_is_refused_alone(
    make: Callable[..., Rpz], block: Callable[..., Action], now: datetime
) -> None:
    rpz = make()
    long = ".".join(["a" * 60] * 4)
    with pytest.raises(MitigationError, match="too long for the zone"):
        rpz.apply([block(long)], now)
    assert list(rpz.list()) == []


def test_the_zone_survives_a_kill_between_two_steps(
    tmp_path: Path, block: Callable[..., Action], now: datetime
) -> None:
    rpz = Rpz(folder=tmp_path)
    rpz.apply([block("c2.example")], now)
    open_elsewhere = sqlite3.connect(tmp_path / "rpz.db")
    open_elsewhere.execute("BEGIN IMMEDIATE")
    open_elsewhere.execute("DELETE FROM entry")
    open_elsewhere.close()  # as the kernel does for a process that was killed
    assert [entry.target.value for entry in Rpz(folder=tmp_path).list()] == ["c2.example"]
