"""The ledger over the real packet filter: killed at the worst moments, and the table taken away behind its back."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.mitigation.guard import Guard
from tapwarden.mitigation.ledger import Ledger
from tapwarden.mitigation.nftables import Nftables
from tapwarden.mitigation.plan import plan
from tapwarden.model.decision import ActionState, Decision
from tapwarden.model.incident import Incident, IncidentState, ThreatClass

KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.mitigation.guard import Guard
from tapwarden.mitigation.ledger import Ledger
from tapwarden.mitigation.nftables import Nftables

database, netns, moment = sys.argv[1:]

class Mortal(Nftables):
    def apply(self, actions, now):
        if moment == "before apply":
            os.kill(os.getpid(), signal.SIGKILL)
        super().apply(actions, now)
        if moment == "after apply":
            os.kill(os.getpid(), signal.SIGKILL)

    def withdraw(self, actions):
        if moment == "before withdraw":
            os.kill(os.getpid(), signal.SIGKILL)
        super().withdraw(actions)

cases = SqlCaseStore.at(Path(database))
ledger = Ledger(cases, [Mortal(netns=netns)], Guard)
actions, now = cases.actions(), datetime.now(UTC)
if moment == "before withdraw":
    ledger.rollback([action.id for action in actions], now, by="alice", reason="drill")
else:
    ledger.enact(actions, now, by="policy:drill")
"""


@pytest.fixture
def database(tmp_path: Path, now: datetime, decide: Callable[..., Decision]) -> Iterator[Path]:
    """A case store with two proposed actions of a decision that holds now."""
    path = tmp_path / "cases.db"
    cases, at = SqlCaseStore.at(path), datetime.now(UTC)
    cases.put_incident(
        Incident(
            id="i-1",
            title="beacon",
            threat_class=ThreatClass.MALICIOUS_PROGRAM,
            severity=1,
            state=IncidentState.SUSPECTED,
            detected_at=now,
            opened_at=now,
            opened_by="policy:drill",
            due_at=now + timedelta(hours=24),
        )
    )
    decision = decide("198.18.9.2", "2001:db8:9::2", decided_at=at, expires_at=at + timedelta(hours=1))
    cases.put_decision(decision)
    for action in plan(decision, [Nftables()], at, dry_run=False):
        cases.put_action(action)
    yield path
    cases.close()


@pytest.mark.parametrize(
    ("moment", "recorded", "in_effect", "after"),
    [
        ("before apply", ActionState.APPROVED, 0, (ActionState.VERIFIED, 2)),
        ("after apply", ActionState.APPROVED, 2, (ActionState.VERIFIED, 2)),
        ("before withdraw", ActionState.ROLLED_BACK, 2, (ActionState.ROLLED_BACK, 0)),
    ],
)
def test_killed_between_record_and_kernel_the_next_start_makes_both_agree(
    netns: str, database: Path, moment: str, recorded: ActionState, in_effect: int, after: tuple[ActionState, int]
) -> None:
    cases, mitigator = SqlCaseStore.at(database), Nftables(netns=netns)
    ledger = Ledger(cases, [mitigator], Guard)
    if moment == "before withdraw":
        ledger.enact(cases.actions(), datetime.now(UTC), by="policy:drill")

    child = subprocess.run([sys.executable, "-c", KILLED, str(database), netns, moment], timeout=60, check=False)

    assert child.returncode == -signal.SIGKILL
    assert {action.state for action in cases.actions()} == {recorded}
    assert len(mitigator.list()) == in_effect
    result = ledger.reconcile(datetime.now(UTC))
    assert result.problems == []
    assert ({action.state for action in cases.actions()}, len(mitigator.list())) == ({after[0]}, after[1])
    assert cases.verify_audit() is None
    cases.close()


def test_a_flushed_rule_set_is_repaired_by_one_pass_and_audited(netns: str, database: Path) -> None:
    cases, mitigator = SqlCaseStore.at(database), Nftables(netns=netns)
    ledger = Ledger(cases, [mitigator], Guard)
    ledger.enact(cases.actions(), datetime.now(UTC), by="policy:drill")
    ledger.reconcile(datetime.now(UTC))

    subprocess.run(["ip", "netns", "exec", netns, "nft", "flush", "ruleset"], check=True, timeout=20)
    result = ledger.reconcile(datetime.now(UTC))

    assert (result.drifted, result.applied, result.verified) == (2, 2, 2)
    assert {entry.target.value for entry in mitigator.list()} == {"198.18.9.2", "2001:db8:9::2"}
    assert [record.verb for record in cases.audit_records(subject="nftables")] == ["mitigator.drift"]
    assert ledger.reconcile(datetime.now(UTC)).applied == 0
    cases.close()


@pytest.mark.parametrize(
    "disturb", [["flush", "ruleset"], ["flush", "chain", "inet", "tapwarden", "input"]], ids=["all of it", "one chain"]
)
def test_the_quick_look_between_passes_sees_what_entries_need_and_lost(
    netns: str, database: Path, disturb: list[str]
) -> None:
    cases, guards = SqlCaseStore.at(database), [Guard()]
    ledger = Ledger(cases, [Nftables(netns=netns)], lambda: guards[0])
    assert not ledger.undisturbed()  # no pass was made yet
    ledger.enact(cases.actions(), datetime.now(UTC), by="policy:drill")
    ledger.reconcile(datetime.now(UTC))
    assert ledger.undisturbed()

    subprocess.run(["ip", "netns", "exec", netns, "nft", *disturb], check=True, timeout=20)
    assert not ledger.undisturbed()
    ledger.reconcile(datetime.now(UTC))
    assert ledger.undisturbed()
    guards[0] = Guard()  # something became protected, or ceased to be
    assert not ledger.undisturbed()
    cases.close()
