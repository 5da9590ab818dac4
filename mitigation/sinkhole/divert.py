"""Every port of the sinkhole addresses, led to one socket by the kernel's transparent proxy (nft's ``tproxy``).

The socket then still knows which port was meant, and nothing has to be bound a port at a time. A table of its own: what
blocks and what diverts do not touch each other.
"""

import json
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from tapwarden.mitigation.nft import Nft

PRIORITY = -150
"""The ``mangle`` priority, where tproxy belongs."""


class Diversion:
    """Leads TCP and UDP for ``addresses`` to ``port`` on this host. Raises MitigationError."""

    def __init__(self, addresses: Sequence[str], port: int, nft: Nft, *, table: str = "tapwarden_sinkhole") -> None:
        self._addresses, self._port, self._nft, self._table = addresses, port, nft, table

    def begin(self) -> None:
        """From now on; whatever the table held before is replaced, in one transaction."""
        own = {"family": "inet", "table": self._table}
        base = {"type": "filter", "hook": "prerouting", "prio": PRIORITY, "policy": "accept"}
        self._submit(
            *self._gone(),
            {"add": {"table": {"family": "inet", "name": self._table}}},
            {"add": {"chain": {**own, "name": "prerouting", **base}}},
            *({"add": {"rule": {**own, "chain": "prerouting", "expr": self._rule(text)}}} for text in self._addresses),
        )

    def end(self) -> None:
        """No longer."""
        self._submit(*self._gone())

    def _gone(self) -> list[dict[str, Any]]:
        table = {"family": "inet", "name": self._table}
        return [{"add": {"table": table}}, {"delete": {"table": table}}]  # deleting what is not there fails

    def _rule(self, address: str) -> list[dict[str, Any]]:
        family = "ip" if ip_address(address).version == 4 else "ip6"
        destination = {"payload": {"protocol": family, "field": "daddr"}}
        transport = {"meta": {"key": "l4proto"}}
        return [
            {"match": {"op": "==", "left": destination, "right": address}},
            {"match": {"op": "==", "left": transport, "right": {"set": ["tcp", "udp"]}}},
            {"counter": None},
            {"tproxy": {"family": family, "port": self._port}},
            {"accept": None},
        ]

    def _submit(self, *commands: dict[str, Any]) -> None:
        self._nft.run("-j", "-f", "-", given=json.dumps({"nftables": list(commands)}))
