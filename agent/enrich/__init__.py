"""What other events say about an alert. Events come from the collectors; badges go to ``agent.triage``.

An enrichment watches every event (``observe``) and adds names to an alert (``badges``); each is a line in ENRICHMENTS.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from tapwarden.agent.enrich.names import SeenNames
from tapwarden.model.event import Event


class Enrichment(Protocol):
    """Learns from all events, in order, and tells names that belong to an alert."""

    def observe(self, event: Event) -> None: ...

    def badges(self, alert: Event) -> Iterable[str]:
        """Names seen with the alert, most telling first. Attacker-chosen text."""
        ...


ENRICHMENTS: dict[str, Callable[[], Enrichment]] = {"names": SeenNames}

__all__ = ["ENRICHMENTS", "Enrichment", "SeenNames"]
