"""A process killed at any moment (SIGKILL): what it was told is stored is stored, and only once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.model.event import Event, EventQuery

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Noon:
    def now(self) -> datetime:
        return NOON


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.model.event import Event

class Noon:
    def now(self):
        return datetime(2026, 11, 24, 12, tzinfo=UTC)

folder, first = Path(sys.argv[1]), int(sys.argv[2])
events, cases = EmbeddedEventStore(folder / "events", Noon()), SqlCaseStore.at(folder / "cases.db")
batch = first
while True:
    records = [Event(b'{"timestamp":"2026-11-24T11:%02d:00Z","n":%d}' % (n, batch), str(batch)) for n in range(60)]
    events.append(records)
    cases.audit(actor="test", verb="append", subject=str(batch), at=Noon().now())
    print(batch, flush=True)
    batch += 1
"""


def _killed_at_some_moment(folder: Path, first: int, seconds: float) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(first)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert process.stdout is not None
    said = process.stdout.readline()  # it is under way
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    return int((rest or [said])[-1])


@pytest.fixture
def events(tmp_path: Path) -> Iterator[EmbeddedEventStore]:
    store = EmbeddedEventStore(tmp_path / "events", Noon())
    yield store
    store.close()


def test_what_was_acknowledged_before_a_kill_is_there_exactly_once(tmp_path: Path, events: EmbeddedEventStore) -> None:
    chance = random.Random(5)
    first, last = 0, -1
    for _ in range(4):
        last = _killed_at_some_moment(tmp_path, first, chance.uniform(0, 0.4))
        # it starts again at the last acknowledged batch, as a collector that goes back does
        first = last
    counted = events.count(EventQuery())
    assert counted in {60 * (last + 1), 60 * (last + 2)}, "all acknowledged, and the one under way whole or not at all"
    assert events.append([Event(b'{"timestamp":"2026-11-24T11:00:00Z","n":0}', "0")]) == 0
    assert events.status().events == counted
    assert events.status().problem == ""
    cases = SqlCaseStore.at(tmp_path / "cases.db")
    assert cases.verify_audit() is None
    subjects = {record.subject for record in cases.audit_records(limit=1_000_000)}
    assert {str(batch) for batch in range(last + 1)} <= subjects
    cases.close()
