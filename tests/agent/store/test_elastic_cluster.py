"""Clusters of the tests' own: nodes that die under load, and a server with security switched on."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from tapwarden.agent.store.elastic import ElasticEventStore, Settings, examine
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event, EventQuery

pytestmark = pytest.mark.timeout(400)

BATCH = 100

OLDER = {"ELASTICSEARCH_VERSION": "8.19.0"}
"""The oldest server we know; the other tests have the newest that a Java here can run."""


ANY_DISK = "cluster.routing.allocation.disk.threshold_enabled=false"
"""On a disk that is 85 % full a node takes no replicas; how full the machine's is does not matter here."""


def a_batch(number: int) -> list[Event]:
    """Events that no other batch has."""
    moment = datetime(2026, 11, 24, 12, tzinfo=UTC) + timedelta(seconds=number)
    record = {"event_type": "flow", "src_ip": "192.0.2.1", "timestamp": moment.isoformat()}
    return [Event(json.dumps(record | {"n": n}).encode(), f"{number}:{n}") for n in range(BATCH)]


class Writer(threading.Thread):
    """Appends batch after batch, each until it is acknowledged, as the drain of the spool does."""

    def __init__(self, store: ElasticEventStore) -> None:
        super().__init__(daemon=True)
        self._store = store
        self._ending = threading.Event()
        self.acknowledged = 0
        self.failures = 0

    def run(self) -> None:
        """Until ``finish``."""
        while not self._ending.is_set():
            try:
                self._store.append(a_batch(self.acknowledged))
                self.acknowledged += 1
            except StoreError:
                self.failures += 1
                time.sleep(0.2)

    def wait_for(self, more: int) -> None:
        """Until so many more batches are acknowledged."""
        wanted, deadline = self.acknowledged + more, time.monotonic() + 120
        while self.acknowledged < wanted:
            assert time.monotonic() < deadline, f"{self.acknowledged} batches acknowledged, {self.failures} failures"
            time.sleep(0.05)

    def finish(self) -> None:
        """Stop once the batch under way is acknowledged or has failed."""
        self._ending.set()
        self.join()


def test_a_cluster_that_loses_its_nodes_under_load_has_every_acknowledged_event_once(
    nodes: Any, free_port: Callable[[], int], tmp_path: Path
) -> None:
    transport = free_port()
    first = (
        f"http.port={free_port()}",
        f"transport.port={transport}",
        "node.name=first",
        "node.roles=[master,data]",
        ANY_DISK,
        "cluster.initial_master_nodes=[first]",
    )
    second = (
        f"http.port={free_port()}",
        f"transport.port={free_port()}",
        "node.name=second",
        "node.roles=[data]",
        ANY_DISK,
        f'discovery.seed_hosts=["127.0.0.1:{transport}"]',
    )
    address = nodes.start("first", *first, **OLDER)
    urls = [nodes.start("second", *second, **OLDER), address]
    with Elasticsearch(address) as client:
        client.options(request_timeout=90).cluster.health(wait_for_nodes="2", timeout="80s")
        store = ElasticEventStore(Settings(urls, timeout_s=10), tmp_path / "refused.json")
        store.append(a_batch(0))
        client.options(request_timeout=90).cluster.health(wait_for_status="green", timeout="80s")
        assert client.cluster.health(index="tapwarden-network").body["active_shards"] == 2

        writer = Writer(store)
        writer.start()
        writer.wait_for(5)
        os.kill(nodes.pid("second"), signal.SIGKILL)
        writer.wait_for(5)

        os.kill(nodes.pid("first"), signal.SIGKILL)
        time.sleep(1)
        assert writer.failures or not store.status().writable
        nodes.start("first", *first, **OLDER)
        writer.wait_for(5)
        writer.finish()

        assert store.count(EventQuery()) == writer.acknowledged * BATCH
        for number in range(0, writer.acknowledged, 3):
            assert all(store.get(event.id) == event for event in a_batch(number)[:2])
        assert store.append([event for number in range(writer.acknowledged) for event in a_batch(number)]) == 0
        store.close()
    nodes.stop("first")


def test_with_security_on_only_who_may_gets_in_and_only_to_the_right_server(
    nodes: Any, free_port: Callable[[], int], tmp_path: Path
) -> None:
    url = nodes.start("secure", f"http.port={free_port()}", ELASTICSEARCH_SECURE="1")
    authority = str(nodes.folder / "secure" / "config" / "ca.crt")

    def store(**settings: str) -> ElasticEventStore:
        return ElasticEventStore(Settings([url], **settings), tmp_path / "refused.json", pause=lambda _: None)

    trusted = store(user="tapwarden", password="tapwarden-trial", ca_file=authority)
    assert trusted.append(a_batch(0)) == BATCH
    assert trusted.count(EventQuery(src_ip="192.0.2.1")) == BATCH
    findings = list(examine(Settings([url], user="tapwarden", password="tapwarden-trial", ca_file=authority)))
    assert "fail" not in {state for state, _, _ in findings}

    for refused, reason in (
        (store(user="tapwarden", password="guess", ca_file=authority), "401"),
        (store(ca_file=authority), "401"),
        (store(api_key="Z3Vlc3M6Z3Vlc3M=", ca_file=authority), "401"),
        (store(user="tapwarden", password="tapwarden-trial"), "certificate"),
    ):
        with pytest.raises(StoreError, match=reason):
            refused.append(a_batch(1))
        with pytest.raises(StoreError, match=reason):
            refused.search(EventQuery())
        refused.close()
    assert trusted.count(EventQuery()) == BATCH
    trusted.close()
    nodes.stop("secure")
