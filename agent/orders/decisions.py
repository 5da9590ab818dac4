"""From an order to decisions of the mitigation area: an incident it belongs to, a decision for each measure."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tapwarden.agent.orders.openc2 import Wish
from tapwarden.model.decision import Authority, AuthorityKind, Decision, Measure, Target
from tapwarden.model.incident import Incident, IncidentState, ThreatClass, TimelineEntry
from tapwarden.model.order import Order

LOOK_BACK = timedelta(hours=24)
"""How far back the impact of an order is counted, as for decisions of people."""


def incident_of(order: Order, incident_id: str, now: datetime) -> Incident:
    """An incident for an order that belongs to none of ours: determined by the issuer, with no clock of its own."""
    kind, _, subtype = order.category.partition(".")
    names = ", ".join(target.value for target in order.targets)
    by = f"order:{order.id}"
    return Incident(
        id=incident_id,
        title=f"Order {order.id}: {names}"[:200],
        threat_class=ThreatClass(kind),
        severity=2,
        state=IncidentState.CONFIRMED,
        detected_at=order.received_at,
        opened_at=now,
        opened_by=by,
        due_at=order.due_at,
        summary=order.reason,
        indicators=tuple(target.value for target in order.targets),
        timeline=(TimelineEntry(now, "ordered", f"{order.issuer}: {order.reason}"[:2000], by, now),),
        drill=order.drill,
        subtype=subtype,
        determined_by=order.issuer,
        determined_at=now,
    )


def decisions_of(
    order: Order, wishes: Sequence[Wish], expires_at: datetime, now: datetime, *, requested_by: str
) -> list[Decision]:
    """One decision a measure, with ids that are the same whenever the same order is decided again."""
    by_measure: dict[Measure, list[Target]] = {}
    for wish in wishes:
        if wish.measure is not None and wish.target is not None:
            by_measure.setdefault(wish.measure, []).append(wish.target)
    authority = Authority(AuthorityKind.ORDER, order.id, order.legal_basis, now)
    return [
        Decision(
            id=decision_id(order.id, measure),
            incident_id=order.incident_id,
            measure=measure,
            targets=tuple(dict.fromkeys(targets)),
            scope=order.scope,
            reason=order.reason,
            authority=authority,
            decided_at=now,
            expires_at=expires_at,
            requested_by=requested_by,
        )
        for measure, targets in by_measure.items()
    ]


def needing(decision: Decision, people: int, because: str, confirm_within_s: int) -> Decision:
    """The decision with how many people have to stand behind it."""
    return replace(decision, people_needed=people, needed_because=because, confirm_within_s=confirm_within_s)


def decision_id(order_id: str, measure: Measure) -> str:
    """20 hex digits, as other decisions have."""
    return hashlib.blake2b(f"{order_id}\0{measure}".encode(), digest_size=10).hexdigest()
