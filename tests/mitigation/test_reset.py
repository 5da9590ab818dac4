"""Resets of real connections: client and server in namespaces of their own, Tapwarden on the router between."""

import contextlib
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.packet import Raw

from tapwarden.mitigation.reset import Reset
from tapwarden.mitigation.reset.ending import MOST, Ending
from tapwarden.mitigation.reset.segment import ACK, RST, read_segment
from tapwarden.mitigation.target import parse_connection
from tapwarden.model.decision import Action, Installed, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError

CLIENT, SERVER = {4: "198.18.0.10", 6: "2001:db8:a::10"}, {4: "198.19.0.10", 6: "2001:db8:b::10"}

SERVE = """
import socket, sys, threading
def take(c):
    try:
        while c.recv(65536): pass
        print("end", flush=True)
    except OSError as e: print("error", e.errno, flush=True)
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family)
print("ready", flush=True)
while True:
    c, _ = s.accept(); print("accepted", flush=True); threading.Thread(target=take, args=(c,), daemon=True).start()
"""

SEND = """
import socket, sys, time
source, port, to, dport, pause = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
s = socket.create_connection((to, dport), source_address=(source, port)); print("connected", flush=True)
sent, end = 0, time.monotonic() + 20
try:
    while time.monotonic() < end:
        if pause >= 0: s.sendall(b"x" * 65536); sent += 1; time.sleep(pause)
        else: s.recv(1)
except OSError as e: print("cut", e.errno, time.time(), flush=True)
"""


class Net:
    """client -- router -- server, both families; programs run at the ends."""

    def __init__(self, router: str) -> None:
        self.router, self.client, self.server = router, f"{router}c", f"{router}s"
        self.running: list[subprocess.Popen[bytes]] = []

    def ip(self, words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True, timeout=10)

    def run(self, netns: str, code: str, *words: object) -> "subprocess.Popen[bytes]":
        command = ["ip", "netns", "exec", netns, sys.executable, "-c", code, *map(str, words)]
        self.running.append(subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0))
        return self.running[-1]

    def serve(self, port: int, family: int = 4) -> "subprocess.Popen[bytes]":
        made = self.run(self.server, SERVE, SERVER[family], port)
        assert line(made) == "ready"
        return made

    def send(self, port: int, dport: int, *, family: int = 4, pause: float = 0.001) -> "subprocess.Popen[bytes]":
        made = self.run(self.client, SEND, CLIENT[family], port, SERVER[family], dport, pause)
        assert line(made) == "connected"
        return made


def line(program: "subprocess.Popen[bytes]") -> str:
    """The next line of what a program says; nothing is read ahead, so that waiting for the pipe works."""
    assert program.stdout is not None
    assert select.select([program.stdout], [], [], 10)[0], "it says nothing"
    return program.stdout.readline().decode().strip()


@pytest.fixture
def net(netns: str) -> Iterator[Net]:
    made = Net(netns)
    with contextlib.ExitStack() as undo:
        for end, number, addresses in (
            (made.client, 18, ("198.18.0", "2001:db8:a:")),
            (made.server, 19, ("198.19.0", "2001:db8:b:")),
        ):
            made.ip(f"netns add {end}")
            undo.callback(made.ip, f"netns del {end}")
            made.ip(f"-n {netns} link add v{number} type veth peer name e0 netns {end}")
            made.ip(f"-n {end} link set lo up")
            v4, v6 = addresses
            for where, device, last in ((netns, f"v{number}", 1), (end, "e0", 10)):
                made.ip(f"-n {where} addr add {v4}.{last}/24 dev {device}")
                made.ip(f"-n {where} addr add {v6}:{last}/64 dev {device} nodad")
                made.ip(f"-n {where} link set {device} up")
            made.ip(f"-n {end} route add default via {v4}.1")
            made.ip(f"-n {end} -6 route add default via {v6}:1")
        command = "sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
        subprocess.run(["ip", "netns", "exec", netns, *command.split()], check=True, timeout=10)
        try:
            yield made
        finally:
            for program in made.running:
                program.kill()
                program.wait(10)
                assert program.stdout is not None
                program.stdout.close()


@pytest.fixture
def make(netns: str, tmp_path: Path) -> Iterator[Callable[..., Reset]]:
    made: list[Reset] = []

    def build(**settings: object) -> Reset:
        own = ("198.18.0.0/24", "2001:db8:a::/64")
        given = {"folder": tmp_path / "reset", "netns": netns, "own": own, "rng": random.Random(7), **settings}
        made.append(Reset(**given))  # type: ignore[arg-type]
        made[-1].start()
        return made[-1]

    yield build
    for one in made:
        one.stop()


@pytest.fixture
def ask(act: Callable[..., Action]) -> Callable[..., Action]:
    def build(target: str | Target, **changes: object) -> Action:
        now = datetime.now(UTC)
        return act(target, measure=Measure.RESET, mitigator="reset", expires_at=now + timedelta(hours=1), **changes)

    return build


def until(reset: Reset, asked: Callable[[Installed], bool], *, within_s: float = 8.0) -> Installed:
    deadline = time.monotonic() + within_s
    while True:
        (shown,) = reset.list()
        if asked(shown):
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)


def connection(port: int, dport: int, family: int = 4) -> Target:
    one, other = CLIENT[family], SERVER[family]
    ends = (f"[{one}]:{port}", f"[{other}]:{dport}") if family == 6 else (f"{one}:{port}", f"{other}:{dport}")
    return Target(TargetType.CONNECTION, f"{ends[0]}-{ends[1]}/tcp")


@pytest.mark.live
@pytest.mark.parametrize("family", [4, 6])
def test_a_transfer_is_cut_at_both_ends_within_ms_and_the_other_connection_goes_on(
    net: Net, make: Callable[..., Reset], ask: Callable[..., Action], family: int
) -> None:
    server = net.serve(8000, family)
    hit, spared = net.send(4001, 8000, family=family), net.send(4002, 8000, family=family)
    assert [line(server), line(server)] == ["accepted", "accepted"]
    time.sleep(0.3)
    reset = make()
    asked_at = time.time()
    reset.apply([ask(connection(4001, 8000, family))], datetime.now(UTC))
    word, errno, at = line(hit).split()
    assert (word, int(errno)) == ("cut", 104)  # ECONNRESET
    assert float(at) - asked_at < 0.5
    assert line(server) == "error 104"
    shown = until(reset, lambda one: one.effective)
    assert shown.note.startswith("ended: both ends have let go; the last word of it ")
    assert float(shown.note.split()[-6]) < 800  # ms; measured on an idle machine: below 20, below 250 at the far end
    assert spared.poll() is None


@pytest.mark.live
def test_an_idle_connection_is_asked_for_its_numbers_and_cut(
    net: Net, make: Callable[..., Reset], ask: Callable[..., Action]
) -> None:
    server = net.serve(8000)
    hit = net.send(4001, 8000, pause=-1)
    assert line(server) == "accepted"
    time.sleep(0.7)
    reset = make()
    reset.apply([ask(connection(4001, 8000))], datetime.now(UTC))
    assert line(hit).startswith("cut 104")
    assert line(server) == "error 104"
    until(reset, lambda one: one.effective)


@pytest.mark.live
def test_every_connection_of_an_address_is_cut_while_the_action_lasts_and_none_after(
    net: Net, make: Callable[..., Reset], ask: Callable[..., Action]
) -> None:
    net.serve(8000)
    reset = make()
    action = ask(SERVER[4])
    reset.apply([action], datetime.now(UTC))
    assert until(reset, lambda one: bool(one.note)).note == "watched for: no connection was seen yet"
    program = net.run(net.client, SEND, CLIENT[4], 4001, SERVER[4], 8000, 0.001)
    assert program.wait(10) or line(program)  # refused in the handshake, or cut right after it
    # Cut in its handshake, an end may have nothing left that answers: said to be not verified then, and no more.
    shown = until(reset, lambda one: one.effective or "not verified" in one.note)
    assert "connections ended" in shown.note
    reset.withdraw([action])
    time.sleep(0.3)
    spared = net.send(4003, 8000)
    time.sleep(0.5)
    assert spared.poll() is None


@pytest.mark.live
def test_where_one_direction_does_not_pass_here_nothing_is_said_to_be_verified(
    net: Net, make: Callable[..., Reset], ask: Callable[..., Action]
) -> None:
    # The server's packets to the client go another way, past Tapwarden.
    net.ip(f"-n {net.server} link add direct type veth peer name direct netns {net.client}")
    for end, last in ((net.server, 2), (net.client, 1)):
        net.ip(f"-n {end} addr add 192.0.2.{last}/24 dev direct")
        net.ip(f"-n {end} link set direct up")
        for device in ("all", "direct", "e0"):
            words = f"netns exec {end} sysctl -q -w net.ipv4.conf.{device}.rp_filter=0"
            net.ip(words)
    net.ip(f"-n {net.server} route add {CLIENT[4]}/32 via 192.0.2.1")
    server = net.serve(8000)
    hit = net.send(4001, 8000)
    assert line(server) == "accepted"
    reset = make()
    reset.apply([ask(connection(4001, 8000))], datetime.now(UTC))
    assert line(hit).startswith("cut 104")
    shown = until(reset, lambda one: "not verified" in one.note)
    assert not shown.effective
    assert "nothing of 198.19.0.10:8000/tcp passes here" in shown.note


@pytest.mark.live
def test_a_connection_of_this_host_is_dropped_by_its_own_kernel(
    net: Net, make: Callable[..., Reset], ask: Callable[..., Action]
) -> None:
    server = net.serve(8000)
    hit = net.run(net.router, SEND, "198.18.0.1", 4001, SERVER[4], 8000, 0.001)
    assert line(hit) == "connected"
    assert line(server) == "accepted"
    reset = make()
    target = Target(TargetType.CONNECTION, f"198.18.0.1:4001-{SERVER[4]}:8000/tcp")
    reset.apply([ask(target)], datetime.now(UTC))
    assert line(hit).startswith("cut")
    assert line(server) == "error 104"
    assert until(reset, lambda one: one.effective).note.startswith("ended: this host's kernel dropped it")


def test_a_connection_of_strangers_is_left_alone(netns: str, tmp_path: Path, ask: Callable[..., Action]) -> None:
    reset = Reset(folder=tmp_path, own=["10.0.0.0/8"], netns=netns)
    with pytest.raises(MitigationError, match="neither end is in an own network"):
        reset.apply([ask(connection(4001, 8000))], datetime.now(UTC))


def _segment(packet: object) -> object:
    return read_segment(bytes(packet))  # type: ignore[call-overload]


def test_to_each_end_go_at_most_three_packets_with_the_numbers_it_expects() -> None:
    name = parse_connection("198.18.0.10:4001-198.19.0.10:8000/tcp")
    ending, sent, now = Ending(name, 0.0, random.Random(1)), [], 0.0
    for index in range(400):
        now += 0.01
        data = IP(src="198.18.0.10", dst="198.19.0.10") / TCP(
            sport=4001, dport=8000, flags="PA", seq=1000 + 10 * index, ack=77
        )
        segment = read_segment(bytes(data / Raw(b"0123456789")))
        assert segment is not None
        sent += list(ending.saw(segment, now)) + list(ending.tick(now))
    packets = [read_segment(one) for one in sent]
    to_client = [one for one in packets if one and one.destination.port == 4001]
    to_server = [one for one in packets if one and one.destination.port == 8000]
    assert 0 < len(to_client) <= MOST
    assert 0 < len(to_server) <= MOST
    assert all(one.seq == 77 for one in to_client if one.flags & RST)  # what the client acknowledged
    assert to_server[0].seq == 1010  # what follows the first segment
    assert ending.verdict.startswith("goes on")
    assert not ending.ended


def test_udp_is_told_by_icmp_with_the_packet_it_sent_and_never_by_a_reset() -> None:
    name = parse_connection("198.18.0.10:4001-198.19.0.10:443/udp")
    ending = Ending(name, 0.0, random.Random(1))
    packet = bytes(IP(src="198.18.0.10", dst="198.19.0.10") / UDP(sport=4001, dport=443) / Raw(b"quic?"))
    segment = read_segment(packet)
    assert segment is not None
    sent = [one for index in range(40) for one in ending.saw(segment, 0.1 * index)]
    assert len(sent) == MOST
    answer = IP(sent[0])
    assert (answer.dst, answer.proto, answer.payload.type, answer.payload.code) == ("198.18.0.10", 1, 3, 3)
    assert bytes(answer.payload.payload)[:20] == packet[:20]
    assert not ending.ended


def test_segments_are_read_behind_extension_headers_and_nothing_is_made_of_what_is_cut() -> None:
    inner = TCP(sport=1, dport=2, flags="FA", seq=9, ack=5)
    packet = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrHopByHop() / inner)
    segment = read_segment(packet)
    assert segment is not None
    assert (segment.seq, segment.follows, segment.flags & ACK) == (9, 10, ACK)
    whole = bytes(IP(src="192.0.2.1", dst="192.0.2.2") / inner)
    for cut in range(len(whole) - 7):
        assert read_segment(whole[:cut]) is None
    fragment = bytes(IP(src="192.0.2.1", dst="192.0.2.2", frag=3) / inner)
    assert read_segment(fragment) is None


def test_an_end_that_missed_its_resets_and_is_told_by_the_other_with_the_right_number_has_let_go() -> None:
    client, server = ("198.18.0.10", 4001), ("198.19.0.10", 8000)
    ending = Ending(parse_connection("198.18.0.10:4001-198.19.0.10:8000/tcp"), 0.0, random.Random(1))

    def say(
        source: tuple[str, int], to: tuple[str, int], now: float, data: bytes = b"", **fields: object
    ) -> list[bytes]:
        header = TCP(sport=source[1], dport=to[1], **fields)
        segment = read_segment(bytes(IP(src=source[0], dst=to[0]) / header / Raw(data)))
        assert segment is not None
        return list(ending.saw(segment, now))

    sent = say(client, server, 0.01, b"0123456789", flags="PA", seq=1000, ack=77)
    assert {one.seq for one in map(read_segment, sent) if one} == {77, 1010}
    say(server, client, 0.02, flags="A", seq=77, ack=2000)  # data under way made the second number too old
    asked = [one for one in ending.tick(1.1) if one]
    assert len(asked) == 2
    say(client, server, 1.11, flags="R", seq=5, ack=0)
    say(server, client, 1.11, flags="A", seq=77, ack=2000)  # still there: it answers what it expects
    assert not ending.over
    say(client, server, 1.12, flags="R", seq=2000, ack=0)  # and its kernel-mate on the other side tells it
    for later in range(12, 40):
        ending.tick(later / 10)
    assert ending.ended
