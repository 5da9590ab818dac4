"""An order as it is kept, from what was signed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tapwarden.agent.orders.canonical import digest
from tapwarden.agent.orders.document import OrderContent
from tapwarden.agent.orders.gate import Admitted
from tapwarden.agent.orders.openc2 import Wish, wish_of
from tapwarden.agent.orders.refusal import PROCESSING, Refusal
from tapwarden.model.decision import Target
from tapwarden.model.order import Order, OrderKind, OrderState

ORAL_LASTS = timedelta(hours=24)
"""An order given on the phone ends then without its paper (Measures art. 8)."""


def admitted_order(admitted: Admitted, content: dict[str, Any], signature: Any, via: str, now: datetime) -> Order:
    """The order that the gate admitted, as it is kept."""
    said = admitted.content
    return replace(
        _base(said, via, now),
        kind=admitted.kind,
        targets=admitted.targets,
        digest=admitted.digest,
        document={"order": content, "signature": signature},
        refers_to=admitted.refers_to,
        confirmed_by=said.oral.confirmed_by if said.oral else "",
        paper_due_at=min(said.oral.paper_due_at, now + ORAL_LASTS) if said.oral else None,
    )


def rejected_order(said: OrderContent, content: dict[str, Any], via: str, refusal: Refusal, now: datetime) -> Order:
    """The order that its issuer signed and that is not followed, as it is kept."""
    return replace(
        _base(said, via, now),
        state=OrderState.REJECTED,
        code=refusal.code,
        detail=refusal.text,
        digest=digest(content),
        document={"order": content},
    )


def _base(said: OrderContent, via: str, now: datetime) -> Order:
    return Order(
        id=said.order_id,
        issuer=said.from_,
        seq=said.seq,
        kind=OrderKind.MEASURE,
        state=OrderState.RECEIVED,
        code=PROCESSING,
        detail="",
        received_at=now,
        not_before=said.not_before,
        expires_at=said.expires,
        due_at=said.due_at,
        category=said.category[:200],
        legal_basis=str(said.legal_basis),
        scope=said.scope.text,
        reason=said.reason,
        targets=(),
        digest="",
        document={},
        via=via,
        incident_id=said.incident_ref,
        drill=said.drill,
    )


def wishes_of(order: Order) -> list[Wish]:
    """What an order that was admitted before asks for."""
    content = order.document.get("order", order.document)
    return [wish_of(command) for command in content["commands"]]


def targets_of(wishes: Sequence[Wish]) -> tuple[Target, ...]:
    """What is acted on, each once."""
    return tuple(dict.fromkeys(wish.target for wish in wishes if wish.target is not None))
