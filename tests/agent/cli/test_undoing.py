"""From the command line: an allow list edited while blocks are in effect, and undoing by what actions belong to."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tapwarden.agent.cli import cli
from tapwarden.agent.composition import composed
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.undoing import undoable
from tapwarden.model.decision import Authority, AuthorityKind, Decision, Measure, Target, TargetType
from tapwarden.model.incident import Incident, IncidentState, ThreatClass

NOW = datetime.now(UTC)


def decided(parts: Any, number: int, kind: AuthorityKind, name: str, at: datetime) -> str:
    target = Target(TargetType.ADDRESS, f"198.51.100.{number}")
    until = NOW + timedelta(hours=1)
    decision = Decision(
        f"d{number}",
        f"i{number % 2}",
        Measure.BLOCK,
        (target,),
        "here",
        "c2",
        Authority(kind, name, "l", at),
        at,
        until,
    )
    parts.cases.put_decision(decision)
    [action] = parts.desk.carry_out(decision)
    parts.cases.put_actions([replace(action, created_at=at)])
    return str(action.id)


@pytest.fixture
def tapwarden(tmp_path: Path) -> Callable[..., Any]:
    def run(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(cli, ["--root", str(tmp_path), *arguments, "-o", "json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if code == 0 else done.output

    return run


@pytest.fixture
def ids(tmp_path: Path) -> list[str]:
    """Four dry-run actions: 0 and 2 of incident i0, 1 and 3 of i1; 2 and 3 under an order; each an hour older."""
    with composed(Config(), Layout.at(tmp_path)) as parts:
        for number in range(2):
            parts.cases.put_incident(
                Incident(
                    id=f"i{number}",
                    title="t",
                    threat_class=ThreatClass.EVENT,
                    severity=1,
                    state=IncidentState.SUSPECTED,
                    detected_at=NOW,
                    opened_at=NOW,
                    opened_by="ann",
                    due_at=NOW + timedelta(days=1),
                    profile="cn-cac-2025",
                )
            )
        kinds = [(AuthorityKind.STANDING_POLICY, "beacons")] * 2 + [(AuthorityKind.ORDER, "o-7")] * 2
        return [decided(parts, n, *kind, NOW - timedelta(hours=n)) for n, kind in enumerate(kinds)]


def test_actions_are_undone_by_incident_order_and_time(
    tapwarden: Callable[..., Any], ids: list[str], tmp_path: Path
) -> None:
    with composed(Config(), Layout.at(tmp_path)) as parts:
        assert set(undoable(parts.cases, incident_id="i1")) == {ids[1], ids[3]}
        assert set(undoable(parts.cases, order_id="o-7")) == {ids[2], ids[3]}
        assert set(undoable(parts.cases, since=NOW - timedelta(minutes=90))) == {ids[0], ids[1]}
        hour = NOW - timedelta(hours=1)
        assert set(undoable(parts.cases, until=hour, incident_id="i0")) == {ids[2]}
    undone = tapwarden("actions", "rollback", "--order", "o-7", "--reason", "withdrawn")
    assert {(one["id"], one["state"]) for one in undone} == {(ids[2], "rolled_back"), (ids[3], "rolled_back")}
    assert len(tapwarden("actions", "rollback", "--since", "90m", "--reason", "drill")) == 2
    tapwarden("actions", "rollback", "--reason", "all of it?", code=2)


def test_an_allow_list_edited_while_a_block_holds_takes_it_back_at_once(
    tapwarden: Callable[..., Any], ids: list[str]
) -> None:
    done = tapwarden("allow", "add", "198.51.100.0/31", "--reason", "our provider's")
    assert {one["id"] for one in done["released"]} == {ids[0], ids[1]}
    assert {one["id"] for one in tapwarden("actions", "list")} == {ids[2], ids[3]}
    listed = next(one for one in tapwarden("allow", "list") if one["origin"] == "allow list")
    assert listed["entry"] == "198.51.100.0/31"
    assert "our provider's" in listed["note"]
    assert "allow list: 198.51.100.0/31" in tapwarden("allow", "check", "198.51.100.1", code=4)
    tapwarden("allow", "remove", "198.51.100.0/31", "--reason", "moved")
    tapwarden("allow", "check", "198.51.100.1")
    verbs = [record["verb"] for record in tapwarden("audit", "list")]
    assert {"allow.add", "allow.remove", "action.rollback"} <= set(verbs)
