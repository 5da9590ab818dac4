"""What should be in effect now, and making it so: the case store's actions on one side, the mitigators on the other.

The order that survives a kill at any moment: record the intention, act, record what came of it. ``reconcile`` repairs
both ways from there::

    approved (recorded) -> [killed] -> nothing in effect         reconcile applies it
    approved, in effect -> [killed] -> not recorded as applied    reconcile reads it back: verified
    rolled back or expired (recorded) -> [killed] -> in effect    reconcile withdraws it: nobody wants it

So nothing stays in effect that the ledger does not know, and nothing in the ledger is silently not in effect: an
action is ``verified`` only while the mitigator, read back, shows it.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tapwarden.mitigation.guard import Guard
from tapwarden.mitigation.steps import GUARD, LEDGER, Change, ended, judged, lasts, stand_in, tried, was_in_effect
from tapwarden.model.decision import LIVE_STATES, Action, ActionState, Installed, Measure, Target
from tapwarden.model.errors import MitigationError
from tapwarden.model.ports import CaseStore, Footed, Mitigator

log = logging.getLogger(__name__)

WANTED = (*sorted(LIVE_STATES), ActionState.FAILED)
"""States in which an action is to be in effect. What failed is tried again at every pass until it expires."""

CARRIED_OUT = (*WANTED, ActionState.EXPIRED, ActionState.ROLLED_BACK)
"""States of actions that passed the guard: they count towards its hourly limit."""

WAITING = (ActionState.PROPOSED, ActionState.SIMULATED)
"""States in which an action waits for people."""

RECORDED_AT_ONCE = 500
"""Steps in one transaction."""

MOST = 1_000_000
"""Live actions that one pass looks at; beyond it nothing is withdrawn as unknown, and the pass says so."""

NAMED = 20
"""Targets that an audit record about many names."""

Key = tuple[Measure, Target]


@dataclass(slots=True)
class Reconciliation:
    """What a pass found and did. ``problems`` are for people: what could not be done, and what to do about it."""

    verified: int = 0
    expired: int = 0
    protected: int = 0
    drifted: int = 0
    applied: int = 0
    withdrawn: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)


class Ledger:
    """Carries actions out and keeps them so. Safe to call from several threads.

    ``guard`` gives the guard as it is now (protected entries change while we run). Other processes may write to the
    same case store: each step is recorded only if the action is still in the state it was read in.
    """

    def __init__(self, cases: CaseStore, mitigators: Iterable[Mitigator], guard: Callable[[], Guard]) -> None:
        self._cases = cases
        self._mitigators = {mitigator.name: mitigator for mitigator in mitigators}
        self._guard = guard
        self._lock = threading.RLock()
        self._latest: dict[tuple[str, Key], datetime] = {}
        self._fresh: dict[str, tuple[str, Key]] = {}
        """Actions applied since the last read-back began: that they are not in it is no drift."""
        self._guarded: Guard | None = None
        """The guard of the last pass."""

    def enact(self, actions: Sequence[Action], now: datetime, *, by: str) -> list[Action]:
        """Guard, record, apply, record. The actions in the same order, as they are afterwards.

        ``proposed`` actions end up ``refused`` (detail: the entry that said no), ``applied``, ``failed`` (tried again
        by reconcile) or, as a dry run, ``approved`` and nothing more. What is in the store in a later state is
        returned as it is there: repeating a decision never brings back what was rolled back. Raises StoreError.
        """
        return self.enact_burst(lambda: [(actions, by)], now)[0]

    def enact_burst(
        self, prepare: Callable[[], Sequence[tuple[Sequence[Action], str]]], now: datetime
    ) -> list[list[Action]]:
        """The same for many decisions at once: one transaction, one batch at each mitigator, one more transaction.

        ``prepare`` is called in the first transaction, may write what belongs to it (incidents, decisions), and gives
        the actions of each decision and who wants them. Raises what it raises, and StoreError: nothing is done then.
        """
        guard = self._guard()  # before the lock: reading the system must not hold up others
        with self._lock:
            settled: dict[str, Action] = {}
            with self._cases.transaction():
                asked = prepare()
                approved = self._admit(guard, asked, now, settled)
            for name, batch in _by_mitigator(action for action in approved if not action.dry_run).items():
                self._fresh |= {action.id: (name, (action.measure, action.target)) for action in batch}
                failures = self._apply(name, [self._longest(action) for action in batch], now)
                steps = [tried(action, failures.get(action.id), now) for action in batch]
                settled |= {action.id: action for action in self._record(steps, now)}
            return [[settled[action.id] for action in actions] for actions, _ in asked]

    def hold(self, actions: Sequence[Action], now: datetime, *, by: str, because: str) -> list[Action]:
        """Record actions that wait for people: ``simulated``, nothing is in effect. Refused ones stay refused."""
        with self._lock, self._cases.transaction():
            held = []
            for action in actions:
                if action.state is ActionState.REFUSED:
                    after, verb = action, "refuse"
                else:
                    after, verb = replace(action, state=ActionState.SIMULATED, detail=because), "hold"
                self._cases.put_action(after)
                self._audit(after, verb, by, now)
                held.append(after)
            return held

    def confirm(self, action_ids: Sequence[str], now: datetime, *, by: str) -> list[Action]:
        """What is on trial stays until it expires; the rest is left as it is. KeyError for an id that is not there."""
        with self._lock:
            current = [self._existing(action_id) for action_id in dict.fromkeys(action_ids)]
            steps = [
                Change(action, replace(action, confirm_by=None), "confirm", by)
                for action in current
                if action.state in WANTED and action.confirm_by is not None and action.confirm_by > now
            ]
            confirmed = {action.id: action for action in self._record(steps, now)}
            for name, batch in _by_mitigator(action for action in confirmed.values() if not action.dry_run).items():
                if name in self._mitigators:
                    self._apply(name, [self._longest(action) for action in batch], now)  # reconcile repairs a failure
            return [confirmed.get(action.id, action) for action in current]

    def reconcile(self, now: datetime) -> Reconciliation:
        """Make what is in effect equal to what the ledger says, and mark verified what was read back.

        Ends what has expired or has become protected, applies again what got lost, withdraws what nobody wants.
        Run it at start, every few seconds, and whenever the protected entries change. Raises StoreError.
        """
        guard, result = self._guard(), Reconciliation()
        # Read back first: an action decided meanwhile, here or by another process, then looks missing, and is applied
        # twice, instead of looking like a stranger and being withdrawn. And without the lock: of 100,000 entries both
        # take seconds, which no new block has to wait for. What changes meanwhile is noticed when a step is recorded.
        with self._lock:
            self._fresh.clear()
        found = {name: self._read_back(name, result) for name in self._mitigators}
        live = self._cases.actions(states=WANTED, limit=MOST)
        wanted, latest = self._end_what_is_over(guard, live, now, result)
        for name in self._mitigators:
            self._settle(name, wanted.get(name, []), found[name], latest, now, result, complete=len(live) < MOST)
        self._guarded = guard
        return result

    def undisturbed(self) -> bool:
        """Whether a pass can wait: nothing became protected since the last one, and no mitigator lost its footing.

        Costs milliseconds, however much is in effect.
        """
        if self._guarded is None or self._guard() is not self._guarded:
            return False
        return all(one.intact() for one in self._mitigators.values() if isinstance(one, Footed))

    def rollback(self, action_ids: Sequence[str], now: datetime, *, by: str, reason: str) -> list[Action]:
        """Undo actions; those that have ended already stay as they are. KeyError for an id that does not exist."""
        with self._lock:
            current = [self._existing(action_id) for action_id in dict.fromkeys(action_ids)]
            steps = [
                Change(action, ended(action, ActionState.ROLLED_BACK, f"{by}: {reason}", now), "rollback", by)
                for action in current
                if action.state in (*WANTED, *WAITING)
            ]
            undone = {action.id: action for action in self._record(steps, now)}
            problems = self._withdraw_unwanted([step.before for step in steps], now)
            for name, problem in problems.items():
                self._cases.audit(actor=LEDGER, verb="mitigator.fail", subject=name, detail=problem, at=now)
            return [undone.get(action_id) or self._existing(action_id) for action_id in action_ids]

    def release_protected(self, now: datetime) -> list[Action]:
        """Take back at once what may not be hit any more: called when somebody edits the allow list."""
        guard = self._guard()
        steps = []
        for action in self._cases.actions(states=WANTED, limit=MOST):
            if refusal := guard.check_target(action):
                detail = f"protected since: {refusal.message} [{refusal.entry}]"
                after = ended(action, ActionState.ROLLED_BACK, detail, now)
                steps.append(Change(action, after, "rollback", GUARD))
        released = self._record(steps, now)
        with self._lock:
            problems = self._withdraw_unwanted([step.before for step in steps], now)
            for name, problem in problems.items():
                self._cases.audit(actor=LEDGER, verb="mitigator.fail", subject=name, detail=problem, at=now)
        return released

    def suspend(self, action_ids: Sequence[str], now: datetime, *, by: str, because: str) -> list[Action]:
        """Take back what is in effect until people have spoken: ``simulated`` again. KeyError for an unknown id."""
        with self._lock:
            current = [self._existing(action_id) for action_id in dict.fromkeys(action_ids)]
            steps = [
                Change(action, replace(action, state=ActionState.SIMULATED, detail=because), "suspend", by)
                for action in current
                if action.state in WANTED
            ]
            held = {action.id: action for action in self._record(steps, now)}
            problems = self._withdraw_unwanted([step.before for step in steps], now)
            for name, problem in problems.items():
                self._cases.audit(actor=LEDGER, verb="mitigator.fail", subject=name, detail=problem, at=now)
            return [held.get(action.id, action) for action in current]

    def installed(self) -> Mapping[str, Sequence[Installed]]:
        """What each mitigator has in effect now, with its counters. Raises MitigationError."""
        return {name: mitigator.list() for name, mitigator in self._mitigators.items()}

    # enacting

    def _admit(
        self,
        guard: Guard,
        asked: Sequence[tuple[Sequence[Action], str]],
        now: datetime,
        settled: dict[str, Action],
    ) -> list[Action]:
        """Record each action as approved, refused or (nobody can do it) failed; returns the approved ones."""
        approved, recorded = [], []
        known = self._cases.actions_named([action.id for actions, _ in asked for action in actions])
        most = guard.limits.actions_per_hour
        count = self._cases.count_actions(states=CARRIED_OUT, since=now - timedelta(hours=1), most=most)
        for action, by in ((action, by) for actions, by in asked for action in actions):
            stored = known.get(action.id)
            if action.id in settled or (stored and stored.state not in WAITING):
                settled.setdefault(action.id, stored or action)
                continue
            if action.state is ActionState.REFUSED:
                after, verb, actor = action, "refuse", by
            elif action.mitigator not in self._mitigators:
                detail = f"the mitigator {action.mitigator!r} is not in use"
                after, verb, actor = replace(action, state=ActionState.FAILED, detail=detail), "fail", by
            elif refusal := guard.check(action, now, in_last_hour=count):
                detail = f"{refusal.message} [{refusal.entry}]"
                after, verb, actor = ended(action, ActionState.REFUSED, detail, now), "refuse", GUARD
            else:
                count += 1
                detail = "dry run: nothing is changed" if action.dry_run else ""
                after, verb, actor = replace(action, state=ActionState.APPROVED, detail=detail), "approve", by
                approved.append(after)
            settled[action.id] = after
            recorded.append(after)
            self._audit(after, verb, actor, now)
        self._cases.put_actions(recorded)
        return approved

    def _longest(self, action: Action) -> Action:
        """The action with the latest expiry that any live action gives its target: the shorter one must not cut it."""
        return _lengthened(action, self._latest)

    def _apply(self, name: str, actions: Sequence[Action], now: datetime, *, tries: int = 24) -> dict[str, str]:
        """Apply a batch; what fails, by action id, and why.

        A batch fails as a whole. Halving it finds the few that cannot be applied, so that they do not keep the rest
        from taking effect; ``tries`` bounds the search where nothing can be applied at all.
        """
        failures: dict[str, str] = {}
        waiting = [list(actions)] if actions else []
        while waiting:
            batch = waiting.pop()
            try:
                self._mitigators[name].apply(batch, now)
            except MitigationError as problem:
                tries -= 1
                if len(batch) == 1 or tries <= 0:
                    failures |= dict.fromkeys((action.id for action in batch), str(problem))
                else:
                    middle = len(batch) // 2
                    waiting += [batch[middle:], batch[:middle]]
        if failures:
            log.warning("event=apply_failed mitigator=%s actions=%d of=%d", name, len(failures), len(actions))
        return failures

    # reconciling

    def _read_back(self, name: str, result: Reconciliation) -> dict[Key, Installed] | None:
        try:
            return {(entry.measure, entry.target): entry for entry in self._mitigators[name].list()}
        except MitigationError as problem:
            result.problems.append(f"{name}: cannot be read back: {problem}")
            return None

    def _end_what_is_over(
        self, guard: Guard, live: Sequence[Action], now: datetime, result: Reconciliation
    ) -> tuple[dict[str, list[Action]], dict[tuple[str, Key], datetime]]:
        """Record as ended what has expired or may not be hit any more; the rest by mitigator, and how long it lasts."""
        steps, kept = [], []
        for action in self._cases.actions(states=WAITING, limit=MOST):
            if action.expires_at <= now:
                result.expired += 1
                detail = f"nobody decided in time ({action.detail})"
                steps.append(Change(action, ended(action, ActionState.EXPIRED, detail, now), "expire", LEDGER))
        for action in live:
            if action.expires_at <= now:
                result.expired += 1
                steps.append(Change(action, ended(action, ActionState.EXPIRED, action.detail, now), "expire", LEDGER))
            elif action.confirm_by is not None and action.confirm_by <= now:
                result.expired += 1
                after = ended(action, ActionState.ROLLED_BACK, "not confirmed in time", now)
                steps.append(Change(action, after, "rollback", LEDGER))
            elif refusal := guard.check_target(action):
                result.protected += 1
                detail = f"protected since: {refusal.message} [{refusal.entry}]"
                after = ended(action, ActionState.ROLLED_BACK, detail, now)
                steps.append(Change(action, after, "rollback", GUARD))
            elif not action.dry_run:
                kept.append(action)
        self._record(steps, now)
        wanted = _by_mitigator(kept)
        for name, actions in wanted.items():
            if name not in self._mitigators:
                result.problems.append(f"{len(actions)} actions need the mitigator {name!r}, which is not in use")
        latest: dict[tuple[str, Key], datetime] = {}
        for action in kept:
            _lengthened(action, latest)
        with self._lock:
            for place in self._fresh.values():
                if place in self._latest:
                    latest[place] = max(self._latest[place], latest.get(place, self._latest[place]))
            self._latest = latest
        return wanted, latest

    def _settle(
        self,
        name: str,
        actions: Sequence[Action],
        found: dict[Key, Installed] | None,
        latest: dict[tuple[str, Key], datetime],
        now: datetime,
        result: Reconciliation,
        *,
        complete: bool,
    ) -> None:
        """Bring one mitigator in line with the actions that want something of it, and record what it then shows."""
        by_key: dict[Key, Action] = {}
        for action in actions:
            by_key.setdefault((action.measure, action.target), _lengthened(action, latest))
        if complete:
            self._withdraw_strangers(name, [key for key in found or () if key not in by_key], now, result)
        else:
            result.problems.append(f"more than {MOST} live actions: nothing unknown is withdrawn")
        missing = [
            action
            for key, action in by_key.items()
            if found is None or key not in found or not lasts(found[key], action, now)
        ]
        if found is not None:
            lost = [
                action
                for action in actions
                if (action.measure, action.target) not in found
                and action.id not in self._fresh
                and was_in_effect(action, now)
            ]
            self._note_drift(name, lost, now, result)
        with self._lock:
            failures = self._apply(name, missing, now)
        failed = {(action.measure, action.target): failures[action.id] for action in missing if action.id in failures}
        result.applied += len(missing) - len(failed)
        seen = self._read_back(name, result) if missing else found
        if failed:
            result.problems.append(f"{name}: {len(failed)} not applied: {next(iter(failed.values()))}")
        steps = []
        for action in actions:
            key = (action.measure, action.target)
            step = judged(action, failed.get(key), seen.get(key) if seen is not None else None, now)
            result.verified += step.after.state is ActionState.VERIFIED
            result.failed += step.after.state is ActionState.FAILED
            if step.after != action:
                steps.append(step)
        self._record(steps, now)

    def _withdraw_strangers(self, name: str, keys: Sequence[Key], now: datetime, result: Reconciliation) -> None:
        """Withdraw what is in effect and nobody wants."""
        with self._lock:
            decided = set(self._fresh.values())
            keys = [key for key in keys if (name, key) not in decided]
            if not keys:
                return
            strangers = [stand_in(name, measure, target, now) for measure, target in keys]
            problem = self._withdraw(name, strangers)
        if problem:
            result.problems.append(f"{name}: {len(keys)} not withdrawn: {problem}")
            return
        result.withdrawn += len(keys)
        log.info("event=withdrawn mitigator=%s entries=%d", name, len(keys))
        self._cases.audit(actor=LEDGER, verb="mitigator.withdraw", subject=name, detail=_names(keys), at=now)

    def _withdraw(self, name: str, actions: Sequence[Action]) -> str:
        """Withdraw them at one mitigator; why not, or ""."""
        try:
            self._mitigators[name].withdraw(actions)
        except MitigationError as problem:
            return str(problem)
        return ""

    def _note_drift(self, name: str, lost: Sequence[Action], now: datetime, result: Reconciliation) -> None:
        if lost:
            result.drifted += len(lost)
            log.warning("event=drift mitigator=%s actions=%d", name, len(lost))
            detail = "gone without our doing: " + _names([(action.measure, action.target) for action in lost])
            self._cases.audit(actor=LEDGER, verb="mitigator.drift", subject=name, detail=detail, at=now)

    # both

    def _record(self, steps: Sequence[Change], now: datetime) -> list[Action]:
        """Record steps, each if its action is as it was seen; the actions as they are now.

        What another process ended meanwhile stays ended, and loses the effect it may have got since. Many steps are
        recorded in several transactions, between which a new block gets its turn.
        """
        recorded: list[Action] = []
        for start in range(0, len(steps), RECORDED_AT_ONCE):
            with self._lock:
                recorded += self._record_part(steps[start : start + RECORDED_AT_ONCE], now)
        return recorded

    def _record_part(self, steps: Sequence[Change], now: datetime) -> list[Action]:
        recorded, changed, overtaken = [], [], []
        with self._cases.transaction():
            stored = self._cases.actions_named([step.before.id for step in steps])
            for step in steps:
                current = stored.get(step.before.id)
                if current is not None and current.state is not step.before.state:
                    recorded.append(current)
                    overtaken.append(step.before)
                    continue
                self._audit(step.after, step.verb, step.actor, now)
                changed.append(step.after)
                recorded.append(step.after)
            self._cases.put_actions(changed)
        if overtaken:
            self._withdraw_unwanted(overtaken, now)
        return recorded

    def _withdraw_unwanted(self, actions: Sequence[Action], now: datetime) -> dict[str, str]:
        """Withdraw actions; where another live one wants the same, leave that one's expiry.

        What could not be done, by mitigator; the next pass tries again.
        """
        problems: dict[str, str] = {}
        concerned = [action for action in actions if action.mitigator in self._mitigators and not action.dry_run]
        if not concerned:
            return problems
        others: dict[tuple[str, Key], Action] = {}
        for action in self._cases.actions_on({action.target for action in concerned}, states=WANTED):
            if not action.dry_run and action.expires_at > now:
                key = (action.mitigator, (action.measure, action.target))
                if key not in others or others[key].expires_at < action.expires_at:
                    others[key] = action
        for name, batch in _by_mitigator(concerned).items():
            kept, gone = [], []
            for action in batch:
                key = (name, (action.measure, action.target))
                self._latest.pop(key, None)
                if key in others:
                    self._latest[key] = others[key].expires_at
                    kept.append(others[key])
                else:
                    gone.append(action)
            try:
                if gone:
                    self._mitigators[name].withdraw(gone)
                if kept:
                    self._mitigators[name].apply(kept, now)
            except MitigationError as problem:
                log.warning("event=withdraw_failed mitigator=%s problem=%r", name, str(problem))
                problems[name] = f"not withdrawn: {problem}"
        return problems

    def _existing(self, action_id: str) -> Action:
        action = self._cases.action(action_id)
        if action is None:
            raise KeyError(action_id)
        return action

    def _audit(self, action: Action, verb: str, actor: str, now: datetime) -> None:
        target = f"{action.target.type.value} {action.target.value}"
        what = f"{action.measure.value} {target} at {action.mitigator or 'nothing'}"
        detail = f"{what}: {action.detail}" if action.detail else what
        self._cases.audit(actor=actor, verb=f"action.{verb}", subject=action.id, detail=detail, at=now)


def _lengthened(action: Action, latest: dict[tuple[str, Key], datetime]) -> Action:
    """The action with the latest expiry known for its target, which is noted."""
    key = (action.mitigator, (action.measure, action.target))
    expires_at = max(action.in_effect_until, latest.get(key, action.in_effect_until))
    latest[key] = expires_at
    return action if expires_at == action.expires_at else replace(action, expires_at=expires_at)


def _by_mitigator(actions: Iterable[Action]) -> dict[str, list[Action]]:
    grouped: dict[str, list[Action]] = defaultdict(list)
    for action in actions:
        grouped[action.mitigator].append(action)
    return grouped


def _names(keys: Sequence[Key]) -> str:
    shown = ", ".join(f"{measure.value} {target.value}" for measure, target in keys[:NAMED])
    return f"{len(keys)}: {shown}" + (", ..." if len(keys) > NAMED else "")
