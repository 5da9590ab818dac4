"""Targets in canonical form."""

from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.mitigation.target import embedded_v4, normalise, parse_network
from tapwarden.model.decision import Target, TargetType


@pytest.mark.parametrize(
    ("type_", "value", "canonical"),
    [
        (TargetType.ADDRESS, "2001:DB8:0:0::1", Target(TargetType.ADDRESS, "2001:db8::1")),
        (TargetType.ADDRESS, " 192.0.2.1 ", Target(TargetType.ADDRESS, "192.0.2.1")),
        (TargetType.ADDRESS, "::ffff:192.0.2.1", Target(TargetType.ADDRESS, "192.0.2.1")),
        (TargetType.ADDRESS, "::ffff:c000:201", Target(TargetType.ADDRESS, "192.0.2.1")),
        (TargetType.NETWORK, "192.0.2.1/32", Target(TargetType.ADDRESS, "192.0.2.1")),
        (TargetType.NETWORK, "::ffff:192.0.2.0/120", Target(TargetType.NETWORK, "192.0.2.0/24")),
        (TargetType.NETWORK, "2001:db8:1:0::/48", Target(TargetType.NETWORK, "2001:db8:1::/48")),
        (TargetType.DOMAIN, "C2.Example.COM.", Target(TargetType.DOMAIN, "c2.example.com")),
        (TargetType.DOMAIN, "bücher.example", Target(TargetType.DOMAIN, "xn--bcher-kva.example")),
        (TargetType.URL, "HTTP://C2.Example/Gate.PHP", Target(TargetType.URL, "http://c2.example/Gate.PHP")),
    ],
)
def test_one_thing_has_one_form(type_: TargetType, value: str, canonical: Target) -> None:
    assert normalise(Target(type_, value)) == canonical


@pytest.mark.parametrize(
    ("type_", "value", "why"),
    [
        (TargetType.ADDRESS, "192.0.2.300", "neither an IP address nor a network"),
        (TargetType.ADDRESS, "fe80::1%eth0", "zone"),
        (TargetType.ADDRESS, "192.0.2.010", "neither"),
        (TargetType.NETWORK, "192.0.2.1/24", r"write 192\.0\.2\.0/24"),
        (TargetType.DOMAIN, "a..b", "not a domain name"),
        (TargetType.DOMAIN, "192.0.2.1", "looks like an address"),
        (TargetType.DOMAIN, "x" * 64 + ".example", "not a domain name"),
        (TargetType.DOMAIN, "evil\n.example", "not a domain name"),
        (TargetType.URL, "javascript:alert(1)", "not a URL"),
        (TargetType.URL, "http://user@c2.example/", "user name"),
        (TargetType.URL, "http://c2.example:99999/", "Port"),
        (TargetType.URL, "http://[::1/", "URL"),
    ],
)
def test_a_malformed_target_is_a_value_error_that_says_why(type_: TargetType, value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        normalise(Target(type_, value))


@given(st.one_of(st.ip_addresses(), st.builds(lambda n: IPv6Address((0xFFFF << 32) | n), st.integers(0, 2**32 - 1))))
def test_normalising_is_idempotent_and_never_leaves_a_mapped_address(address: object) -> None:
    once = normalise(Target(TargetType.ADDRESS, str(address)))
    assert normalise(once) == once
    assert getattr(ip_address(once.value), "ipv4_mapped", None) is None


@given(st.text(max_size=40), st.sampled_from(list(TargetType)))
def test_any_text_is_a_target_or_a_value_error(text: str, type_: TargetType) -> None:
    try:
        canonical = normalise(Target(type_, text))
    except ValueError:
        return
    assert normalise(canonical) == canonical


@pytest.mark.parametrize(
    ("network", "behind"),
    [
        ("64:ff9b::192.0.2.1", "192.0.2.1/32"),
        ("2002:c000:201::/48", "192.0.2.1/32"),
        ("2002:c000:200::/40", "192.0.2.0/24"),
    ],
)
def test_translated_forms_name_the_ipv4_hosts_behind_them(network: str, behind: str) -> None:
    assert embedded_v4(parse_network(network)) == IPv4Network(behind)
    assert embedded_v4(ip_network("2001:db8::/32")) is None
