"""The collections of each agent, and who may do what in them."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tapwarden.agent.coordinator.identity import Caller

NAMESPACE = uuid.UUID("5b0c4f5e-6c1d-4f2a-8f0e-2c9a4f7d1b63")

KINDS = {
    "reports-in": ("Reports of the agent", "w"),
    "orders-out": ("Orders to the agent, and what was determined about its reports", "r"),
    "feedback-in": ("What came of orders; sightings", "w"),
    "queries-out": ("Questions to the agent", "r"),
    "answers-in": ("Its answers", "w"),
}
"""Each kind of collection: what it is for, and what its agent may do. Officers read all and write none: what they say
goes through the centre, which signs it."""

MEDIA_TYPES = ["application/stix+json;version=2.1"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A collection as this caller sees it. ``shelf`` is its name on the shelf."""

    id: str
    agent: str
    kind: str
    can_read: bool
    can_write: bool

    @property
    def shelf(self) -> str:
        """Its name on the shelf."""
        return shelf_name(self.agent, self.kind)

    def resource(self, own: bool) -> dict[str, object]:
        """The collection resource (TAXII 2.1 section 5.2)."""
        return {
            "id": self.id,
            "title": self.kind if own else f"{self.kind} of {self.agent}",
            "description": KINDS[self.kind][0],
            **({"alias": self.kind} if own else {}),
            "can_read": self.can_read,
            "can_write": self.can_write,
            "media_types": MEDIA_TYPES,
        }


def shelf_name(agent: str, kind: str) -> str:
    """Under which name an agent's collection is on the shelf."""
    return f"{uuid.uuid5(NAMESPACE, agent)}/{kind}"


def collection_id(agent: str, kind: str) -> str:
    """The id of an agent's collection: the same after every start."""
    return str(uuid.uuid5(NAMESPACE, f"{agent}/{kind}"))


def shown_to(caller: Caller, agents: Sequence[str]) -> Iterator[Shown]:
    """The collections a caller sees: an agent its own, an officer all."""
    for agent in agents:
        if caller.officer or caller.name == agent:
            for kind, (_, right) in KINDS.items():
                reads = caller.officer or right == "r"
                yield Shown(collection_id(agent, kind), agent, kind, reads, not caller.officer and right == "w")
