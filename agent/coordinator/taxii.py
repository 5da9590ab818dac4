"""The centre as a TAXII 2.1 server: one API root, ``/taxii2/cc/``, in which every agent has collections of its own."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool

from tapwarden.agent.coordinator.collections import Shown, shown_to
from tapwarden.agent.coordinator.database import written
from tapwarden.agent.coordinator.faults import Faults, after, before, on_page, on_post
from tapwarden.agent.coordinator.identity import Caller, Identities
from tapwarden.agent.coordinator.shelf import Shelf, Shelved, Wanted, new_status
from tapwarden.agent.request_body import read_body

MEDIA_TYPE = "application/taxii+json;version=2.1"
CONTENT_MAX_OCTETS = 8 * 1024 * 1024
PAGE_MAX = 1000
VERSIONS = [MEDIA_TYPE]

Intake = Callable[[Caller, Shown, Sequence[Mapping[str, Any]]], None]
"""Told what was accepted into a collection."""


class TaxiiServer:
    """The routes. ``now`` gives the time, ``intake`` learns what came in."""

    def __init__(
        self,
        shelf: Shelf,
        identities: Identities,
        agents: Sequence[str],
        faults: Faults,
        *,
        title: str,
        now: Callable[[], datetime],
        intake: Intake,
    ) -> None:
        self._shelf, self._identities, self._agents, self._faults = shelf, identities, agents, faults
        self._title, self._now, self._intake = title, now, intake

    def router(self) -> APIRouter:
        """All routes of TAXII 2.1 section 4 and 5."""
        router = APIRouter(include_in_schema=False)
        route = router.add_api_route
        cc, objects = "/taxii2/cc", "/taxii2/cc/collections/{name}/objects/"
        route("/taxii2/", self.discovery, methods=["GET"])
        route(f"{cc}/", self.root, methods=["GET"])
        route(f"{cc}/status/{{status_id}}/", self.status, methods=["GET"])
        route(f"{cc}/collections/", self.collections, methods=["GET"])
        route(f"{cc}/collections/{{name}}/", self.collection, methods=["GET"])
        route(f"{cc}/collections/{{name}}/manifest/", self.manifest, methods=["GET"])
        route(objects, self.objects, methods=["GET"])
        route(objects, self.add, methods=["POST"])
        route(objects + "{object_id}/", self.one_object, methods=["GET"])
        route(objects + "{object_id}/", self.remove, methods=["DELETE"])
        route(objects + "{object_id}/versions/", self.versions, methods=["GET"])
        return router

    def discovery(self, request: Request) -> Response:
        """Section 4.1."""
        self._caller(request)
        root = str(request.base_url).rstrip("/") + "/taxii2/cc/"
        return _taxii({"title": self._title, "default": root, "api_roots": [root]})

    def root(self, request: Request) -> Response:
        """Section 4.2."""
        self._caller(request)
        return _taxii({"title": self._title, "versions": VERSIONS, "max_content_length": CONTENT_MAX_OCTETS})

    def status(self, request: Request, status_id: str) -> Response:
        """Section 4.3."""
        found = self._shelf.status(self._caller(request).name, status_id)
        if found is None:
            raise HTTPException(404, "there is no such status, or it is somebody else's")
        return _taxii(found)

    def collections(self, request: Request) -> Response:
        """Section 5.1."""
        caller = self._caller(request)
        shown = [each.resource(not caller.officer) for each in shown_to(caller, self._agents)]
        return _taxii({"collections": shown} if shown else {})

    def collection(self, request: Request, name: str) -> Response:
        """Section 5.2."""
        caller = self._caller(request)
        return _taxii(self._collection(caller, name).resource(not caller.officer))

    def manifest(self, request: Request, name: str) -> Response:
        """Section 5.3."""
        found, more = self._page(request, name)
        entries = [
            {"id": each.id, "date_added": each.added_at, "version": each.version, "media_type": _stix(each)}
            for each in found
        ]
        return _page(found, more, {"objects": entries} if entries else {})

    async def objects(self, request: Request, name: str) -> Response:
        """Section 5.4."""
        fault = self._faults.take("poll")
        if fault is not None and (answer := await before(fault)) is not None:
            return answer
        found, more = await run_in_threadpool(self._page, request, name)
        found = on_page(fault, found)
        things = [json.loads(each.document) for each in found]
        return _page(found, more, {"objects": things} if things else {})

    async def add(self, request: Request, name: str) -> Response:
        """Section 5.5."""
        caller = self._caller(request)
        collection = self._collection(caller, name)
        if not collection.can_write:
            raise HTTPException(403, "this collection is not written by you")
        if not _is_taxii(request.headers.get("content-type", "")):
            raise HTTPException(415, f"post {MEDIA_TYPE}")
        fault = self._faults.take("push")
        if fault is not None and (answer := await before(fault)) is not None:
            return answer
        things = _envelope(await read_body(request, CONTENT_MAX_OCTETS, "an envelope"))
        failed = on_post(fault, things)
        status = await run_in_threadpool(self._keep, caller, collection, things, failed)
        return after(fault) or _taxii(status, 202)

    def one_object(self, request: Request, name: str, object_id: str) -> Response:
        """Section 5.6."""
        found, more = self._page(request, name, object_id)
        if not found:
            raise HTTPException(404, "there is no such object")
        return _page(found, more, {"objects": [json.loads(each.document) for each in found]})

    def remove(self, request: Request, name: str, object_id: str) -> Response:
        """Section 5.7: nothing that was said is taken back here; revocations are objects of their own."""
        self._collection(self._caller(request), name)
        raise HTTPException(403, "nothing is deleted from this collection")

    def versions(self, request: Request, name: str, object_id: str) -> Response:
        """Section 5.8."""
        collection = self._readable(request, name)
        found = self._shelf.versions(collection.shelf, object_id)
        if not found:
            raise HTTPException(404, "there is no such object")
        limit = _limit(request)
        return _page(found[:limit], False, {"versions": [each.version for each in found[:limit]]})

    def _keep(
        self, caller: Caller, collection: Shown, things: Sequence[Any], failed: Mapping[str, str]
    ) -> dict[str, Any]:
        now = self._now()
        wanted = [each for each in things if not (isinstance(each, Mapping) and each.get("id") in failed)]
        refused = {**failed, **self._shelf.add(collection.shelf, wanted, now)}
        accepted = [each for each in wanted if isinstance(each, Mapping) and each.get("id") not in refused]
        self._intake(caller, collection, accepted)
        status = new_status(things, refused, now)
        self._shelf.keep_status(caller.name, status, now)
        return status

    def _page(self, request: Request, name: str, object_id: str = "") -> tuple[Sequence[Shelved], bool]:
        collection = self._readable(request, name)
        wanted = _wanted(request, object_id)
        return self._shelf.page(collection.shelf, wanted, _limit(request))

    def _readable(self, request: Request, name: str) -> Shown:
        collection = self._collection(self._caller(request), name)
        if not collection.can_read:
            raise HTTPException(403, "this collection is not read by you")
        return collection

    def _collection(self, caller: Caller, name: str) -> Shown:
        for each in shown_to(caller, self._agents):
            if name == each.id or (name == each.kind and not caller.officer):
                return each
        raise HTTPException(404, "there is no such collection, or it is somebody else's")

    def _caller(self, request: Request) -> Caller:
        accepted = request.headers.get("accept", "*/*")
        if not any(_is_taxii(each) or each.partition(";")[0].strip() == "*/*" for each in accepted.split(",")):
            raise HTTPException(406, f"accept {MEDIA_TYPE}")
        return self._identities.caller(request)


def _wanted(request: Request, object_id: str) -> Wanted:
    query = request.query_params

    def match(name: str) -> list[str]:
        return [each for each in query.get(f"match[{name}]", "").split(",") if each][:100]

    added_after = ""
    if given := query.get("added_after", ""):
        added_after = _timestamp(given, "added_after")
    after_seq = query.get("next", "0")
    if not re.fullmatch(r"[0-9]{1,18}", after_seq):
        raise HTTPException(400, "next is what the page before said")
    versions = [each if each in {"all", "first", "last"} else _timestamp(each, "version") for each in match("version")]
    ids = [object_id] if object_id else match("id")
    return Wanted(added_after, int(after_seq), ids, match("type"), match("spec_version"), versions or ("last",))


def _timestamp(text: str, name: str) -> str:
    try:
        return written(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise HTTPException(400, f"{name} is no timestamp") from None


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", str(PAGE_MAX))
    if not re.fullmatch(r"[1-9][0-9]{0,8}", given):
        raise HTTPException(400, "limit is a positive number")
    return min(int(given), PAGE_MAX)


def _page(found: Sequence[Shelved], more: bool, resource: dict[str, Any]) -> Response:
    headers = {}
    if found:
        headers = {
            "X-TAXII-Date-Added-First": found[0].added_at,
            "X-TAXII-Date-Added-Last": max(each.added_at for each in found),
        }
    if more:
        resource = {"more": True, "next": str(max(each.seq for each in found)), **resource}
    return _taxii(resource, headers=headers)


def _taxii(resource: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(resource), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _stix(each: Shelved) -> str:
    return f"application/stix+json;version={json.loads(each.document).get('spec_version', '2.0')}"


def _is_taxii(text: str) -> bool:
    kind, *parameters = (part.strip().replace(" ", "") for part in text.split(";"))
    return kind == "application/taxii+json" and all(
        part == "version=2.1" for part in parameters if part.startswith("version")
    )


def _envelope(content: bytes) -> list[Any]:
    try:
        things = json.loads(content)["objects"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HTTPException(400, "post an envelope: an object with objects") from None
    if not isinstance(things, list):
        raise HTTPException(400, "objects is a list")
    return things
