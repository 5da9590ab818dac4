"""Figures over all agents: what was reported, how it was determined, what was ordered, and how long each step took."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from tapwarden.agent.coordinator.docket import Docket
from tapwarden.agent.coordinator.register import Register

MOST = 100_000


def statistics(register: Register, docket: Docket, agents: Sequence[str], now: datetime) -> Mapping[str, Any]:
    """Counts and medians in seconds, by agent and in all."""
    reports = register.reports(limit=MOST)
    determined: dict[int, Any] = {}
    for start in range(0, len(reports), 500):
        part = register.determinations([each.number for each in reports[start : start + 500]])
        determined |= {number: found[-1] for number, found in part.items()}
    orders = docket.orders(limit=MOST)

    def figures(agent: str) -> dict[str, Any]:
        mine = [each for each in reports if agent in ("", each.agent)]
        ours = [each for each in orders if agent in ("", each.agent)]
        states = Counter(
            determined[each.number].state.value if each.number in determined else "undetermined" for each in mine
        )
        took = [
            (determined[each.number].at - each.received_at).total_seconds()
            for each in mine
            if each.number in determined
        ]
        effect = [(each.effective_at - each.issued_at).total_seconds() for each in ours if each.effective_at]
        return {
            "reports": {"received": len(mine), **Counter(each.stage for each in mine)},
            "determinations": dict(states),
            "orders": {
                "issued": len(ours),
                "overdue": sum(each.overdue(now) for each in ours),
                **Counter(each.state or "unanswered" for each in ours),
            },
            "report_to_determination_s": _median(took),
            "order_to_effective_s": _median(effect),
        }

    return {"at": now.isoformat(), "all": figures(""), "agents": {agent: figures(agent) for agent in agents}}


def _median(values: Sequence[float]) -> float | None:
    return round(median(values), 3) if values else None
