"""Indicator files: one observable a line, plain, gzip or zstd.

A line is ``value`` or ``value,info``; ``#`` starts a comment. The type is seen from the value: an address, an address
and port, a network, a URL, a hash by its length, a JA4, else a domain name. Goes to ``tapwarden._core.IndicatorSet``.
"""

import gzip
import io
import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import zstandard

from tapwarden.model.errors import SourceError
from tapwarden.model.indicator import IndicatorType

Item = tuple[str, str, str, str]
"""(type, value, source, info), as the native core takes them."""

MAX_LINE_OCTETS = 8192
"""A longer line is no indicator."""

_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_JA4 = re.compile(r"[tqd][0-9ds][0-9][di][0-9]{4}[0-9a-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}\Z")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_HASH_DIGITS = {32, 40, 64}


@dataclass
class IndicatorFile:
    """The indicators of one file, and the lines that are none: (line, text), the first hundred kept, all counted."""

    path: Path
    items: list[Item] = field(default_factory=list)
    bad_lines: list[tuple[int, str]] = field(default_factory=list)
    bad: int = 0


def read_indicators(path: Path) -> IndicatorFile:
    """All of a file. Raises SourceError when it cannot be read or unpacked."""
    found = IndicatorFile(path)
    source = path.name.split(".")[0]
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, 1):
                text, _, info = line.partition(",")
                text = text.strip()
                if not text or text.startswith("#"):
                    continue
                kind = indicator_type(text) if len(line) <= MAX_LINE_OCTETS else None
                if kind is None:
                    found.bad += 1
                    if len(found.bad_lines) < 100:
                        found.bad_lines.append((number, text[:200]))
                else:
                    found.items.append((kind.value, text, source, info.strip()))
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise SourceError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return found


def indicator_type(text: str) -> IndicatorType | None:
    """What kind of observable ``text`` is; None when it is none."""
    if "://" in text:
        return IndicatorType.URL
    if text[0].isdigit() or ":" in text or text.startswith("["):
        kind = _address_type(text)
        if kind is not None:
            return kind
    if len(text) in _HASH_DIGITS and _HEX.match(text):
        return IndicatorType.FILE_HASH
    if _JA4.match(text):
        return IndicatorType.JA4
    if "/" in text:
        host = text.partition("/")[0]
        return IndicatorType.URL if _is_name(host) or _address_type(host) else None
    return IndicatorType.DOMAIN if _is_name(text) else None


def _address_type(text: str) -> IndicatorType | None:
    try:
        if "/" in text:
            ipaddress.ip_network(text, strict=False)
            return IndicatorType.NETWORK
        ipaddress.ip_address(text)
        return IndicatorType.IP
    except ValueError:
        pass
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and 0 < int(port) < 65536:
        try:
            ipaddress.ip_address(host.strip("[]"))
            return IndicatorType.IP_PORT
        except ValueError:
            return None
    return None


def _is_name(text: str) -> bool:
    name = text.rstrip(".")
    if len(name) > 253 or "." not in name:
        return False
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            return False
    return all(_LABEL.match(label) for label in name.split("."))


@contextmanager
def _opened(path: Path) -> Iterator[io.TextIOWrapper]:
    """The file's text, unpacked. What is not UTF-8 is replaced: it is no indicator anyway."""
    with path.open("rb") as raw:
        magic = raw.peek(4)[:4]
        binary: IO[bytes] = raw
        if magic[:2] == b"\x1f\x8b":
            binary = cast(IO[bytes], gzip.GzipFile(fileobj=raw))
        elif magic == b"\x28\xb5\x2f\xfd":
            binary = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, closefd=False), 1 << 20)
        with io.TextIOWrapper(binary, encoding="utf-8", errors="replace") as text:
            yield text
