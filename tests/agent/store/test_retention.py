"""What is kept how long: whole partitions, by age, by size, by the disk's room; and the forecast."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.agent import keeping
from tapwarden.agent.clock import SystemClock
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.agent.store.retention import Holding, Kept, Limits, doomed, find_events, forecast
from tapwarden.model.event import Event, EventQuery

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
FOR_EVER = dict.fromkeys((Kept.LOGS, Kept.DETAIL, Kept.NETWORK, Kept.EVIDENCE, Kept.DNS, Kept.ALERTS), 9999 * DAY)
PLENTY = 10**15


def holding(kept: Kept, age_days: float, octets: int = 100, *, fixed: bool = False) -> Holding:
    written = NOW - age_days * DAY
    return Holding(kept, f"{kept.name}-{age_days}", (), octets, written, written.date(), fixed)


def gone(holdings: Sequence[Holding], limits: Limits, free_octets: int = PLENTY) -> list[tuple[str, str]]:
    return [(one.holding.name, one.why) for one in doomed(holdings, limits, now=NOW, free_octets=free_octets)]


def test_each_kind_has_its_own_age() -> None:
    ages = {Kept.DETAIL: 30 * DAY, Kept.DNS: 180 * DAY}
    holdings = [holding(kept, age) for kept in ages for age in (20, 40, 200)]
    assert gone(holdings, Limits(ages, None, 0)) == [("DETAIL-200", "age"), ("DETAIL-40", "age"), ("DNS-200", "age")]


def test_over_the_size_the_least_valuable_goes_first_and_of_it_the_oldest() -> None:
    holdings = [holding(kept, age) for kept in (Kept.ALERTS, Kept.DNS, Kept.NETWORK) for age in (2, 3)]
    assert gone(holdings, Limits(FOR_EVER, 350, 0)) == [("NETWORK-3", "size"), ("NETWORK-2", "size"), ("DNS-3", "size")]


def test_a_disk_that_runs_full_is_relieved_only_as_far_as_needed() -> None:
    holdings = [holding(Kept.NETWORK, age) for age in (2, 3, 4)]
    assert gone(holdings, Limits(FOR_EVER, None, 150), free_octets=60) == [("NETWORK-4", "free")]


def test_what_is_written_today_or_fixed_never_goes() -> None:
    holdings = [holding(Kept.NETWORK, 0.5), holding(Kept.EVIDENCE, 900, fixed=True), holding(Kept.SPOOL, 5, fixed=True)]
    assert gone(holdings, Limits(dict.fromkeys(FOR_EVER, DAY), 0, PLENTY), free_octets=0) == []


def test_the_forecast_gives_room_to_the_most_valuable_first() -> None:
    holdings = [holding(kept, age, octets=10) for kept in (Kept.DNS, Kept.NETWORK) for age in range(1, 8)]
    ages = {Kept.DNS: 180 * DAY, Kept.NETWORK: 180 * DAY}
    found = forecast(holdings, Limits(ages, 2500, 0), now=NOW, free_octets=PLENTY)
    assert found[Kept.DNS].enough
    assert found[Kept.NETWORK].days == pytest.approx(70)
    assert not found[Kept.NETWORK].enough
    on_disk = forecast(holdings, Limits(ages, None, 1000), now=NOW, free_octets=1000 + 360)
    assert on_disk[Kept.DNS].days == pytest.approx((140 + 360) / 10)


def test_without_a_whole_day_there_is_no_forecast() -> None:
    assert forecast([holding(Kept.DNS, 0)], Limits(FOR_EVER, None, 0), now=NOW, free_octets=1) == {}


def event(when: datetime, kind: str = "flow") -> Event:
    return Event(json.dumps({"timestamp": when.isoformat(), "event_type": kind}).encode(), kind)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Events of five days, each file last written to on its day; evidence and logs as old."""
    folder = tmp_path / "lib" / "events"
    store = EmbeddedEventStore(folder, SystemClock())
    for age in (0, 10, 20, 40, 200):
        store.append([event(NOW - age * DAY, kind) for kind in ("flow", "dns", "alert", "stats")])
        packets = tmp_path / "lib" / "evidence" / f"{(NOW - age * DAY):%Y-%m-%d}" / "x.pcapng"
        packets.parent.mkdir(parents=True)
        packets.write_bytes(b"x" * 5000)
    store.close()
    log = tmp_path / "log"
    log.mkdir()
    for name in ("eve.json", "eve.json.1", "other.log"):
        (log / name).write_bytes(b"x" * 5000)
        os.utime(log / name, (NOW.timestamp() - 90 * 86400,) * 2)
    for path in folder.iterdir():
        _age(path, date.fromisoformat(path.name[7:17]))
    for path in (tmp_path / "lib" / "evidence").iterdir():
        for inside in (*path.iterdir(), path):
            _age(inside, date.fromisoformat(path.name))
    return tmp_path


def _age(path: Path, day: date) -> None:
    seconds = NOW.timestamp() if day == NOW.date() else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    os.utime(path, (seconds, seconds))


def kept_days(root: Path, kind: str) -> int:
    return len(list((root / "lib" / "events").glob(f"*.{kind}.db")))


def test_over_all_that_the_host_keeps_each_kind_is_dropped_at_its_age(root: Path) -> None:
    dropped = keeping.drop(Config(), Layout.at(root), NOW)
    assert {one.why for one in dropped} == {"age"}
    assert {kind: kept_days(root, kind) for kind in ("alert", "dns", "network", "detail")} == {
        "alert": 5,
        "dns": 4,
        "network": 4,
        "detail": 3,
    }
    assert len(list((root / "lib" / "evidence").iterdir())) == 4
    assert {path.name for path in (root / "log").iterdir()} == {"eve.json", "other.log"}


def test_old_traffic_replayed_today_stays(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path)
    assert keeping.drop(Config.model_validate({"retention": {"max_size": "1 B"}}), Layout.at(root), NOW) == []


def test_a_store_that_is_open_goes_on_without_what_was_dropped(root: Path) -> None:
    store = EmbeddedEventStore(root / "lib" / "events", SystemClock())
    assert store.count(EventQuery(kinds=("flow",))) == 5
    keeping.drop(Config(), Layout.at(root), NOW)
    assert store.count(EventQuery(kinds=("flow",))) == 4
    assert store.append([event(NOW - 200 * DAY)]) == 1
    assert store.count(EventQuery(kinds=("flow",))) == 5
    store.close()


def test_ages_below_the_legal_minimum_are_warned_of(root: Path) -> None:
    short = Config.model_validate({"retention": {"dns": "30d"}})
    (warning,) = keeping.examine(short, Layout.at(root), NOW).warnings
    assert "DNS resolution logs are kept for 30 days; the law wants 180" in warning
    assert keeping.examine(Config(), Layout.at(root), NOW).warnings == []


@pytest.fixture
def busy(root: Path) -> Callable[[str], Layout]:
    """Yesterday's DNS file made to take this room, by a hole-free file of that size."""

    def grows(kind: str) -> Layout:
        yesterday = NOW - DAY
        path = root / "lib" / "events" / f"events-{yesterday:%Y-%m-%d}.{kind}.db"
        store = EmbeddedEventStore(root / "lib" / "events", SystemClock())
        store.append([event(yesterday, kind)])
        store.close()
        with path.open("ab") as file:
            file.write(os.urandom(3_000_000))
        return Layout.at(root)

    return grows


def test_a_disk_that_cannot_hold_half_a_year_of_dns_is_warned_of_with_the_days(
    busy: Callable[[str], Layout], root: Path
) -> None:
    layout = busy("dns")
    (root / "etc").mkdir()
    (root / "etc" / "tapwarden.yaml").write_text("retention: {max_size: 100 MB}\n")
    config = Config.model_validate({"retention": {"max_size": "100 MB"}})
    (warning,) = keeping.examine(config, layout, NOW).warnings
    assert warning.startswith("there is room for ")
    assert "days of DNS resolution logs, not for the 180" in warning
    command = [sys.executable, "-m", "tapwarden", "--root", str(root), "store", "status"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "WARNING: there is room for " in said.stdout
    told = json.loads(subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True).stdout)
    assert "days of DNS resolution logs" in told["warnings"][0]
    dns = next(line for line in told["kept"] if line["kept"] == "dns")
    assert dns["wanted_days"] == 180
    assert 20 < dns["room_days"] < 40
    assert told["events"]["events"] == 21
    doctor = subprocess.run(
        [sys.executable, "-m", "tapwarden", "--root", str(root), "doctor"], capture_output=True, text=True, check=False
    )
    assert "days of DNS resolution logs, not for the 180" in doctor.stdout


def test_events_of_the_undated_file_count_as_network_logs(tmp_path: Path) -> None:
    store = EmbeddedEventStore(tmp_path, SystemClock())
    store.append([Event(b'{"event_type":"dns"}', "x")])
    store.close()
    (found,) = find_events(tmp_path)
    assert (found.kept, found.name, found.day) == (Kept.NETWORK, "undated", None)
