"""A TAXII 2.1 client (OASIS, 2021-06-10): the five calls an agent needs, on any server that keeps to the standard.

Hostile answers are normal: sizes are bounded, what is not what the standard says is a ChannelError, and URLs that a
server gives us are followed only on its own host, since our credentials go with them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx

from tapwarden.agent.coordinate.transport import bounded, shown
from tapwarden.model.errors import ChannelError

MEDIA_TYPE = "application/taxii+json;version=2.1"
"""TAXII 2.1 section 1.6.8.1."""

ANSWER_MAX_OCTETS = 16 * 1024 * 1024
"""One page of objects at most; a server that sends more is asked for fewer by ``limit``."""

CONTENT_MAX_OCTETS = 8 * 1024 * 1024
"""What is posted at once where a server names no limit of its own."""

FIRST, LAST = "X-TAXII-Date-Added-First", "X-TAXII-Date-Added-Last"

StixObject = Mapping[str, Any]


class TaxiiError(ChannelError):
    """The server answered with an error; ``status`` is HTTP's, ``retry_after_s`` what it asked for (None: nothing)."""

    def __init__(self, message: str, *, status: int, retry_after_s: float | None = None) -> None:
        self.status, self.retry_after_s = status, retry_after_s
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class ApiRoot:
    """An API root. ``max_content_length``: octets that a POST may have."""

    title: str
    max_content_length: int


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection and our rights in it."""

    id: str
    title: str
    alias: str
    can_read: bool
    can_write: bool


@dataclass(frozen=True, slots=True)
class Status:
    """What came of a POST, by object id (section 4.3.1). ``complete`` is False while the server is still at it.

    ``requested_at`` is when the server says it received the request; "" where it does not say. ``raw`` is its answer.
    """

    id: str
    complete: bool
    accepted: frozenset[str]
    failed: Mapping[str, str]
    requested_at: str
    raw: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a collection, oldest first. ``first`` and ``last`` are when the server added the ends of it.

    They are the server's words, passed back to it unread: its clock, not ours, orders what it added.
    """

    objects: Sequence[StixObject]
    next: str
    first: str
    last: str


class TaxiiClient:
    """One API root. Every call raises ChannelError (TaxiiError where the server answered)."""

    def __init__(self, api_root: str, http: httpx.Client) -> None:
        self._root, self._http = api_root.rstrip("/") + "/", http

    @classmethod
    def discover(cls, url: str, http: httpx.Client) -> "TaxiiClient":
        """The default API root of the server at ``url``, or ``url`` itself where it is an API root already."""
        if not urlsplit(url).path.rstrip("/").endswith("/taxii2") and urlsplit(url).path.strip("/"):
            return cls(url, http)
        asked = urljoin(url, "/taxii2/")
        answer, _ = cls(asked, http)._json("GET", asked)
        roots = answer.get("api_roots")
        named = answer.get("default") or (roots[0] if isinstance(roots, list) and roots else None)
        if not isinstance(named, str):
            raise ChannelError(f"{asked} names no API root")
        root = urljoin(asked, named)
        if urlsplit(root)[:2] != urlsplit(asked)[:2]:
            raise ChannelError(f"the API root {root!r} is not where it was asked for, at {asked!r}: name it outright")
        return cls(root, http)

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def root(self) -> ApiRoot:
        """What the API root says about itself."""
        answer, _ = self._json("GET", self._root)
        most, named = CONTENT_MAX_OCTETS, answer.get("max_content_length")
        if isinstance(named, int) and not isinstance(named, bool) and named > 0:
            most = min(named, most)
        return ApiRoot(str(answer.get("title", ""))[:200], most)

    def collections(self) -> Sequence[Collection]:
        """The collections shown to us."""
        answer, _ = self._json("GET", f"{self._root}collections/")
        return [
            Collection(
                each["id"],
                str(each.get("title", "")),
                str(each.get("alias", "")),
                each.get("can_read") is True,
                each.get("can_write") is True,
            )
            for each in _list(answer, "collections")
            if isinstance(each.get("id"), str)
        ]

    def collection(self, name: str) -> Collection:
        """The one collection with this id, alias or title."""
        found = [each for each in self.collections() if name in (each.id, each.alias, each.title)]
        if len(found) != 1:
            raise ChannelError(f"{len(found) or 'no'} collections are named {name!r} at {self._root}")
        return found[0]

    def add(self, collection_id: str, envelope: bytes) -> Status:
        """Post an envelope (JSON with ``objects``)."""
        headers = {"Content-Type": MEDIA_TYPE}
        answer, raw = self._json(
            "POST", f"{self._root}collections/{quote(collection_id, safe='')}/objects/", headers, envelope
        )
        return _status(answer, raw)

    def status(self, status_id: str) -> Status:
        """What came of a POST by now."""
        answer, raw = self._json("GET", f"{self._root}status/{quote(status_id, safe='')}/")
        return _status(answer, raw)

    def page(
        self,
        collection_id: str,
        *,
        added_after: str = "",
        limit: int = 100,
        next: str = "",
        match: Mapping[str, str] | None = None,
    ) -> Page:
        """Objects added after a time the server itself gave; ``match`` by type, id, version, spec_version."""
        asked = {"limit": str(limit)} | {f"match[{key}]": value for key, value in (match or {}).items()}
        if added_after:
            asked["added_after"] = added_after
        if next:
            asked["next"] = next
        url = f"{self._root}collections/{quote(collection_id, safe='')}/objects/"
        content, headers = self._ask("GET", url, params=asked)
        answer = _parsed(content) if content.strip() else {}
        more = answer.get("more") is True
        following = answer.get("next")
        if more and not isinstance(following, str | int):
            raise ChannelError("there is more, and the server does not say how to ask for it")
        return Page(
            _list(answer, "objects"), str(following) if more else "", headers.get(FIRST, ""), headers.get(LAST, "")
        )

    def _json(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> tuple[dict[str, Any], str]:
        answer, _ = self._ask(method, url, headers=headers, content=content)
        return _parsed(answer), answer[:65536].decode("utf-8", "replace")

    def _ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[bytes, httpx.Headers]:
        try:
            with self._http.stream(method, url, headers=headers, content=content, params=params) as response:
                answer = bounded(response, ANSWER_MAX_OCTETS)
        except httpx.HTTPError as error:
            raise ChannelError(f"{type(error).__name__}: {error}") from error
        if response.status_code not in {200, 202}:
            raise TaxiiError(
                f"answered {response.status_code}: {shown(answer)}",
                status=response.status_code,
                retry_after_s=_seconds(response.headers.get("Retry-After", "")),
            )
        return answer, response.headers


def envelope(objects: Sequence[StixObject]) -> bytes:
    """The envelope that carries these objects (section 3.7)."""
    return json.dumps({"objects": list(objects)}, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
        "utf-8", "replace"
    )


def moment_of(text: str) -> datetime | None:
    """A STIX timestamp as a time; None where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ChannelError(f"answered no JSON: {shown(content)}") from error
    if not isinstance(answer, dict):
        raise ChannelError(f"answered something else: {shown(content)}")
    return answer


def _list(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = answer.get(name, [])
    if not isinstance(found, list):
        raise ChannelError(f"{name} in the answer is no list")
    return [each for each in found if isinstance(each, dict)]


def _status(answer: Mapping[str, Any], raw: str) -> Status:
    """A status; details are optional in it, counts are not (section 4.3.1)."""
    if not isinstance(answer.get("id"), str) or answer.get("status") not in {"complete", "pending"}:
        raise ChannelError(f"answered no status: {shown(raw.encode())}")
    failures = {str(each.get("id", "")): str(each.get("message", ""))[:500] for each in _list(answer, "failures")}
    count = answer.get("failure_count", 0)
    if isinstance(count, int) and count > len(failures):  # a server that counts, but names none
        failures.setdefault("", f"{count} objects failed")
    return Status(
        answer["id"],
        answer["status"] == "complete",
        frozenset(str(each.get("id", "")) for each in _list(answer, "successes")),
        failures,
        str(answer.get("request_timestamp", "")),
        raw,
    )


def _seconds(text: str) -> float | None:
    """Retry-After in seconds; a date in it is left alone, since clocks differ."""
    return min(float(text), 3600.0) if text.isascii() and text.isdigit() else None
