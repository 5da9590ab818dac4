"""Literals for the dangerous half: decisions and actions, without events; and network namespaces of the test's own."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tapwarden.mitigation.target import parse_network, target_of
from tapwarden.model.decision import (
    Action,
    ActionState,
    Authority,
    AuthorityKind,
    Decision,
    Installed,
    Measure,
    Target,
    TargetType,
)
from tapwarden.model.errors import MitigationError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _target(text: str) -> Target:
    if "://" in text:
        return Target(TargetType.URL, text)
    try:
        return target_of(parse_network(text))
    except ValueError:
        return Target(TargetType.DOMAIN, text)


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def decide() -> Callable[..., Decision]:
    def make(*targets: str | Target, **changes: object) -> Decision:
        fields: dict[str, object] = {
            "id": "d-1",
            "incident_id": "i-1",
            "measure": Measure.BLOCK,
            "targets": tuple(_target(each) if isinstance(each, str) else each for each in targets),
            "scope": "this host",
            "reason": "beacon to a listed server",
            "authority": Authority(AuthorityKind.STANDING_POLICY, "block-c2", "operator's policy 3", NOW),
            "decided_at": NOW,
            "expires_at": NOW + timedelta(hours=4),
        }
        return Decision(**{**fields, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def act() -> Callable[..., Action]:
    def make(target: str | Target, **changes: object) -> Action:
        given = _target(target) if isinstance(target, str) else target
        fields: dict[str, object] = {
            "id": f"a-{given.value}",
            "decision_id": "d-1",
            "incident_id": "i-1",
            "measure": Measure.BLOCK,
            "target": given,
            "mitigator": "nftables",
            "state": ActionState.PROPOSED,
            "created_at": NOW,
            "expires_at": NOW + timedelta(hours=4),
            "dry_run": False,
        }
        return Action(**{**fields, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture
def netns() -> Iterator[str]:
    """A fresh network namespace, gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    name = f"tw-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True, timeout=10)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True, timeout=10)


class Memory:
    """A model of a mitigator: one more implementation of the port, with faults on request.

    Entries keep the moment they end; ``at`` is the time that ``list`` goes by.
    """

    name = "memory"
    measures = frozenset({Measure.BLOCK})
    target_types = frozenset({TargetType.ADDRESS, TargetType.NETWORK})

    def __init__(self) -> None:
        self.entries: dict[tuple[Measure, Target], datetime] = {}
        self.at = NOW
        self.fault = ""
        self.poison: set[str] = set()
        self.calls = 0

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        self._check()
        for action in actions:
            if action.dry_run:
                raise ValueError(f"action {action.id} is a dry run")
            if action.measure not in self.measures:
                raise ValueError(f"memory cannot {action.measure}")
        if any(action.target.value in self.poison for action in actions):
            raise MitigationError("one of them is poison")
        self.at = now
        for action in actions:
            if action.expires_at > now:
                self.entries[action.measure, action.target] = action.expires_at

    def withdraw(self, actions: Sequence[Action]) -> None:
        self._check()
        for action in actions:
            self.entries.pop((action.measure, action.target), None)

    def list(self) -> Sequence[Installed]:
        self._check()
        return [
            Installed(target, measure, expires_in_s=(end - self.at).total_seconds())
            for (measure, target), end in self.entries.items()
            if end > self.at
        ]

    def clear(self) -> None:
        self._check()
        self.entries.clear()

    def _check(self) -> None:
        self.calls += 1
        if self.fault:
            raise MitigationError(self.fault)


@pytest.fixture(scope="session")
def memory_mitigator() -> type[Memory]:
    return Memory
