"""The desk of queries: every question is kept and shown, the quota is counted, rows wait for a person."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tapwarden.agent.orders import document
from tapwarden.agent.queries.templates import Answer, Sources, answer
from tapwarden.model.errors import RefusedError, StoreError
from tapwarden.model.order import Message, OrderStore, Query, QueryState
from tapwarden.model.ports import CaseStore, Clock

log = logging.getLogger(__name__)

COLLECTION = "answers-in"
TLP = ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")
COUNTS_TLP, ROWS_TLP = "GREEN", "AMBER"
"""Labels (TLP 2.0) of what an answer has in it: counts over all hosts, and rows about single ones."""


@dataclass(frozen=True, slots=True)
class QueryRules:
    """Who we are, how often one asker may ask, the highest label an answer carries."""

    name: str
    per_hour: int = 60
    tlp: str = "AMBER"


class Queries:
    """The QueryDesk, and what brings questions in. Questions of nobody are never asked: channels say who asks."""

    def __init__(
        self, *, store: OrderStore, cases: CaseStore, sources: Sources, rules: QueryRules, clock: Clock
    ) -> None:
        self._store, self._cases, self._sources, self._rules, self._clock = store, cases, sources, rules, clock

    def receive(self, content: Mapping[str, Any], *, asker: str, via: str) -> Query:
        """Answer a question; the same one again has the same answer. Raises StoreError."""
        now = self._clock.now()
        query_id = str(content.get("query_id", ""))[:128]
        if query_id and (there := self._store.query(query_id)) is not None:
            return there
        parameters = content.get("parameters", {})
        query = Query(
            id=query_id or f"{asker}-{now:%Y%m%d%H%M%S%f}",
            asker=asker,
            template=str(content.get("template", ""))[:64],
            purpose=str(content.get("purpose", "")).strip()[:1000],
            parameters=dict(parameters) if isinstance(parameters, Mapping) else {},
            received_at=now,
            state=QueryState.ANSWERED,
            answer={},
            via=via,
            wants_rows=content.get("rows") is True,
        )
        query = self._answered(query, now)
        with self._store.transaction():
            self._store.put_query(query)
            self._say(query, now)
            detail = f"{via}: {query.template} {dict(query.parameters)} for {query.purpose!r}: {query.state}"
            self._cases.audit(actor=asker, verb="query", subject=query.id, detail=detail[:2000], at=now)
        log.info("query=%s asker=%r template=%r state=%s", query.id, asker, query.template, query.state)
        return query

    # what people do (see the port)

    def queries(self, *, limit: int = 100) -> Sequence[Query]:
        """See the port."""
        return self._store.queries(limit=limit)

    def query(self, query_id: str) -> Query:
        """See the port."""
        found = self._store.query(query_id)
        if found is None:
            raise KeyError(query_id)
        return found

    def release(self, query_id: str, *, by: str, note: str = "") -> Query:
        """See the port."""
        return self._decided(query_id, QueryState.ROWS_RELEASED, by, note)

    def refuse(self, query_id: str, *, by: str, note: str) -> Query:
        """See the port."""
        if not note.strip():
            raise RefusedError("refusing needs a reason")
        return self._decided(query_id, QueryState.ROWS_REFUSED, by, note)

    # steps

    def _answered(self, query: Query, now: datetime) -> Query:
        if problem := self._obstacle(query, now):
            return _refused(query, *problem)
        try:
            found = answer(query.template, query.parameters, query.asker, self._sources, now)
        except ValueError as error:
            return _refused(query, 400, str(error))
        except StoreError as error:
            log.warning("query=%s error=%r", query.id, str(error))
            return _refused(query, 503, "the stores cannot be read at present; ask again")
        return self._with(query, found)

    def _with(self, query: Query, found: Answer) -> Query:
        given: dict[str, Any] = {"code": 200, "tlp": COUNTS_TLP, "counts": dict(found.counts)}
        if not query.wants_rows:
            return replace(query, answer=given)
        if TLP.index(ROWS_TLP) > TLP.index(self._rules.tlp):
            return replace(query, answer=given | {"rows": f"not given: they are TLP:{ROWS_TLP}"})
        if not found.rows:
            return replace(query, answer=given | {"rows": []})
        return replace(
            query, state=QueryState.ROWS_PENDING, answer=given | {"rows": "a person decides"}, rows=found.rows
        )

    def _obstacle(self, query: Query, now: datetime) -> tuple[int, str] | None:
        if TLP.index(COUNTS_TLP) > TLP.index(self._rules.tlp):
            return 403, f"answers are TLP:{COUNTS_TLP}, and this site tells up to TLP:{self._rules.tlp}"
        if not query.purpose:
            return 400, "a question says what it is for: purpose"
        asked = self._store.queries(asker=query.asker, since=now - timedelta(hours=1), limit=self._rules.per_hour)
        if len(asked) >= self._rules.per_hour:
            return 429, f"{self._rules.per_hour} questions an hour are answered"
        return None

    def _decided(self, query_id: str, state: QueryState, by: str, note: str) -> Query:
        now = self._clock.now()
        with self._store.transaction():
            query = self.query(query_id)
            if query.state is not QueryState.ROWS_PENDING:
                raise RefusedError(f"nobody waits for rows of this: it is {query.state.value}", entry=query_id)
            told: dict[str, Any] = {"rows": "refused by a person"}
            if state is QueryState.ROWS_RELEASED:
                told = {"rows": [dict(row) for row in query.rows], "tlp": ROWS_TLP}
            decided = replace(
                query, state=state, answer={**query.answer, **told}, decided_by=by, decided_at=now, note=note.strip()
            )
            self._store.put_query(decided)
            self._say(decided, now)
            self._cases.audit(actor=by, verb=f"query.{state}", subject=query_id, detail=note.strip(), at=now)
        return decided

    def _say(self, query: Query, now: datetime) -> None:
        """Put the answer where it is sent from; what came over HTTPS is answered there, and may be fetched again."""
        if not query.via.startswith("taxii"):
            return
        content = {"query_id": query.id, "from": self._rules.name, "to": query.asker, "state": query.state.value}
        content |= {"at": document.stamp(now), **query.answer}
        thing = document.note(
            "answer",
            content,
            about=document.stix_id("note", "query", query.asker, query.id),
            text=f"Answer to {query.id}: {query.state.value}",
            at=now,
            names=(query.id, query.state.value, document.stamp(now)),
        )
        self._store.put_message(Message(str(thing["id"]), COLLECTION, query.id, thing, now))


def _refused(query: Query, code: int, detail: str) -> Query:
    return replace(query, state=QueryState.REFUSED, answer={"code": code, "detail": detail})
