"""Verdicts on alerts of indicators, back to where the indicators came from."""

import hashlib
from collections.abc import Callable, Sequence

from tapwarden.agent.coordinate.sighting import Judged, misp_sighting, stix_objects
from tapwarden.model.errors import StoreError
from tapwarden.model.incident import AlertGroup, Verdict
from tapwarden.model.order import Message, OrderStore
from tapwarden.model.ports import CaseStore, Clock, EventStore

MISP = "misp:"
FEEDBACK = "feedback-in"


class Sightings:
    """Turns verdicts into messages. ``misp`` are the feeds that a MISP gives; ``centre``: the centre is told, too."""

    def __init__(
        self,
        *,
        store: OrderStore,
        cases: CaseStore,
        events: EventStore,
        clock: Clock,
        site: str,
        misp: frozenset[str],
        centre: bool,
        drills: Callable[[str], bool] = lambda _incident_id: False,
    ) -> None:
        self._store, self._cases, self._events, self._clock = store, cases, events, clock
        self._site, self._misp, self._centre, self._drills = site, misp, centre, drills

    def judged(self, group_ids: Sequence[str], verdict: Verdict, by: str) -> int:
        """Tell what a person found about these groups; how many of them were of an indicator. Raises StoreError."""
        if verdict is Verdict.NONE or not (self._misp or self._centre):
            return 0
        now, told = self._clock.now(), 0
        for group_id in dict.fromkeys(group_ids):
            group = self._cases.group(group_id)
            judged = self._judged(group, verdict) if group is not None else None
            if group is None or judged is None:
                continue
            told += 1
            with self._store.transaction():
                if self._centre:
                    for thing in stix_objects(judged, now):
                        key = f"{thing['id']} {thing['modified']}"
                        self._store.put_message(Message(key, FEEDBACK, group.id, thing, now))
                if judged.source in self._misp:
                    said = misp_sighting(judged, now)
                    name = hashlib.sha256(repr((judged, now)).encode()).hexdigest()[:32]
                    document = {"id": name, "sighting": said}
                    self._store.put_message(Message(name, f"{MISP}{judged.source}", group.id, document, now))
                detail = f"{verdict}: {judged.type} {judged.value} of {judged.source}"
                self._cases.audit(actor=by, verb="sighting", subject=group.id, detail=detail, at=now)
        return told

    def _judged(self, group: AlertGroup, verdict: Verdict) -> Judged | None:
        """What is told of a group; None for one of a rule, and for an event that cannot be read now."""
        try:
            event = self._events.get(group.event_id)
        except StoreError:
            return None
        ours = event.eve.get("tapwarden") if event is not None else None
        found = ours.get("indicator") if isinstance(ours, dict) else None
        if not isinstance(found, dict) or self._drills(group.incident_id):
            return None
        return Judged(
            type=str(found.get("type", "")),
            value=str(found.get("value", ""))[:2048],
            source=str(found.get("source", ""))[:255],
            verdict=verdict,
            count=group.count,
            first_seen=group.first_seen,
            last_seen=group.last_seen,
            by_site=self._site,
        )
