"""What may be followed, and what is refused with which number."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.agent.orders import document, openc2
from tapwarden.agent.orders.canonical import canonical
from tapwarden.agent.orders.gate import Admitted, GateRules, Seen, admit
from tapwarden.agent.orders.refusal import Refusal
from tapwarden.agent.orders.signature import public_key, shown_key, sign
from tapwarden.agent.orders.writing import Issuer, Wording
from tapwarden.model.decision import Measure, Target, TargetType
from tapwarden.model.order import Order, OrderKind, OrderState

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ISSUER = Issuer("cc.example", KEY.sign)
RULES = GateRules("agent-1", {"cc.example": KEY.public_key().public_bytes_raw()})
WORDING = Wording(
    category="malicious_resource.c2_domain",
    legal_basis={"instrument": "MIIT [2017] 202", "article": "art. 8 (1)"},
    reason="Control server of a botnet",
    scope={"text": "own network"},
    lasts=timedelta(days=7),
    due_within=timedelta(hours=2),
)
C2 = (Measure.BLOCK, Target(TargetType.DOMAIN, "c2.beacon.test"))
NOTHING_SEEN = Seen(lambda _: None, lambda _issuer, _seq: None, lambda _: 0)


def an_order(wording: Wording = WORDING, wanted: Any = (C2,), to: str = "agent-1", seq: int = 1) -> Any:
    return ISSUER.order(f"CC-{seq}", seq, to, list(wanted), wording, NOW)


def changed(change: Callable[[dict[str, Any]], None]) -> Any:
    """An order that its issuer signed after this change."""
    content, _ = an_order()
    change(content)
    return content, sign(content, "cc.example", KEY.sign)


def code(order: Any, seen: Seen = NOTHING_SEEN, rules: GateRules = RULES, now: datetime = NOW) -> int:
    try:
        admit(*order, rules, seen, now)
    except Refusal as refusal:
        return refusal.code
    return 200


def kept(admitted: Admitted) -> Order:
    content = admitted.content
    return Order(
        content.order_id,
        content.from_,
        content.seq,
        admitted.kind,
        OrderState.EFFECTIVE,
        200,
        "",
        NOW,
        NOW,
        content.expires,
        content.due_at,
        content.category,
        str(content.legal_basis),
        content.scope.text,
        content.reason,
        admitted.targets,
        admitted.digest,
        {},
        "taxii",
    )


def test_a_signed_order_about_a_cyber_threat_is_admitted_with_its_targets() -> None:
    admitted = admit(*an_order(), RULES, NOTHING_SEEN, NOW)
    assert (admitted.kind, admitted.targets) == (OrderKind.MEASURE, (C2[1],))


@pytest.mark.parametrize(
    ("measure", "target"),
    [
        (Measure.BLOCK, Target(TargetType.ADDRESS, "198.18.2.20")),
        (Measure.REJECT, Target(TargetType.NETWORK, "2001:db8:2::/64")),
        (Measure.BLOCK, Target(TargetType.ENDPOINT, "[2001:db8:2::20]:443/tcp")),
        (Measure.BLOCK, Target(TargetType.HOSTNAME, "c2.beacon.test")),
        (Measure.SINKHOLE, Target(TargetType.DOMAIN, "c2.beacon.test")),
        (Measure.BLOCK, Target(TargetType.URL, "http://c2.beacon.test/gate.php")),
    ],
)
def test_what_can_be_ordered_says_the_same_as_an_openc2_command(measure: Measure, target: Target) -> None:
    wish = openc2.wish_of(openc2.command_for(measure, target))
    assert (wish.measure, wish.target) == (measure, target)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c.pop("legal_basis"), 400),
        (lambda c: c.update(surprise=1), 400),
        (lambda c: c.update(commands=[{"action": "deny"}]), 400),
        (lambda c: c.update(commands=[{"action": "deny", "target": {"ipv4_net": "2001:db8::/32"}}]), 400),
        (lambda c: c.update({"from": "somebody.else"}), 401),
        (lambda c: c.update(to="agent-2"), 403),
        (lambda c: c.update(category="content.rumour"), 403),
        (lambda c: c.update(category="hidden_danger.weak_password"), 403),
        (lambda c: c.update(expires="2026-11-24T07:59:00Z"), 403),
        (lambda c: c.update(expires="2027-11-24T07:59:00Z"), 403),
        (lambda c: c.update(issued_at="2026-11-24T09:00:00Z"), 403),
        (lambda c: c["scope"].update(networks=["other.test"]), 403),
        (lambda c: c["scope"].update(target_types=["address"]), 403),
        (lambda c: c.update(commands=c["commands"] * 2) or c["scope"].update(max_targets=1), 403),
        (lambda c: c.update(commands=[{"action": "scan", "target": {"ipv4_net": "192.0.2.0/24"}}]), 501),
        (lambda c: c.update(commands=[{"action": "redirect", "target": {"ipv4_net": "192.0.2.1"}}]), 501),
        (lambda c: c["commands"][0].update(actuator={"slpf": {}}), 501),
        (lambda c: c["scope"].update(networks=["beacon.test"]), 200),
    ],
)
def test_what_is_wrong_with_an_order_has_its_number(change: Any, expected: int) -> None:
    assert code(changed(change)) == expected


def test_content_grounds_are_refused_and_the_refusal_says_so() -> None:
    with pytest.raises(Refusal, match="content is no ground"):
        admit(*changed(lambda c: c.update(category="content.rumour")), RULES, NOTHING_SEEN, NOW)


@given(st.data())
def test_whatever_is_changed_after_signing_is_refused(data: st.DataObject) -> None:
    content, signature = an_order()
    tampered = copy.deepcopy(content)
    key = data.draw(st.sampled_from(["reason", "expires", "category", "to", "seq", "commands", "order_id"]))
    tampered[key] = {
        "seq": 2,
        "commands": [{"action": "deny", "target": {"domain_name": "good.test"}}],
        "expires": "2026-12-20T00:00:00.000Z",
        "category": "malicious_resource.c2_ip",
        "to": "agent-2",
        "order_id": "CC-9",
    }.get(key, data.draw(st.text(min_size=1)) + "?")
    assert code((tampered, signature)) == 401


def test_an_order_of_a_key_we_do_not_know_is_not_followed() -> None:
    assert code(an_order(), rules=replace(RULES, keys={})) == 401


def test_the_same_order_again_is_the_same_order_and_a_used_count_is_a_replay() -> None:
    first = kept(admit(*an_order(), RULES, NOTHING_SEEN, NOW))
    again = Seen(
        lambda each: first if each == first.id else None, lambda _i, seq: first if seq == 1 else None, lambda _: 1
    )
    assert admit(*an_order(), RULES, again, NOW).repeated == first
    assert code(changed(lambda c: c.update(order_id="CC-other")), again) == 403, "another order under the same count"
    assert code(changed(lambda c: c.update(reason="another")), again) == 403, "another order under the same id"
    assert code(an_order(seq=2), again) == 200


def test_orders_may_overtake_each_other_but_not_come_from_long_ago() -> None:
    def highest(seq: int) -> Seen:
        return replace(NOTHING_SEEN, last_seq=lambda _: seq)

    assert code(an_order(seq=5), highest(100)) == 200
    assert code(an_order(seq=5), highest(5000)) == 403


def test_an_openc2_command_carries_the_whole_order() -> None:
    content, signature = an_order()
    carried, same = document.carried(json.loads(json.dumps(document.carrying(content, signature))))
    assert (carried, same) == (content, signature)
    with pytest.raises(Refusal, match="signed order"):
        document.carried(content["commands"][0])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 8785 section 3.2.2, appendix B and section 3.2.3
        (333333333.33333329, b"333333333.3333333"),
        (1e30, b"1e+30"),
        (4.5, b"4.5"),
        (2e-3, b"0.002"),
        (0.000000000000000000000000001, b"1e-27"),
        (-0.0, b"0"),
        (5e-324, b"5e-324"),
        (1.7976931348623157e308, b"1.7976931348623157e+308"),
        (295147905179352830000.0, b"295147905179352830000"),
        (1e21, b"1e+21"),
        (1e-6, b"0.000001"),
        ('\u20ac$\u000f\nA\'B"\\\\"/', b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'),
        (
            {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7},
            '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\U0001f600":5,"\ufb33":3}'.encode(),
        ),
    ],
)
def test_canonical_json_is_the_rfcs(value: Any, expected: bytes) -> None:
    assert canonical(value) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800", {1: 2}, b""])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(value)


def test_a_public_key_is_read_as_it_is_shown() -> None:
    public = KEY.public_key().public_bytes_raw()
    assert public_key(shown_key(public)) == public
    with pytest.raises(ValueError, match=r"."):
        public_key("ed25519:AAAA")
