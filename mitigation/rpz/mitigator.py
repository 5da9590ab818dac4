"""Names blocked or sinkholed at the resolvers: a response policy zone that we keep and serve as its primary."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

import dns.name
import dns.tsig

from tapwarden.mitigation.database import folder_for
from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.rpz.entries import Entries, Entry
from tapwarden.mitigation.rpz.policy import Response, ResponsePolicy, strongest
from tapwarden.mitigation.rpz.resolver import obeys
from tapwarden.mitigation.rpz.server import Peer, Primary, Terms
from tapwarden.mitigation.rpz.transfer import Zone
from tapwarden.mitigation.rpz.zone_file import write_zone_file
from tapwarden.mitigation.target import normalise
from tapwarden.model.decision import Action, Installed, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError

log = logging.getLogger(__name__)

LONGEST_OWNER = 253
"""Characters a name may have with the zone's own behind it."""
CHECKS = 200
"""Names that one read-back asks the resolvers about: first those never seen to work, then the rest in turn."""

ASKED_AT_A_TIME = 32
"""Names that are asked about at once."""

Key = tuple[Measure, Target]


@dataclass(frozen=True, slots=True)
class TsigKey:
    """A shared secret of primary and resolvers (RFC 8945); ``secret`` is base64."""

    name: str
    secret: str
    algorithm: str = "hmac-sha256"


class Rpz:
    """Blocks names (``hostname``: the name alone; ``domain``: it and all below) at every resolver that takes the zone.

    ``folder`` keeps the entries. ``block`` is nxdomain, nodata or drop; sinkholing needs ``sinkhole`` addresses.
    ``notify`` are the resolvers to tell of changes, ``verify`` those to ask whether they obey ("192.0.2.53@5300").
    ``passthru`` names are never hit. Nothing is served until ``start``.
    """

    name = "rpz"
    target_types = frozenset({TargetType.HOSTNAME, TargetType.DOMAIN})

    def __init__(
        self,
        *,
        folder: Path,
        zone: str = "rpz.tapwarden",
        listen: str = "127.0.0.1",
        port: int = 5310,
        allow_transfer: Iterable[str] = ("127.0.0.0/8", "::1"),
        tsig: TsigKey | None = None,
        notify: Iterable[str] = (),
        verify: Iterable[str] = (),
        block: str = "nxdomain",
        sinkhole: Sequence[str] = (),
        ttl: int = 60,
        zone_file: Path | None = None,
        passthru: Iterable[str] = (),
        netns: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy = ResponsePolicy(Response(block), tuple(sinkhole), ttl)
        self.measures = self._policy.measures
        self._netns, self._clock, self._zone_file = netns, clock, zone_file
        self._verify = [Peer.parse(text) for text in verify]
        self._entries = Entries(folder_for(folder) / "rpz.db", self._policy, passthru)
        self._zone = Zone(self._entries, zone, ttl=ttl)
        self._primary = Primary(
            self._zone,
            Terms([ip_network(text) for text in allow_transfer], _keyring(tsig)),
            listen=listen,
            port=port,
            peers=[Peer.parse(text) for text in notify],
            netns=netns,
            changed=self._write_file,
            now=clock,
        )
        self._obeyed: dict[Key, bool] = {}
        self._turn = 0

    @property
    def port(self) -> int:
        """The port the zone is served on."""
        return self._primary.port

    @property
    def counters(self) -> Mapping[str, int]:
        """Transfers, refusals by cause, notifications."""
        return self._primary.counters

    def start(self) -> None:
        """Serve the zone until ``stop``. Raises MitigationError."""
        self._primary.start()

    def stop(self) -> None:
        """Serve it no longer; the resolvers keep what they have."""
        self._primary.stop()

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        """Publish all names in one step of the zone; applying again renews the expiry."""
        entries: dict[tuple[str, bool, Measure], Entry] = {}
        for action in actions:
            if action.dry_run:
                raise ValueError(f"action {action.id} is a dry run")
            if action.measure not in self.measures or action.target.type not in self.target_types:
                raise ValueError(f"{self.name} cannot {action.measure} a {action.target.type}")
            seconds = (action.expires_at - now).total_seconds()
            if seconds <= 0:
                continue
            name, below = self._published(action.target)
            entry = Entry(name, below, action.measure, self._clock() + seconds, action.decision_id)
            key = (name, below, action.measure)
            if key not in entries or entries[key].ends_at < entry.ends_at:
                entries[key] = entry
        if entries:
            self._entries.put(list(entries.values()))

    def withdraw(self, actions: Sequence[Action]) -> None:
        """Let the names resolve again; what is not published is not an error."""
        self._entries.remove((*self._published(action.target), action.measure) for action in actions)

    def list(self) -> Sequence[Installed]:
        """What the zone says now; ``effective`` is whether the resolvers were seen to obey (where any are asked)."""
        now = self._clock()
        found = {
            (entry.measure, _target(entry)): entry.ends_at - now for entry in self._entries.all() if entry.ends_at > now
        }
        if self._verify:
            self._check(list(found))
        return [
            Installed(
                target, measure, expires_in_s=left, effective=self._obeyed.get((measure, target), not self._verify)
            )
            for (measure, target), left in found.items()
        ]

    def clear(self) -> None:
        """Empty the zone."""
        self._entries.clear()

    def _published(self, target: Target) -> tuple[str, bool]:
        name = normalise(target).value
        if len(f"*.{name}.{self._zone.origin}") > LONGEST_OWNER + 1:
            raise MitigationError(f"{name} is too long for the zone {self._zone.origin}")
        return name, target.type is TargetType.DOMAIN

    def _check(self, keys: Sequence[Key]) -> None:
        """Ask the resolvers about some names; remember what they said as long as the names are published."""
        self._obeyed = {key: self._obeyed[key] for key in keys if key in self._obeyed}
        doubtful = [key for key in keys if not self._obeyed.get(key)][:CHECKS]
        rest = [key for key in keys if self._obeyed.get(key)]
        self._turn = (self._turn + CHECKS) % max(1, len(rest))
        turned = (rest[self._turn :] + rest[: self._turn])[: CHECKS - len(doubtful)]
        measures: dict[str, list[Measure]] = {}
        for measure, target in keys:
            measures.setdefault(target.value, []).append(measure)

        def obeyed(key: Key) -> bool:
            _, target = key
            names = [target.value, *([f"tapwarden-check.{target.value}"] if target.type is TargetType.DOMAIN else [])]
            response = self._policy.response(strongest(measures[target.value]))
            return inside(
                self._netns,
                lambda: all(
                    obeys(peer, name, response, self._policy.sinkhole) for peer in self._verify for name in names
                ),
            )

        asked = doubtful + turned
        # Many at a time: a resolver that does not answer must not hold up the look at all others.
        with ThreadPoolExecutor(max_workers=ASKED_AT_A_TIME, thread_name_prefix="rpz-verify") as pool:
            self._obeyed.update(zip(asked, pool.map(obeyed, asked), strict=True))

    def _write_file(self) -> None:
        if self._zone_file is None:
            return
        try:
            write_zone_file(self._zone, self._zone_file)
        except MitigationError as problem:
            log.warning("event=rpz_zone_file problem=%s", problem)


def _target(entry: Entry) -> Target:
    return Target(TargetType.DOMAIN if entry.below else TargetType.HOSTNAME, entry.name)


def _keyring(key: TsigKey | None) -> dict[dns.name.Name, dns.tsig.Key]:
    if key is None:
        return {}
    made = dns.tsig.Key(key.name, key.secret, dns.name.from_text(key.algorithm))
    return {made.name: made}
