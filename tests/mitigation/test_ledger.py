"""The ledger: whatever happens in between, what is in effect becomes what is recorded, and nothing else."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.mitigation.guard import Guard, Limits, protect
from tapwarden.mitigation.ledger import WANTED, Ledger
from tapwarden.mitigation.plan import plan
from tapwarden.model.decision import Action, ActionState, Decision
from tapwarden.model.incident import Incident, IncidentState, ThreatClass

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
S = ActionState


def incident() -> Incident:
    return Incident(
        id="i-1",
        title="beacon",
        threat_class=ThreatClass.MALICIOUS_PROGRAM,
        severity=1,
        state=IncidentState.SUSPECTED,
        detected_at=NOW,
        opened_at=NOW,
        opened_by="policy:block-c2",
        due_at=NOW + timedelta(hours=24),
    )


class Desk:
    """A case store with an incident in it, a memory mitigator and the ledger between them."""

    def __init__(self, store: SqlCaseStore, memory: Any, decide: Callable[..., Decision]) -> None:
        self.cases, self.memory, self.decide = store, memory, decide
        self.protected: list[str] = []
        self.limits = Limits()
        self.ledger = self.restarted()
        store.put_incident(incident())

    def restarted(self) -> Ledger:
        self.ledger = Ledger(self.cases, [self.memory], self.guard)
        return self.ledger

    def guard(self) -> Guard:
        return Guard(protect(self.protected, "never_block"), self.limits)

    def planned(self, *targets: str, id: str = "d-1", dry_run: bool = False, **changes: object) -> list[Action]:
        decision = self.decide(*targets, id=id, **changes)
        self.cases.put_decision(decision)
        return plan(decision, [self.memory], decision.decided_at, dry_run=dry_run)

    def enact(self, *targets: str, now: datetime = NOW, **changes: Any) -> list[Action]:
        return self.ledger.enact(self.planned(*targets, **changes), now, by="policy:block-c2")

    def states(self) -> dict[str, ActionState]:
        return {action.target.value: action.state for action in self.cases.actions()}

    def verbs(self, subject: str) -> list[str]:
        return [record.verb for record in reversed(self.cases.audit_records(subject=subject))]

    @property
    def effect(self) -> set[str]:
        return {entry.target.value for entry in self.memory.list()}


@pytest.fixture
def desk(tmp_path: Path, memory_mitigator: Any, decide: Callable[..., Decision]) -> Iterator[Desk]:
    store = SqlCaseStore.at(tmp_path / "cases.db")
    yield Desk(store, memory_mitigator(), decide)
    store.close()


def test_an_action_is_applied_recorded_and_verified_only_after_it_was_read_back(desk: Desk) -> None:
    [action] = desk.enact("198.18.0.9")
    assert (action.state, action.applied_at) == (S.APPLIED, NOW)
    assert desk.effect == {"198.18.0.9"}
    result = desk.ledger.reconcile(NOW + timedelta(seconds=5))
    assert desk.states() == {"198.18.0.9": S.VERIFIED}
    assert (result.verified, result.applied, result.problems) == (1, 0, [])
    assert desk.verbs(action.id) == ["action.approve", "action.apply", "action.verify"]


def test_a_refused_action_is_recorded_with_the_entry_and_never_applied(desk: Desk) -> None:
    desk.protected = ["198.18.0.0/24"]
    refused, applied = desk.enact("198.18.0.9", "198.18.1.9")
    assert (refused.state, refused.detail) == (
        S.REFUSED,
        "198.18.0.9 is protected [never_block: 198.18.0.0/24]",
    )
    assert applied.state is S.APPLIED
    assert desk.effect == {"198.18.1.9"}
    assert desk.verbs(refused.id) == ["action.refuse"]


def test_what_nobody_can_do_is_recorded_as_refused_beside_the_rest(desk: Desk) -> None:
    named, blocked = desk.enact("c2.example", "198.18.0.9")
    assert (named.state, blocked.state) == (S.REFUSED, S.APPLIED)
    assert desk.cases.action(named.id) == named


def test_a_dry_run_records_and_never_applies_and_expires_like_the_rest(desk: Desk) -> None:
    [action] = desk.enact("198.18.0.9", dry_run=True)
    assert (action.state, action.detail) == (S.APPROVED, "dry run: nothing is changed")
    desk.ledger.reconcile(NOW + timedelta(seconds=5))
    assert desk.effect == set()
    assert desk.states() == {"198.18.0.9": S.APPROVED}
    desk.ledger.reconcile(NOW + timedelta(hours=4))
    assert desk.states() == {"198.18.0.9": S.EXPIRED}


def test_the_hourly_limit_counts_what_was_carried_out_before(desk: Desk) -> None:
    desk.limits = Limits(actions_per_hour=3)
    desk.enact("198.18.0.1", "198.18.0.2")
    third, fourth = desk.enact("198.18.0.3", "198.18.0.4", id="d-2")
    assert (third.state, fourth.state) == (S.APPLIED, S.REFUSED)
    later = {"decided_at": NOW + timedelta(hours=2), "now": NOW + timedelta(hours=2)}
    [fifth] = desk.enact("198.18.0.5", id="d-3", **later)
    assert fifth.state is S.APPLIED


def test_repeating_a_decision_changes_nothing_and_brings_nothing_back(desk: Desk) -> None:
    first = desk.enact("198.18.0.9")
    assert desk.enact("198.18.0.9") == first
    desk.ledger.rollback([first[0].id], NOW, by="alice", reason="false positive")
    [again] = desk.enact("198.18.0.9")
    assert again.state is S.ROLLED_BACK
    assert desk.effect == set()


def test_rollback_ends_the_effect_and_says_who_and_why(desk: Desk) -> None:
    one, two = desk.enact("198.18.0.1", "198.18.0.2")
    [undone] = desk.ledger.rollback([one.id], NOW, by="alice", reason="false positive")
    assert (undone.state, undone.detail, undone.ended_at) == (S.ROLLED_BACK, "alice: false positive", NOW)
    assert desk.effect == {"198.18.0.2"}
    assert desk.ledger.rollback([one.id], NOW + timedelta(hours=1), by="bob", reason="again") == [undone]
    with pytest.raises(KeyError):
        desk.ledger.rollback([two.id, "no-such-id"], NOW, by="alice", reason="typo")
    assert desk.effect == {"198.18.0.2"}, "an id that does not exist must not half undo"


def test_a_rollback_the_mitigator_cannot_carry_out_is_audited_and_done_by_the_next_pass(desk: Desk) -> None:
    [action] = desk.enact("198.18.0.9")
    desk.memory.fault = "away"
    [undone] = desk.ledger.rollback([action.id], NOW, by="alice", reason="false positive")
    assert undone.state is S.ROLLED_BACK
    assert [(r.verb, r.detail) for r in desk.cases.audit_records(subject="memory")] == [
        ("mitigator.fail", "not withdrawn: away")
    ]
    desk.memory.fault = ""
    desk.ledger.reconcile(NOW + timedelta(seconds=5))
    assert desk.effect == set()


def test_two_decisions_on_one_target_keep_it_blocked_until_both_have_ended(desk: Desk) -> None:
    long, short = NOW + timedelta(hours=8), NOW + timedelta(hours=1)
    [first] = desk.enact("198.18.0.9", id="d-1", expires_at=long)
    [second] = desk.enact("198.18.0.9", id="d-2", expires_at=short)
    [entry] = desk.memory.list()
    assert entry.expires_in_s == 8 * 3600
    desk.ledger.rollback([first.id], NOW, by="alice", reason="one of two")
    [entry] = desk.memory.list()
    assert entry.expires_in_s == 3600
    desk.ledger.rollback([second.id], NOW, by="alice", reason="both")
    assert desk.effect == set()


def test_what_expires_is_withdrawn_and_recorded(desk: Desk) -> None:
    [action] = desk.enact("198.18.0.9")
    desk.memory.at = NOW  # a mitigator whose own clock stands still
    result = desk.ledger.reconcile(NOW + timedelta(hours=4))
    assert (result.expired, result.withdrawn) == (1, 1)
    assert desk.states() == {"198.18.0.9": S.EXPIRED}
    assert desk.effect == set()
    assert desk.verbs(action.id)[-1] == "action.expire"


def test_what_got_lost_is_applied_again_and_the_drift_is_in_the_audit_trail(desk: Desk) -> None:
    desk.enact("198.18.0.1", "198.18.0.2")
    desk.ledger.reconcile(NOW + timedelta(seconds=5))
    desk.memory.entries.clear()
    result = desk.ledger.reconcile(NOW + timedelta(seconds=10))
    assert (result.drifted, result.applied, result.verified) == (2, 2, 2)
    assert desk.effect == {"198.18.0.1", "198.18.0.2"}
    [record] = desk.cases.audit_records(subject="memory")
    assert record.verb == "mitigator.drift"
    assert "block 198.18.0.1" in record.detail
    assert desk.ledger.reconcile(NOW + timedelta(seconds=15)).drifted == 0


def test_what_nobody_knows_is_withdrawn_and_audited(desk: Desk, act: Callable[..., Action]) -> None:
    desk.memory.apply([act("198.18.7.7")], NOW)
    desk.enact("198.18.0.1")
    result = desk.ledger.reconcile(NOW)
    assert result.withdrawn == 1
    assert desk.effect == {"198.18.0.1"}
    assert [(r.verb, r.detail) for r in desk.cases.audit_records(subject="memory")] == [
        ("mitigator.withdraw", "1: block 198.18.7.7")
    ]


def test_an_allow_list_edited_while_applied_withdraws_at_the_next_pass(desk: Desk) -> None:
    action, other = desk.enact("198.18.0.9", "198.18.1.9")
    desk.ledger.reconcile(NOW)
    desk.protected = ["198.18.0.9"]
    result = desk.ledger.reconcile(NOW + timedelta(seconds=5))
    assert result.protected == 1
    assert desk.effect == {"198.18.1.9"}
    stored = desk.cases.action(action.id)
    assert stored is not None
    assert stored.state is S.ROLLED_BACK
    assert "never_block: 198.18.0.9" in stored.detail
    assert desk.states()[other.target.value] is S.VERIFIED


def test_a_mitigator_that_fails_is_shown_and_tried_again(desk: Desk) -> None:
    desk.memory.fault = "nft is not installed: install the package nftables"
    [action] = desk.enact("198.18.0.9")
    assert (action.state, action.detail) == (S.FAILED, desk.memory.fault)
    result = desk.ledger.reconcile(NOW + timedelta(seconds=5))
    assert any("nft is not installed" in problem for problem in result.problems)
    assert desk.states() == {"198.18.0.9": S.FAILED}
    desk.memory.fault = ""
    result = desk.ledger.reconcile(NOW + timedelta(seconds=10))
    assert (result.problems, desk.states()) == ([], {"198.18.0.9": S.VERIFIED})


def test_a_mitigator_that_cannot_be_read_makes_verified_doubtful(desk: Desk) -> None:
    desk.enact("198.18.0.9")
    desk.ledger.reconcile(NOW)
    desk.memory.fault = "not permitted"
    desk.ledger.reconcile(NOW + timedelta(seconds=5))
    assert desk.states() == {"198.18.0.9": S.FAILED}


def test_one_action_that_cannot_be_applied_does_not_keep_the_others_from_it(desk: Desk) -> None:
    desk.memory.poison = {"198.18.0.20"}
    done = desk.enact(*(f"198.18.0.{n}" for n in range(1, 60)))
    assert {action.target.value for action in done if action.state is S.FAILED} == {"198.18.0.20"}
    assert len(desk.effect) == 58


def test_a_mitigator_that_always_fails_is_not_tried_for_every_action(desk: Desk) -> None:
    desk.memory.fault = "nft is not installed"
    done = desk.enact(*(f"198.18.{n}.1" for n in range(200)))
    assert {action.state for action in done} == {S.FAILED}
    assert desk.memory.calls <= 40


def test_killed_between_recording_and_applying_the_next_start_applies(desk: Desk) -> None:
    [action] = desk.planned("198.18.0.9")
    desk.cases.put_action(replace(action, state=S.APPROVED))
    result = desk.restarted().reconcile(NOW + timedelta(minutes=1))
    assert (result.applied, result.drifted) == (1, 0)
    assert (desk.effect, desk.states()) == ({"198.18.0.9"}, {"198.18.0.9": S.VERIFIED})


def test_killed_between_applying_and_recording_the_next_start_records(desk: Desk) -> None:
    [action] = desk.planned("198.18.0.9")
    desk.cases.put_action(replace(action, state=S.APPROVED))
    desk.memory.apply([action], NOW)
    calls = desk.memory.calls
    result = desk.restarted().reconcile(NOW + timedelta(seconds=5))
    assert (result.applied, result.withdrawn) == (0, 0)
    assert desk.memory.calls == calls + 1, "reading back is enough"
    assert desk.states() == {"198.18.0.9": S.VERIFIED}


def test_killed_between_recording_a_rollback_and_withdrawing_the_next_start_withdraws(desk: Desk) -> None:
    [action] = desk.enact("198.18.0.9")
    desk.cases.put_action(replace(action, state=S.ROLLED_BACK, ended_at=NOW))
    desk.restarted().reconcile(NOW + timedelta(seconds=5))
    assert desk.effect == set()


def test_what_another_process_rolls_back_during_a_pass_stays_rolled_back(desk: Desk) -> None:
    [action] = desk.enact("198.18.0.9")
    desk.memory.entries.clear()
    apply = desk.memory.apply

    def overtaken(actions: list[Action], now: datetime) -> None:
        desk.cases.put_action(replace(action, state=S.ROLLED_BACK, ended_at=now))
        apply(actions, now)

    desk.memory.apply = overtaken
    desk.ledger.reconcile(NOW + timedelta(seconds=5))
    assert desk.states() == {"198.18.0.9": S.ROLLED_BACK}
    assert desk.effect == set()


def test_what_is_decided_while_a_pass_reads_back_is_neither_drift_nor_a_stranger(desk: Desk) -> None:
    read_back = desk.memory.list

    def overtaken() -> Any:
        before = read_back()
        desk.memory.list = read_back
        desk.enact("198.18.0.9", now=NOW + timedelta(seconds=4))  # decided before, applied after
        return before

    desk.memory.list = overtaken
    result = desk.ledger.reconcile(NOW + timedelta(seconds=5))
    assert (result.drifted, result.withdrawn) == (0, 0)
    assert (desk.effect, desk.states()) == ({"198.18.0.9"}, {"198.18.0.9": S.VERIFIED})


def test_an_action_whose_mitigator_is_no_longer_in_use_is_a_problem_that_is_told(desk: Desk) -> None:
    desk.enact("198.18.0.9")
    result = Ledger(desk.cases, [], desk.guard).reconcile(NOW)
    assert result.problems == ["1 actions need the mitigator 'memory', which is not in use"]


def test_the_clock_going_back_keeps_the_block_and_going_forward_ends_it(desk: Desk) -> None:
    desk.enact("198.18.0.9")
    desk.ledger.reconcile(NOW - timedelta(hours=3))
    [entry] = desk.memory.list()
    assert entry.expires_in_s == 7 * 3600
    desk.ledger.reconcile(NOW + timedelta(days=400))
    assert desk.effect == set()


class LedgerModel(RuleBasedStateMachine):
    """Any order of decisions, rollbacks, damage, faults, edits of the allow-list, restarts and passing time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now, self.count, self.settled = NOW, 0, False

    memory_type: Any = None
    decide: Any = None
    empty = b""

    @initialize()
    def start(self) -> None:
        path = Path(self.folder.name) / "cases.db"
        path.write_bytes(LedgerModel.empty)  # making the tables each time would take most of the time
        self.desk = Desk(SqlCaseStore.at(path), LedgerModel.memory_type(), LedgerModel.decide)

    @rule(
        names=st.lists(
            st.sampled_from([f"198.18.{n}.9" for n in range(5)] + ["198.18.2.0/24"]), min_size=1, max_size=4
        ),
        minutes=st.integers(1, 300),
        dry_run=st.booleans(),
    )
    def decide_on(self, names: list[str], minutes: int, dry_run: bool) -> None:
        self.count += 1
        end = self.now + timedelta(minutes=minutes)
        self.desk.enact(
            *names, id=f"d-{self.count}", now=self.now, decided_at=self.now, expires_at=end, dry_run=dry_run
        )
        self.settled = False

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        actions = self.desk.cases.actions()
        if actions:
            action = data.draw(st.sampled_from(sorted(actions, key=lambda each: each.id)))
            self.desk.ledger.rollback([action.id], self.now, by="alice", reason="any")
        self.settled = False

    @rule(data=st.data())
    def lose_entries(self, data: st.DataObject) -> None:
        for key in sorted(self.desk.memory.entries, key=str):
            if data.draw(st.booleans()):
                del self.desk.memory.entries[key]
        self.settled = False

    @rule(name=st.sampled_from(["198.18.3.9", "198.18.77.7"]))
    def plant_a_stranger(self, name: str) -> None:
        [action] = plan(LedgerModel.decide(name, id="stranger"), [self.desk.memory], NOW, dry_run=False)
        self.desk.memory.entries[action.measure, action.target] = self.now + timedelta(hours=9)
        self.settled = False

    @rule(fault=st.sampled_from(["", "away"]))
    def break_or_mend(self, fault: str) -> None:
        self.desk.memory.fault = fault

    @rule(protected=st.lists(st.sampled_from(["198.18.1.9", "198.18.2.0/25", "198.18.3.0/24"]), max_size=2))
    def edit_the_allow_list(self, protected: list[str]) -> None:
        self.desk.protected = protected
        self.settled = False

    @rule()
    def restart(self) -> None:
        self.desk.restarted()

    @rule(minutes=st.integers(0, 200))
    def let_time_pass(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes, seconds=1)
        self.desk.memory.at = self.now
        self.settled = False

    @rule()
    def reconcile(self) -> None:
        problems = self.desk.ledger.reconcile(self.now).problems
        assert bool(problems) == bool(self.desk.memory.fault)
        self.settled = not problems

    @invariant()
    def what_is_in_effect_is_what_the_ledger_says(self) -> None:
        if not self.settled or self.desk.memory.fault:
            return
        live = [action for action in self.desk.cases.actions(states=WANTED) if not action.dry_run]
        assert {action.state for action in live} <= {S.VERIFIED}
        assert self.desk.effect == {action.target.value for action in live}
        guard = self.desk.guard()
        assert all(guard.check_target(action) is None for action in live)
        for entry in self.desk.memory.list():
            latest = max(action.expires_at for action in live if action.target == entry.target)
            assert entry.expires_in_s == pytest.approx((latest - self.now).total_seconds(), abs=10)

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            assert self.desk.cases.verify_audit() is None
            self.desk.cases.close()
        self.folder.cleanup()


def test_after_any_history_one_pass_makes_effect_and_ledger_agree(
    tmp_path: Path, memory_mitigator: Any, decide: Callable[..., Decision]
) -> None:
    SqlCaseStore.at(tmp_path / "empty.db").close()
    LedgerModel.empty = (tmp_path / "empty.db").read_bytes()
    LedgerModel.memory_type, LedgerModel.decide = memory_mitigator, staticmethod(decide)
    case = LedgerModel.TestCase()
    case.settings = settings(
        max_examples=80, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case.runTest()
