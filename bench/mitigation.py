"""From the first matching packet on the wire to the kernel dropping the next, beside fail2ban; and decisions a second.

    python bench/mitigation.py [--trials N] [--entries N] [--rate N] [--seconds N] [--only tapwarden|fail2ban]

Needs root. Two network namespaces with a pair of interfaces between them: packets go from ``source`` to ``gate``, where
a Tapwarden runs as it would anywhere (AF_PACKET, rules, disk spool, evidence, case store, nftables) and enforces, with
``--entries`` addresses blocked already. A trial is an address of its own that sends one datagram a millisecond; what
it took is the time between the sending of the first one and of the first that the receiver never got. The same event
goes to fail2ban in turn: its jail follows Tapwarden's ``eve.json`` (so detection costs both the same) and bans in the
same kernel. Then new addresses come at ``--rate`` a second for ``--seconds``: one decision and one block each.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.mitigation.namespace import inside
from tapwarden.model.decision import (
    Action,
    ActionState,
    Authority,
    AuthorityKind,
    Decision,
    Measure,
    Target,
    TargetType,
)
from tapwarden.model.incident import Incident, IncidentState, ThreatClass

GATE, OURS, THEIRS = "192.0.2.1", 9998, 9999
"""The receiver's address; ports whose datagrams Tapwarden's policy and fail2ban's jail act on."""
EVERY_S = 0.001
MARK = b"TWBENCH "
SO_NO_CHECK = 11
"""No UDP checksum (asm-generic/socket.h): between virtual interfaces nobody would fill it in."""

LIMIT = "threshold:type limit, track by_src, count 1, seconds 60"
"""One alert an address: a flood of them measures how many alerts a second are carried, not how soon one has effect."""
RULES = "\n".join(
    f'alert udp any any -> {GATE} {port} (msg:"bench"; content:"TWBENCH"; {LIMIT}; sid:{port};)'
    for port in (OURS, THEIRS)
)
JAIL = """[DEFAULT]
[bench]
enabled = true
filter = bench
logpath = {eve}
backend = polling
maxretry = 1
findtime = 600
bantime = 3600
action = nftables-allports[name=bench, protocol=udp]
"""
FILTER = """[Definition]
failregex = "src_ip":"<HOST>".*"signature_id":{port}\\b
datepattern = "timestamp":"%%Y-%%m-%%dT%%H:%%M:%%S
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100, help="addresses blocked one after the other, each way")
    parser.add_argument("--entries", type=int, default=100_000, help="addresses blocked before")
    parser.add_argument("--rate", type=int, default=1000, help="new addresses a second")
    parser.add_argument("--seconds", type=int, default=20, help="for so long; 0 leaves it out")
    parser.add_argument("--only", choices=("tapwarden", "fail2ban"))
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    print(f"{asked.entries:,} active entries, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tapwarden-bench-", dir="/var/tmp")))
        net = cleanup.enter_context(wired())
        prefill(folder, asked.entries)
        running = cleanup.enter_context(tapwarden(net, folder, asked.entries))
        ways = {"tapwarden": OURS}
        if asked.only != "tapwarden" and shutil.which("fail2ban-server"):
            cleanup.enter_context(fail2ban(net, folder))
            ways["fail2ban"] = THEIRS
        if asked.only == "fail2ban":
            del ways["tapwarden"]
        took: dict[str, list[float]] = {name: [] for name in ways}
        addresses = (f"198.18.{n >> 8}.{n & 255}" for n in itertools.count(257) if n & 255 not in (0, 255))
        with receiving(net) as seen:
            for _ in range(asked.trials):
                for name, port in ways.items():
                    took[name].append(trial(net, next(addresses), port, seen))
                    time.sleep(0.05)
        for name, values in took.items():
            said(name, values)
        if len(took) == 2:
            ours, theirs = (statistics.median(took[name]) for name in ("tapwarden", "fail2ban"))
            print(f"fail2ban's median is {theirs / ours:.0f} times ours")
        if asked.seconds and "tapwarden" in ways:
            sustained(net, folder, running, asked.rate, asked.seconds)


def said(name: str, values: Sequence[float]) -> None:
    """Print what trials took."""
    inf = [value for value in values if value == float("inf")]
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    median = statistics.median(ordered)
    print(
        f"{name:10} first packet to first drop: median {median * 1000:8.1f} ms   p99 {p99 * 1000:8.1f} ms   "
        f"most {ordered[-1] * 1000:8.1f} ms   of {len(values)}, {len(inf)} never dropped"
    )


class Net:
    """The names of the two namespaces."""

    def __init__(self) -> None:
        tag = uuid.uuid4().hex[:6]
        self.source, self.gate = f"twb{tag}-source", f"twb{tag}-gate"


@contextmanager
def wired() -> Iterator[Net]:
    """The namespaces, joined; every address of 198.18.0.0/15 is one of ``source``."""
    net = Net()
    with ExitStack() as cleanup:
        for name in (net.source, net.gate):
            ip("netns", "add", name)
            cleanup.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", net.gate, "link", "add", "wan", "type", "veth", "peer", "name", "eth0", "netns", net.source)
        ip("-n", net.gate, "addr", "add", f"{GATE}/24", "dev", "wan")
        ip("-n", net.source, "addr", "add", "192.0.2.2/24", "dev", "eth0")
        for name, link in ((net.gate, "wan"), (net.source, "eth0")):
            ip("-n", name, "link", "set", link, "up")
        ip("-n", net.source, "route", "add", "local", "198.18.0.0/15", "dev", "lo")
        ip("-n", net.gate, "route", "add", "198.18.0.0/15", "via", "192.0.2.2")
        yield net


def ip(*arguments: str) -> None:
    """ip(8), or an end with what it said."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=15, check=False)
    if done.returncode:
        sys.exit(f"ip {' '.join(arguments)}: {done.stderr}")


def prefill(folder: Path, entries: int) -> None:
    """A case store whose ledger says that so many addresses are blocked."""
    now = datetime.now(UTC)
    path = folder / "lib" / "cases" / "cases.db"
    cases = SqlCaseStore.at(path)
    cases.put_incident(
        Incident(
            id="bench",
            title="blocked before",
            threat_class=ThreatClass.EVENT,
            severity=2,
            state=IncidentState.SUSPECTED,
            detected_at=now,
            opened_at=now,
            opened_by="bench",
            due_at=now + timedelta(days=1),
            profile="cn-cac-2025",
        )
    )
    authority = Authority(AuthorityKind.PERSON, "bench", "bench", now)
    target = Target(TargetType.ADDRESS, "203.0.113.1")
    until = now + timedelta(days=2)
    cases.put_decision(
        Decision("bench", "bench", Measure.BLOCK, (target,), "gate", "bench", authority, now, until, "bench")
    )
    before = now - timedelta(hours=3)
    for start in range(0, entries, 5000):
        cases.put_actions(
            [
                Action(
                    id=f"bench{n:07}",
                    decision_id="bench",
                    incident_id="bench",
                    measure=Measure.BLOCK,
                    target=Target(TargetType.ADDRESS, f"100.{64 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"),
                    mitigator="nftables",
                    state=ActionState.APPROVED,
                    created_at=before,
                    expires_at=until,
                    dry_run=False,
                )
                for n in range(start, min(start + 5000, entries))
            ]
        )
    cases.close()


class Running:
    """A program that runs, and its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process, self.log = process, log

    def wait_for(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        """Wait; an end with the log's last lines when it takes too long."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"{what}: not within {within_s:.0f} s\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)


@contextmanager
def started(command: Sequence[str], log: Path) -> Iterator[Running]:
    """A program until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Running(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def tapwarden(net: Net, folder: Path, entries: int) -> Iterator[Running]:
    """A Tapwarden that enforces in ``gate`` and has put the entries into effect."""
    etc = folder / "etc"
    etc.mkdir()
    (etc / "bench.rules").write_text(RULES + "\n")
    policy = {
        "name": "bench",
        "match": {"sid": OURS},
        "decide": {
            "measure": "block",
            "targets": "src",
            "scope": "gate",
            "reason": "bench",
            "legal_basis": "bench",
            "duration": "4h",
        },
    }
    settings = {
        "sensor": {"interface": "wan", "home_net": [f"{GATE}/32"], "rules": [str(etc / "bench.rules")]},
        "triage": {"policies": [policy]},
        "mitigation": {"mode": "enforce", "actions_per_hour": 10_000_000},
        "dashboard": {"enabled": False},
    }
    (etc / "tapwarden.yaml").write_text(json.dumps(settings))
    command = ["ip", "netns", "exec", net.gate, sys.executable, "-m", "tapwarden", "run", "--root", str(folder)]
    with started(command, folder / "tapwarden.log") as running:

        def ready() -> bool:
            return blocked(net) >= entries and "state=ok" in running.log.read_text(errors="replace")

        running.wait_for(ready, 300, "tapwarden has put the entries into effect")
        time.sleep(5)
        yield running


def blocked(net: Net) -> int:
    """How many addresses the kernel blocks for Tapwarden."""
    command = ["ip", "netns", "exec", net.gate, "nft", "list", "set", "inet", "tapwarden", "block_v4_32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.count(" counter packets ")


@contextmanager
def fail2ban(net: Net, folder: Path) -> Iterator[Running]:
    """A fail2ban in ``gate`` that follows eve.json."""
    etc = folder / "fail2ban"
    shutil.copytree("/etc/fail2ban", etc, ignore=shutil.ignore_patterns("jail.d", "jail.local"))
    (etc / "jail.d").mkdir()
    (folder / "log").mkdir(exist_ok=True)
    (folder / "log" / "eve.json").touch()
    (etc / "jail.conf").write_text(JAIL.format(eve=folder / "log" / "eve.json"))
    (etc / "fail2ban.local").write_text("[Definition]\ndbfile = None\n")
    (etc / "filter.d" / "bench.conf").write_text(FILTER.format(port=THEIRS))
    sock, pid = folder / "f2b.sock", folder / "f2b.pid"
    inner = ["fail2ban-server", "-f", "-c", str(etc), "-s", str(sock), "-p", str(pid), "--logtarget", "STDOUT"]
    with started(["ip", "netns", "exec", net.gate, *inner, "start"], folder / "fail2ban.log") as running:
        running.wait_for(lambda: b"Jail 'bench' started" in running.log.read_bytes(), 60, "fail2ban runs")
        time.sleep(2)
        yield running


@contextmanager
def receiving(net: Net) -> Iterator[set[tuple[str, int]]]:
    """(address, number) of every datagram that gets through to the receiver."""
    seen: set[tuple[str, int]] = set()
    stop = threading.Event()
    sockets = [inside(net.gate, lambda port=port: bound((GATE, port))) for port in (OURS, THEIRS)]  # type: ignore[misc]

    def receive(sock: socket.socket) -> None:
        sock.settimeout(0.2)
        while not stop.is_set():
            try:
                octets, client = sock.recvfrom(64)
            except TimeoutError:
                continue
            seen.add((client[0], struct.unpack_from(">I", octets, len(MARK))[0]))

    threads = [threading.Thread(target=receive, args=(sock,), daemon=True) for sock in sockets]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for sock in sockets:
            sock.close()


def bound(address: tuple[str, int]) -> socket.socket:
    """A UDP socket."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    sock.bind(address)
    return sock


def trial(net: Net, address: str, port: int, seen: set[tuple[str, int]], *, most_s: float = 5.0) -> float:
    """Seconds from an address's first datagram to the first that was dropped; infinite where none was."""
    sock = inside(net.source, lambda: bound((address, 0)))
    sent: list[float] = []
    with sock:
        began = time.monotonic()
        while time.monotonic() - began < most_s:
            number = len(sent)
            sent.append(time.monotonic())
            sock.sendto(MARK + struct.pack(">I", number), (GATE, port))
            if (
                number % 20 == 0
                and number >= 200
                and not any((address, n) in seen for n in range(number - 100, number))
            ):
                break
            time.sleep(max(0.0, began + (number + 1) * EVERY_S - time.monotonic()))
    time.sleep(0.02)
    lost = next((number for number in range(len(sent)) if (address, number) not in seen), None)
    return float("inf") if lost is None else sent[lost] - sent[0]


def sustained(net: Net, folder: Path, running: Running, rate: int, seconds: int) -> None:
    """One datagram each from many new addresses; how fast they are decided, recorded and blocked."""
    total, before = rate * seconds, blocked(net)
    addresses = [f"198.19.{n >> 8}.{n & 255}" for n in range(min(total, 65_000))]
    send = inside(net.source, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
    began, wall = time.monotonic(), datetime.now(UTC)
    for number, address in enumerate(addresses):
        payload = MARK + struct.pack(">I", 0)
        udp = struct.pack(">HHHH", 40000, OURS, 8 + len(payload), 0) + payload
        header = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 17, 0, socket.inet_aton(address), socket.inet_aton(GATE)
        )
        send.sendto(header + udp, (GATE, 0))
        time.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
    took = time.monotonic() - began
    running.wait_for(lambda: blocked(net) >= before + len(addresses), 300, "all are blocked")
    cases = SqlCaseStore.at(folder / "lib" / "cases" / "cases.db")
    done = sorted(
        action.applied_at
        for action in cases.actions(states=[ActionState.APPLIED, ActionState.VERIFIED], limit=len(addresses))
        if action.applied_at and action.applied_at > wall
    )
    cases.close()
    last = (done[-1] - wall).total_seconds()
    print(
        f"{len(addresses):,} new addresses in {took:.1f} s: {len(done):,} decided, recorded and blocked "
        f"in {last:.1f} s: {len(done) / last:,.0f} decisions/s; the last {max(0.0, last - took):.1f} s after it came"
    )


if __name__ == "__main__":
    main()
