"""Black holes and flow specifications: announced while wanted, in effect once a neighbour is seen to be told."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from tapwarden.mitigation.bgp.route import BlackHole, Route, black_hole, flows
from tapwarden.mitigation.bgp.speaker import Neighbour, Speaker, port_names
from tapwarden.mitigation.target import normalise
from tapwarden.mitigation.wanted import Entry, Wanted
from tapwarden.model.decision import Action, Installed, Measure, TargetType
from tapwarden.model.errors import MitigationError

log = logging.getLogger(__name__)

LOOK_S = 0.25
"""How often the file is looked at for what another process wants."""
READ_BACK_S = 2.0
"""How often ExaBGP is asked what it has sent; after a change at once."""
FRESH_S = 20.0
"""A read-back older than this says nothing: the speaker's thread is gone."""
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0


class Bgp:
    """Announces through ExaBGP, which runs between ``start`` and ``stop``.

    With ``black_hole``, blocked addresses are host routes with BLACKHOLE; with ``flow``, blocked and rate-limited
    addresses, networks and endpoints are flow specifications, two each. At most ``max_routes`` are ever announced.
    """

    name = "bgp"

    def __init__(
        self,
        *,
        folder: Path,
        neighbours: Sequence[Neighbour],
        black_hole: BlackHole | None = None,
        flow: bool = True,
        max_routes: int = 100,
        octets_per_second: int = 9600,
        netns: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if black_hole is None and not flow:
            raise ValueError("bgp needs black holes, flow specifications, or both")
        self._black_hole, self._flow, self._rate, self._max_routes = black_hole, flow, octets_per_second, max_routes
        self.measures = frozenset({Measure.BLOCK, Measure.RATE_LIMIT} if flow else {Measure.BLOCK})
        every = {TargetType.ADDRESS, TargetType.NETWORK, TargetType.ENDPOINT}
        self.target_types = frozenset(every if flow else {TargetType.ADDRESS})
        self._clock, self._port_name = clock, port_names()
        self._wanted = Wanted(folder, "bgp", self.measures, clock)
        self._speaker = Speaker(neighbours, folder, flow=flow, netns=netns)
        self._thread: threading.Thread | None = None
        self._stopping, self._changed = threading.Event(), threading.Event()

    def start(self) -> None:
        """Begin to announce, in a thread of its own; ExaBGP is started again whenever it ends."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._keep, name="bgp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the sessions: neighbours drop what was announced."""
        self._stopping.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(20)

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        """Announce all of them, or none when there would be too many routes (MitigationError)."""
        for action in actions:
            entry = Entry(action.measure, normalise(action.target), 0, 0, "", "", "")
            if action.measure in self.measures and not self._routes(entry):
                raise MitigationError(f"{action.target.value}: no next hop is configured for its family")
        most = self._max_routes
        # A route is at least one entry, so that this bounds the file as well; then what the entries come to.
        try:
            before = {entry.key for entry in self._wanted.entries()}
            put = self._wanted.put(actions, now, most=most)
        except OverflowError as problem:
            raise MitigationError(f"{problem} entries would be announced, max_routes is {most}") from problem
        routes = sum(len(self._routes(entry)) for entry in self._wanted.entries())
        if put and routes > most:
            self._wanted.remove(entry.key for entry in put if entry.key not in before)
            raise MitigationError(f"{routes} routes would be announced, max_routes is {most}")
        self._changed.set()

    def withdraw(self, actions: Sequence[Action]) -> None:
        """Announce them no more; what is not announced is not an error."""
        self._wanted.remove((action.measure, normalise(action.target)) for action in actions)
        self._changed.set()

    def list(self) -> Sequence[Installed]:
        """What is wanted; ``effective`` where ExaBGP lists every route of it as sent to a neighbour with a session."""
        now, fresh = self._clock(), self._wanted.heard_s_ago() <= FRESH_S
        return [entry.installed(now, effective=entry.effective and fresh) for entry in self._wanted.entries()]

    def clear(self) -> None:
        """Announce nothing."""
        self._wanted.clear()
        self._changed.set()

    def _routes(self, entry: Entry) -> Sequence[Route]:
        routes: Sequence[Route] = ()
        if self._black_hole is not None and entry.measure is Measure.BLOCK:
            route = black_hole(entry.target, self._black_hole)
            routes = (route,) if route else ()
        if self._flow:
            rate, names = self._rate, self._port_name
            routes = (*routes, *flows(entry.target, entry.measure, octets_per_second=rate, port_name=names))
        return routes

    # the thread

    def _keep(self) -> None:
        """Keep a speaker, and what it announces as it is wanted."""
        pause_s = RETRY_FIRST_S
        while not self._stopping.is_set():
            try:
                self._speaker.start()
                pause_s = RETRY_FIRST_S
                self._speak()
            except MitigationError as problem:
                log.warning("event=bgp_down problem=%r", str(problem))
                self._report_down(str(problem))
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, RETRY_MOST_S)
        self._speaker.stop()

    def _speak(self) -> None:
        """With a speaker that knows nothing yet: tell it everything, then every change. Raises MitigationError."""
        told: dict[Route, None] = {}
        seen_change, read_at = -1, 0.0
        while not self._stopping.is_set():
            self._changed.clear()
            self._wanted.expire()
            change = self._wanted.change()
            now = time.monotonic()
            if change != seen_change or now - read_at >= READ_BACK_S:
                entries = {entry: self._routes(entry) for entry in self._wanted.entries()}
                self._say(told, _wanted_of(entries))
                missing = self._read_back(entries)
                for route in missing:
                    told.pop(route, None)  # it is said again at the next turn
                seen_change, read_at = change, now
            self._changed.wait(LOOK_S)

    def _say(self, told: dict[Route, None], wanted: dict[Route, None]) -> None:
        for route in [route for route in told if route not in wanted]:
            del told[route]
            if not any(other.listed == route.listed for other in wanted):
                self._speaker.command(route.withdraw)
        for route in wanted:
            if route not in told:
                self._speaker.command(route.announce)
                told[route] = None

    def _read_back(self, entries: Mapping[Entry, Sequence[Route]]) -> Sequence[Route]:
        """Report which entries a neighbour was told; the routes that no neighbour's list has."""
        agreed, sent = self._speaker.established(), self._speaker.sent()
        everywhere = frozenset().union(*sent.values())
        became = {}
        for entry, routes in entries.items():
            at = [
                address
                for address, families in agreed.items()
                if all(route.family in families and route.listed in sent.get(address, ()) for route in routes)
            ]
            refused = {route.family for route in routes} - frozenset().union(*agreed.values())
            note = f"announced to {', '.join(sorted(at))}"
            if not agreed:
                note = "no BGP session is established"
            elif not at:
                note = f"no neighbour takes {', '.join(sorted(refused))}" if refused else "not among what was sent"
            became[entry.key] = (bool(at), note)
        self._wanted.report(became)
        return [route for routes in entries.values() for route in routes if route.listed not in everywhere]

    def _report_down(self, problem: str) -> None:
        try:
            self._wanted.report({entry.key: (False, problem[:300]) for entry in self._wanted.entries()})
        except MitigationError as trouble:
            log.warning("event=bgp_report_failed problem=%r", str(trouble))


def _wanted_of(entries: Mapping[Entry, Sequence[Route]]) -> dict[Route, None]:
    """The routes to announce. What is limited and blocked at once is one flow to BGP: it is blocked."""
    chosen: dict[str, Route] = {}
    for entry in sorted(entries, key=lambda one: one.measure is Measure.BLOCK):
        chosen |= {route.listed: route for route in entries[entry]}
    return dict.fromkeys(chosen.values())
