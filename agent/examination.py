"""The examinations of ``tapwarden doctor``. Each looks at this host and changes nothing."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from tapwarden.agent import keeping
from tapwarden.agent.composition import elasticsearch_of, reporter_of
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.finding import Finding
from tapwarden.agent.response_checks import RESPONSE_CHECKS
from tapwarden.agent.secret import read_token
from tapwarden.agent.sensing import detection
from tapwarden.agent.store import elastic
from tapwarden.collectors.interface import default_interface, is_up
from tapwarden.model.errors import ConfigError, StoreError

CAP_NET_ADMIN, CAP_NET_RAW = 12, 13  # linux/capability.h

LOW_DISK_OCTETS = 1_000_000_000


def capabilities() -> int:
    """The effective capabilities of this process, as a bit set."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def examine_permissions(config: Config, _layout: Layout) -> Iterator[Finding]:
    """What this process may do."""
    held = capabilities()
    if config.sensor.capture != "eve":
        if held & 1 << CAP_NET_RAW:
            yield Finding("capture permission", "ok", "CAP_NET_RAW is held")
        else:
            advice = "run as root, or through the systemd unit, which grants CAP_NET_RAW"
            yield Finding("capture permission", "fail", "CAP_NET_RAW is missing: nothing can be captured", advice)
    enforcing = config.mitigation.mode == "enforce"
    if held & 1 << CAP_NET_ADMIN:
        yield Finding("block permission", "ok", "CAP_NET_ADMIN is held")
    elif enforcing:
        advice = "run as root, or through the systemd unit, which grants CAP_NET_ADMIN"
        yield Finding("block permission", "fail", "CAP_NET_ADMIN is missing: nothing can be blocked", advice)


def examine_source(config: Config, _layout: Layout) -> Iterator[Finding]:
    """The interface or file that is watched."""
    sensor = config.sensor
    if sensor.capture == "eve":
        if os.access(sensor.eve_file, os.R_OK):
            age_s = time.time() - sensor.eve_file.stat().st_mtime
            state = "ok" if age_s < 600 else "warn"
            advice = "is Suricata running, and does it write eve-log to this file?"
            yield Finding("eve.json", state, f"{sensor.eve_file}, last written {age_s:.0f} s ago", advice)
        else:
            advice = "set sensor.eve_file to Suricata's eve.json, and let this user read it"
            yield Finding("eve.json", "fail", f"{sensor.eve_file} cannot be read", advice)
        return
    interface = sensor.interface or default_interface()
    there = [name for _, name in socket.if_nameindex()]
    if interface not in there:
        advice = f"set sensor.interface to one of: {', '.join(there)}"
        yield Finding("interface", "fail", f"{interface or '(none)'} is not there", advice)
        return
    if not is_up(interface):
        yield Finding("interface", "fail", f"{interface} is down", f"ip link set {interface} up")
        return
    yield Finding("interface", "ok", f"{interface} is up")
    yield from _offloads(interface)


def _offloads(interface: str) -> Iterator[Finding]:
    """Segments that the card or the kernel joined are larger than any packet on the wire."""
    if shutil.which("ethtool") is None:
        yield Finding("offloads", "warn", "unknown: ethtool is not installed", "apt-get install ethtool")
        return
    told = subprocess.run(
        ["ethtool", "-k", interface],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
        env={"LC_ALL": "C", "PATH": os.defpath},
    ).stdout
    on = [
        short
        for name, short in (("generic-receive-offload", "gro"), ("large-receive-offload", "lro"))
        if any(line.strip().startswith(f"{name}: on") for line in told.splitlines())
    ]
    if on:
        switches = " ".join(f"{short} off" for short in on)
        text = f"{' and '.join(on)} on: packets are joined before they are seen"
        yield Finding("offloads", "warn", text, f"on a tap interface: ethtool -K {interface} {switches}")
    else:
        yield Finding("offloads", "ok", "receive offloads are off")


def examine_nft(config: Config, _layout: Layout) -> Iterator[Finding]:
    """The packet filter."""
    enforcing = config.mitigation.mode == "enforce"
    nft = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")
    if nft is None:
        state = "fail" if enforcing else "warn"
        yield Finding("nft", state, "it is not installed: nothing can be blocked", "apt-get install nftables")
        return
    ran = subprocess.run([nft, "-j", "list", "tables"], capture_output=True, text=True, timeout=10, check=False)
    if ran.returncode:
        state = "fail" if enforcing else "warn"
        yield Finding(
            "nft", state, ran.stderr.strip()[:200] or "it fails", "run as root, and check the kernel's nf_tables"
        )
    else:
        text = "works" if enforcing else "works (mitigation.mode is dry-run: it is not used)"
        yield Finding("nft", "ok", text)


def examine_time(_config: Config, _layout: Layout) -> Iterator[Finding]:
    """Reporting clocks are worth what this host's clock is worth."""
    if time.time() < 1_700_000_000:
        yield Finding("clock", "fail", "this host's clock is years behind", "set it: timedatectl set-ntp true")
        return
    ran = None
    if shutil.which("timedatectl"):
        ran = subprocess.run(
            ["timedatectl", "show", "-p", "NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    if ran is not None and ran.stdout.strip() == "yes":
        yield Finding("clock", "ok", "synchronised")
    elif ran is not None and ran.stdout.strip() == "no":
        yield Finding("clock", "warn", "not synchronised", "timedatectl set-ntp true")
    else:
        yield Finding("clock", "warn", "cannot say whether it is synchronised", "install chrony or systemd-timesyncd")


def examine_stores(config: Config, layout: Layout) -> Iterator[Finding]:
    """Room and permission for events and cases."""
    folders = {"event store": layout.state(config.store.path)}
    if "://" not in config.store.cases:
        folders["case store"] = layout.state(config.store.cases).parent
    for part, folder in folders.items():
        there = folder
        while not there.exists():
            there = there.parent
        try:
            with tempfile.NamedTemporaryFile(dir=there, prefix=".tapwarden-doctor-") as file:
                file.write(b"x" * 4096)
        except OSError as error:
            yield Finding(
                part, "fail", f"{there}: {error.strerror}", f"make it writable for uid {os.getuid()}, or free space"
            )
            continue
        free = shutil.disk_usage(there).free
        state = "ok" if free >= LOW_DISK_OCTETS else "warn"
        yield Finding(part, state, f"{folder}: {free / 1e9:.1f} GB free", "free space, or lower retention.max_size")


def examine_elasticsearch(config: Config, layout: Layout) -> Iterator[Finding]:
    """Whether the cluster can be reached, is one we know, and takes events."""
    if config.store.backend != "elasticsearch":
        return
    try:
        for state, text, advice in elastic.examine(elasticsearch_of(config, layout)):
            yield Finding("elasticsearch", state, text, advice)
    except ConfigError as error:
        yield Finding("elasticsearch", "fail", str(error), "correct store.elasticsearch")


def examine_retention(config: Config, layout: Layout) -> Iterator[Finding]:
    """Whether what has to be kept can be kept."""
    try:
        kept = keeping.examine(config, layout, datetime.now(UTC))
    except StoreError as error:
        yield Finding("retention", "fail", str(error), "see whether the state directory can be read")
        return
    for warning in kept.warnings:
        yield Finding("retention", "warn", warning, "`tapwarden store status` shows what takes how much")
    if not kept.warnings:
        known = "; ".join(f"{kind.name.lower()} {one.days:.0f} days" for kind, one in kept.forecasts.items())
        yield Finding("retention", "ok", f"room for {known}" if known else "no whole day was seen yet")


def examine_rules(config: Config, layout: Layout) -> Iterator[Finding]:
    """Rules and indicators."""
    try:
        found = detection(config, layout)
    except ConfigError as error:
        yield Finding("rules", "fail", str(error), "correct it; `tapwarden check` lists every mistake")
        return
    if found.complaints:
        text = f"{len(found.complaints)} rules or indicators cannot be loaded"
        yield Finding("rules", "warn", text, "`tapwarden check` lists them")
    if not found.rule_count and not found.indicator_count and config.sensor.capture != "eve":
        advice = "set sensor.rules and sensor.indicators"
        yield Finding("rules", "warn", "no rule and no indicator: events are recorded, nothing alerts", advice)
    else:
        yield Finding("rules", "ok", f"{found.rule_count} rules, {found.indicator_count} indicators")


def examine_reporting(config: Config, layout: Layout) -> Iterator[Finding]:
    """Who reports, and whether the coordinator can be reached."""
    if obstacle := reporter_of(config).obstacle():
        yield Finding("reporting", "warn", obstacle, "fill in the section reporting")
    coordinator = config.reporting.coordinator
    if not coordinator.url:
        yield Finding("coordinator", "warn", "none is configured: reports stay here", "set reporting.coordinator.url")
        return
    parts = urlsplit(coordinator.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        if coordinator.token_file:
            read_token(layout.setting(coordinator.token_file))
        with socket.create_connection((parts.hostname or "", port), timeout=5):
            yield Finding("coordinator", "ok", f"{parts.hostname} port {port} answers")
    except ConfigError as error:
        yield Finding("coordinator", "fail", str(error), "write the token into that file, mode 0600")
    except OSError as error:
        advice = "check name, route and firewall; reports wait here and are sent when it answers"
        yield Finding("coordinator", "fail", f"{parts.hostname} port {port}: {error.strerror or error}", advice)


def examine_engine(config: Config, _layout: Layout) -> Sequence[Finding]:
    """The native core."""
    try:
        from tapwarden._core import HYPERSCAN, __version__  # noqa: PLC0415 - whether it is there is the question
    except ImportError as error:
        return [Finding("native core", "fail", str(error), "install the package with its native core: make run")]
    matcher = "Hyperscan" if HYPERSCAN else "Rust matcher"
    return [Finding("native core", "ok", f"version {__version__}, {matcher}")]


CHECKS: tuple[Callable[[Config, Layout], "Sequence[Finding] | Iterator[Finding]"], ...] = (
    examine_engine,
    examine_permissions,
    examine_source,
    examine_nft,
    *RESPONSE_CHECKS,
    examine_time,
    examine_stores,
    examine_elasticsearch,
    examine_retention,
    examine_rules,
    examine_reporting,
)
"""Each examination, in the order of the path."""

__all__ = ["CHECKS", "Finding"]
