"""EventQuery as a filter over the rows of blocks."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from tapwarden.agent.store.embedded.core import core
from tapwarden.model.event import EventQuery


def filter_of(query: EventQuery) -> core.EventFilter:
    """The query but for its times. Raises ValueError for an address that is none."""
    asked: list[tuple[str, Sequence[str]]] = []
    for name in ("address", "src_ip", "dest_ip"):
        text = getattr(query, name)
        if text:
            asked.append((name, (network(text) if "/" in text else address(text),)))
    if query.kinds:
        asked.append(("kinds", tuple(map(text_of, query.kinds))))
    asked += [
        (name, (str(whole(getattr(query, name))),))
        for name in ("port", "sid", "flow_id")
        if getattr(query, name) is not None
    ]
    asked += [
        (name, (text_of(getattr(query, name)),))
        for name in ("sensor", "signature", "domain", "url", "file_hash", "ja", "community_id", "text")
        if getattr(query, name)
    ]
    return core.EventFilter(asked)


def address(text: str) -> str:
    """The address in canonical form. Raises ValueError."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: {error}") from error


def network(text: str) -> str:
    """The network in canonical form, with the length of its prefix. Raises ValueError."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise ValueError(f"{text!r} is no network: {error}") from error


def whole(value: Any) -> int:
    """A whole number of 64 bits, signed; larger ones wrap, as they do when stored."""
    number = int(value)
    return ((number + (1 << 63)) % (1 << 64)) - (1 << 63)


def text_of(text: str) -> str:
    """The text without lone surrogates, which no stored text has either."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
