"""Live capture in network namespaces of our own: frames in, events out; the interface goes away and comes back."""

import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("tapwarden._core", reason="the native core is not built")

from tapwarden._core import Engine
from tapwarden.collectors import Source, collector
from tapwarden.collectors.live import LiveCollector
from tapwarden.mitigation.namespace import inside
from tapwarden.model.errors import SourceError
from tapwarden.model.event import Event

pytestmark = pytest.mark.live
CONFIG = '{"checksum_validation": false}'


def sh(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True, timeout=20)


@pytest.fixture
def netns() -> Iterator[str]:
    """A namespace with a veth pair: ``tap`` (watched) and ``far`` (where frames come from)."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and ip to make network namespaces")
    name = f"tw-{uuid.uuid4().hex[:8]}"
    sh(f"ip netns add {name}")
    try:
        make_pair(name)
        yield name
    finally:
        sh(f"ip netns del {name}")


def make_pair(name: str) -> None:
    sh(f"ip -n {name} link add tap type veth peer name far")
    for interface in ("tap", "far"):
        sh(f"ip -n {name} link set {interface} up")


def dns_query(number: int) -> bytes:
    from scapy.layers.dns import DNS, DNSQR
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    question = DNS(id=number, qd=DNSQR(qname=f"n{number}.example"))
    return bytes(
        Ether(dst="02:00:00:00:00:02") / IP(src="198.18.0.5", dst="198.18.0.1") / UDP(sport=20000 + number) / question
    )


def send(netns: str, frames: list[bytes]) -> None:
    def go() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind(("far", 0))
            for frame in frames:
                out.send(frame)

    inside(netns, go)


class Watch:
    """A live collector in its namespace, in a thread, supervised as the runtime does."""

    def __init__(self, kind: str, netns: str, bpf: str = "", *, fanout: int = 0) -> None:
        source = Source("tap", interface="tap", engine=lambda: Engine(CONFIG), run="r", bpf=bpf, fanout=fanout)
        made = collector(kind, source)
        assert isinstance(made, LiveCollector)
        self.collector, self.events, self.errors = made, list[Event](), list[SourceError]()
        self._beat = threading.Event()
        self._thread = threading.Thread(target=lambda: inside(netns, self._run), daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                for batch in self.collector.batches():
                    self._beat.set()
                    self.events.extend(batch)
                return
            except SourceError as error:
                self.errors.append(error)
                if not error.retry:
                    return
                time.sleep(0.1)

    def ready(self) -> None:
        self._beat.clear()
        assert self._beat.wait(8), self.errors

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 8
        while not condition():
            assert time.monotonic() < deadline, (self.errors, self.collector.counters())
            time.sleep(0.05)

    def stop(self) -> None:
        self.collector.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()


KINDS = pytest.mark.parametrize("kind", ["afpacket", "scapy"])


@KINDS
def test_frames_become_events_and_open_flows_are_drained_at_the_end(kind: str, netns: str) -> None:
    watch = Watch(kind, netns)
    watch.ready()
    send(netns, [dns_query(n) for n in range(200)])
    watch.wait(lambda: watch.collector.counters().get("decoder.pkts", 0) >= 200)
    watch.stop()
    assert len([e for e in watch.events if e.kind == "flow" and e.eve.get("dest_port") == 53]) == 200
    assert len({event.id for event in watch.events}) == len(watch.events)
    assert watch.collector.counters()["capture.kernel_drops"] == 0


def both_ways(number: int) -> list[bytes]:
    """A question in two fragments and its answer in one."""
    from scapy.layers.inet import IP, UDP, fragment
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    ends = {"src": "198.18.0.5", "dst": "198.18.0.1"}
    ask = IP(**ends, id=number + 1) / UDP(sport=20000 + number, dport=7) / Raw(b"q" * 1800)
    answer = IP(src=ends["dst"], dst=ends["src"]) / UDP(sport=7, dport=20000 + number) / Raw(b"a")
    return [bytes(Ether(dst="02:00:00:00:00:02") / packet) for packet in (*fragment(ask, 1400), answer)]


def test_several_workers_share_an_interface_and_each_flow_is_whole_at_one_of_them(netns: str) -> None:
    """Both directions and all fragments of a datagram reach the same engine."""
    workers = [Watch("afpacket", netns, fanout=4242) for _ in range(3)]
    for worker in workers:
        worker.ready()
    send(netns, [frame for number in range(200) for frame in both_ways(number)])
    time.sleep(1.5)
    for worker in workers:
        worker.stop()
    seen = [[e.eve for e in w.events if e.kind == "flow" and e.eve.get("dest_port") == 7] for w in workers]
    assert sum(map(len, seen)) == 200
    assert all(seen), [len(flows) for flows in seen]
    assert len({flow["src_port"] for flows in seen for flow in flows}) == 200
    for flow in (flow for flows in seen for flow in flows):
        counted = flow["flow"]
        assert counted["pkts_toclient"] == 1, flow
        assert counted["bytes_toserver"] >= 1800, flow
    assert sum(w.collector.counters()["capture.kernel_drops"] for w in workers) == 0


@KINDS
def test_an_interface_that_goes_down_is_told_and_watched_again_when_it_is_up(kind: str, netns: str) -> None:
    watch = Watch(kind, netns)
    watch.ready()
    sh(f"ip -n {netns} link set tap down")
    watch.wait(lambda: any("down" in str(error) for error in watch.errors))
    sh(f"ip -n {netns} link set tap up")
    watch.ready()
    send(netns, [dns_query(n) for n in range(5)])
    watch.wait(lambda: watch.collector.counters().get("decoder.pkts", 0) >= 5)
    watch.stop()
    assert watch.collector.counters()["capture.reopened"] >= 1


@KINDS
def test_an_interface_that_is_removed_and_made_anew_is_watched_again(kind: str, netns: str) -> None:
    watch = Watch(kind, netns)
    watch.ready()
    sh(f"ip -n {netns} link del tap")
    watch.wait(lambda: any("missing" in str(error) for error in watch.errors))
    make_pair(netns)
    watch.ready()
    send(netns, [dns_query(n) for n in range(5)])
    watch.wait(lambda: watch.collector.counters().get("decoder.pkts", 0) >= 5)
    watch.stop()


@KINDS
def test_a_missing_interface_is_an_error_that_names_those_there_are(kind: str, netns: str) -> None:
    made = collector(kind, Source("x", interface="nosuch0", engine=lambda: Engine(CONFIG)))
    with pytest.raises(SourceError, match=r"nosuch0 is missing .*tap") as caught:
        inside(netns, lambda: next(iter(made.batches())))
    assert caught.value.retry


@KINDS
def test_a_filter_restricts_what_is_seen_and_a_wrong_one_is_an_error(kind: str, netns: str) -> None:
    if not any(Path(top).glob("*/libpcap.so*") for top in ("/usr/lib", "/lib")):
        pytest.skip("libpcap is not installed")
    watch = Watch(kind, netns, bpf="udp and src port 20003")
    watch.ready()
    send(netns, [dns_query(n) for n in range(10)])
    watch.wait(lambda: watch.collector.counters().get("decoder.pkts", 0) >= 1)
    watch.stop()
    assert [e.eve["src_port"] for e in watch.events if e.kind == "flow"] == [20003]
    wrong = collector(kind, Source("tap", interface="tap", engine=lambda: Engine(CONFIG), bpf="nonsense ("))
    with pytest.raises(SourceError, match=r"filter|nonsense"):
        inside(netns, lambda: next(iter(wrong.batches())))
