"""The centre's HTTPS interface for what it says: orders, revocations, queries; and its figures."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from tapwarden.agent.coordinator.answering import errors
from tapwarden.agent.coordinator.centre import Centre
from tapwarden.agent.coordinator.docket import Issued
from tapwarden.agent.coordinator.identity import Identities
from tapwarden.agent.coordinator.inquiry import Asked
from tapwarden.agent.coordinator.statistics import statistics
from tapwarden.agent.orders.document import LegalBasis, Scope
from tapwarden.agent.orders.openc2 import COMMANDS_MAX
from tapwarden.agent.orders.signature import shown_key
from tapwarden.agent.orders.writing import Wording
from tapwarden.model.decision import Measure, Target, TargetType


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Wanted(_Body):
    """A measure on a target."""

    measure: Literal["block", "reject", "sinkhole"]
    type: TargetType
    value: str = Field(min_length=1, max_length=2048)


class OrderRequest(_Body):
    """What an officer orders."""

    to: str
    wanted: list[Wanted] = Field(min_length=1, max_length=COMMANDS_MAX)
    category: str
    legal_basis: LegalBasis
    reason: str = Field(min_length=1, max_length=4000)
    scope: Scope
    lasts_s: int = Field(ge=60, le=30 * 86400)
    due_within_s: int = Field(default=3600, ge=1, le=30 * 86400)
    incident_ref: str = ""
    paper_for: str = ""
    drill: bool = False


class RevocationRequest(_Body):
    """Why an order ends."""

    reason: str = Field(min_length=1, max_length=4000)


class QueryRequest(_Body):
    """A question to an agent; see docs/orders.md for the templates."""

    to: str
    template: Literal["indicator-seen", "top-classes", "order-status"]
    purpose: str = Field(min_length=1, max_length=1000)
    parameters: dict[str, Any] = {}
    rows: bool = False


def router(centre: Centre, identities: Identities, *, now: Callable[[], datetime]) -> APIRouter:
    """Routes below ``/api/v1``."""
    routes = APIRouter()

    @routes.get("/api/v1/key")
    def key(request: Request) -> dict[str, str]:
        """The public key that orders are signed with."""
        identities.caller(request)
        return {"name": centre.name, "public_key": shown_key(centre.public_key)}

    @routes.post("/api/v1/orders", status_code=201)
    def order(request: Request, body: OrderRequest) -> dict[str, Any]:
        """Issue a signed order."""
        officer = identities.officer(request)
        wording = Wording(
            category=body.category,
            legal_basis=body.legal_basis.model_dump(exclude_defaults=True),
            reason=body.reason,
            scope=body.scope.model_dump(mode="json", exclude_defaults=True),
            lasts=timedelta(seconds=body.lasts_s),
            due_within=timedelta(seconds=body.due_within_s),
            incident_ref=body.incident_ref,
            paper_for=body.paper_for,
            drill=body.drill,
        )
        wanted = [(Measure(each.measure), Target(each.type, each.value)) for each in body.wanted]
        with errors():
            return shown(centre.issue(body.to, wanted, wording, by=officer.name, now=now()), now())

    @routes.post("/api/v1/orders/{order_id}/revocation", status_code=201)
    def revoke(request: Request, order_id: str, body: RevocationRequest) -> dict[str, Any]:
        """End an order."""
        officer = identities.officer(request)
        with errors():
            return shown(centre.docket.revoke(order_id, reason=body.reason, by=officer.name, now=now()), now())

    @routes.get("/api/v1/orders")
    def orders(
        request: Request, overdue: bool = False, limit: int = Query(default=100, ge=1, le=1000)
    ) -> list[dict[str, Any]]:
        """Orders: an agent's own, an officer's all; with ``overdue`` those whose answer should have come."""
        reader = identities.caller(request)
        found = centre.docket.orders(
            agent="" if reader.officer else reader.name, overdue_at=now() if overdue else None, limit=limit
        )
        return [shown(each, now()) for each in found]

    @routes.get("/api/v1/orders/{order_id}")
    def one_order(request: Request, order_id: str) -> dict[str, Any]:
        """An order with all feedback: what it did, target by target, and the proof."""
        reader = identities.caller(request)
        with errors():
            found = centre.docket.order(order_id)
        if not reader.officer and found.agent != reader.name:
            raise HTTPException(404, order_id)
        return shown(found, now()) | {
            "content": found.content,
            "signature": found.signature,
            "feedback": list(centre.docket.feedback(order_id)),
        }

    @routes.post("/api/v1/queries", status_code=201)
    def ask(request: Request, body: QueryRequest) -> dict[str, Any]:
        """Ask an agent; the answer comes when it has polled."""
        officer = identities.officer(request)
        question = body.model_dump(exclude={"to"})
        with errors():
            return _asked(centre.ask(body.to, question, by=officer.name, now=now()))

    @routes.get("/api/v1/queries")
    def queries(request: Request, limit: int = Query(default=100, ge=1, le=1000)) -> list[dict[str, Any]]:
        """Questions and answers, newest first."""
        identities.officer(request)
        return [_asked(each) for each in centre.inquiry.queries(limit=limit)]

    @routes.get("/api/v1/statistics")
    def figures(request: Request) -> Mapping[str, Any]:
        """Figures over all agents."""
        identities.officer(request)
        return statistics(centre.register, centre.docket, centre.agents, now())

    return routes


def shown(each: Issued, now: datetime) -> dict[str, Any]:
    """An order in a list."""
    return {
        "order_id": each.order_id,
        "agent": each.agent,
        "seq": each.seq,
        "kind": each.kind,
        "refers_to": each.refers_to,
        "issued_at": each.issued_at.isoformat(),
        "due_at": each.due_at.isoformat(),
        "issued_by": each.issued_by,
        "category": each.content["category"],
        "commands": each.content["commands"],
        "state": each.state or "unanswered",
        "code": each.code,
        "detail": each.detail,
        "fed_back_at": each.fed_back_at.isoformat() if each.fed_back_at else None,
        "effective_at": each.effective_at.isoformat() if each.effective_at else None,
        "overdue": each.overdue(now),
    }


def _asked(each: Asked) -> dict[str, Any]:
    return {
        "query_id": each.query_id,
        "agent": each.agent,
        "asked_by": each.asked_by,
        "asked_at": each.asked_at,
        "question": each.document,
        "answer": each.answer or None,
        "answered_at": each.answered_at or None,
    }
