"""The kernel's packet filter, through nft's JSON interface (libnftables-json(5)).

One table of our own (``inet``, so IPv4 and IPv6 alike) and nothing outside it; deleting the table undoes everything:
``nft delete table inet tapwarden``. What the table looks like is in ``tapwarden.mitigation.ruleset``.
"""

import json
import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from tapwarden.mitigation.nft import AbsentError, Nft
from tapwarden.mitigation.ruleset import HOOKS, Batch, Rate, Slot, Table
from tapwarden.mitigation.target import normalise
from tapwarden.model.decision import Action, Installed, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError

log = logging.getLogger(__name__)


class Nftables:
    """Blocks, rejects or slows addresses, networks and endpoints in the kernel of this host, or of ``netns``.

    ``rate`` is what a rate-limited target may still send and be sent, each for itself.
    """

    name = "nftables"
    measures = frozenset({Measure.BLOCK, Measure.REJECT, Measure.RATE_LIMIT})
    target_types = frozenset({TargetType.ADDRESS, TargetType.NETWORK, TargetType.ENDPOINT})

    def __init__(
        self,
        *,
        table: str = "tapwarden",
        hooks: Iterable[str] = tuple(HOOKS),
        rate: Rate | None = None,
        netns: str = "",
        nft: str = "nft",
        timeout_s: float = 60,
    ) -> None:
        self._table, self._nft = Table(table, tuple(hooks)), Nft(netns, program=nft, timeout_s=timeout_s)
        self._rate = rate or Rate()
        self._ready: frozenset[Slot] = frozenset()
        """Sets that packets are held against, as last made or seen: one more entry there needs nothing else."""

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        """Block all targets in one transaction, each until its action expires; applying again renews the expiry.

        The table, its chains and rules are put right in the same transaction, unless they were seen to be right when
        last made or read back: then the entries alone are sent, which takes half the time.
        """
        wanted = self._timeouts(actions, now)
        if not wanted:
            return
        entries = self._entries(wanted)
        if self._ready.issuperset(wanted):
            try:
                self._submit(entries)
                return
            except AbsentError:
                log.info("event=table_gone_meanwhile table=%s", self._table.name)
        slots = self._slots().union(wanted)
        self._ready = frozenset()
        self._submit([*self._table.structure(slots), *entries])
        self._ready = frozenset(slots)

    def _entries(self, wanted: Mapping[Slot, Mapping[Target, int]]) -> Batch:
        batch: Batch = []
        for slot, timeouts in wanted.items():
            elements = [
                {"elem": {"val": slot.element(target), "timeout": timeout}} for target, timeout in timeouts.items()
            ]
            # An entry that is there keeps its old timeout when it is added (before Linux 6.12), and deleting one that
            # is not there fails: added, deleted and added again it has the new one. Packets see only the end of it.
            batch += [self._table.elements(verb, slot, elements) for verb in ("add", "delete", "add")]
        return batch

    def withdraw(self, actions: Sequence[Action]) -> None:
        """Let the targets pass again, in one transaction; what is not blocked is not an error."""
        present = self._slots()
        gone: dict[Slot, set[Target]] = defaultdict(set)
        for action in actions:
            target = normalise(action.target)
            gone[Slot.of(action.measure, target, self._rate)].add(target)
        batch: Batch = []
        for slot, targets in gone.items():
            if slot in present:
                elements = [{"elem": {"val": slot.element(target), "timeout": 1}} for target in targets]
                batch += [self._table.elements(verb, slot, elements) for verb in ("add", "delete")]
        if not batch:
            return
        try:
            self._submit(batch)
        except AbsentError:
            log.info("event=table_gone_meanwhile table=%s", self._table.name)

    def list(self) -> Sequence[Installed]:
        """What the kernel really blocks now, with the seconds left and the packets and octets dropped."""
        try:
            listing = self._table.listing(self._nft.run("-j", "list", "table", "inet", self._table.name))
        except AbsentError:
            self._ready = frozenset()
            return []
        self._ready = frozenset(listing.effective(self._table.hooks))
        return listing.installed(self._table.hooks)

    def intact(self) -> bool:
        """Whether packets are still held against every set they should be; terse, some 4 ms with any number of entries.

        What cannot be asked is not known to be intact.
        """
        if not self._ready:
            return True
        try:
            listing = self._table.listing(self._nft.run("-j", "-t", "list", "table", "inet", self._table.name))
        except MitigationError:
            return False
        return listing.effective(self._table.hooks) >= self._ready

    def clear(self) -> None:
        """Delete the table, and with it everything."""
        self._ready = frozenset()
        self._submit(self._table.remove())

    def _timeouts(self, actions: Sequence[Action], now: datetime) -> dict[Slot, dict[Target, int]]:
        """Seconds to block each target, the longest where several actions name it; expired ones are left out."""
        wanted: dict[Slot, dict[Target, int]] = defaultdict(dict)
        for action in actions:
            if action.dry_run:
                raise ValueError(f"action {action.id} is a dry run")
            if action.measure not in self.measures or action.target.type not in self.target_types:
                raise ValueError(f"{self.name} cannot {action.measure} a {action.target.type}")
            seconds = math.ceil((action.expires_at - now).total_seconds())
            if seconds > 0:
                target = normalise(action.target)
                timeouts = wanted[Slot.of(action.measure, target, self._rate)]
                timeouts[target] = max(seconds, timeouts.get(target, 0))
        return wanted

    def _slots(self) -> set[Slot]:
        """Which sets there are now. Terse, so it costs the same 4 ms with and without 100,000 entries in them."""
        slots = self._table.slots(self._nft.run("-j", "-t", "list", "sets", "inet"))
        # A set of another rate is no longer asked; its entries end with their timeouts.
        return {slot for slot in slots if slot.rate in (None, self._rate)}

    def _submit(self, batch: Batch) -> None:
        """Commit commands as one transaction: all or nothing."""
        self._nft.run("-j", "-f", "-", given=json.dumps({"nftables": batch}, separators=(",", ":")))
