"""The event stores side by side: events a second, octets an event, and how long answers take.

    python bench/store.py [--events N] [--rounds N] [--questions N] [--only embedded|elasticsearch] [--folder DIR]

Made-up events (bench/traffic.py, the same in every run) are stored in batches as the drain of the spool hands them
over; making them is not measured. Elasticsearch's own client stores the same documents ready-made (``parallel_bulk``),
taking turns with ours, so that whatever else the machine does strikes both. TAPWARDEN_ELASTICSEARCH names a server that
runs; otherwise one is started (1 GiB heap), or left out where there is no Java for it.
"""

import argparse
import gzip
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from elasticsearch import Elasticsearch, OrjsonSerializer
from elasticsearch.helpers import parallel_bulk
from traffic import START, Traffic

from tapwarden.agent.clock import SystemClock
from tapwarden.agent.store.classes import EventClass, class_of
from tapwarden.agent.store.elastic import ElasticEventStore, Settings
from tapwarden.agent.store.elastic.document import documents
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.agent.store.spool.drain import BATCH_EVENTS
from tapwarden.model.event import Event, EventQuery
from tapwarden.model.ports import Batching, EventStore

TOP = Path(__file__).resolve().parent.parent
TURN = 20_000
"""Events of one turn of ours and parallel_bulk."""

DAYS = 7.0
PREFIXES = ("bench", "ours", "other")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000, help="events in each store")
    parser.add_argument("--rounds", type=int, default=5, help="turns of parallel_bulk and ours")
    parser.add_argument("--questions", type=int, default=40, help="times each question is asked")
    parser.add_argument("--folder", default="/var/tmp", help="where the embedded store is made, and removed")
    parser.add_argument("--only", choices=("embedded", "elasticsearch"))
    asked = parser.parse_args()
    print(f"{asked.events:,} events over {DAYS:.0f} days, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n")
    if asked.only != "elasticsearch":
        with tempfile.TemporaryDirectory(prefix="tapwarden-bench-", dir=asked.folder) as folder:
            store = EmbeddedEventStore(Path(folder), SystemClock())
            fill("embedded", store, asked.events, lambda: sum(f.stat().st_size for f in Path(folder).iterdir()))
            answers("embedded", store, asked.questions)
            store.close()
        print(f"{'eve.json, gzip -6':24} {packed(asked.events):28,.0f} octets an event\n")
    if asked.only != "embedded":
        with server() as url:
            if url:
                elasticsearch(url, asked.events, asked.rounds, asked.questions)


def fill(name: str, store: EventStore, total: int, size: Callable[[], int]) -> None:
    """Store the events, and say how fast and in how much room."""
    wall_s = cpu_s = 0.0
    size_of_batch = store.batch_events if isinstance(store, Batching) else BATCH_EVENTS
    for batch in Traffic(1, DAYS, total).batches(total, size_of_batch):
        fresh = [Event(event.raw, event.origin) for event in batch]
        begun, cpu = time.perf_counter(), time.process_time()
        store.append(fresh)
        wall_s, cpu_s = wall_s + time.perf_counter() - begun, cpu_s + time.process_time() - cpu
    rates = f"{total / wall_s:10,.0f} events/s  {total / cpu_s:10,.0f} per CPU second of ours"
    print(f"{name:24} {rates}  {size() / total:6,.0f} octets an event")


def packed(total: int) -> float:
    """Octets an event of the raw records, gzip'd together."""
    sample = min(total, 100_000)
    lines = b"".join(e.raw + b"\n" for batch in Traffic(1, DAYS, total).batches(sample, BATCH_EVENTS) for e in batch)
    return len(gzip.compress(lines, 6)) / sample


def answers(name: str, store: EventStore, times: int) -> None:
    """Ask what the dashboard asks, and say how long the answers take."""
    end = START + timedelta(days=DAYS)
    day = end - timedelta(days=1)
    hosts = [entry.value for entry in store.top(EventQuery(), "src_ip", limit=20)]
    names = [entry.value for entry in store.top(EventQuery(kinds=("tls",)), "domain", limit=20)]
    texts = [entry.value.split()[2][:6] for entry in store.top(EventQuery(kinds=("alert",)), "signature", limit=20)]
    rules = [int(entry.value) for entry in store.top(EventQuery(kinds=("alert",)), "sid", limit=20)]
    servers = [entry.value for entry in store.rare(EventQuery(kinds=("flow",)), "dest_ip", limit=20)]
    turns = itertools.count()

    def turn(values: Sequence[str]) -> str:
        return values[next(turns) % len(values)]

    questions: dict[str, Callable[[], object]] = {
        "inbox: alerts, newest 100": lambda: store.search(EventQuery(kinds=("alert",)), limit=100),
        "inbox: alert groups, a day": lambda: store.groups(EventQuery(kinds=("alert",), since=day), limit=100),
        "inbox: alert groups, all": lambda: store.groups(EventQuery(kinds=("alert",)), limit=100),
        "top sources, a day": lambda: store.top(EventQuery(since=day), "src_ip"),
        "top domains, all": lambda: store.top(EventQuery(), "domain"),
        "top destinations, all": lambda: store.top(EventQuery(), "dest_ip"),
        "top destinations of a host": lambda: store.top(EventQuery(src_ip=turn(hosts)), "dest_ip"),
        "rare domains, a day": lambda: store.rare(EventQuery(since=day), "domain"),
        "domain and below": lambda: store.search(EventQuery(domain=turn(names)), limit=100),
        "address, all": lambda: store.search(EventQuery(address=turn(hosts)), limit=100),
        "address, rare": lambda: store.search(EventQuery(address=turn(servers)), limit=100),
        "sid, all": lambda: store.search(EventQuery(sid=rules[next(turns) % len(rules)]), limit=100),
        "part of a signature": lambda: store.search(EventQuery(signature=turn(texts)), limit=100),
        "part of a URL": lambda: store.search(EventQuery(url=f"id={next(turns) % 97}1"), limit=100),
        "part of a URL, nowhere": lambda: store.search(EventQuery(url=f"/never{next(turns)}.php"), limit=100),
        "flow": lambda: store.search(EventQuery(flow_id=next(turns)), limit=100),
        "histogram, all, by hour": lambda: store.histogram(EventQuery(), interval_s=3600),
        "histogram, a host": lambda: store.histogram(EventQuery(address=turn(hosts)), interval_s=3600),
        "count, all": lambda: store.count(EventQuery()),
        "count, a host": lambda: store.count(EventQuery(address=turn(hosts))),
        "count, a domain": lambda: store.count(EventQuery(domain=turn(names))),
    }
    for question, ask in questions.items():
        taken = []
        cpu = time.process_time()
        for _ in range(times):
            begun = time.perf_counter()
            ask()
            taken.append((time.perf_counter() - begun) * 1000)
        cpu = (time.process_time() - cpu) * 1000 / times
        taken.sort()
        p50, p99 = statistics.median(taken), taken[min(int(len(taken) * 0.99), len(taken) - 1)]
        print(f"  {name:22} {question:28} p50 {p50:8.1f} ms   p99 {p99:8.1f} ms   CPU {cpu:8.1f} ms")
    print()


def elasticsearch(url: str, total: int, rounds: int, questions: int) -> None:
    """Ours and the client's own way in turns, then the answers."""
    run = uuid.uuid4().hex[:8]
    with tempfile.TemporaryDirectory(prefix="tapwarden-bench-", dir="/var/tmp") as folder:
        store, ours, other = (
            ElasticEventStore(Settings([url], prefix=f"{name}-{run}"), Path(folder) / "refused.json")
            for name in PREFIXES
        )
        client = Elasticsearch(url, serializer=OrjsonSerializer(), request_timeout=120, connections_per_node=8)
        try:
            compare(ours, other, client, rounds)
            fill("elasticsearch", store, total, lambda: settled_octets(store, client, f"bench-{run}"))
            answers("elasticsearch", store, questions)
        finally:
            for prefix in PREFIXES:
                names = list(client.indices.get(index=f"{prefix}-{run}-*", features="aliases").body)
                client.options(ignore_status=404).indices.delete(index=names or "none")
                client.options(ignore_status=404).indices.delete_index_template(name=f"{prefix}-{run}-*")
            client.close()
            for opened in (store, ours, other):
                opened.close()


def settled_octets(store: ElasticEventStore, client: Elasticsearch, prefix: str) -> int:
    """What the indices take once written out, as they are (not merged by force)."""
    client.indices.flush(index=f"{prefix}-*", force=True)
    time.sleep(11)  # the server's own statistics of sizes are up to ten seconds old
    return store.status().size_octets


def compare(store: ElasticEventStore, other: ElasticEventStore, client: Elasticsearch, rounds: int) -> None:
    """The same events by ``append`` and, as ready-made documents, by the client's ``parallel_bulk``."""
    for kept in EventClass:
        store.partitions.series(kept)
        other.partitions.series(kept)
    ours, theirs = [], []
    traffic = Traffic(2, DAYS, rounds * TURN)
    for number in range(rounds + 1):
        batches = list(traffic.batches(TURN, store.batch_events))
        begun = time.perf_counter()
        for batch in batches:
            store.append(batch)
        mine = time.perf_counter() - begun
        actions = [action(event, other) for batch in batches for event in batch]
        begun = time.perf_counter()
        for ok, result in parallel_bulk(client, actions, thread_count=4):
            if not ok:
                sys.exit(f"parallel_bulk: {result}")
        if number:  # the first warms the server up
            ours.append(TURN / mine)
            theirs.append(TURN / (time.perf_counter() - begun))
    for name, rates in (("elasticsearch", ours), ("parallel_bulk", theirs)):
        print(
            f"{name:24} {statistics.median(rates):10,.0f} events/s  (rounds: {', '.join(f'{r:,.0f}' for r in rates)})"
        )
    ratios = [mine / his for mine, his in zip(ours, theirs, strict=True)]
    print(f"{'ours / parallel_bulk':24} {statistics.median(ratios):10.2f}\n")


def action(event: Event, store: ElasticEventStore) -> dict[str, Any]:
    """A ready-made document."""
    name = store.partitions.names[class_of(event.kind)]
    document = documents([event], {}, name).document(0)
    return {"_op_type": "create", "_index": name, "_id": event.id, "_source": orjson.loads(document)}


@contextmanager
def server() -> Iterator[str]:
    """A server's address; "" where none can be had."""
    running = os.environ.get("TAPWARDEN_ELASTICSEARCH")
    if running:
        yield running
        return
    folder = TOP / ".elasticsearch" / "bench"
    script = TOP / "tools" / "elasticsearch.sh"
    started = subprocess.run(
        [script, "start", folder, "http.port=9299"], stdout=subprocess.PIPE, text=True, check=False
    )
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([script, "stop", folder], check=False)


if __name__ == "__main__":
    main()
