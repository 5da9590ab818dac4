"""Decisions, the actions that carry them out, orders from the coordinating centre, and the audit trail."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Measure(StrEnum):
    """What is done to a target. Block is silent, reject tells the sender; both keep traffic away in both directions."""

    BLOCK = "block"
    REJECT = "reject"
    SINKHOLE = "sinkhole"
    RESET = "reset"
    RATE_LIMIT = "rate_limit"
    NOTIFY = "notify"


class TargetType(StrEnum):
    """What a target names. A domain is the name and all names below it, a hostname the name alone.

    An endpoint is an address with protocol and port: ``192.0.2.1:443/tcp``, ``[2001:db8::1]:53/udp``. A connection is
    both its ends, whoever began it: ``192.0.2.1:4000-198.51.100.7:443/tcp``.
    """

    ADDRESS = "address"
    NETWORK = "network"
    ENDPOINT = "endpoint"
    DOMAIN = "domain"
    HOSTNAME = "hostname"
    URL = "url"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class Target:
    """What a measure is applied to: ``value`` in canonical text form (compressed IPv6, lower-case name)."""

    type: TargetType
    value: str


class AuthorityKind(StrEnum):
    """On whose word something is done."""

    STANDING_POLICY = "standing_policy"
    PERSON = "person"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who may decide this, and why. ``name`` is the policy, the person or the order; never empty."""

    kind: AuthorityKind
    name: str
    legal_basis: str
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class Impact:
    """What a measure would have hit, had it been in effect: counted over the events since ``since``.

    ``flows`` are sessions with a target (or look-ups of it), ``hosts`` those that held them, ``protected`` the hosts
    among these that nothing may be done to, each with the entry that says so. ``complete`` is False where there were
    too many events to look at: the numbers are lower bounds then. ``refused`` names the targets that may not be hit.
    """

    flows: int
    hosts: int
    protected: tuple[str, ...]
    refused: tuple[str, ...]
    since: datetime
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided on an incident. It cannot exist without authority, scope, reason and expiry (ValueError).

    ``people_needed`` have to stand behind it before it is carried out, because ``needed_because``; who asked for it
    (``requested_by``, a person or a policy) counts as the first where that is a person. With ``confirm_within_s`` it
    is undone that long after it was carried out unless somebody confirms it (0: never).
    """

    id: str
    incident_id: str
    measure: Measure
    targets: tuple[Target, ...]
    scope: str
    reason: str
    authority: Authority
    decided_at: datetime
    expires_at: datetime
    requested_by: str = ""
    people_needed: int = 0
    needed_because: str = ""
    confirm_within_s: int = 0

    def __post_init__(self) -> None:
        required = {
            "incident_id": self.incident_id,
            "targets": self.targets,
            "scope": self.scope,
            "reason": self.reason,
            "authority.name": self.authority.name,
            "authority.legal_basis": self.authority.legal_basis,
        }
        missing = [name for name, value in required.items() if not value]
        if missing:
            raise ValueError(f"a decision needs {', '.join(missing)}")
        if self.expires_at <= self.decided_at:
            raise ValueError("a decision has to expire after it was made")


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word on a decision that waits for it; ``granted`` is False for a rejection. One a person."""

    decision_id: str
    by: str
    at: datetime
    granted: bool
    note: str = ""


class ActionState(StrEnum):
    """The life of an action."""

    PROPOSED = "proposed"
    SIMULATED = "simulated"
    APPROVED = "approved"
    APPLIED = "applied"
    VERIFIED = "verified"
    EXPIRED = "expired"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"
    FAILED = "failed"


LIVE_STATES = frozenset({ActionState.APPROVED, ActionState.APPLIED, ActionState.VERIFIED})
"""States in which the ledger says the action should be in effect."""


@dataclass(frozen=True, slots=True)
class Action:
    """A decision carried out at one mitigator on one target; undone by withdrawing it. ``detail``: what happened.

    ``confirm_by`` is when it is undone unless somebody confirms it before; None once confirmed, or never needed.
    """

    id: str
    decision_id: str
    incident_id: str
    measure: Measure
    target: Target
    mitigator: str
    state: ActionState
    created_at: datetime
    expires_at: datetime
    dry_run: bool
    reason: str = ""
    detail: str = ""
    applied_at: datetime | None = None
    ended_at: datetime | None = None
    confirm_by: datetime | None = None

    @property
    def in_effect_until(self) -> datetime:
        """When it ends by itself as things stand."""
        return self.expires_at if self.confirm_by is None else min(self.expires_at, self.confirm_by)


@dataclass(frozen=True, slots=True)
class Installed:
    """One thing a mitigator has in effect right now, as read back from the kernel or the resolver.

    ``effective`` is False where it is installed but was not (yet) seen to work: a resolver that answers otherwise.
    ``note`` says in words what was seen, where there is more to say: a message's id, why a session is down.
    ``failed``: it cannot come into effect, however long one waits; ``note`` says why.
    """

    target: Target
    measure: Measure
    expires_in_s: float | None = None
    packets: int | None = None
    octets: int | None = None
    effective: bool = True
    note: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the tamper-evident trail. ``hash`` covers all else and ``previous`` (SHA-256 hex)."""

    seq: int
    at: datetime
    actor: str
    verb: str
    subject: str
    detail: str
    previous: str
    hash: str
