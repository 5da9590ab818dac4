"""What the areas need from each other, as Protocols. Composition (tapwarden.agent.runtime) fills them in."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

from tapwarden.model.appeal import Appeal, AppealState
from tapwarden.model.decision import (
    Action,
    ActionState,
    Approval,
    AuditRecord,
    Decision,
    Installed,
    Measure,
    Target,
    TargetType,
)
from tapwarden.model.event import Bucket, Event, EventGroup, EventOrder, EventPage, EventQuery, StoreStatus, TopEntry
from tapwarden.model.evidence import PacketEvidence
from tapwarden.model.hunt import HuntResult
from tapwarden.model.incident import (
    AlertGroup,
    GroupState,
    Incident,
    IncidentState,
    Verdict,
)
from tapwarden.model.indicator import Indicator
from tapwarden.model.notice import Notice
from tapwarden.model.report import Departure, Passed, Receipt, Report, ReportState, StageTimer
from tapwarden.model.user import User


class Clock(Protocol):
    """Where the time comes from; an argument everywhere, so that tests choose it."""

    def now(self) -> datetime:
        """The current time, UTC, timezone-aware."""
        ...


class Collector(Protocol):
    """A source of events: an engine on a capture, or a followed eve.json."""

    name: str

    def batches(self) -> Iterator[Sequence[Event]]:
        """Events in batches, in order; blocks while there is nothing; ends when the source ends or after ``stop``.

        An empty batch is a heartbeat (at least one a second). Raises SourceError.
        """
        ...

    def stop(self) -> None:
        """Make ``batches`` end soon; callable from another thread."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Packets, octets, drops by cause, truncations, ...: everything it saw or could not see."""
        ...


@runtime_checkable
class Breakable(Protocol):
    """A collector on something that may turn out damaged: ``problem`` says at its end why it stopped early, or ""."""

    problem: str


@runtime_checkable
class Acknowledged(Protocol):
    """A collector that can go back: it starts again behind the last batch that was stored, never further on."""

    def acknowledge(self, batch: Sequence[Event]) -> None:
        """This batch, and all before it, is stored; callable from another thread."""
        ...


class EventSink(Protocol):
    """Takes events: a store, or the spool before it. Raises StoreError."""

    def append(self, events: Sequence[Event]) -> int:
        """Take a batch; returns how many of it were taken that were not there."""
        ...


@runtime_checkable
class Flushable(Protocol):
    """A store whose appends survive a killed process at once and a power cut only after this. Raises StoreError."""

    def flush(self) -> None:
        """What was appended so far survives a power cut."""
        ...


@runtime_checkable
class Batching(Protocol):
    """A store that is faster the more it is given at once; ``batch_events`` are enough."""

    batch_events: int


@runtime_checkable
class Expiring(Protocol):
    """A store elsewhere that drops by itself what was kept long enough. Raises StoreError."""

    def expire(self, now: datetime) -> Sequence[str]:
        """Drop whole partitions by age and size; their names."""
        ...


class EventStore(Protocol):
    """Append-only, large, searched. Methods raise StoreError, and ValueError for a question that makes no sense."""

    def append(self, events: Sequence[Event]) -> int:
        """Store what is not stored yet (by id); returns how many were new.

        When it returns, all of them are stored and found by every later question of this store. When it raises
        StoreError some may be: repeat the call, nothing is stored twice.
        """
        ...

    def get(self, event_id: str) -> Event | None: ...

    def search(
        self, query: EventQuery, *, limit: int = 100, cursor: str = "", order: EventOrder = EventOrder.NEWEST
    ) -> EventPage:
        """One page. A cursor is good for the query and the order it was given for; it does not expire."""
        ...

    def count(self, query: EventQuery) -> int: ...

    def histogram(self, query: EventQuery, *, interval_s: int) -> Sequence[Bucket]:
        """Counts by interval (multiples of it since 1970, UTC), oldest first; empty intervals are left out."""
        ...

    def top(self, query: EventQuery, field: str, *, limit: int = 10) -> Sequence[TopEntry]:
        """The most frequent values of one of RANKED_FIELDS, most frequent first."""
        ...

    def rare(self, query: EventQuery, field: str, *, limit: int = 10) -> Sequence[TopEntry]:
        """The least frequent values of one of RANKED_FIELDS, rarest first."""
        ...

    def groups(self, query: EventQuery, *, limit: int = 100) -> Sequence[EventGroup]:
        """Alerts that match, by (sid, source, destination), most frequent first."""
        ...

    def hunt(
        self,
        indicators: Sequence[Indicator],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        budget_s: float = 30.0,
    ) -> HuntResult:
        """Look for indicators in what is stored, newest first, until the time is up; says what was not searched."""
        ...

    def status(self) -> StoreStatus: ...

    def close(self) -> None: ...


class EvidenceStore(Protocol):
    """Packets around alerts, kept by the hash of their content. Methods raise StoreError."""

    def find(self, event_id: str) -> PacketEvidence | None:
        """What was kept for this alert."""
        ...

    def read(self, evidence: PacketEvidence) -> bytes:
        """The pcapng file, whole and as it was written: StoreError when its hash is not its name."""
        ...


class CaseStore(Protocol):
    """Small, transactional, never lost. Every method is one transaction unless inside ``transaction()``.

    ``put_*`` inserts or replaces by id. Lists are newest first. Inside ``transaction()`` whatever returns one thing
    locks it, so that reading, changing and putting it back is safe. Methods raise StoreError.
    """

    def transaction(self) -> AbstractContextManager[None]: ...

    # the inbox
    def merge_groups(self, groups: Sequence[AlertGroup]) -> Sequence[AlertGroup]:
        """Add to the groups' counts (key: gid, sid, src_ip, dest_ip); an archived group with new alerts opens again
        unless its verdict is false_positive. Returns the groups as they now are."""
        ...

    def group(self, group_id: str) -> AlertGroup | None: ...

    def groups(
        self,
        *,
        state: GroupState | None = None,
        text: str = "",
        min_count: int = 0,
        limit: int = 100,
        offset: int = 0,
        order: str = "priority",
    ) -> Sequence[AlertGroup]:
        """``order``: priority (severity, then count), last_seen, count."""
        ...

    def count_groups(self, *, state: GroupState | None = None) -> int: ...

    def set_groups(
        self,
        group_ids: Sequence[str],
        *,
        state: GroupState | None = None,
        verdict: Verdict | None = None,
        incident_id: str | None = None,
        by: str,
        at: datetime,
    ) -> int:
        """Change triage of several groups, audited; returns how many exist."""
        ...

    # incidents, decisions, actions, reports
    def put_incident(self, incident: Incident) -> None: ...
    def incident(self, incident_id: str) -> Incident | None: ...
    def incidents(
        self, *, state: IncidentState | None = None, open_only: bool = False, limit: int = 100
    ) -> Sequence[Incident]: ...
    def put_decision(self, decision: Decision) -> None: ...
    def decision(self, decision_id: str) -> Decision | None: ...
    def decisions(self, *, incident_id: str = "", limit: int = 100) -> Sequence[Decision]: ...
    def put_approval(self, approval: Approval) -> None: ...
    def approvals(self, decision_id: str) -> Sequence[Approval]:
        """Oldest first."""
        ...

    def put_action(self, action: Action) -> None: ...
    def put_actions(self, actions: Sequence[Action]) -> None:
        """The same for many at once."""
        ...

    def actions_named(self, action_ids: Sequence[str]) -> Mapping[str, Action]:
        """Those that exist, by id; locked inside ``transaction()``."""
        ...

    def actions_on(self, targets: Iterable[Target], *, states: Sequence[ActionState]) -> Sequence[Action]:
        """All in these states on one of these targets."""
        ...

    def count_actions(self, *, states: Sequence[ActionState], since: datetime, most: int) -> int:
        """How many in these states were created after ``since``; counts no further than ``most``."""
        ...

    def action(self, action_id: str) -> Action | None: ...
    def actions(
        self, *, states: Sequence[ActionState] = (), incident_id: str = "", decision_id: str = "", limit: int = 1000
    ) -> Sequence[Action]: ...
    def put_report(self, report: Report) -> None: ...
    def report(self, report_id: str) -> Report | None: ...
    def reports(
        self, *, state: ReportState | None = None, incident_id: str = "", limit: int = 100
    ) -> Sequence[Report]: ...

    def due_reports(self, now: datetime, *, limit: int = 100) -> Sequence[Report]:
        """What the outbox has to look at: ready or sending, next attempt not after ``now``; earliest due first."""
        ...

    # clocks, notices, what left the house
    def put_timer(self, timer: StageTimer) -> None: ...
    def timer(self, timer_id: str) -> StageTimer | None: ...
    def timers(
        self, *, incident_id: str = "", running: bool = False, ring_by: datetime | None = None, limit: int = 1000
    ) -> Sequence[StageTimer]:
        """By due time, those without one last. ``running``: neither met nor dropped; ``ring_by``: ``next_at`` until
        then, earliest first."""
        ...

    def put_notice(self, notice: Notice) -> None: ...
    def notice(self, notice_id: str) -> Notice | None: ...
    def notices(
        self, *, waiting_at: datetime | None = None, incident_id: str = "", limit: int = 100
    ) -> Sequence[Notice]:
        """``waiting_at``: undelivered ones whose time has come then, oldest first."""
        ...

    def put_departure(self, departure: Departure) -> None: ...
    def departures(
        self, *, receiver: str = "", incident_id: str = "", since: datetime | None = None, limit: int = 100
    ) -> Sequence[Departure]: ...

    # people and the trail
    def put_user(self, user: User) -> None: ...
    def user(self, name: str) -> User | None: ...
    def users(self) -> Sequence[User]: ...
    def audit(self, *, actor: str, verb: str, subject: str, detail: str = "", at: datetime) -> AuditRecord:
        """Append to the hash chain."""
        ...

    def audit_records(self, *, subject: str = "", limit: int = 100) -> Sequence[AuditRecord]: ...
    def audit_record(self, seq: int) -> AuditRecord | None: ...
    def verify_audit(self) -> int | None:
        """The sequence number of the first record that does not fit the chain; None when all fit."""
        ...

    def close(self) -> None: ...


class Mitigator(Protocol):
    """Puts measures into effect at one place: packet filter, resolver, ... Methods raise MitigationError."""

    name: str
    measures: frozenset[Measure]
    target_types: frozenset[TargetType]

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        """Put all of them into effect, atomically where the mechanism can; applying again renews the expiry."""
        ...

    def withdraw(self, actions: Sequence[Action]) -> None:
        """End their effect; what is not there is not an error."""
        ...

    def list(self) -> Sequence[Installed]:
        """What is in effect right now, read back from where it works."""
        ...

    def clear(self) -> None:
        """Remove everything this mitigator ever installed."""
        ...


@runtime_checkable
class Footed(Protocol):
    """A mitigator that can tell cheaply whether what its entries need to work (hooks, rules) is still there."""

    def intact(self) -> bool: ...


@runtime_checkable
class Service(Protocol):
    """A mitigator (or another part) that also answers others: runs between ``start`` and ``stop``."""

    def start(self) -> None:
        """Begin to answer. Raises MitigationError."""
        ...

    def stop(self) -> None: ...


class Formatter(Protocol):
    """Writes a report in one format."""

    name: str
    media_type: str

    def format(self, report: Report, incident: Incident) -> bytes: ...


class Channel(Protocol):
    """Carries reports to a coordinating centre. ``send`` raises ChannelError."""

    name: str

    def send(self, report: Report, payload: bytes, media_type: str) -> Receipt | None:
        """Deliver and return the acknowledgement; None where it comes later, if at all (see ``Answering``).

        Sending the same report id again must be harmless.
        """
        ...


@runtime_checkable
class Answering(Protocol):
    """A channel whose acknowledgements come later: receipts that lie in a drop folder, mails that answer."""

    def receipts(self) -> Sequence[tuple[str, Receipt]]:
        """Report ids with their receipts that have come so far; giving one twice is harmless. Raises ChannelError."""
        ...

    def recorded(self, report_ids: Collection[str]) -> None:
        """These receipts are in the case store: they need not be given again. Raises ChannelError."""
        ...


class Gate(Protocol):
    """The last step before a document leaves: what one receiver may be given."""

    def passed(self, report: Report) -> Passed:
        """The report as this receiver may have it. RefusedError where it may have none of it (labels)."""
        ...

    def leak(self, payload: bytes) -> str:
        """What of the written document the receiver may not have; "" where nothing was found."""
        ...


class Notifier(Protocol):
    """Tells named people: e-mail, webhook. ``notify`` raises ChannelError."""

    name: str

    def notify(self, notice: Notice) -> None:
        """Deliver; telling the same notice id again must be recognisable as the same."""
        ...


class AppealStore(Protocol):
    """Complaints, in the case store's transactions. Methods raise StoreError."""

    def transaction(self) -> AbstractContextManager[None]: ...
    def put(self, appeal: Appeal) -> None: ...
    def find(self, id_or_number: str) -> Appeal | None: ...
    def by_secret(self, secret_hash: str) -> Appeal | None: ...
    def all(self, *, states: Sequence[AppealState] = (), limit: int = 100) -> Sequence[Appeal]:
        """What is due first comes first."""
        ...

    def lifting(self) -> Sequence[Appeal]:
        """Complaints that let targets go and were not rejected since."""
        ...

    def filed_since(self, since: datetime) -> int: ...


@runtime_checkable
class Closeable(Protocol):
    """Anything composition has to close at the end."""

    def close(self) -> None: ...
