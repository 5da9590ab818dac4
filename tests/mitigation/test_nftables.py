"""nftables: what the kernel really does, in network namespaces."""

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.nftables import Nftables
from tapwarden.mitigation.ruleset import Rate
from tapwarden.model.decision import Action, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

PEERS = (("198.18.9.1", "198.18.9.2", "198.18.9.0/24"), ("2001:db8:9::1", "2001:db8:9::2", "2001:db8:9::/64"))


def nft(netns: str, *command: str) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", netns, "nft", *command], check=True, capture_output=True, text=True, timeout=20
    )
    return done.stdout


@pytest.fixture
def peer(netns: str) -> Iterator[str]:
    """A second namespace on the same link as ``netns``: 198.18.9.2 and 2001:db8:9::2."""
    other = f"{netns}-p"
    subprocess.run(["ip", "netns", "add", other], check=True, timeout=10)
    try:
        for command in (
            f"-n {netns} link add left type veth peer name right netns {other}",
            f"-n {netns} addr add 198.18.9.1/24 dev left",
            f"-n {netns} addr add 2001:db8:9::1/64 dev left nodad",
            f"-n {other} addr add 198.18.9.2/24 dev right",
            f"-n {other} addr add 2001:db8:9::2/64 dev right nodad",
            f"-n {netns} link set left up",
            f"-n {other} link set right up",
        ):
            subprocess.run(["ip", *command.split()], check=True, timeout=10)
        for own, theirs, _ in PEERS:  # a link that just came up may lose what is sent at once
            assert any(passes(netns, other, theirs) and passes(other, netns, own) for _ in range(5))
        yield other
    finally:
        subprocess.run(["ip", "netns", "del", other], check=True, timeout=10)


def passes(source_ns: str, target_ns: str, address: str) -> bool:
    """Whether a datagram from one namespace arrives at an address in the other."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def listen() -> socket.socket:
        receiver = socket.socket(family, socket.SOCK_DGRAM)
        receiver.bind((address, 0))
        receiver.settimeout(0.5)
        return receiver

    with (
        inside(target_ns, listen) as receiver,
        inside(source_ns, lambda: socket.socket(family, socket.SOCK_DGRAM)) as sender,
    ):
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            try:
                sender.sendto(b"beacon", receiver.getsockname()[:2])
            except OSError:  # dropped on output: the sender is told
                return False
            try:
                return receiver.recv(16) == b"beacon"
            except TimeoutError:
                continue
    return False


def test_a_blocked_address_neither_reaches_us_nor_is_reached_until_it_is_withdrawn(
    netns: str, peer: str, act: Callable[..., Action], now: datetime
) -> None:
    mitigator = Nftables(netns=netns)
    for own, other, network in PEERS:
        for target in (other, network):
            blocks = [act(target)]
            assert passes(netns, peer, other)
            assert passes(peer, netns, own)
            mitigator.apply(blocks, now)
            assert not passes(netns, peer, other)
            assert not passes(peer, netns, own)
            [installed] = mitigator.list()
            assert installed.packets is not None
            assert installed.packets >= 2
            mitigator.withdraw(blocks)
            assert passes(netns, peer, other)
            assert passes(peer, netns, own)


def attempt(source_ns: str, address: str, port: int) -> str:
    """What becomes of a connection attempt: "connected", "refused" or "silence"."""

    def work() -> str:
        try:
            with socket.create_connection((address, port), timeout=0.7):
                return "connected"
        except TimeoutError:
            return "silence"
        except OSError as problem:
            return "silence" if problem.errno == errno.EPERM else "refused"

    return inside(source_ns, work)


@pytest.fixture
def open_ports(netns: str, peer: str) -> Iterator[tuple[int, int]]:
    """Two ports that accept connections on ``netns``, on its addresses of both families."""

    def listen() -> socket.socket:
        return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)

    with inside(netns, listen) as first, inside(netns, listen) as second:
        yield first.getsockname()[1], second.getsockname()[1]


def test_a_rejected_address_is_told_so_and_a_blocked_one_is_not(
    netns: str, peer: str, open_ports: tuple[int, int], act: Callable[..., Action], now: datetime
) -> None:
    mitigator = Nftables(netns=netns)
    for own, other, _ in PEERS:
        assert attempt(peer, own, open_ports[0]) == "connected"
        for measure, seen in ((Measure.REJECT, "refused"), (Measure.BLOCK, "silence")):
            actions = [act(other, measure=measure)]
            mitigator.apply(actions, now)
            assert attempt(peer, own, open_ports[0]) == seen
            assert not passes(peer, netns, own), "what is no TCP is kept away as well"
            mitigator.withdraw(actions)
        assert attempt(peer, own, open_ports[0]) == "connected"


def test_an_endpoint_is_blocked_and_the_other_ports_of_its_address_are_not(
    netns: str, peer: str, open_ports: tuple[int, int], act: Callable[..., Action], now: datetime
) -> None:
    mitigator = Nftables(netns=peer)
    blocked, free = open_ports
    for own, host in ((PEERS[0][0], PEERS[0][0]), (PEERS[1][0], f"[{PEERS[1][0]}]")):
        mitigator.apply([act(Target(TargetType.ENDPOINT, f"{host}:{blocked}/tcp"))], now)
        assert attempt(peer, own, blocked) == "silence"
        assert attempt(peer, own, free) == "connected"
        assert passes(peer, netns, own)


def test_a_rate_limited_address_gets_its_share_and_others_are_not_slowed(
    netns: str, peer: str, act: Callable[..., Action], now: datetime
) -> None:
    mitigator = Nftables(netns=netns, rate=Rate(packets=5, burst=10))
    mitigator.apply([act("198.18.9.2", measure=Measure.RATE_LIMIT)], now)
    with (
        inside(netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver,
        inside(peer, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender,
    ):
        receiver.bind(("0.0.0.0", 0))
        receiver.settimeout(0.3)
        for _ in range(200):
            sender.sendto(b"x", ("198.18.9.1", receiver.getsockname()[1]))
        arrived = 0
        with contextlib.suppress(TimeoutError):
            while receiver.recv(16):
                arrived += 1
    assert 5 <= arrived <= 30
    [installed] = mitigator.list()
    assert installed.measure is Measure.RATE_LIMIT
    assert installed.packets == 200
    assert passes(peer, netns, "2001:db8:9::1")


def test_a_block_ends_by_itself_when_it_expires(
    netns: str, peer: str, act: Callable[..., Action], now: datetime
) -> None:
    mitigator = Nftables(netns=netns)
    mitigator.apply([act("198.18.9.2", expires_at=now + timedelta(seconds=2))], now)
    assert not passes(netns, peer, "198.18.9.2")
    deadline = time.monotonic() + 10
    while not passes(netns, peer, "198.18.9.2"):
        assert time.monotonic() < deadline
    assert mitigator.list() == []


def test_applying_again_renews_the_expiry_to_later_and_to_sooner(
    netns: str, act: Callable[..., Action], now: datetime
) -> None:
    mitigator = Nftables(netns=netns)
    for hours in (1, 9, 2):
        mitigator.apply([act("198.18.9.2", expires_at=now + timedelta(hours=hours))], now)
        [installed] = mitigator.list()
        assert installed.expires_in_s == pytest.approx(hours * 3600, abs=3)


def test_networks_that_overlap_are_separate_entries(netns: str, act: Callable[..., Action], now: datetime) -> None:
    mitigator = Nftables(netns=netns)
    wide, narrow, one = act("198.18.0.0/16"), act("198.18.9.0/24"), act("198.18.9.2")
    mitigator.apply([wide, narrow, one], now)
    mitigator.withdraw([wide])
    assert {entry.target for entry in mitigator.list()} == {narrow.target, one.target}


def test_a_hundred_thousand_addresses_apply_in_one_transaction(
    netns: str, act: Callable[..., Action], now: datetime
) -> None:
    mitigator = Nftables(netns=netns)
    actions = [act(Target(TargetType.ADDRESS, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")) for n in range(90_000)]
    actions += [act(Target(TargetType.ADDRESS, f"2001:db8::{n:x}")) for n in range(1, 10_001)]
    before = generation(netns)
    mitigator.apply(actions, now)
    assert generation(netns) == before + 1
    assert {entry.target for entry in mitigator.list()} == {action.target for action in actions}
    started = time.monotonic()
    mitigator.apply([act("198.18.9.2")], now)
    assert time.monotonic() - started < 0.5, "one more entry must not cost as much as all of them"
    mitigator.clear()
    assert mitigator.list() == []


def generation(netns: str) -> int:
    """How many transactions the namespace's rule set has seen."""
    program = [sys.executable, "-c", _GENERATION]
    done = inside(netns, lambda: subprocess.run(program, capture_output=True, text=True, timeout=20, check=True))
    return int(done.stdout)


_GENERATION = """
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
s.settimeout(5)
# NFT_MSG_GETGEN = 16 in subsystem 10, linux/netfilter/nf_tables.h
s.send(struct.pack("=IHHII", 20, 10 << 8 | 16, 1, 1, 0) + struct.pack("=BBH", 0, 0, 0))
data = s.recv(4096)
# nlmsghdr 16, nfgenmsg 4, attribute NFTA_GEN_ID: length 2, type 2, big-endian 4
print(struct.unpack("!I", data[24:28])[0])
"""


@pytest.mark.parametrize(
    "damage",
    [
        ["flush", "ruleset"],
        ["delete", "table", "inet", "tapwarden"],
        ["flush", "chain", "inet", "tapwarden", "sources"],
        ["flush", "chain", "inet", "tapwarden", "forward"],
        ["add", "table", "inet", "tapwarden", "{ flags dormant; }"],
        ["flush", "set", "inet", "tapwarden", "block_v4_32"],
    ],
    ids=" ".join,
)
def test_whatever_becomes_of_the_table_is_seen_and_put_right_by_applying_again(
    netns: str, peer: str, act: Callable[..., Action], now: datetime, damage: Sequence[str]
) -> None:
    mitigator = Nftables(netns=netns)
    blocks = [act("198.18.9.2")]
    mitigator.apply(blocks, now)
    nft(netns, *damage)
    try:
        assert mitigator.list() == []
    except MitigationError:
        assert "dormant" in str(damage), "nft 1.0.6 may print no valid JSON for a table with flags, and for no other"
    mitigator.withdraw([act("198.18.200.1")])
    mitigator.apply(blocks, now)
    assert [entry.target for entry in mitigator.list()] == [blocks[0].target]
    assert not passes(netns, peer, "198.18.9.2")
    assert not passes(peer, netns, "198.18.9.1")


def test_other_tables_are_left_alone(netns: str, act: Callable[..., Action], now: datetime) -> None:
    nft(netns, "add", "table", "inet", "firewall")
    nft(netns, "add", "set", "inet", "firewall", "block_v4_24", "{ type ipv4_addr; }")
    before = nft(netns, "list", "table", "inet", "firewall")
    mitigator = Nftables(netns=netns, table="mine")
    mitigator.apply([act("198.18.9.2")], now)
    mitigator.clear()
    assert nft(netns, "list", "table", "inet", "firewall") == before
    assert "block_v4_24" not in json.dumps([str(entry) for entry in mitigator.list()])
    assert "mine" not in nft(netns, "list", "tables")


def test_without_nft_the_error_says_what_to_install(act: Callable[..., Action], now: datetime) -> None:
    with pytest.raises(MitigationError, match="install the package nftables"):
        Nftables(nft="nft-that-is-not-here").apply([act("198.18.9.2")], now)


def test_without_the_capability_the_error_says_what_to_grant() -> None:
    program = (
        "import os\n"
        "from tapwarden.mitigation.nftables import Nftables\n"
        "from tapwarden.model.errors import MitigationError\n"
        "os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "try:\n    Nftables(table='tapwarden_test').clear()\n"
        "except MitigationError as problem:\n    print(problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert "grant CAP_NET_ADMIN" in done.stdout, done.stderr


def test_a_namespace_that_does_not_exist_is_named(act: Callable[..., Action], now: datetime) -> None:
    with pytest.raises(MitigationError, match="namespace tw-nowhere does not exist"):
        Nftables(netns="tw-nowhere").apply([act("198.18.9.2")], now)


def test_an_nft_that_hangs_or_talks_nonsense_is_an_error(
    tmp_path: Path, act: Callable[..., Action], now: datetime
) -> None:
    for script, message in (
        ("exec sleep 30", "did not answer in 0.2 s"),
        ("echo yes", "not its JSON"),
        ("exit 3", "exit status 3"),
    ):
        program = tmp_path / "nft"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        with pytest.raises(MitigationError, match=message):
            Nftables(nft=str(program), timeout_s=0.2).apply([act("198.18.9.2")], now)


def test_a_dry_run_action_never_reaches_the_kernel(netns: str, act: Callable[..., Action], now: datetime) -> None:
    mitigator = Nftables(netns=netns)
    with pytest.raises(ValueError, match="dry run"):
        mitigator.apply([act("198.18.9.2", dry_run=True)], now)
    assert mitigator.list() == []


@pytest.mark.parametrize("table", ["", "a b", "x; flush ruleset", "9lives", "t" * 65])
def test_a_table_name_that_is_not_one_is_refused(table: str) -> None:
    with pytest.raises(ValueError, match="not a table name"):
        Nftables(table=table)


def test_only_the_chosen_hooks_block_and_one_given_up_lets_pass_again(
    netns: str, peer: str, act: Callable[..., Action], now: datetime
) -> None:
    blocks = [act("198.18.9.2")]
    Nftables(netns=netns).apply(blocks, now)
    assert not passes(netns, peer, "198.18.9.2")
    narrower = Nftables(netns=netns, hooks=["input", "forward"])
    narrower.apply(blocks, now)
    assert passes(netns, peer, "198.18.9.2")
    assert not passes(peer, netns, "198.18.9.1")
    assert len(narrower.list()) == 1
    assert Nftables(netns=netns).list() == [], "a hook that is wanted and not there means: not in effect"


def test_hooks_that_do_not_exist_are_refused() -> None:
    for hooks in ([], ["prerouting"]):
        with pytest.raises(ValueError, match="hooks are some of input, forward, output"):
            Nftables(hooks=hooks)
