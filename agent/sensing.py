"""From the sensor's configuration to rules, indicators and engines."""

import glob
import json
import secrets
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tapwarden.agent.composition import sensor_name
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.native import native
from tapwarden.agent.suricata_yaml import engine_config, merge
from tapwarden.model.errors import ConfigError, SourceError
from tapwarden.signatures.indicator_file import read_indicators

if TYPE_CHECKING:
    from tapwarden._core import Engine, IndicatorSet, RuleSet


@dataclass
class Detection:
    """What engines of one sensor share. ``complaints`` are lines ``file:line:column: what is wrong``."""

    config: str
    rules: "RuleSet | None" = None
    indicators: "IndicatorSet | None" = None
    rule_count: int = 0
    indicator_count: int = 0
    complaints: list[str] = field(default_factory=list)
    _engines: "weakref.WeakSet[Engine]" = field(default_factory=weakref.WeakSet)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def engine(self) -> "Engine":
        """A fresh engine."""
        engine = native("Engine")
        with self._lock:
            try:
                made: Engine = engine(self.config, self.rules, self.indicators)
            except ValueError as error:
                raise ConfigError(str(error), key="sensor.engine") from error
            self._engines.add(made)
        return made

    def use(self, rules: "RuleSet") -> None:
        """Run these rules from now on, in engines that run (each between two packets) and in those to come."""
        with self._lock:
            self.rules, self.rule_count = rules, rules.loaded
            running = list(self._engines)
        for engine in running:
            engine.swap_rules(rules)


def detection(config: Config, layout: Layout, *, interface: str = "") -> Detection:
    """Load rules and indicators. What cannot be loaded is a complaint, the rest loads. Raises ConfigError."""
    found = Detection(json.dumps(engine_settings(config, interface)))
    _load_rules(found, config, layout)
    _load_indicators(found, config, layout)
    return found


def engine_settings(config: Config, interface: str) -> dict[str, Any]:
    """The native core's configuration: variables and output from ``sensor``, then ``sensor.engine`` over it."""
    sensor = config.sensor
    ports = {name: value for name, value in sensor.vars.items() if name.endswith(("_PORT", "_PORTS"))}
    addresses = {name: value for name, value in sensor.vars.items() if name not in ports}
    home = {"HOME_NET": f"[{','.join(sensor.home_net)}]"} if sensor.home_net else {}
    settings = engine_config({"vars": {"address-groups": {**home, **addresses}, "port-groups": ports}})
    merge(settings, {"output": {"sensor": sensor_name(config), "in_iface": interface}})
    if config.evidence.enabled:
        evidence = config.evidence
        merge(settings, {"evidence": {"ring": evidence.ring, "before": evidence.before, "after": evidence.after}})
    if interface:
        # Whoever sends live traffic must not know which flows share a slot; a replay stays the same each time.
        merge(settings, {"flow": {"hash_seed": secrets.randbits(63)}})
    merge(settings, sensor.engine)
    return settings


def expanded(patterns: Sequence[str], layout: Layout, key: str) -> list[Path]:
    """The files that patterns name, in order. Raises ConfigError for one that names nothing."""
    files: list[Path] = []
    for pattern in patterns:
        path = layout.setting(pattern)
        found = [Path(name) for name in sorted(glob.glob(str(path)))]
        if not found:
            raise ConfigError(f"{path}: no such file", key=key)
        files += found
    return list(dict.fromkeys(files))


def new_run() -> str:
    """What tells this run's live events from those of others."""
    return secrets.token_hex(6)


def reload_rules(found: Detection, config: Config, layout: Layout) -> list[str]:
    """Load the rule files again and run them; complaints about single rules.

    Raises ConfigError, and nothing has changed, when a file cannot be read or none of its rules loads.
    """
    rules = _rule_set(found.config, config, layout)
    if rules is None:
        raise ConfigError("no rule files are configured", key="sensor.rules")
    complaints = _complaints(rules)
    if complaints and not rules.loaded:
        raise ConfigError(f"none of {len(complaints)} rules loads; the first: {complaints[0]}", key="sensor.rules")
    found.use(rules)
    return complaints


def _load_rules(found: Detection, config: Config, layout: Layout) -> None:
    rules = _rule_set(found.config, config, layout)
    if rules is not None:
        found.rules, found.rule_count = rules, rules.loaded
        found.complaints += _complaints(rules)


def _rule_set(engine: str, config: Config, layout: Layout) -> "RuleSet | None":
    files = expanded(config.sensor.rules, layout, "sensor.rules")
    if not files:
        return None
    rule_set = native("RuleSet")
    try:
        rules: RuleSet = rule_set(engine, [str(file) for file in files], str(layout.etc))
    except OSError as error:
        raise ConfigError(f"{error.filename or 'rules'}: {error.strerror or error}", key="sensor.rules") from error
    except ValueError as error:
        raise ConfigError(str(error), key="sensor.engine") from error
    return rules


def _complaints(rules: "RuleSet") -> list[str]:
    complaints = []
    for file, line, column, sid, keyword, reason, hint in rules.errors:
        what = f"{keyword}: {reason}" if keyword else reason
        complaints.append(
            f"{file}:{line}:{column}: rule {sid or '?'} not loaded: {what}" + (f" ({hint})" if hint else "")
        )
    return complaints


def _load_indicators(found: Detection, config: Config, layout: Layout) -> None:
    files = expanded(config.sensor.indicators, layout, "sensor.indicators")
    if not files:
        return
    indicator_set = native("IndicatorSet")
    items: list[tuple[str, str, str, str]] = []
    for path in files:
        try:
            read = read_indicators(path)
        except SourceError as error:
            raise ConfigError(str(error), key="sensor.indicators") from error
        items += read.items
        found.complaints += [f"{path}:{line}:1: no indicator: {text}" for line, text in read.bad_lines]
        if read.bad > len(read.bad_lines):
            found.complaints.append(f"{path}: {read.bad - len(read.bad_lines)} more lines are no indicators")
    found.indicators, found.indicator_count = indicator_set(items), len(items)
