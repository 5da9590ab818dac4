"""The outbox under load and killed at random: how many reports a second, and that none is lost or counted twice.

    python bench/outbox.py [--reports 100000] [--kill-every 20] [--folder DIR]

Fills a case store with signed-off reports (three an incident, so that order matters), then lets a worker send them to a
receiver that knows a report again by its id, as the coordinating centre does, and kills the worker with SIGKILL again
and again. At the end: all acknowledged, each received exactly once, those of an incident in order.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, insert, select

from tapwarden.agent.coordinate.outbox import Outbox
from tapwarden.agent.report.json_document import JsonFormatter
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.cases.tables import incident, report
from tapwarden.model.incident import Incident, IncidentState, ThreatClass
from tapwarden.model.report import Receipt, Report, ReportState, Stage

T0 = datetime(2026, 1, 1, tzinfo=UTC)
AN_INCIDENT = 3


class Shifted:
    """The system's clock, moved on with every restart so that leases of the dead have run out."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by


class Receiver:
    """Keeps each report once, by its id, in the order they came; counts how often one came again."""

    name = "receiver"

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS got (n INTEGER PRIMARY KEY, id TEXT UNIQUE, again INTEGER)")

    def send(self, sent: Report, payload: bytes, media_type: str) -> Receipt:
        del payload, media_type
        statement = "INSERT INTO got (id, again) VALUES (?, 0) ON CONFLICT (id) DO UPDATE SET again = again + 1"
        self._db.execute(statement, (sent.id,))
        return Receipt(f"R-{sent.id}", datetime.now(UTC), "")


def fill(store: SqlCaseStore, count: int) -> None:
    for first in range(0, count, 3000):
        numbers = range(first, min(first + 3000, count))
        incidents = [
            Incident(f"i{n}", "t", ThreatClass.EVENT, 2, IncidentState.SUSPECTED, T0, T0, "bench", T0)
            for n in numbers
            if n % AN_INCIDENT == 0
        ]
        reports = [
            Report(
                f"r{n:07d}",
                f"i{n - n % AN_INCIDENT}",
                Stage.EARLY if n % AN_INCIDENT == 0 else Stage.UPDATE,
                ReportState.READY,
                1,
                T0 + timedelta(seconds=n),
                T0 + timedelta(hours=24, seconds=n),
                {"schema": "tapwarden-report/1", "title": f"report {n}", "tlp": "AMBER"},
            )
            for n in numbers
        ]
        with store._write() as connection:
            rows = [{name: getattr(one, name) for name in Incident.__slots__} for one in incidents]
            connection.execute(insert(incident), rows)
            rows = [{name: getattr(one, name) for name in Report.__slots__} for one in reports]
            connection.execute(insert(report), rows)


def work(folder: Path, turn: int) -> None:
    store = SqlCaseStore.at(folder / "cases.db")
    outbox = Outbox(
        store,
        Receiver(folder / "receiver.db"),
        JsonFormatter(),
        clock=Shifted(timedelta(minutes=3 * turn)),
        random=random.Random(turn),
    )
    idle = 0
    while idle < 3:
        idle = 0 if outbox.send_due().acknowledged else idle + 1
        if idle:
            time.sleep(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reports", type=int, default=100_000)
    parser.add_argument("--kill-every", type=float, default=20.0, help="seconds; 0 never")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work is not None:
        work(asked.folder, asked.work)
        return
    with tempfile.TemporaryDirectory(prefix="tapwarden-outbox-") as made:
        folder = asked.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        store = SqlCaseStore.at(folder / "cases.db")
        fill(store, asked.reports)
        began, kills = time.monotonic(), 0
        while True:
            worker = subprocess.Popen([sys.executable, __file__, "--folder", folder, "--work", str(kills)])
            wait_s = random.uniform(0.5, 1.5) * asked.kill_every if asked.kill_every else None
            try:
                worker.wait(wait_s)
                break
            except subprocess.TimeoutExpired:
                os.kill(worker.pid, signal.SIGKILL)
                worker.wait()
                kills += 1
        took = time.monotonic() - began
        print(json.dumps(judged(store, folder, asked.reports) | {"kills": kills, "seconds": round(took, 1)}))
        store.close()


def judged(store: SqlCaseStore, folder: Path, count: int) -> dict[str, object]:
    with store._read() as connection:
        found = connection.execute(select(report.c.state, func.count()).group_by(report.c.state))
        states = {str(state): number for state, number in found}
    got = sqlite3.connect(folder / "receiver.db").execute("SELECT id, again FROM got ORDER BY n").fetchall()
    places = {name: place for place, (name, _) in enumerate(got)}
    later = [n for n in range(count) if n % AN_INCIDENT]
    ordered = sum(places.get(f"r{n - 1:07d}", count) < places.get(f"r{n:07d}", -1) for n in later)
    return {
        "reports": count,
        "states": states,
        "received": len(got),
        "lost": count - len(got),
        "sent_again_and_known": sum(again for _, again in got),
        "in_order": ordered == len(later),
    }


if __name__ == "__main__":
    main()
