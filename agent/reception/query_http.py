"""Queries over HTTPS: ask, and fetch the answer again once a person has decided on its rows."""

from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from tapwarden.agent.queries.desk import Queries
from tapwarden.agent.reception.callers import Callers
from tapwarden.model.order import Query


class Question(BaseModel):
    """A question from the closed list."""

    model_config = ConfigDict(extra="forbid")

    template: Literal["indicator-seen", "top-classes", "order-status"]
    purpose: str = Field(min_length=1, max_length=1000, description="What the answer is for; shown to the site.")
    parameters: dict[str, Any] = {}
    rows: bool = Field(default=False, description="Ask for rows as well; a person at the site decides.")


class AnswerOut(BaseModel):
    """An answer; counts below the site's threshold are told as such."""

    query_id: str
    state: str
    code: int
    tlp: str = ""
    detail: str = ""
    counts: dict[str, Any] = {}
    rows: Any = None


def router(queries: Queries, callers: Callers) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/v1/queries")

    @routes.post("", status_code=201)
    def ask(request: Request, question: Question) -> AnswerOut:
        """Ask; the counts come at once."""
        content = question.model_dump()
        query = queries.receive(content, asker=callers.name(request), via="https")
        code = int(query.answer.get("code", 200))
        if code != 200:
            raise HTTPException(code, query.answer.get("detail", ""))
        return _out(query)

    @routes.get("/{query_id}")
    def again(request: Request, query_id: str) -> AnswerOut:
        """The answer as it is now; with rows once they were released."""
        asker = callers.name(request)
        try:
            query = queries.query(query_id)
        except KeyError:
            query = None
        if query is None or query.asker != asker:
            raise HTTPException(404, "there is no such query of yours")
        return _out(query)

    return routes


def _out(query: Query) -> AnswerOut:
    return AnswerOut(query_id=query.id, state=query.state.value, **query.answer)
