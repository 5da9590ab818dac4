"""Staying in touch with the coordinating centre: orders, determinations, queries in, feedback and answers out.

One turn every few seconds. A centre that is away costs nothing but time: what is in force goes on, ends when it should,
and what has to be told waits.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tapwarden.agent.coordinate.messages import Messages
from tapwarden.agent.coordinate.taxii import StixObject
from tapwarden.agent.handling import IncidentHandling
from tapwarden.agent.orders import document
from tapwarden.agent.orders.desk import Orders
from tapwarden.agent.orders.refusal import Refusal
from tapwarden.model.errors import ChannelError, RefusedError
from tapwarden.model.incident import IncidentState
from tapwarden.model.ports import CaseStore, Clock

log = logging.getLogger(__name__)

DETERMINED = {
    "confirmed": IncidentState.CONFIRMED,
    "rejected": IncidentState.REJECTED,
    "needs_information": IncidentState.NEEDS_INFORMATION,
}

VIA = "taxii"


class Polling(Protocol):
    """What is new in a collection (``coordinate.taxii_poll``)."""

    def poll(self, take: Callable[[Sequence[StixObject]], None]) -> int: ...


class Answers(Protocol):
    """Takes queries (``queries.desk``)."""

    def receive(self, content: Mapping[str, Any], *, asker: str, via: str) -> object: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn found; ``problem`` is why it could not do all of it, ``overdue`` how many orders wait too long."""

    polled: int = 0
    sent: int = 0
    problem: str = ""
    overdue: int = 0


class Coordination:
    """The turns. ``polls`` are opened once the centre answers; without a centre orders still come by OpenC2."""

    def __init__(
        self,
        *,
        orders: Orders,
        queries: Answers | None,
        cases: CaseStore,
        handling: IncidentHandling,
        messages: Messages | None,
        polls: Callable[[], Mapping[str, Polling]],
        clock: Clock,
    ) -> None:
        self._orders, self._queries, self._cases, self._handling = orders, queries, cases, handling
        self._messages, self._polls, self._clock = messages, polls, clock

    def turn(self) -> Turn:
        """Poll, go on with what is here, tell. Raises StoreError."""
        polled, problem = 0, ""
        try:
            for name, polling in self._polls().items():
                polled += polling.poll(self._queries_in if name == "queries-out" else self._orders_in)
        except ChannelError as error:
            problem = str(error)
        self._orders.advance()
        told = self._messages.send_due(self._clock.now()) if self._messages else None
        if told is not None:
            problem = problem or told.problem
        return Turn(polled, told.sent if told else 0, problem, self._orders.overdue())

    def _orders_in(self, things: Sequence[StixObject]) -> None:
        for thing in things:
            ours = document.of_stix(thing, "order")
            if thing.get("type") == "course-of-action" and ours is not None:
                try:
                    self._orders.receive(ours["order"], ours.get("signature"), via=VIA)
                except Refusal as refusal:
                    log.warning("order=%r refused=%d reason=%r", thing.get("id"), refusal.code, refusal.text)
            elif (found := document.of_stix(thing, "determination")) is not None:
                self._determined(found["determination"])

    def _queries_in(self, things: Sequence[StixObject]) -> None:
        for thing in things:
            found = document.of_stix(thing, "query")
            if found is not None and self._queries is not None:
                content = found["query"]
                self._queries.receive(content, asker=str(content.get("from", "coordinator"))[:128], via=VIA)

    def _determined(self, said: Mapping[str, Any]) -> None:
        """What the centre determined about a report of ours moves its incident. Hearing it again changes nothing."""
        report = self._cases.report(str(said.get("report_id", "")))
        state = DETERMINED.get(str(said.get("state")))
        if report is None or state is None:
            log.warning("determination=unknown report=%r state=%r", said.get("report_id"), said.get("state"))
            return
        incident = self._cases.incident(report.incident_id)
        if incident is None or incident.state is state:
            return
        by, reason = f"coordinator:{said.get('by', '')}"[:200], str(said.get("reason", ""))[:2000] or "no reason given"
        try:
            self._handling.determine(incident.id, state=state, by=by, reason=reason)
        except RefusedError as error:
            log.warning("determination=refused incident=%s reason=%r", incident.id, str(error))
