"""The kernel's packet filter, through nft's JSON interface (libnftables-json(5)).

One table of our own (``inet``, so IPv4 and IPv6 alike) and nothing outside it; deleting the table undoes everything:
``nft delete table inet tapwarden``. What the table looks like is in ``tapwarden.mitigation.ruleset``.

nft is run as a process and not loaded as a library: it may exit() on errors, its ABI changes, and a process inherits
just the one capability it needs (CAP_NET_ADMIN, ambient). What it is told is JSON on standard input.
"""

import json
import logging
import math
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.ruleset import HOOKS, Batch, Size, Table, by_size
from tapwarden.mitigation.target import parse_network
from tapwarden.model.decision import Action, Installed, Measure, TargetType
from tapwarden.model.errors import MitigationError

log = logging.getLogger(__name__)


class Nftables:
    """Blocks addresses and networks in the kernel of this host, or of the network namespace ``netns``."""

    name = "nftables"
    measures = frozenset({Measure.BLOCK})
    target_types = frozenset({TargetType.ADDRESS, TargetType.NETWORK})

    def __init__(
        self,
        *,
        table: str = "tapwarden",
        hooks: Iterable[str] = tuple(HOOKS),
        netns: str = "",
        nft: str = "nft",
        timeout_s: float = 60,
    ) -> None:
        self._table, self._netns, self._nft, self._timeout_s = Table(table, tuple(hooks)), netns, nft, timeout_s

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        """Block all targets in one transaction, each until its action expires; applying again renews the expiry.

        The table, its chains and rules are put right in the same transaction, so that it does not matter what
        became of them meanwhile.
        """
        wanted = self._timeouts(actions, now)
        if not wanted:
            return
        batch = self._table.structure(self._sizes().union(wanted))
        for size, timeouts in wanted.items():
            elements = [{"elem": {"val": value, "timeout": timeout}} for value, timeout in timeouts.items()]
            # An entry that is there keeps its old timeout when it is added (before Linux 6.12), and deleting one that
            # is not there fails: added, deleted and added again it has the new one. Packets see only the end of it.
            batch += [self._table.elements(verb, size, elements) for verb in ("add", "delete", "add")]
        self._submit(batch)

    def withdraw(self, actions: Sequence[Action]) -> None:
        """Let the targets pass again, in one transaction; what is not blocked is not an error."""
        present = self._sizes()
        batch: Batch = []
        for size, networks in by_size(parse_network(action.target.value) for action in actions).items():
            if size in present:
                elements = [{"elem": {"val": str(network.network_address), "timeout": 1}} for network in networks]
                batch += [self._table.elements(verb, size, elements) for verb in ("add", "delete")]
        if not batch:
            return
        try:
            self._submit(batch)
        except _AbsentError:
            log.info("event=table_gone_meanwhile table=%s", self._table.name)

    def list(self) -> Sequence[Installed]:
        """What the kernel really blocks now, with the seconds left and the packets and octets dropped."""
        try:
            return self._table.installed(self._run("-j", "list", "table", "inet", self._table.name))
        except _AbsentError:
            return []

    def clear(self) -> None:
        """Delete the table, and with it everything."""
        self._submit(self._table.remove())

    def _timeouts(self, actions: Sequence[Action], now: datetime) -> dict[Size, dict[str, int]]:
        """Seconds to block each network, the longest where several actions name it; expired ones are left out."""
        wanted: dict[Size, dict[str, int]] = defaultdict(dict)
        for action in actions:
            if action.dry_run:
                raise ValueError(f"action {action.id} is a dry run")
            if action.measure not in self.measures or action.target.type not in self.target_types:
                raise ValueError(f"{self.name} cannot {action.measure} a {action.target.type}")
            seconds = math.ceil((action.expires_at - now).total_seconds())
            if seconds > 0:
                network = parse_network(action.target.value)
                timeouts, value = wanted[Size.of(network)], str(network.network_address)
                timeouts[value] = max(seconds, timeouts.get(value, 0))
        return wanted

    def _sizes(self) -> set[Size]:
        """Which sets there are now. Terse, so it costs the same 4 ms with and without 100,000 entries in them."""
        return self._table.sizes(self._run("-j", "-t", "list", "sets", "inet"))

    def _submit(self, batch: Batch) -> None:
        """Commit commands as one transaction: all or nothing."""
        self._run("-j", "-f", "-", given=json.dumps({"nftables": batch}, separators=(",", ":")))

    def _run(self, *arguments: str, given: str = "") -> str:
        # Daemons and users often lack the sbin directories in their path.
        path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
        program = shutil.which(self._nft, path=path)
        if program is None:
            raise MitigationError(f"{self._nft} is not installed: install the package nftables")
        environment = {"PATH": path, "LC_ALL": "C"}  # the messages are told apart below
        try:
            done = inside(
                self._netns,
                lambda: subprocess.run(
                    [program, *arguments],
                    input=given,
                    capture_output=True,
                    encoding="utf-8",
                    errors="replace",
                    env=environment,
                    timeout=self._timeout_s,
                    check=False,
                ),
            )
        except subprocess.TimeoutExpired:
            raise MitigationError(f"nft did not answer in {self._timeout_s:g} s") from None
        except OSError as problem:
            raise MitigationError(f"{program} cannot be run: {problem.strerror}") from None
        if done.returncode == 0:
            return done.stdout
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        message = lines[0][:300] if lines else f"exit status {done.returncode}"
        if "No such file or directory" in message:
            raise _AbsentError(f"nft: {message}")
        if "Operation not permitted" in message:
            raise MitigationError(
                "nft may not change the packet filter: run as root or grant CAP_NET_ADMIN "
                "(AmbientCapabilities=CAP_NET_ADMIN in a systemd unit)"
            )
        raise MitigationError(f"nft: {message}")


class _AbsentError(MitigationError):
    """What was asked for or to be changed is not in the kernel."""
