"""Writing an order: the coordinating centre's side of ``gate``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tapwarden.agent.orders import document, openc2
from tapwarden.agent.orders.signature import sign
from tapwarden.model.decision import Measure, Target


@dataclass(frozen=True, slots=True)
class Wording:
    """What an officer says of an order."""

    category: str
    legal_basis: Mapping[str, str]
    reason: str
    scope: Mapping[str, Any]
    lasts: timedelta
    due_within: timedelta
    incident_ref: str = ""
    paper_for: str = ""
    drill: bool = False


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs."""

    name: str
    signer: Callable[[bytes], bytes]

    def order(
        self,
        order_id: str,
        seq: int,
        to: str,
        wanted: Sequence[tuple[Measure, Target]],
        wording: Wording,
        now: datetime,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """A signed order: content and signature. Raises ValueError for what OpenC2 has no command for."""
        commands = [openc2.command_for(measure, target, command_id=order_id) for measure, target in wanted]
        return self._signed(order_id, seq, to, commands, wording, now)

    def revocation(
        self, order_id: str, seq: int, to: str, revoked: str, wording: Wording, now: datetime
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """A signed order that ends another."""
        command = {"action": "cancel", "target": {"command": revoked}, "command_id": order_id}
        return self._signed(order_id, seq, to, [command], wording, now)

    def _signed(
        self, order_id: str, seq: int, to: str, commands: list[dict[str, Any]], wording: Wording, now: datetime
    ) -> tuple[dict[str, Any], dict[str, str]]:
        content: dict[str, Any] = {
            "schema": document.SCHEMA,
            "order_id": order_id,
            "seq": seq,
            "from": self.name,
            "to": to,
            "issued_at": document.stamp(now),
            "not_before": document.stamp(now),
            "expires": document.stamp(now + wording.lasts),
            "due_at": document.stamp(now + wording.due_within),
            "category": wording.category,
            "legal_basis": dict(wording.legal_basis),
            "scope": dict(wording.scope),
            "reason": wording.reason,
            "commands": commands,
        }
        refers = {"incident_ref": wording.incident_ref, "paper_for": wording.paper_for}
        content |= {name: value for name, value in refers.items() if value}
        if wording.drill:
            content["drill"] = True
        document.read(content)  # an order that the other side would call malformed is not signed
        return content, sign(content, self.name, self.signer)
