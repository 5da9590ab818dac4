"""Indicators from intelligence feeds."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class IndicatorType(StrEnum):
    """What kind of observable an indicator names."""

    IP = "ip"
    IP_PORT = "ip_port"
    NETWORK = "network"
    DOMAIN = "domain"
    URL = "url"
    FILE_HASH = "file_hash"
    JA3 = "ja3"
    JA4 = "ja4"
    CERT_SHA1 = "cert_sha1"


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator as a feed gave it. ``confidence`` is 0 to 100."""

    type: IndicatorType
    value: str
    source: str
    info: str = ""
    confidence: int = 50
    first_seen: datetime | None = None
    expires: datetime | None = None
