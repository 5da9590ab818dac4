"""OpenC2 commands (Language Specification 1.0) as measures of ours, and responses.

Two actuator profiles: SLPF 1.0 for addresses and connections, and ``x-dnsf`` of our own for names, since SLPF has no
domain target and no sinkhole:

| action | target | profile | measure |
|---|---|---|---|
| deny | ipv4_net, ipv6_net | slpf | block; with ``slpf.drop_process: reject`` reject |
| deny | ipv4_connection, ipv6_connection | slpf | block of the server's end: dst_addr, dst_port, protocol |
| deny | domain_name | x-dnsf | block of the name and all below (``x-dnsf.exact: true``: the name alone) |
| redirect | domain_name | x-dnsf | sinkhole, on our own addresses |
| deny | uri | x-dnsf | block of the name in it |
| cancel | command | - | revocation of the order with that id |
| query | features | - | what we can do |

Anything else is 501, and so is what a profile calls optional and we do not have.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapwarden.agent.orders.refusal import BAD_REQUEST, NOT_IMPLEMENTED, Refusal
from tapwarden.model.decision import Measure, Target, TargetType

VERSION = "1.0"
MEDIA_TYPE = "application/openc2+json;version=1.0"
SLPF, DNSF = "slpf", "x-dnsf"
COMMANDS_MAX = 100

PAIRS: Mapping[str, Sequence[str]] = {
    "deny": ["ipv4_net", "ipv6_net", "ipv4_connection", "ipv6_connection", "domain_name", "uri"],
    "redirect": ["domain_name"],
    "cancel": ["command"],
    "query": ["features"],
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What one command asks for: a measure on a target, or the end of an order (``cancels``)."""

    measure: Measure | None = None
    target: Target | None = None
    cancels: str = ""


def wish_of(command: Any) -> Wish:
    """A command in our terms. Raises Refusal 400 for what is no command, 501 for one we cannot carry out."""
    action, kind, value = parts(command)
    args = command.get("args", {})
    if not isinstance(args, Mapping):
        raise Refusal(BAD_REQUEST, "args is no object")
    if kind not in PAIRS.get(action, ()):
        raise Refusal(NOT_IMPLEMENTED, f"{action} {kind} is not supported")
    _check_actuator(command.get("actuator"), kind)
    if action == "query":
        return Wish()
    if action == "cancel":
        if not isinstance(value, str) or not value:
            raise Refusal(BAD_REQUEST, "cancel names no command")
        return Wish(cancels=value)
    return _measure(action, kind, value, args)


def _measure(action: str, kind: str, value: Any, args: Mapping[str, Any]) -> Wish:
    if kind == "domain_name":
        measure = Measure.SINKHOLE if action == "redirect" else Measure.BLOCK
        return Wish(measure, _name(value, exact=_flag(args, DNSF, "exact")))
    if kind == "uri":
        return Wish(Measure.BLOCK, Target(TargetType.URL, _text(value)))
    measure = Measure.REJECT if _profile(args, SLPF).get("drop_process") == "reject" else Measure.BLOCK
    return Wish(measure, _network(value, kind) if kind.endswith("_net") else _endpoint(value, kind))


def parts(command: Any) -> tuple[str, str, Any]:
    """Action, kind of target, target. Raises Refusal 400."""
    if not isinstance(command, Mapping) or not isinstance(command.get("action"), str):
        raise Refusal(BAD_REQUEST, "a command is an object with an action")
    target = command.get("target")
    if not isinstance(target, Mapping) or len(target) != 1:
        raise Refusal(BAD_REQUEST, "a command has exactly one target")
    ((kind, value),) = target.items()
    return command["action"], str(kind), value


def command_for(measure: Measure, target: Target, *, command_id: str = "") -> dict[str, Any]:
    """The command that asks for a measure on a target: the inverse of ``wish_of``. Raises ValueError."""
    value: Any = target.value
    args: dict[str, Any] = {}
    match target.type:
        case TargetType.ADDRESS | TargetType.NETWORK:
            network = ipaddress.ip_network(target.value)
            kind, value = f"ipv{network.version}_net", str(network)
        case TargetType.DOMAIN:
            kind = "domain_name"
        case TargetType.HOSTNAME:
            kind, args = "domain_name", {DNSF: {"exact": True}}
        case TargetType.URL:
            kind = "uri"
        case TargetType.ENDPOINT:
            address, _, rest = target.value.rpartition(":")
            port, _, protocol = rest.partition("/")
            host = ipaddress.ip_address(address.strip("[]"))
            kind = f"ipv{host.version}_connection"
            value = {"dst_addr": f"{host}/{host.max_prefixlen}", "dst_port": int(port), "protocol": protocol}
    actions = {Measure.BLOCK: "deny", Measure.REJECT: "deny", Measure.SINKHOLE: "redirect"}
    if measure not in actions or (measure is Measure.SINKHOLE and kind != "domain_name"):
        raise ValueError(f"OpenC2 has no command to {measure} a {target.type}")
    if measure is Measure.REJECT:
        args = {SLPF: {"drop_process": "reject"}}
    profile = DNSF if kind in {"domain_name", "uri"} else SLPF
    command = {"action": actions[measure], "target": {kind: value}, "actuator": {profile: {}}}
    return command | ({"args": args} if args else {}) | ({"command_id": command_id} if command_id else {})


def features(asked: Any) -> dict[str, Any]:
    """The results of ``query features`` (section 4.1): all, or those asked for. Raises Refusal 400."""
    have: dict[str, Any] = {
        "versions": [VERSION],
        "profiles": [SLPF, DNSF],
        "pairs": {action: list(kinds) for action, kinds in PAIRS.items()},
        "rate_limit": 60,
    }
    if not isinstance(asked, list) or any(name not in have for name in asked):
        raise Refusal(BAD_REQUEST, f"features are {', '.join(have)}")
    return {name: have[name] for name in asked}


def response(code: int, text: str = "", results: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A response (section 3.3.2)."""
    answer: dict[str, Any] = {"status": code}
    if text:
        answer["status_text"] = text
    if results:
        answer["results"] = dict(results)
    return answer


def _check_actuator(actuator: Any, kind: str) -> None:
    if actuator in (None, {}):
        return
    if not isinstance(actuator, Mapping) or len(actuator) != 1:
        raise Refusal(BAD_REQUEST, "an actuator names one profile")
    (profile,) = actuator
    wanted = {"domain_name": DNSF, "uri": DNSF}.get(kind, SLPF)
    if profile not in {SLPF, DNSF} or (kind not in {"command", "features"} and profile != wanted):
        raise Refusal(NOT_IMPLEMENTED, f"the actuator profile {profile!r} has no {kind}")


def _network(value: Any, kind: str) -> Target:
    network = _ip(value, kind)
    if network.prefixlen == network.max_prefixlen:
        return Target(TargetType.ADDRESS, str(network.network_address))
    return Target(TargetType.NETWORK, str(network))


def _endpoint(value: Any, kind: str) -> Target:
    """The server's end of a connection: what SLPF leaves out in a 5-tuple means any, which is no endpoint."""
    if not isinstance(value, Mapping):
        raise Refusal(BAD_REQUEST, f"{kind} is no object")
    if value.keys() - {"dst_addr", "dst_port", "protocol"}:
        raise Refusal(NOT_IMPLEMENTED, "connections are denied by dst_addr, dst_port and protocol")
    network = _ip(value.get("dst_addr"), kind)
    port, protocol = value.get("dst_port"), value.get("protocol")
    if port is None and protocol is None:
        return _network(value.get("dst_addr"), kind)
    if network.prefixlen != network.max_prefixlen:
        raise Refusal(NOT_IMPLEMENTED, "a port is denied at one address, not in a network")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536 or protocol not in {"tcp", "udp"}:
        raise Refusal(BAD_REQUEST, "a connection has a dst_port from 1 to 65535 and the protocol tcp or udp")
    host = f"[{network.network_address}]" if network.version == 6 else str(network.network_address)
    return Target(TargetType.ENDPOINT, f"{host}:{port}/{protocol}")


def _ip(value: Any, kind: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network(_text(value))
    except ValueError as error:
        raise Refusal(BAD_REQUEST, f"{kind}: {error}") from None
    if not kind.startswith(f"ipv{network.version}"):
        raise Refusal(BAD_REQUEST, f"{network} is no {kind}")
    return network


def _name(value: Any, *, exact: bool) -> Target:
    return Target(TargetType.HOSTNAME if exact else TargetType.DOMAIN, _text(value).rstrip(".").lower())


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 2048:
        raise Refusal(BAD_REQUEST, "a target is a text of at most 2048 characters")
    return value


def _profile(args: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = args.get(name, {})
    if not isinstance(found, Mapping):
        raise Refusal(BAD_REQUEST, f"args.{name} is no object")
    return found


def _flag(args: Mapping[str, Any], profile: str, name: str) -> bool:
    found = _profile(args, profile).get(name, False)
    if not isinstance(found, bool):
        raise Refusal(BAD_REQUEST, f"args.{profile}.{name} is true or false")
    return found
