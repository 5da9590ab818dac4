"""Resets: connections of the targets are ended as soon as a packet of them passes, while the action lasts."""

import contextlib
import logging
import os
import random
import select
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

from tapwarden.mitigation.namespace import enter
from tapwarden.mitigation.reset.ending import Ending
from tapwarden.mitigation.reset.segment import FIN, RST, SYN, Segment, read_segment
from tapwarden.mitigation.reset.wire import MOST_TARGETS, Wire, close_here, own_addresses
from tapwarden.mitigation.target import Connection, Network, normalise, parse_connection, parse_endpoint, parse_network
from tapwarden.mitigation.wanted import Entry, Key, Wanted
from tapwarden.model.decision import Action, Installed, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError

log = logging.getLogger(__name__)

LOOK_S = 0.2
"""How often the file is looked at for what another process wants."""
TURN_S = 0.02
REPORT_S = 0.5
FRESH_S = 10.0
MOST_CONNECTIONS = 4096
"""Connections followed at once; the oldest is forgotten, and counted."""


class Reset:
    """Watches and sends between ``start`` and ``stop``. ``own``: networks one end has to be in.

    TCP ends by resets, UDP is told that the port is not reachable; QUIC is UDP and takes no notice of either.
    """

    name = "reset"
    measures = frozenset({Measure.RESET})
    target_types = frozenset({TargetType.ADDRESS, TargetType.NETWORK, TargetType.ENDPOINT, TargetType.CONNECTION})

    def __init__(
        self,
        *,
        folder: Path,
        own: Sequence[str],
        interface: str = "",
        netns: str = "",
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._own = [ip_network(network) for network in own]
        self._interface, self._netns, self._clock = interface, netns, clock
        self._rng = rng or random.SystemRandom()
        self._wanted = Wanted(folder, self.name, self.measures, clock)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.forgotten = 0

    def start(self) -> None:
        """Begin to watch, in a thread of its own. Raises MitigationError where packets cannot be seen or sent."""
        self._stopping.clear()
        ready, problems = threading.Event(), deque[MitigationError]()
        self._thread = threading.Thread(target=self._run, args=(ready, problems), name="reset", daemon=True)
        self._thread.start()
        ready.wait(20)
        if problems:
            raise problems[0]

    def stop(self) -> None:
        """Watch no more; what was ended stays so."""
        self._stopping.set()
        self._poke()
        if self._thread is not None:
            self._thread.join(10)

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        """End connections of these from now on. MitigationError for one with no end in the own networks."""
        for action in actions:
            target = normalise(action.target)
            if target.type is TargetType.CONNECTION and not self._is_ours(parse_connection(target.value)):
                raise MitigationError(f"{target.value}: neither end is in an own network")
        try:
            self._wanted.put(actions, now, most=MOST_TARGETS)
        except OverflowError as problem:
            raise MitigationError(f"{problem} targets cannot be watched at once, {MOST_TARGETS} can") from problem
        self._poke()

    def withdraw(self, actions: Sequence[Action]) -> None:
        """Let connections of these live; what was ended stays so."""
        self._wanted.remove((action.measure, normalise(action.target)) for action in actions)
        self._poke()

    def list(self) -> Sequence[Installed]:
        """What is watched for; ``effective`` where connections were ended, both ends proved it, and none goes on."""
        now, fresh = self._clock(), self._wanted.heard_s_ago() <= FRESH_S
        shown = []
        for entry in self._wanted.entries():
            if entry.target.type is not TargetType.CONNECTION and not fresh:
                shown.append(Installed(entry.target, entry.measure, entry.ends_at - now, effective=False, note=""))
            else:
                shown.append(entry.installed(now, effective=entry.effective))
        return shown

    def clear(self) -> None:
        """Watch for nothing."""
        self._wanted.clear()
        self._poke()

    # the thread

    def _poke(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is awake already
            os.write(self._wake[1], b".")

    def _is_ours(self, connection: Connection) -> bool:
        ends = (connection.low.address, connection.high.address)
        return any(end.version == network.version and end in network for end in ends for network in self._own)

    def _run(self, ready: threading.Event, problems: deque[MitigationError]) -> None:
        try:
            if self._netns:
                enter(self._netns)
            wire = Wire(self._interface)
        except MitigationError as problem:
            problems.append(problem)
            ready.set()
            return
        ready.set()
        try:
            while not self._stopping.is_set():
                try:
                    _Watch(self, wire, self._wanted).run()
                except MitigationError as problem:
                    log.warning("event=reset_failed problem=%r", str(problem))
                    self._stopping.wait(1)
        finally:
            wire.close()


class _Watch:
    """What the thread knows: the entries, the connections of theirs, and how each is ending."""

    def __init__(self, reset: Reset, wire: Wire, wanted: Wanted) -> None:
        self._reset, self._wire, self._wanted = reset, wire, wanted
        self._entries: dict[Key, Entry] = {}
        self._networks: dict[Key, Network] = {}
        self._by_connection: dict[str, Key] = {}
        self._endings: OrderedDict[str, tuple[Key, Ending]] = OrderedDict()
        self._done: dict[Key, dict[str, int]] = {}
        self._change, self._looked_at, self._reported_at = -1, 0.0, 0.0
        self._own = own_addresses()

    def run(self) -> None:
        """Until told to stop. Raises MitigationError."""
        wake = self._reset._wake[0]
        while not self._reset._stopping.is_set():
            ready, _, _ = select.select([self._wire.fileno(), wake], [], [], TURN_S)
            now = time.monotonic()
            if wake in ready:
                os.read(wake, 4096)
            if wake in ready or now - self._looked_at > LOOK_S:
                self._looked_at = now
                self._look(now)
            for packet in self._wire.packets():
                segment = read_segment(packet)
                if segment is not None:
                    self._saw(segment, time.monotonic())
            for _, ending in list(self._endings.values()):
                self._send(ending.tick(now))
            if now - self._reported_at > REPORT_S:
                self._reported_at = now
                self._report()

    def _look(self, now: float) -> None:
        """Follow what is wanted now."""
        change = self._wanted.change()
        self._wanted.expire()
        if change == self._change:
            return
        self._change = change
        entries = {entry.key: entry for entry in self._wanted.entries()}
        self._endings = OrderedDict((name, kept) for name, kept in self._endings.items() if kept[0] in entries)
        self._done = {key: done for key, done in self._done.items() if key in entries}
        self._entries = entries
        self._by_connection = {key[1].value: key for key in entries if key[1].type is TargetType.CONNECTION}
        self._networks = {key: _place(key[1]) for key in entries if key[1].type is not TargetType.CONNECTION}
        self._wire.watch([_filter(key[1]) for key in entries])
        for name, key in self._by_connection.items():
            if name not in self._endings and not entries[key].effective:
                self._follow(parse_connection(name), key, now)

    def _saw(self, segment: Segment, now: float) -> None:
        connection = segment.connection
        name = str(connection)
        known = self._endings.get(name)
        begins = segment.flags & (SYN | RST | FIN) == SYN
        if known is None or (known[1].over and begins):
            key = self._key_of(segment, name)
            if key is None or segment.flags & RST or not self._reset._is_ours(connection):
                return
            known = key, self._follow(connection, key, now)
        self._send(known[1].saw(segment, now))

    def _follow(self, connection: Connection, key: Key, now: float) -> Ending:
        ending = Ending(connection, now, self._reset._rng, asks=key[1].type is TargetType.CONNECTION)
        self._endings[str(connection)] = (key, ending)
        while len(self._endings) > MOST_CONNECTIONS:
            self._endings.popitem(last=False)
            self._reset.forgotten += 1
        # An end that is this host gets nothing from the wire: its kernel is told, and tells the other end itself.
        if close_here(connection, self._own):
            ending.closed_here(now)
        return ending

    def _key_of(self, segment: Segment, name: str) -> Key | None:
        if name in self._by_connection:
            return self._by_connection[name]
        for key, network in self._networks.items():
            for end in (segment.source, segment.destination):
                if end.address.version != network.version or end.address not in network:
                    continue
                if key[1].type is not TargetType.ENDPOINT or key[1].value == str(end):
                    return key
        return None

    def _send(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            if not self._wire.send(packet):
                log.debug("event=reset_without_route")

    def _report(self) -> None:
        by_key: dict[Key, list[Ending]] = {key: [] for key in self._entries}
        for key, ending in self._endings.values():
            by_key[key].append(ending)
        self._wanted.report({key: became for key, endings in by_key.items() if (became := self._became(key, endings))})

    def _became(self, key: Key, endings: Sequence[Ending]) -> tuple[bool, str] | None:
        if not endings:
            if self._entries[key].effective:
                return None  # it was ended before this process began
            return False, "watched for: no connection was seen yet"
        ended = [ending for ending in endings if ending.ended]
        open_ = [ending for ending in endings if not ending.ended]
        if key[1].type is TargetType.CONNECTION:
            return bool(ended), endings[0].words()
        words = f"{len(ended)} connections ended"
        if open_:
            words += f", {len(open_)} not: {open_[-1].connection} {open_[-1].words()}"
        return bool(ended) and not open_, words


def _place(target: Target) -> Network:
    """The network that a target other than a connection is in."""
    if target.type is TargetType.ENDPOINT:
        return parse_network(str(parse_endpoint(target.value).address))
    return parse_network(target.value)


def _filter(target: Target) -> str:
    """The packets of a target, in pcap-filter(7)'s words. What the kernel keeps back cannot flood this process."""
    if target.type is TargetType.CONNECTION:
        one = parse_connection(target.value)
        ends = (one.low, one.high)
        places = " and ".join(f"host {end.address} and port {end.port}" for end in ends)
        return f"({one.protocol} and {places})"
    if target.type is TargetType.ENDPOINT:
        end = parse_endpoint(target.value)
        return f"({end.protocol} and host {end.address} and port {end.port})"
    return f"((tcp or udp) and net {parse_network(target.value)})"
