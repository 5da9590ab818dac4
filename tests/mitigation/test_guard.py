"""The last check: what is never hit, however it is written."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.mitigation.guard import NEVER, Guard, Limits, Protected, protect
from tapwarden.mitigation.target import Network, parse_network
from tapwarden.model.decision import Action, Measure, Target, TargetType

WIDE = Limits(largest_prefix_v4=0, largest_prefix_v6=0)


@pytest.fixture
def guard() -> Guard:
    return Guard(
        [
            *protect(["203.0.113.0/28", "2001:db8:aa::/48", "updates.example"], "never_block"),
            *protect(["192.0.2.53"], "resolver (/etc/resolv.conf)"),
        ]
    )


@pytest.mark.parametrize(
    ("target", "entry"),
    [
        ("192.0.2.53", "resolver (/etc/resolv.conf): 192.0.2.53"),
        ("203.0.113.15", "never_block: 203.0.113.0/28"),
        ("192.0.2.0/24", "resolver (/etc/resolv.conf): 192.0.2.53"),
        ("203.0.113.8/29", "never_block: 203.0.113.0/28"),
        ("2001:db8:aa:1::1", "never_block: 2001:db8:aa::/48"),
        ("64:ff9b::192.0.2.53", "resolver (/etc/resolv.conf): 192.0.2.53"),
        ("2002:c000:235::1", "resolver (/etc/resolv.conf): 192.0.2.53"),
        ("updates.example", "never_block: updates.example"),
        ("cdn.updates.example", "never_block: updates.example"),
        ("http://updates.example/x", "never_block: updates.example"),
        ("http://203.0.113.1/x", "never_block: 203.0.113.0/28"),
        ("127.0.0.1", "loopback: 127.0.0.0/8"),
        ("::1", "loopback: ::1"),
        ("::", "unspecified address: ::"),
        ("0.0.0.0", "this host on this network (RFC 1122 3.2.1.3): 0.0.0.0/8"),
        ("224.0.0.251", "multicast: 224.0.0.0/4"),
        ("ff02::1", "multicast: ff00::/8"),
        ("255.255.255.255", "broadcast: 255.255.255.255"),
        ("fe80::1", "link-local: fe80::/10"),
        ("198.18.0.0/16", "largest_prefix_v4: 24"),
        ("2001:db8::/32", "never_block: 2001:db8:aa::/48"),
        ("2001:db9::/32", "largest_prefix_v6: 48"),
        ("0.0.0.0/0", "this host on this network (RFC 1122 3.2.1.3): 0.0.0.0/8"),
        ("example", "top-level domain"),
    ],
)
def test_a_refusal_names_the_entry_that_said_no(
    guard: Guard, act: Callable[..., Action], target: str, entry: str
) -> None:
    refusal = guard.check_target(act(target))
    assert refusal is not None
    assert refusal.entry == entry


@pytest.mark.parametrize(
    "target", ["203.0.113.16", "198.18.0.0/24", "2001:db8:ab::/48", "c2.example.com", "notupdates.example"]
)
def test_what_no_entry_touches_is_allowed(guard: Guard, act: Callable[..., Action], target: str) -> None:
    assert guard.check_target(act(target)) is None


def test_a_name_above_a_protected_one_is_refused(act: Callable[..., Action]) -> None:
    refusal = Guard(protect(["soc.centre.example"], "coordinator")).check_target(act("centre.example"))
    assert refusal is not None
    assert refusal.entry == "coordinator: soc.centre.example"


def test_the_unspecified_wildcard_of_ipv6_is_refused_because_it_contains_all_of_ipv4(
    act: Callable[..., Action],
) -> None:
    guard = Guard(protect(["192.0.2.53"], "resolver"), WIDE)
    assert guard.check_target(act("::/64")) is not None
    assert guard.check_target(act("2001:db8::/32")) is None


def test_a_malformed_target_is_refused(guard: Guard, act: Callable[..., Action]) -> None:
    refusal = guard.check_target(act(Target(TargetType.ADDRESS, "192.0.2.053")))
    assert refusal is not None
    assert refusal.entry == "malformed target"


def test_an_action_that_has_expired_or_lasts_too_long_is_refused(
    guard: Guard, act: Callable[..., Action], now: datetime
) -> None:
    action = act("198.18.0.1")
    expired = guard.check(replace(action, expires_at=now), now)
    endless = guard.check(replace(action, expires_at=now + timedelta(days=31)), now)
    assert expired is not None
    assert endless is not None
    assert (expired.entry, endless.entry) == ("expiry", "longest: 30 days, 0:00:00")


def test_an_entry_that_is_neither_address_network_nor_name_is_a_value_error() -> None:
    for text in ("203.0.113.1/24", "2001:db8::/129", "not a name", ""):
        with pytest.raises(ValueError, match=r"host bits|neither|not a domain"):
            protect([text], "never_block")


networks = st.one_of(
    st.builds(
        lambda n, length: ip_network((n >> (32 - length) << (32 - length), length)),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    st.builds(
        lambda n, length: ip_network((n >> (128 - length) << (128 - length), length)),
        # addresses close to each other, or nothing ever overlaps
        st.integers(0x20010DB8 << 96, (0x20010DB8 << 96) + 2**20),
        st.integers(0, 128),
    ),
)


@given(st.lists(networks, max_size=8), networks)
def test_the_index_says_the_same_as_comparing_with_every_entry(entries: list[Network], target: Network) -> None:
    guard = Guard([Protected(entry, "never_block") for entry in entries])
    everything = [*entries, *(p.value for p in NEVER if not isinstance(p.value, str))]
    brute = any(entry.version == target.version and entry.overlaps(target) for entry in everything)
    found = guard.find(target)
    if brute:
        assert found is not None
    elif target.version == 4:
        assert found is None
    if found is not None and not isinstance(found.value, str) and found.value.version == target.version:
        assert found.value.overlaps(target)


@given(st.ip_addresses(v=4))
def test_no_form_of_a_protected_ipv4_address_gets_through(address: object) -> None:
    guard = Guard(protect([str(address)], "own address"), WIDE)
    number = int(ip_address(str(address)))
    forms = [
        f"::ffff:{address}",
        str(ip_address((0x64FF9B << 96) | number)),
        str(ip_address((0x2002 << 112) | (number << 80) | 1)),
        str(ip_network((number >> 8 << 8, 24))),
    ]
    assert all(guard.find(parsed) is not None for parsed in map(parse_network, forms))


def test_a_name_alone_may_be_hit_although_a_name_below_it_is_protected(act: Callable[..., Action]) -> None:
    guard = Guard(protect(["portal.shop.example"], "never_block"))
    whole, alone = Target(TargetType.DOMAIN, "shop.example"), Target(TargetType.HOSTNAME, "shop.example")
    assert guard.check_target(act(whole)) is not None
    assert guard.check_target(act(alone)) is None
    for name in ("portal.shop.example", "a.portal.shop.example"):
        assert guard.check_target(act(Target(TargetType.HOSTNAME, name))) is not None


def test_the_owner_of_a_protected_address_may_be_told_about_it(act: Callable[..., Action], now: datetime) -> None:
    guard = Guard(protect(["192.0.2.7"], "never_block"))
    assert guard.check(act("192.0.2.7"), now) is not None
    assert guard.check(act("192.0.2.7", measure=Measure.NOTIFY), now) is None
    malformed = act(Target(TargetType.ADDRESS, "192.0.2."), measure=Measure.NOTIFY)
    assert guard.check(malformed, now) is not None
