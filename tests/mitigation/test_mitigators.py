"""The contract of the port, over every mitigator there is and over the model of one that other tests use."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.mitigation.bgp import BlackHole, Neighbour
from tapwarden.mitigation.notify import Recipient, Sender, Ways
from tapwarden.mitigation.table import MITIGATORS
from tapwarden.model.decision import Action, Measure, Target, TargetType
from tapwarden.model.ports import Mitigator

ROUTER = Neighbour("198.18.0.2", 65002, "198.18.0.1", 65001, "198.18.0.1")

SETTINGS: dict[str, Callable[[str, Path], dict[str, object]]] = {
    "nftables": lambda netns, _folder: {"netns": netns},
    "rpz": lambda netns, folder: {"netns": netns, "folder": folder, "sinkhole": ("198.18.0.9",)},
    "bouncer": lambda netns, folder: {"netns": netns, "folder": folder, "keys": {"edge": "k" * 32}},
    "bgp": lambda netns, folder: {"netns": netns, "folder": folder, "neighbours": [ROUTER], "black_hole": BlackHole()},
    "reset": lambda netns, folder: {"netns": netns, "folder": folder, "own": ["198.18.0.0/15", "2001:db8::/32"]},
    "notify": lambda _netns, folder: {
        "folder": folder,
        "recipients": [Recipient("everybody", "authority", email="abuse@example.org")],
        "ways": Ways(),
        "sender": Sender("Example", "noc@example.org"),
    },
}
"""What each mitigator needs to work in a namespace and a folder of the test's own."""


@pytest.fixture(params=[*MITIGATORS, "memory"])
def mitigator(request: pytest.FixtureRequest) -> Mitigator:
    if request.param == "memory":
        made: Mitigator = request.getfixturevalue("memory_mitigator")()
        return made
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    settings = SETTINGS[request.param](request.getfixturevalue("netns"), request.getfixturevalue("tmp_path"))
    return MITIGATORS[request.param](**settings)


@pytest.fixture
def actions(mitigator: Mitigator, act: Callable[..., Action]) -> list[Action]:
    """Some of each target type the mitigator takes, for each of its measures."""
    targets = {
        TargetType.ADDRESS: ["198.18.1.1", "2001:db8::1"],
        TargetType.NETWORK: ["198.18.2.0/24", "198.18.2.128/25", "2001:db8:2::/48"],
        TargetType.ENDPOINT: ["198.18.1.1:443/tcp", "198.18.1.1:53/udp", "[2001:db8::1]:443/tcp"],
        TargetType.DOMAIN: ["c2.example"],
        TargetType.HOSTNAME: ["c2.example", "www.c2.example"],
        TargetType.URL: ["http://c2.example/gate"],
        TargetType.CONNECTION: ["198.18.0.1:4000-198.18.1.1:443/tcp", "[2001:db8::1]:53-[2001:db8::2]:4000/udp"],
    }
    return [
        act(Target(type_, value), measure=measure, id=f"{measure}-{value}")
        for measure in sorted(mitigator.measures)
        for type_ in sorted(mitigator.target_types)
        for value in targets[type_]
    ]


def effect(mitigator: Mitigator) -> set[tuple[Measure, Target]]:
    listed = [(entry.measure, entry.target) for entry in mitigator.list()]
    assert len(listed) == len(set(listed))
    return set(listed)


def test_its_name_is_the_one_in_the_table(mitigator: Mitigator) -> None:
    assert mitigator.name == "memory" or mitigator.name in MITIGATORS
    assert mitigator.measures
    assert mitigator.target_types


def test_nothing_is_in_effect_at_first_and_undoing_nothing_is_no_error(
    mitigator: Mitigator, actions: list[Action], now: datetime
) -> None:
    assert effect(mitigator) == set()
    mitigator.withdraw(actions)
    mitigator.apply([], now)
    mitigator.clear()
    mitigator.clear()
    assert effect(mitigator) == set()


def test_what_is_applied_is_read_back_with_its_expiry(
    mitigator: Mitigator, actions: list[Action], now: datetime
) -> None:
    mitigator.apply(actions, now)
    assert effect(mitigator) == {(action.measure, action.target) for action in actions}
    for entry in mitigator.list():
        assert entry.expires_in_s == pytest.approx(4 * 3600, abs=5)


def test_applying_twice_is_applying_once_with_the_later_expiry(
    mitigator: Mitigator, actions: list[Action], now: datetime
) -> None:
    mitigator.apply(actions, now)
    mitigator.apply(actions, now - timedelta(hours=1))
    assert effect(mitigator) == {(action.measure, action.target) for action in actions}
    for entry in mitigator.list():
        assert entry.expires_in_s == pytest.approx(5 * 3600, abs=5)


def test_withdrawing_some_leaves_the_others(mitigator: Mitigator, actions: list[Action], now: datetime) -> None:
    mitigator.apply(actions, now)
    mitigator.withdraw(actions[1:])
    assert effect(mitigator) == {(actions[0].measure, actions[0].target)}
    mitigator.withdraw(actions[1:])
    assert effect(mitigator) == {(actions[0].measure, actions[0].target)}


def test_clear_leaves_nothing_and_applying_works_afterwards(
    mitigator: Mitigator, actions: list[Action], now: datetime
) -> None:
    mitigator.apply(actions, now)
    mitigator.clear()
    assert effect(mitigator) == set()
    mitigator.apply(actions, now)
    assert effect(mitigator) == {(action.measure, action.target) for action in actions}


def test_what_has_expired_is_not_applied(mitigator: Mitigator, actions: list[Action], now: datetime) -> None:
    mitigator.apply(actions, now + timedelta(hours=4))
    assert effect(mitigator) == set()


def test_a_dry_run_or_a_measure_it_cannot_take_is_the_callers_mistake(
    mitigator: Mitigator, actions: list[Action], act: Callable[..., Action], now: datetime
) -> None:
    other = next(iter(set(Measure) - mitigator.measures))
    for wrong in (act(actions[0].target, dry_run=True), act(actions[0].target, measure=other)):
        with pytest.raises(ValueError, match=r"dry run|cannot"):
            mitigator.apply([wrong], now)
    assert effect(mitigator) == set()
