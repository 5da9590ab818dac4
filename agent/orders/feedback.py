"""What the coordinating centre is told of its orders: a STIX note for every change, with the proof."""

from datetime import datetime
from typing import Any

from tapwarden.agent.orders import document
from tapwarden.model.order import Message, Order

COLLECTION = "feedback-in"


def content_of(order: Order, agent: str, at: datetime) -> dict[str, Any]:
    """The order's state as it is told."""
    return {
        "order_id": order.id,
        "seq": order.seq,
        "from": agent,
        "to": order.issuer,
        "state": order.state.value,
        "code": order.code,
        "detail": order.detail,
        "at": document.stamp(at),
        "received_at": document.stamp(order.received_at),
        "drill": order.drill,
        "effects": [
            {
                "target": {"type": each.target.type.value, "value": each.target.value},
                "state": each.state.value,
                "code": each.code,
                "detail": each.detail,
                "mitigator": each.mitigator,
                "proof": dict(each.proof),
            }
            for each in order.effects
        ],
    }


def message_of(order: Order, agent: str, at: datetime) -> Message:
    """The note that carries it, to be sent. The same state at the same moment is the same note."""
    content = content_of(order, agent, at)
    about = document.stix_id("course-of-action", order.issuer, order.id)
    text = f"Order {order.id}: {order.state.value} ({order.code})" + (f": {order.detail}" if order.detail else "")
    thing = document.note("feedback", content, about=about, text=text, at=at, names=(order.id, content["at"], text))
    return Message(str(thing["id"]), COLLECTION, order.id, thing, at)


def refusal_message(order_id: str, issuer: str, code: int, detail: str, agent: str, at: datetime) -> Message:
    """The same for what was not even an order of the issuer's."""
    content = {
        "order_id": order_id,
        "from": agent,
        "to": issuer,
        "state": "rejected",
        "code": code,
        "detail": detail,
        "at": document.stamp(at),
        "effects": [],
    }
    about = document.stix_id("course-of-action", issuer, order_id)
    text = f"Order {order_id}: rejected ({code}): {detail}"
    thing = document.note("feedback", content, about=about, text=text, at=at, names=(order_id, text))
    return Message(str(thing["id"]), COLLECTION, order_id, thing, at)
