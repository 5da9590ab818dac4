"""What would keep a cluster from taking events, for ``tapwarden doctor``."""

from collections.abc import Iterator
from typing import Any, Literal

from elasticsearch import Elasticsearch

from tapwarden.agent.store.elastic.connection import (
    BadRequestError,
    NotFoundError,
    Settings,
    connect,
    is_loopback,
    talking,
)
from tapwarden.model.errors import StoreError

State = Literal["ok", "warn", "fail"]

KNOWN_VERSIONS = (8, 9)
FIRST_VERSION = (8, 19)
"""What the tests run against; older ones lack what the template uses."""

NEARLY_FULL_PERCENT = 85
"""Elasticsearch's own low watermark: from here on it allocates no more shards to the node."""


def examine(settings: Settings) -> Iterator[tuple[State, str, str]]:
    """Each finding: its state, what was seen, what to do."""
    try:
        client = connect(settings)
    except StoreError as error:
        yield "fail", str(error), "correct store.elasticsearch"
        return
    with client:
        try:
            yield from _health(client)
            yield from _versions(client)
            yield from _room(client)
        except (BadRequestError, NotFoundError) as error:
            yield "warn", f"the cluster does not say: {error}", ""
        except StoreError as error:
            yield "fail", str(error), "see that store.elasticsearch names a node that runs, and how to get in there"
            return
    for url in settings.urls:
        if url.startswith("http:") and not is_loopback(url):
            yield "warn", f"events cross the network readable to {url}", "switch TLS on there: https://"


def _health(client: Elasticsearch) -> Iterator[tuple[State, str, str]]:
    with talking("ask for the cluster's health"):
        health = client.cluster.health().body
    nodes, status = health["number_of_data_nodes"], health["status"]
    state: State = {"green": "ok", "yellow": "warn"}.get(status, "fail")  # type: ignore[assignment]
    advice = "" if state == "ok" else "GET _cluster/allocation/explain says which shards have no place and why"
    yield state, f"{health['cluster_name']}: {status}, {nodes} data node{'' if nodes == 1 else 's'}", advice


def _versions(client: Elasticsearch) -> Iterator[tuple[State, str, str]]:
    with talking("ask for the nodes' versions"):
        nodes: dict[str, Any] = client.nodes.info(filter_path="nodes.*.version,nodes.*.name").body["nodes"]
    for node in nodes.values():
        first, second = (int(part) for part in node["version"].split(".")[:2])
        if first not in KNOWN_VERSIONS or (first, second) < FIRST_VERSION:
            yield "warn", f"{node['name']} is {node['version']}", "8.19 and 9.x are what Tapwarden is tested with"
    yield "ok", f"versions {', '.join(sorted({node['version'] for node in nodes.values()}))}", ""


def _room(client: Elasticsearch) -> Iterator[tuple[State, str, str]]:
    with talking("ask for the nodes' disks"):
        stats: dict[str, Any] = client.nodes.stats(metric="fs", filter_path="nodes.*.name,nodes.*.fs.total").body
    for node in stats.get("nodes", {}).values():
        total, free = node["fs"]["total"]["total_in_bytes"], node["fs"]["total"]["available_in_bytes"]
        used = 100 - 100 * free / total if total else 0
        full = used >= NEARLY_FULL_PERCENT
        text = f"{node['name']}: {free / 1e9:.1f} GB free, {used:.0f} % used"
        advice = "add disk, or set store.elasticsearch.max_size; from 95 % on the server makes indices read-only"
        yield "warn" if full else "ok", text, advice if full else ""
