"""Orders from a coordinating centre, the feedback on them, and queries it asks; kept by an OrderStore.

    received -> pending_approval -> approved -> applied -> effective -> expired | revoked | rolled_back
        '-> rejected (malformed, not signed, out of scope, refused by a person or the guard)      '-> failed

A state is what the actions under the order show; ``code`` says it in OpenC2's numbers (Language Specification 1.0,
section 3.3.2.1).
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from tapwarden.model.decision import Action, Target
from tapwarden.model.incident import SUBTYPES

CATEGORIES: frozenset[str] = frozenset(f"{kind}.{sub}" for kind, subs in SUBTYPES.items() for sub in subs)
"""What an order can be about: cyber threats by class and sub-type, nothing else. Content is no ground for one."""


class OrderKind(StrEnum):
    """What is ordered: that something is done, that it ends, or (a paper) that an oral order stands."""

    MEASURE = "measure"
    REVOCATION = "revocation"
    PAPER = "paper"


class OrderState(StrEnum):
    """Where an order stands."""

    RECEIVED = "received"
    REJECTED = "rejected"
    PENDING_APPROVAL = "pending_approval"
    APPROVED = "approved"
    APPLIED = "applied"
    EFFECTIVE = "effective"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


OVER = frozenset({OrderState.REJECTED, OrderState.EXPIRED, OrderState.REVOKED, OrderState.ROLLED_BACK})
"""States in which nothing happens to an order any more. What failed is tried again until it expires."""


@dataclass(frozen=True, slots=True)
class TargetEffect:
    """What came of one target: its state and OpenC2 code, and as proof what was read back where it works."""

    target: Target
    state: OrderState
    code: int
    detail: str = ""
    mitigator: str = ""
    proof: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it was received, and what came of it.

    ``id`` is the issuer's name for it, ``seq`` the issuer's count, ``digest`` SHA-256 of the canonical signed content,
    ``document`` that content with its signature (empty for an oral one, which ``confirmed_by`` took on the phone).
    ``via`` is how it came. ``paper_due_at``: an oral order ends then unless its paper came (``paper_id``).
    """

    id: str
    issuer: str
    seq: int
    kind: OrderKind
    state: OrderState
    code: int
    detail: str
    received_at: datetime
    not_before: datetime
    expires_at: datetime
    due_at: datetime
    category: str
    legal_basis: str
    scope: str
    reason: str
    targets: tuple[Target, ...]
    digest: str
    document: Mapping[str, Any]
    via: str
    incident_id: str = ""
    decision_ids: tuple[str, ...] = ()
    refers_to: str = ""
    confirmed_by: str = ""
    paper_due_at: datetime | None = None
    paper_id: str = ""
    effects: tuple[TargetEffect, ...] = ()
    drill: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A STIX object that waits to be sent to a collection, or was; ``subject`` is the order or query it is on."""

    id: str
    collection: str
    subject: str
    document: Mapping[str, Any]
    created_at: datetime
    attempts: int = 0
    next_attempt_at: datetime | None = None
    last_error: str = ""
    sent_at: datetime | None = None
    receipt: str = ""


class QueryState(StrEnum):
    """Where a query stands. ``answered``: counts went out; rows may still wait for a person."""

    ANSWERED = "answered"
    ROWS_PENDING = "rows_pending"
    ROWS_RELEASED = "rows_released"
    ROWS_REFUSED = "rows_refused"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Query:
    """A question of a coordinating centre, as asked and as answered. Every one is kept and shown to the site."""

    id: str
    asker: str
    template: str
    purpose: str
    parameters: Mapping[str, Any]
    received_at: datetime
    state: QueryState
    answer: Mapping[str, Any]
    via: str
    wants_rows: bool = False
    rows: tuple[Mapping[str, Any], ...] = ()
    decided_by: str = ""
    decided_at: datetime | None = None
    note: str = ""


class OrderStore(Protocol):
    """Orders, messages about them, queries, and where polling left off. Raises StoreError.

    ``put_*`` inserts or replaces by id; lists are newest first. Inside ``transaction()`` what returns one thing locks
    it.
    """

    def transaction(self) -> AbstractContextManager[None]: ...
    def put_order(self, order: Order) -> None: ...
    def order(self, order_id: str) -> Order | None: ...
    def orders(self, *, states: Sequence[OrderState] = (), limit: int = 100) -> Sequence[Order]: ...
    def order_at(self, issuer: str, seq: int) -> Order | None:
        """The order that this issuer counted so."""
        ...

    def last_seq(self, issuer: str) -> int:
        """The highest count seen of an issuer's signed orders; 0 before the first."""
        ...

    def referring(self, order_id: str) -> Sequence[Order]:
        """Revocations and papers that refer to this order."""
        ...

    def put_message(self, message: Message) -> None: ...
    def due_messages(self, now: datetime, *, limit: int = 100) -> Sequence[Message]:
        """Not sent yet, next attempt not after ``now``; oldest first."""
        ...

    def drop_sent(self, before: datetime) -> int:
        """Forget messages that were sent before then; how many."""
        ...

    def messages(self, *, subject: str = "", limit: int = 100) -> Sequence[Message]: ...
    def cursor(self, name: str) -> str:
        """Where polling of a collection left off; "" before the first time."""
        ...

    def set_cursor(self, name: str, value: str) -> None: ...
    def put_query(self, query: Query) -> None: ...
    def query(self, query_id: str) -> Query | None: ...
    def queries(self, *, asker: str = "", since: datetime | None = None, limit: int = 100) -> Sequence[Query]: ...


class OrderDesk(Protocol):
    """What people do with orders. Raises RefusedError, KeyError for an id that does not exist, StoreError."""

    def orders(self, *, limit: int = 100) -> Sequence[Order]:
        """Newest first."""
        ...

    def order(self, order_id: str) -> Order: ...

    def actions(self, order_id: str) -> Sequence[Action]:
        """What was done under it."""
        ...

    def approve(self, order_id: str, *, by: str, note: str = "") -> Order:
        """Stand behind an order that waits."""
        ...

    def reject(self, order_id: str, *, by: str, note: str) -> Order:
        """Refuse an order that waits; the coordinating centre is told why."""
        ...

    def enter_oral(
        self,
        *,
        order_id: str,
        issuer: str,
        category: str,
        legal_basis: str,
        scope: str,
        reason: str,
        commands: Sequence[Mapping[str, Any]],
        confirmed_by: str,
        by: str,
    ) -> Order:
        """An order given on the phone: waits for somebody else's approval, ends in 24 hours without its paper."""
        ...


class QueryDesk(Protocol):
    """What people do with a coordinating centre's queries. Raises RefusedError, KeyError, StoreError."""

    def queries(self, *, limit: int = 100) -> Sequence[Query]: ...
    def query(self, query_id: str) -> Query: ...
    def release(self, query_id: str, *, by: str, note: str = "") -> Query:
        """Let the rows go out."""
        ...

    def refuse(self, query_id: str, *, by: str, note: str) -> Query:
        """The rows stay here."""
        ...
