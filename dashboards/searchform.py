"""The search page's fields, read from the URL into an EventQuery; every problem is named beside its field."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tapwarden.model.event import EventQuery

RANGES: Mapping[str, timedelta | None] = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
    "custom": None,
}
DEFAULT_RANGE = "24h"

KINDS = (
    "alert",
    "dns",
    "http",
    "tls",
    "quic",
    "flow",
    "fileinfo",
    "ssh",
    "smtp",
    "smb",
    "ftp",
    "anomaly",
    "sinkhole",
    "stats",
)

TEXT_FIELDS = ("signature", "domain", "url", "file_hash", "ja", "community_id", "sensor", "text")
ADDRESS_FIELDS = ("src_ip", "dest_ip")
FIELDS = ("range", "since", "until", "kinds", "address", *ADDRESS_FIELDS, "port", "sid", "flow_id", *TEXT_FIELDS)

MAX_TEXT = 2048


@dataclass(frozen=True, slots=True)
class SearchForm:
    """What was asked: ``values`` as typed (for the form and for links), the query, and problems by field."""

    values: Mapping[str, str]
    kinds: tuple[str, ...]
    query: EventQuery
    problems: Mapping[str, str]

    @property
    def params(self) -> dict[str, str | tuple[str, ...]]:
        """For links: the same search as URL parameters."""
        return {**{k: v for k, v in self.values.items() if v and k != "kinds"}, "kinds": self.kinds}


def read_form(given: Mapping[str, str], kinds: tuple[str, ...], now: datetime) -> SearchForm:
    """Never raises: a field that cannot be read does not restrict and is named in ``problems``."""
    values = {name: given.get(name, "").strip()[:MAX_TEXT] for name in FIELDS if name != "kinds"}
    problems: dict[str, str] = {}
    if not values["range"]:
        values["range"] = "custom" if values["since"] or values["until"] else DEFAULT_RANGE
    if values["range"] not in RANGES:
        problems["range"] = "choose one of the ranges"
        values["range"] = DEFAULT_RANGE
    since, until = _range(values, now, problems)
    kinds = tuple(kind for kind in kinds if re.fullmatch(r"[a-z0-9_]{1,32}", kind))[:32]
    query = EventQuery(
        since=since,
        until=until,
        kinds=kinds,
        address=_network(values, "address", problems),
        src_ip=_network(values, "src_ip", problems),
        dest_ip=_network(values, "dest_ip", problems),
        port=_number(values, "port", 65535, problems),
        sid=_number(values, "sid", (1 << 32) - 1, problems),
        flow_id=_number(values, "flow_id", (1 << 63) - 1, problems),
        **{name: values[name] for name in TEXT_FIELDS},
    )
    return SearchForm(values, kinds, query, problems)


def read_time(text: str) -> datetime | None:
    """ISO 8601; without an offset it is UTC. None when it is no time."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        return None


def _range(values: dict[str, str], now: datetime, problems: dict[str, str]) -> tuple[datetime | None, datetime | None]:
    if values["range"] != "custom":
        values["since"] = values["until"] = ""
        span = RANGES[values["range"]]
        return (now - span if span else None), None
    times: list[datetime | None] = []
    for name in ("since", "until"):
        at = read_time(values[name]) if values[name] else None
        if values[name] and at is None:
            problems[name] = "write it like 2026-11-24T08:30Z"
        times.append(at)
    since, until = times
    if since and until and since >= until:
        problems["until"] = "the end is not after the start"
    return since, until


def _network(values: Mapping[str, str], name: str, problems: dict[str, str]) -> str:
    text = values[name]
    if not text:
        return ""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        problems[name] = "an address or a network like 10.0.0.0/8"
        return ""
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _number(values: Mapping[str, str], name: str, most: int, problems: dict[str, str]) -> int | None:
    text = values[name]
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        problems[name] = f"a number up to {most}"
        return None
    return int(text)
