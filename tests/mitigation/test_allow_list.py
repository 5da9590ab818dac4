"""The allow list that people edit while Tapwarden runs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tapwarden.mitigation.allow_list import AllowList

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_what_is_added_protects_in_every_process_until_it_is_removed(tmp_path: Path) -> None:
    ours, theirs = AllowList(tmp_path / "allow.txt"), AllowList(tmp_path / "allow.txt")
    assert not theirs.protected()
    assert ours.add(["::ffff:192.0.2.7", "Good.Example."], by="ann", reason="our # shop", now=NOW) == [
        "192.0.2.7",
        "good.example",
    ]
    assert [str(entry) for entry in theirs.protected()] == ["allow list: 192.0.2.7", "allow list: good.example"]
    assert ours.add(["192.0.2.7"], by="bob", reason="again", now=NOW) == []
    assert next(entry.note for entry in theirs.entries()) == "2026-03-01T12:00:00Z ann: our # shop"
    assert theirs.remove(["192.0.2.7", "203.0.113.1"]) == ["192.0.2.7"]
    assert [str(entry) for entry in ours.protected()] == ["allow list: good.example"]


def test_a_line_nobody_can_read_is_told_and_takes_nothing_from_the_others(tmp_path: Path) -> None:
    path = tmp_path / "allow.txt"
    path.write_text("192.0.2.1/24\n\n# a remark\n198.51.100.0/24\n")
    kept = AllowList(path)
    assert [str(entry) for entry in kept.protected()] == ["allow list: 198.51.100.0/24"]
    [problem] = kept.problems()
    assert ":1: " in problem
    assert "host bits" in problem
    kept.add(["203.0.113.9"], by="ann", reason="x", now=NOW)
    assert path.read_text().splitlines()[:4] == ["192.0.2.1/24", "", "# a remark", "198.51.100.0/24"]
    with pytest.raises(ValueError, match="host bits"):
        kept.add(["192.0.2.1/24"], by="ann", reason="x", now=NOW)
