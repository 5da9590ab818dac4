"""A process killed between spool and triage: every alert of the spool is counted in the inbox once, and decided on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tapwarden.agent.composition import Parts, composed
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.health import Health
from tapwarden.agent.pipeline import Delivery, Pipeline
from tapwarden.agent.progress import Progress
from tapwarden.agent.store.spool import Drain, Spool
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event, EventQuery

POLICY = {
    "name": "beacon",
    "match": {"sid": 1},
    "decide": {
        "measure": "block",
        "targets": "dest",
        "scope": "here",
        "reason": "r",
        "legal_basis": "l",
        "duration": "4h",
    },
}


def alert(number: int) -> Event:
    record = {
        "timestamp": datetime.now(UTC).isoformat(),
        "event_type": "alert",
        "src_ip": "10.0.0.5",
        "dest_ip": "192.0.2.9",
        "alert": {"signature_id": 1, "gid": 1, "signature": "beacon", "category": "c2", "severity": 1},
    }
    return Event(json.dumps(record, separators=(",", ":")).encode(), f"t:{number}")


class Agent:
    """A composed agent on a folder, its path and its drain driven by hand."""

    def __init__(self, parts: Parts, spool: Spool, desk: Any = None) -> None:
        self.parts, self.spool = parts, spool
        self.path = Pipeline(
            events=spool,
            cases=parts.cases,
            desk=desk or parts.desk,
            policies=parts.policies,
            enrichments=[],
            health=Health(),
            ours=parts.ours,
            progress=Progress(spool, parts.places),
        )

    def drain(self) -> None:
        """Carry what is in the spool to the store."""
        drain = Drain(self.spool, self.parts.events, refused_file=Path("/dev/null"), tell=lambda *_: False)
        drain.finish(30)
        drain.run()

    @property
    def inbox(self) -> list[int]:
        """Counts of the alert groups."""
        return [group.count for group in self.parts.cases.groups()]


class Agents:
    """Starts agents on one folder. The one before is gone then, as a killed process is: nothing is finished."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._running = folder, ExitStack()
        self._config = Config.model_validate({"triage": {"policies": [POLICY]}})

    def __call__(self, desk: Any = None, *, max_octets: int = 64 << 20) -> Agent:
        self.stop()
        parts = self._running.enter_context(composed(self._config, Layout.at(self._folder)))
        spool = Spool(self._folder / "spool", max_octets=max_octets)
        self._running.callback(spool.close)
        return Agent(parts, spool, desk)

    def stop(self) -> None:
        """Nobody has the folder."""
        self._running.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Agents]:
    agents = Agents(tmp_path)
    yield agents
    agents.stop()


def test_alerts_that_the_spool_has_and_the_inbox_has_not_are_counted_after_a_restart(start: Agents) -> None:
    first = start()
    first.path.catch_up()
    first.path.carry(Delivery([alert(0)]))
    first.spool.append([alert(1), alert(2)])  # and here it is killed
    first.drain()
    again = start()
    again.path.catch_up()
    assert again.inbox == [3]
    assert again.path.counters()["alerts.again"] == 2
    last = start()
    last.path.catch_up()
    last.path.carry(Delivery([alert(3)]))
    assert last.inbox == [4]


def test_what_the_store_has_already_is_kept_in_the_spool_until_it_is_triaged(start: Agents) -> None:
    first = start(max_octets=1 << 16)
    first.path.catch_up()
    for number in range(40):
        first.spool.append([alert(number)])
        first.drain()
    assert start().parts.events.count(EventQuery()) == 40
    again = start(max_octets=1 << 16)
    again.path.catch_up()
    assert again.inbox == [40]
    again.drain()
    again.spool.commit()
    assert again.spool.status().size_octets < 1 << 13


class Interrupted:
    """A desk whose process is killed when a policy is about to decide."""

    def __getattr__(self, name: str) -> Any:
        raise StoreError("killed")


def test_a_policy_has_its_say_after_a_restart_and_counts_stay(start: Agents) -> None:
    first = start(Interrupted())
    first.path.carry(Delivery([alert(0), alert(1)]))
    assert (first.inbox, first.parts.cases.actions()) == ([2], [])
    for _ in range(2):
        again = start()
        again.path.catch_up()
        assert again.inbox == [2]
        assert [action.target.value for action in again.parts.cases.actions()] == ["192.0.2.9"]
        assert len(again.parts.cases.incidents()) == 1


def test_a_spool_of_an_older_version_counts_as_triaged(start: Agents) -> None:
    start().spool.append([alert(0)])
    later = start()
    later.path.catch_up()
    assert later.inbox == []


def test_without_room_alerts_that_are_only_held_go_first(start: Agents) -> None:
    agent = start(max_octets=1 << 16)
    agent.path.catch_up()
    for number in range(30):
        agent.spool.append([alert(number * 100 + n) for n in range(100)])
        agent.drain()
    flow = Event(b'{"event_type":"flow","timestamp":"2026-11-24T11:00:00Z"}', "t:flow")
    assert agent.spool.append([flow]) == 1
    assert agent.spool.status().counters.get("shed.flow", 0) == 0
    assert agent.spool.status().size_octets <= 1 << 16


CHILD = """
import sys
from pathlib import Path
from tapwarden.agent.health import Health
from tapwarden.agent.pipeline import Delivery, Pipeline
from tapwarden.agent.progress import Progress
from tapwarden.agent.store.cases import SqlCaseStore, SqlOrderStore
from tapwarden.agent.store.spool import Spool
from tapwarden.model.event import Event

folder, number = Path(sys.argv[1]), int(sys.argv[2])
record = Path(sys.argv[3]).read_bytes()
spool, cases = Spool(folder / "spool", max_octets=64 << 20), SqlCaseStore.at(Path(sys.argv[4]))
path = Pipeline(
    events=spool, cases=cases, desk=None, policies=[], enrichments=[], health=Health(), ours=lambda _: False,
    progress=Progress(spool, SqlOrderStore(cases)),
)
path.catch_up()
print("started", flush=True)
while True:
    path.carry(Delivery([Event(record, f"{number}:{n}") for n in range(2)]))
    number += 1
"""


def test_killed_at_any_moment_the_inbox_counts_what_the_store_has(start: Agents, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    chance = random.Random(3)
    record, cases = tmp_path / "record", start().parts.layout.state(Config().store.cases)
    record.write_bytes(alert(0).raw)
    start.stop()
    for turn in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, tmp_path, str(turn * 100_000), record, cases],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        time.sleep(chance.uniform(0.02, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    agent = start()
    agent.path.catch_up()
    agent.drain()
    stored = agent.parts.events.count(EventQuery(kinds=("alert",)))
    assert stored > 10
    assert agent.inbox == [stored]
