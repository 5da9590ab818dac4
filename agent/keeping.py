"""Retention over all that this host keeps: what there is, what has to go, how long the room will do.

Used by the runtime's duty, by ``tapwarden store status`` and by ``tapwarden doctor``, which all see the same.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tapwarden.agent.config import Config, Layout
from tapwarden.agent.config.quantity import format_size
from tapwarden.agent.store.retention import (
    Doomed,
    Forecast,
    Holding,
    Kept,
    Limits,
    doomed,
    find_events,
    find_files,
    find_folders,
    forecast,
)
from tapwarden.model.errors import StoreError

log = logging.getLogger(__name__)

LEGAL_MINIMUM = timedelta(days=180)
"""Network logs: Cybersecurity Law art. 21 (six months); DNS resolution logs: Domain Name Management Rules art. 36."""

UNDER_LAW = {Kept.NETWORK: "network logs", Kept.DNS: "DNS resolution logs", Kept.ALERTS: "alerts"}
HELD = "held"
"""The folder of evidence under a legal hold."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept on this host, by which limits, and for how long there will be room."""

    holdings: Sequence[Holding]
    limits: Limits
    free_octets: int
    disk_octets: int
    forecasts: Mapping[Kept, Forecast]
    warnings: Sequence[str]

    @property
    def octets(self) -> int:
        """All of it."""
        return sum(one.octets for one in self.holdings)


def limits_of(config: Config) -> Limits:
    """The limits as configured."""
    retention = config.retention
    ages = {
        Kept.LOGS: retention.logs,
        Kept.DETAIL: retention.detail,
        Kept.NETWORK: retention.network,
        Kept.EVIDENCE: retention.evidence,
        Kept.DNS: retention.dns,
        Kept.ALERTS: retention.alerts,
    }
    return Limits(ages, retention.max_size or None, retention.min_free)


def examine(config: Config, layout: Layout, now: datetime) -> Keeping:
    """Look at what is there; changes nothing. Raises StoreError."""
    holdings = list(_holdings(config, layout))
    limits = limits_of(config)
    disk = _disk(layout.lib)
    forecasts = forecast(holdings, limits, now=now, free_octets=disk[0])
    return Keeping(holdings, limits, *disk, forecasts, _warnings(limits, forecasts))


def drop(config: Config, layout: Layout, now: datetime) -> list[Doomed]:
    """Drop what has to go; what was dropped. Raises StoreError at the first that cannot be."""
    holdings = list(_holdings(config, layout))
    free_octets, _ = _disk(layout.lib)
    found = doomed(holdings, limits_of(config), now=now, free_octets=free_octets)
    for one in found:
        one.holding.drop()
        log.info("retention=dropped kept=%s name=%r why=%s octets=%d", *_said(one))
    return found


def _said(one: Doomed) -> tuple[str, str, str, int]:
    return one.holding.kept.name.lower(), one.holding.name, one.why, one.holding.octets


def _holdings(config: Config, layout: Layout) -> Sequence[Holding]:
    evidence = layout.state(config.evidence.path)
    spool = layout.state(config.spool.path)
    eve = layout.written(config.output.eve.path)
    held = [path for path in evidence.glob(f"{HELD}/*/*") if path.is_file() and path.stat().st_nlink == 1]
    logs = [path for path in eve.parent.glob(f"{eve.name}?*") if path.is_file()]
    return [
        *(find_events(layout.state(config.store.path)) if config.store.backend == "embedded" else ()),
        *find_folders(Kept.EVIDENCE, evidence),
        *find_files(Kept.EVIDENCE, held, fixed=True),
        *find_files(Kept.SPOOL, [path for path in spool.glob("*") if path.is_file()], fixed=True),
        *find_files(Kept.LOGS, [eve] if eve.is_file() else [], fixed=True),
        *find_files(Kept.LOGS, logs),
    ]


def _disk(path: Path) -> tuple[int, int]:
    """Octets that are free to us, and all the disk has, where this path is or would be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        stat = os.statvfs(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize


def _warnings(limits: Limits, forecasts: Mapping[Kept, Forecast]) -> list[str]:
    found = []
    for kept, called in UNDER_LAW.items():
        wanted = limits.ages[kept]
        if wanted < LEGAL_MINIMUM and kept is not Kept.ALERTS:
            found.append(
                f"{called} are kept for {wanted.days} days; the law wants {LEGAL_MINIMUM.days}"
                f" (retention.{kept.name.lower()})"
            )
        expected = forecasts.get(kept)
        if expected is not None and not expected.enough:
            found.append(
                f"there is room for {expected.days:.0f} days of {called}, not for the {expected.wanted_days:.0f} they"
                f" are to be kept: {format_size(expected.octets_a_day)} come a day; add disk, or raise"
                " retention.max_size"
            )
    return found
