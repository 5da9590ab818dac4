"""The file other programs read: whole lines, whatever happens to the file or the disk."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tapwarden.agent.store.eve_file import EveFile
from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event


def events(*numbers: int, padding: int = 0) -> list[Event]:
    return [Event(json.dumps({"n": number, "pad": "x" * padding}).encode()) for number in numbers]


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_bytes().splitlines()]


def test_events_are_appended_as_lines_that_only_owner_and_group_may_read(tmp_path: Path) -> None:
    path = tmp_path / "log" / "eve.json"
    for batch in ([1, 2], [3]):
        file = EveFile(path, max_octets=1000)
        file.append(events(*batch))
        file.close()
    assert numbers(path) == [1, 2, 3]
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


@pytest.mark.parametrize("how", ["renamed", "removed", "truncated"])
def test_a_file_that_was_rotated_is_made_anew(tmp_path: Path, how: str) -> None:
    path = tmp_path / "eve.json"
    file = EveFile(path, max_octets=1000)
    file.append(events(1))
    if how == "renamed":
        path.rename(tmp_path / "eve.json.old")
    elif how == "removed":
        path.unlink()
    else:
        os.truncate(path, 0)
    file.append(events(2))
    assert numbers(path) == [2]


def test_a_name_that_leads_elsewhere_is_followed_when_told(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    file = EveFile(path, max_octets=1000)
    file.append(events(1))
    file.reopen()
    file.append(events(2))
    assert numbers(path) == [1, 2]


def test_two_files_bound_the_room_it_takes(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    file = EveFile(path, max_octets=500)
    for number in range(50):
        file.append(events(number, padding=100))
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["eve.json", "eve.json.1"]
    assert numbers(path)[-1] == 49


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_leaves_no_half_line_and_writing_goes_on_when_there_is_room(small_disk: Path) -> None:
    path, ballast = small_disk / "eve.json", small_disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    file = EveFile(path, max_octets=1 << 30)
    file.append(events(1))
    with pytest.raises(StoreError, match="No space left"):
        file.append(events(*range(2, 200), padding=500))
    assert numbers(path) == [1]
    ballast.unlink()
    file.append(events(2))
    assert numbers(path) == [1, 2]
