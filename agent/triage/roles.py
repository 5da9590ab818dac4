"""Who began a session, who answered, and who did harm to whom: what a policy's ``src``, ``dest`` and ``attacker`` mean.

EVE gives an alert the addresses of its packet (``src_ip``, ``dest_ip``). On a response the source is the server and the
destination our own client, so acting on "the destination" of every alert would block the client half of the time.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Roles:
    """The sides of an alert, "" where not known. ``certain`` is whether the record tells who began the session."""

    client: str
    server: str
    certain: bool
    attacker: str = ""
    """What the rule calls its source by the keyword ``target``."""

    def side(self, name: str, ours: Callable[[str], bool]) -> str:
        """The address for ``src`` (who began the session), ``dest`` (who answered) or ``attacker``; "" for none.

        ``attacker`` is what the rule says, else the side outside our own networks where the other is inside. Where the
        record does not tell the direction, a side of ours is never taken for a stranger's.
        """
        stranger = self._stranger(ours)
        if name == "attacker":
            return self.attacker or stranger
        wanted = self.client if name == "src" else self.server
        if self.certain or not ours(wanted):
            return wanted
        return "" if stranger else wanted

    def _stranger(self, ours: Callable[[str], bool]) -> str:
        """The only side that is not ours; "" where both are or none is."""
        sides = [side for side in (self.client, self.server) if side]
        outside = [side for side in sides if not ours(side)]
        return outside[0] if len(sides) == 2 and len(outside) == 1 else ""


def roles_of(eve: Mapping[str, Any], alert: Mapping[str, Any], src_ip: str, dest_ip: str) -> Roles:
    """From an alert record with these canonical addresses: its ``flow`` object, else its ``direction``.

    Suricata 7 writes both; records of other versions may have neither.
    """
    client, server, certain = src_ip, dest_ip, False
    flow = eve.get("flow")
    sides = (canonical_address(flow.get(key)) for key in ("src_ip", "dest_ip")) if isinstance(flow, dict) else ()
    began, answered = (*sides, "", "")[:2]
    if {began, answered} == {src_ip, dest_ip} and src_ip:
        client, server, certain = began, answered, True
    elif eve.get("direction") in {"to_server", "to_client"}:
        certain = True
        if eve["direction"] == "to_client":
            client, server = dest_ip, src_ip
    source = alert.get("source")
    attacker = canonical_address(source.get("ip")) if isinstance(source, dict) else ""
    return Roles(client, server, certain, attacker if attacker in {src_ip, dest_ip} else "")


def canonical_address(value: Any) -> str:
    """Compressed text; IPv4-mapped IPv6 as IPv4, so that one host is one group. What is no address is ""."""
    try:
        address = ipaddress.ip_address(str(value))
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
