"""From a decision to actions."""

from collections.abc import Callable
from datetime import datetime

from tapwarden.mitigation.plan import Ability, plan
from tapwarden.model.decision import ActionState, Decision, Measure, Target, TargetType

FILTER = Ability("nftables", frozenset({Measure.BLOCK}), frozenset({TargetType.ADDRESS, TargetType.NETWORK}))
EDGE = Ability("flowspec", frozenset({Measure.BLOCK, Measure.RATE_LIMIT}), frozenset({TargetType.ADDRESS}))
ZONE = Ability("rpz", frozenset({Measure.SINKHOLE}), frozenset({TargetType.DOMAIN}))


def test_each_target_becomes_one_action_at_each_mitigator_that_can_serve_it(
    decide: Callable[..., Decision], now: datetime
) -> None:
    actions = plan(decide("192.0.2.7", "198.18.0.0/24"), [FILTER, EDGE, ZONE], now, dry_run=False)
    assert [(a.mitigator, a.target.value) for a in actions] == [
        ("nftables", "192.0.2.7"),
        ("flowspec", "192.0.2.7"),
        ("nftables", "198.18.0.0/24"),
    ]
    assert {a.state for a in actions} == {ActionState.PROPOSED}
    assert len({a.id for a in actions}) == 3


def test_the_action_carries_what_the_decision_says(decide: Callable[..., Decision], now: datetime) -> None:
    decision = decide("192.0.2.7")
    [action] = plan(decision, [FILTER], now, dry_run=True)
    assert (action.decision_id, action.incident_id) == (decision.id, decision.incident_id)
    assert (action.expires_at, action.reason, action.dry_run) == (decision.expires_at, decision.reason, True)


def test_targets_that_name_the_same_host_are_one_action(decide: Callable[..., Decision], now: datetime) -> None:
    same = [Target(TargetType.ADDRESS, "::ffff:192.0.2.7"), Target(TargetType.NETWORK, "192.0.2.7/32")]
    actions = plan(decide("192.0.2.7", *same), [FILTER], now, dry_run=False)
    assert [a.target.value for a in actions] == ["192.0.2.7"]


def test_planning_again_gives_the_same_ids(decide: Callable[..., Decision], now: datetime) -> None:
    first, again = (plan(decide("192.0.2.7", "2001:db8::7"), [FILTER], now, dry_run=False) for _ in range(2))
    assert first == again
    assert {a.id for a in first}.isdisjoint(
        a.id for a in plan(decide("192.0.2.7", id="d-2"), [FILTER], now, dry_run=False)
    )


def test_what_nobody_can_serve_is_refused_with_the_reason_and_the_rest_goes_on(
    decide: Callable[..., Decision], now: datetime
) -> None:
    broken = Target(TargetType.ADDRESS, "192.0.2.999")
    actions = plan(decide("c2.example", broken, "192.0.2.7"), [FILTER], now, dry_run=False)
    assert [(a.state, a.mitigator) for a in actions] == [
        (ActionState.REFUSED, ""),
        (ActionState.REFUSED, ""),
        (ActionState.PROPOSED, "nftables"),
    ]
    assert actions[0].detail == "no mitigator in use can block a domain"
    assert "neither an IP address" in actions[1].detail
