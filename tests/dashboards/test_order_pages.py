"""Orders and queries on the dashboard: seen by whoever may look, decided on by whoever may decide."""

from collections.abc import Callable
from typing import Any

from tapwarden.model.order import OrderState, QueryState
from tapwarden.model.user import Role


def enter(site: Any, **changes: Any) -> Any:
    given = {
        "order_id": "CC-2026-000001",
        "issuer": "cc.example",
        "category": "malicious_resource.c2_ip",
        "legal_basis": "MIIT [2017] 202, art. 8",
        "scope": "own network",
        "reason": "<script>alert(1)</script>",
        "commands": [{"action": "deny", "target": {"ipv4_net": "198.18.7.9/32"}}],
        "confirmed_by": "Duty officer Li",
        "by": "ann",
    }
    return site.orders.enter_oral(**(given | changes))


def test_an_order_is_shown_escaped_and_approved_by_somebody_else(site: Any) -> None:
    enter(site)
    assert "<script>alert(1)" not in site.log_in(Role.VIEWER).get("/orders").text
    refused = site.log_in(Role.ANALYST).post("/orders/decide", {"order_id": "CC-2026-000001", "verdict": "approve"})
    assert refused.status_code == 403
    approver = site.log_in(Role.APPROVER)
    assert 'value="approve"' in approver.get("/orders").text
    approver.post("/orders/decide", {"order_id": "CC-2026-000001", "verdict": "approve", "reason": "known"})
    order = site.orders.order("CC-2026-000001")
    assert order.state is not OrderState.PENDING_APPROVAL
    assert 'value="approve"' not in approver.get("/orders").text


def test_rejecting_needs_a_reason(site: Any) -> None:
    enter(site)
    approver = site.log_in(Role.APPROVER)
    form = {"order_id": "CC-2026-000001", "verdict": "reject"}
    assert approver.post("/orders/decide", form).status_code == 400
    approver.post("/orders/decide", form | {"reason": "our own mail provider"})
    assert site.orders.order("CC-2026-000001").code == 403
    assert approver.post("/orders/decide", {"order_id": "none", "verdict": "approve"}).status_code == 404


def test_every_question_is_shown_and_rows_go_out_by_a_persons_hand(
    site: Any, record: Callable[..., dict[str, Any]]
) -> None:
    site.add_alert(record())
    asked = {"query_id": "Q-1", "template": "indicator-seen", "purpose": "case 17", "rows": True}
    site.queries.receive(asked | {"parameters": {"indicator": "198.18.7.9"}}, asker="cc.example", via="taxii")
    approver = site.log_in(Role.APPROVER)
    shown = approver.get("/queries").text
    assert "case 17" in shown
    assert 'value="release"' in shown
    approver.post("/queries/decide", {"query_id": "Q-1", "verdict": "release"})
    assert site.queries.query("Q-1").state is QueryState.ROWS_RELEASED
