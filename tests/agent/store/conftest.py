"""The stores under test, on real servers: PostgreSQL where it is installed, Elasticsearch where there is a Java."""

import os
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from postgresql import new_database, server

from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.elastic import ElasticEventStore, Settings
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.model.ports import EventStore


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of an empty PostgreSQL server on a Unix socket, gone after the tests."""
    with server() as template:
        yield template


@pytest.fixture(params=["sqlite", "postgresql"])
def case_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database that holds nothing yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/cases.db"
    return new_database(request.getfixturevalue("postgresql"))


@pytest.fixture
def open_cases(case_url: str) -> Iterator[Callable[[], SqlCaseStore]]:
    """Opens the store under test; more than once for tests of restarts and of several processes."""
    opened: list[SqlCaseStore] = []

    def opens() -> SqlCaseStore:
        opened.append(SqlCaseStore(case_url))
        return opened[-1]

    yield opens
    for store in opened:
        store.close()


@pytest.fixture
def cases(open_cases: Callable[[], SqlCaseStore]) -> SqlCaseStore:
    """An empty case store."""
    return open_cases()


QUICK_START = {"ELASTICSEARCH_HEAP": "512m", "ELASTICSEARCH_OPTIONS": "-XX:TieredStopAtLevel=1"}
"""Half the time to the first answer; slower afterwards, which tests do not notice."""


class Nodes:
    """Elasticsearch nodes of the tests' own, each with its folder. Stopped at the end."""

    def __init__(self, script: Path, folder: Path) -> None:
        self._script, self.folder = script, folder

    def start(self, name: str, *settings: str, **environment: str) -> str:
        """Start a node, or start it again; its address."""
        done = subprocess.run(
            [self._script, "start", self.folder / name, *settings],
            env={**QUICK_START, **os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"Elasticsearch cannot be started: {done.stderr.strip()[-600:]}")
        return done.stdout.strip()

    def pid(self, name: str) -> int:
        """The node's process."""
        return int((self.folder / name / "pid").read_text())

    def stop(self, name: str) -> None:
        """End it in good order."""
        subprocess.run([self._script, "stop", self.folder / name], check=True, capture_output=True)

    def stop_all(self) -> None:
        """End those that still run."""
        for pid in self.folder.glob("*/pid"):
            self.stop(pid.parent.name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives ports of loopback that nobody listens on."""
    return _free_port


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs a server waits for it to be fetched and started."""
    for item in items:
        if "elastic" in item.nodeid and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def nodes(top: Path) -> Iterator[Nodes]:
    """Starts and ends Elasticsearch nodes."""
    with tempfile.TemporaryDirectory(prefix="tapwarden-es-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # the server refuses to run as root
        started = Nodes(top / "tools" / "elasticsearch.sh", Path(folder))
        try:
            yield started
        finally:
            started.stop_all()


@pytest.fixture(scope="session")
def elasticsearch(nodes: Nodes) -> str:
    """Address of a server without security, for tests that need no more. TAPWARDEN_ELASTICSEARCH: of one that runs."""
    return os.environ.get("TAPWARDEN_ELASTICSEARCH") or nodes.start("shared", f"http.port={_free_port()}")


@contextmanager
def elastic_store(url: str, folder: Path) -> Iterator[ElasticEventStore]:
    """An empty store with indices of its own, which are removed at the end."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    store = ElasticEventStore(Settings([url], prefix=prefix), folder / "dead-letters.json")
    try:
        yield store
    finally:
        store.close()
        with Elasticsearch(url) as client:
            names = list(client.indices.get(index=f"{prefix}-*", features="aliases").body)
            if names:
                client.indices.delete(index=names)
            client.indices.delete_index_template(name=f"{prefix}-*")


class Noon:
    """A clock that always says 2026-11-24, 12:00 UTC."""

    def now(self) -> datetime:
        """The time."""
        return datetime(2026, 11, 24, 12, tzinfo=UTC)


@contextmanager
def embedded_store(folder: Path) -> Iterator[EmbeddedEventStore]:
    """An empty store."""
    store = EmbeddedEventStore(folder, Noon())
    yield store
    store.close()


OpenStore = Callable[[Path], AbstractContextManager[EventStore]]


@pytest.fixture(scope="session")
def event_stores(request: pytest.FixtureRequest) -> Mapping[str, OpenStore]:
    """How each store in the table is opened, empty, with a folder of its own."""

    def elastic(folder: Path) -> AbstractContextManager[EventStore]:
        return elastic_store(request.getfixturevalue("elasticsearch"), folder)

    return {"embedded": embedded_store, "elasticsearch": elastic}
