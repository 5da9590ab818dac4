"""Suricata's own configuration file, as far as our engine has the same setting.

Comes from ``--suricata-yaml`` and ``--set``; goes to the native core as its JSON configuration
(native/core/src/config.rs). What has no counterpart is named, so that nothing is ignored in silence.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tapwarden.model.errors import ConfigError

Tree = dict[str, Any]

DEFAULT_ADDRESS_VARS = {
    "HOME_NET": "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]",
    "EXTERNAL_NET": "!$HOME_NET",
    **{f"{name}_SERVERS": "$HOME_NET" for name in ("HTTP", "SMTP", "SQL", "DNS", "TELNET")},
    "AIM_SERVERS": "$EXTERNAL_NET",
    "DC_SERVERS": "$HOME_NET",
    **{f"{name}_{side}": "$HOME_NET" for name in ("DNP3", "MODBUS", "ENIP") for side in ("SERVER", "CLIENT")},
}
"""Address variables that published rules use, as suricata.yaml ships them."""

DEFAULT_PORT_VARS = {
    "HTTP_PORTS": "80",
    "SHELLCODE_PORTS": "!80",
    "ORACLE_PORTS": "1521",
    "SSH_PORTS": "22",
    "DNP3_PORTS": "20000",
    "MODBUS_PORTS": "502",
    "FILE_DATA_PORTS": "[$HTTP_PORTS,110,143]",
    "FTP_PORTS": "21",
    "GENEVE_PORTS": "6081",
    "VXLAN_PORTS": "4789",
    "TEREDO_PORTS": "3544",
    "SIP_PORTS": "[5060,5061]",
}
"""Port variables that published rules use."""

_SIZE_UNITS = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}

_MAX_INCLUDE_DEPTH = 8

_NOT_USED = (
    "outputs",
    "logging",
    "af-packet",
    "pcap",
    "af-xdp",
    "dpdk",
    "netmap",
    "nfq",
    "unix-command",
    "threading",
    "profiling",
    "run-as",
    "rule-files",
)


def read_suricata_yaml(path: Path) -> Tree:
    """The file with its includes as nested mappings whose leaves are strings. Raises ConfigError."""
    return _read(path, 0)


def _read(path: Path, depth: int) -> Tree:
    if depth > _MAX_INCLUDE_DEPTH:
        raise ConfigError("includes too deep; does a file include itself?", path=str(path))
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        with path.open("rb") as file:
            tree = yaml.load(file, Loader=loader)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(f"is not YAML: {error.problem or error.context}", path=str(path), line=line) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"is not YAML: {error}", path=str(path)) from error
    if not isinstance(tree, dict):
        raise ConfigError("has to be a mapping, as suricata.yaml is", path=str(path))
    includes = tree.pop("include", [])
    for name in [includes] if isinstance(includes, str) else includes:
        merge(tree, _read(path.parent / str(name), depth + 1))
    return tree


def merge(into: Tree, over: Mapping[str, Any]) -> None:
    """Lay ``over`` over ``into``, mapping by mapping."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def apply_setting(tree: Tree, setting: str) -> None:
    """One ``KEY=VALUE`` of ``--set``: dotted keys as Suricata's users write them.

    ``vars.HOME_NET=...`` is short for ``vars.address-groups.HOME_NET=...`` (port-groups for names that end in _PORTS).
    Raises ConfigError.
    """
    key, equals, value = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"{setting!r} is not KEY=VALUE, for example vars.HOME_NET=[10.0.0.0/8]")
    if parts[0] == "vars" and len(parts) == 2:
        parts.insert(1, "port-groups" if parts[1].endswith("_PORTS") else "address-groups")
    for part in parts[:-1]:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{part!r} has a value already, nothing can stand below it", key=key)
        tree = below
    tree[parts[-1]] = value.strip()


def unused_keys(tree: Mapping[str, Any]) -> list[str]:
    """Top-level keys that nothing here reads, in the file's order."""
    return [key for key in tree if key in _NOT_USED]


def engine_config(tree: Mapping[str, Any], *, checksum: str = "all") -> Tree:
    """The native core's configuration. ``checksum`` is ``all`` or ``none``. Raises ConfigError for unusable values."""
    variables = _mapping(tree, "vars")
    groups = {name: str(value) for name, value in _mapping(variables, "address-groups").items()}
    ports = {name: str(value) for name, value in _mapping(variables, "port-groups").items()}
    config: Tree = {
        "address_vars": {**DEFAULT_ADDRESS_VARS, **groups},
        "port_vars": {**DEFAULT_PORT_VARS, **ports},
        "checksum_validation": checksum == "all",
        "stream": _stream(_mapping(tree, "stream")),
        "flow": _flow(tree),
        "decoder": _decoder(_mapping(tree, "decoder"), {**DEFAULT_PORT_VARS, **ports}),
        "app_layer": {
            name: _protocol(name, settings, {**DEFAULT_PORT_VARS, **ports})
            for name, settings in _mapping(_mapping(tree, "app-layer"), "protocols").items()
            if isinstance(settings, Mapping)
        },
        "host_os_policy": {
            name: [networks] if isinstance(networks, str) else [str(network) for network in networks]
            for name, networks in _mapping(tree, "host-os-policy").items()
        },
        "detect": _detect(tree),
    }
    extended = _dhcp_extended(tree)
    if extended is not None:
        dhcp = config["app_layer"].setdefault("dhcp", {"options": {}})
        dhcp["options"]["extended"] = "yes" if extended else "no"
    defrag = _mapping(tree, "defrag")
    _copy(defrag, config.setdefault("defrag", {}), size={"memcap": "memcap"}, number={"timeout": "timeout_s"})
    return config


def _stream(stream: Mapping[str, Any]) -> Tree:
    reassembly = _mapping(stream, "reassembly")
    target: Tree = {}
    _copy(
        stream,
        target,
        flag={"midstream": "midstream", "async-oneside": "async_oneside", "bypass": "bypass"},
        number={"max-synack-queued": "max_synack_queued"},
    )
    if stream.get("inline") not in (None, "auto"):
        target["inline"] = _flag("stream.inline", stream["inline"])
    _copy(
        reassembly,
        target,
        size={
            "depth": "depth",
            "memcap": "memcap",
            "toserver-chunk-size": "toserver_chunk_size",
            "toclient-chunk-size": "toclient_chunk_size",
        },
        flag={"raw": "raw", "check-overlap-different-data": "check_overlap_different_data"},
    )
    return target


def _flow(tree: Mapping[str, Any]) -> Tree:
    target: Tree = {}
    timeouts = _mapping(tree, "flow-timeouts")
    for name, key, defaults in (
        ("new", "new_s", (60, 30, 30, 30)),
        ("established", "established_s", (600, 300, 300, 300)),
    ):
        target[key] = [
            _number(f"flow-timeouts.{proto}.{name}", _mapping(timeouts, proto).get(name, default))
            for proto, default in zip(("tcp", "udp", "icmp", "default"), defaults, strict=True)
        ]
    target["closed_s"] = _number("flow-timeouts.tcp.closed", _mapping(timeouts, "tcp").get("closed", 60))
    _copy(_mapping(tree, "vlan"), target, flag={"use-for-tracking": "vlan_tracking"})
    return target


def _decoder(decoder: Mapping[str, Any], port_vars: Mapping[str, str]) -> Tree:
    target: Tree = {}
    for tunnel in ("teredo", "vxlan", "geneve"):
        settings = _mapping(decoder, tunnel)
        if "enabled" in settings and not _flag(f"decoder.{tunnel}.enabled", settings["enabled"]):
            target[f"{tunnel}_ports"] = []
        elif "ports" in settings:
            target[f"{tunnel}_ports"] = _ports(f"decoder.{tunnel}.ports", settings["ports"], port_vars)
    _copy(decoder, target, number={"recursion-level": "max_recursion"})
    return target


def _protocol(name: str, settings: Mapping[str, Any], port_vars: Mapping[str, str]) -> Tree:
    target: Tree = {"options": dict(_flatten(settings))}
    enabled = str(settings.get("enabled", "")).lower()
    if not enabled and ("tcp" in settings or "udp" in settings):
        # DNS has the switch once for each carrier; the parser reads the options for which of them it is.
        carriers = [_mapping(settings, carrier) for carrier in ("tcp", "udp") if carrier in settings]
        enabled = "yes" if any(_truth(carrier.get("enabled", "yes")) for carrier in carriers) else "no"
    if enabled == "detection-only":
        target["enabled"] = "detection-only"
    elif enabled:
        target["enabled"] = "yes" if _flag(f"app-layer.protocols.{name}.enabled", enabled) else "no"
    ports: list[int] = []
    for place in (settings, _mapping(settings, "tcp"), _mapping(settings, "udp")):
        dp = _mapping(place, "detection-ports").get("dp")
        if dp is not None:
            found = _ports(f"app-layer.protocols.{name}.detection-ports.dp", dp, port_vars)
            ports += [port for port in found if port not in ports]
    if ports:
        target["ports"] = ports
    return target


def _dhcp_extended(tree: Mapping[str, Any]) -> bool | None:
    """How full the eve-log writes DHCP records: the one thing read from the outputs. None where it says nothing."""
    outputs = tree.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        types = _mapping(output, "eve-log").get("types") if isinstance(output, Mapping) else None
        for kind in types if isinstance(types, list) else []:
            if kind == "dhcp":
                return False
            if isinstance(kind, Mapping) and "dhcp" in kind:
                return _flag("outputs.eve-log.types.dhcp.extended", _mapping(kind, "dhcp").get("extended", "no"))
    return None


def _detect(tree: Mapping[str, Any]) -> Tree:
    target: Tree = {}
    _copy(
        tree,
        target,
        number={"packet-alert-max": "packet_alert_max"},
        text={
            "classification-file": "classification_file",
            "reference-config-file": "reference_file",
            "threshold-file": "threshold_file",
            "reputation-categories-file": "reputation_categories_file",
            "default-reputation-path": "reputation_path",
            "geoip-database": "geoip_database",
        },
        flag={"ignore-unknown-requirements": "ignore_unknown_requirements"},
    )
    files = tree.get("reputation-files", [])
    target["reputation_files"] = [str(file) for file in ([files] if isinstance(files, str) else files)]
    _copy(_mapping(tree, "detect"), target, number={"inspection-recursion-limit": "inspection_recursion_limit"})
    _copy(
        _mapping(tree, "pcre"),
        target,
        number={"match-limit": "pcre_match_limit", "match-limit-recursion": "pcre_match_limit_recursion"},
    )
    datasets = _mapping(tree, "datasets")
    _copy(_mapping(datasets, "rules"), target, flag={"allow-absolute-filenames": "allow_absolute_filenames"})
    target["datasets"] = {
        name: {key: str(value) for key, value in settings.items()}
        for name, settings in datasets.items()
        if isinstance(settings, Mapping) and name not in ("rules", "defaults", "limits")
    }
    return target


def _copy(
    source: Mapping[str, Any],
    target: Tree,
    *,
    flag: Mapping[str, str] | None = None,
    number: Mapping[str, str] | None = None,
    size: Mapping[str, str] | None = None,
    text: Mapping[str, str] | None = None,
) -> None:
    for names, read in ((flag, _flag), (number, _number), (size, _size), (text, _text)):
        for theirs, ours in (names or {}).items():
            if source.get(theirs) not in (None, ""):
                target[ours] = read(theirs, source[theirs])


def _mapping(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ",".join(str(item) for item in value)
        elif value is not None:
            yield f"{prefix}{key}", str(value)


def _truth(value: object) -> bool:
    return str(value).lower() in ("yes", "true", "on", "1", "auto")


def _flag(key: str, value: object) -> bool:
    if str(value).lower() not in ("yes", "true", "on", "1", "auto", "no", "false", "off", "0"):
        raise ConfigError(f"{value!r} is neither yes nor no", key=key)
    return _truth(value)


def _number(key: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ConfigError(f"{value!r} is not a number", key=key) from None


def _size(key: str, value: object) -> int:
    """Suricata's sizes: 256mb, 2560, 1gb."""
    text = str(value).lower().replace(" ", "")
    for unit, octets in _SIZE_UNITS.items():
        if text.endswith(unit):
            text, factor = text.removesuffix(unit), octets
            break
    else:
        factor = 1
    try:
        return int(float(text) * factor)
    except ValueError:
        raise ConfigError(f"{value!r} is not a size, for example 256mb", key=key) from None


def _text(_key: str, value: object) -> str:
    return str(value)


def _ports(key: str, value: object, port_vars: Mapping[str, str], depth: int = 0) -> list[int]:
    """Ports of ``"139, 445"``, ``[5060, 5061]``, ``80:82``, ``$TEREDO_PORTS``, or ``any`` (0: every port)."""
    if isinstance(value, list):
        value = ",".join(str(item) for item in value)
    ports: list[int] = []
    for item in str(value).strip("[] ").split(","):
        part = item.strip().strip("[]")
        if not part:
            continue
        if part == "any":
            return [0]
        if part.startswith("$"):
            if depth > 5 or part[1:] not in port_vars:
                raise ConfigError(f"{part} is not a port variable", key=key)
            ports += _ports(key, port_vars[part[1:]], port_vars, depth + 1)
            continue
        first, _, last = part.replace("-", ":").partition(":")
        low, high = _number(key, first), _number(key, last or first)
        if not 0 <= low <= high <= 65535:
            raise ConfigError(f"{part!r} is not a port range", key=key)
        ports += range(low, high + 1)
    return ports
