"""The tables: one a dataclass of the model, columns named as its fields, so that a row is ``Type(**row)``.

A change here needs a migration beside it (``migrations/versions``); a test compares the two.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from tapwarden.agent.store.cases.columns import Choice, Document, Moment, Words
from tapwarden.model.appeal import AppealState
from tapwarden.model.decision import ActionState, Authority, AuthorityKind, Measure, Target, TargetType
from tapwarden.model.incident import GroupState, IncidentState, Ownership, ThreatClass, TimelineEntry, Verdict
from tapwarden.model.order import OrderKind, OrderState, QueryState, TargetEffect
from tapwarden.model.report import Receipt, ReportState, Stage
from tapwarden.model.user import Role


def _write_target(target: Target) -> list[str]:
    return [target.type, target.value]


def _read_target(value: Sequence[str]) -> Target:
    return Target(TargetType(value[0]), value[1])


def _write_authority(authority: Authority) -> list[str]:
    return [authority.kind, authority.name, authority.legal_basis, authority.granted_at.isoformat()]


def _read_authority(value: Sequence[str]) -> Authority:
    return Authority(AuthorityKind(value[0]), value[1], value[2], datetime.fromisoformat(value[3]))


def _write_timeline(entries: Sequence[TimelineEntry]) -> list[list[Any]]:
    return [_write_entry(entry) for entry in entries]


def _write_entry(entry: TimelineEntry) -> list[Any]:
    recorded = entry.recorded_at.isoformat() if entry.recorded_at else ""
    return [entry.at.isoformat(), entry.name, entry.text, entry.by, recorded, entry.corrects]


def _read_timeline(value: Sequence[Sequence[Any]]) -> tuple[TimelineEntry, ...]:
    return tuple(_read_entry(*entry) for entry in value)


def _read_entry(at: str, name: str, text: str, by: str, recorded: str = "", corrects: bool = False) -> TimelineEntry:
    recorded_at = datetime.fromisoformat(recorded) if recorded else None
    return TimelineEntry(datetime.fromisoformat(at), name, text, by, recorded_at, corrects)


def _write_related(related: Sequence[tuple[str, str]]) -> list[list[str]]:
    return [list(pair) for pair in related]


def _read_related(value: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((kind, incident_id) for kind, incident_id in value)


def _write_receipt(receipt: Receipt) -> list[str]:
    return [receipt.number, receipt.received_at.isoformat(), receipt.raw]


def _read_receipt(value: Sequence[str]) -> Receipt:
    return Receipt(value[0], datetime.fromisoformat(value[1]), value[2])


def _texts() -> Document:
    return Document(list, tuple)


def _write_targets(targets: Sequence[Target]) -> list[list[str]]:
    return [_write_target(target) for target in targets]


def _read_targets(value: Sequence[Sequence[str]]) -> tuple[Target, ...]:
    return tuple(_read_target(target) for target in value)


def _write_effects(effects: Sequence[TargetEffect]) -> list[dict[str, Any]]:
    return [
        {
            "target": _write_target(each.target),
            "state": each.state.value,
            "code": each.code,
            "detail": each.detail,
            "mitigator": each.mitigator,
            "proof": dict(each.proof),
        }
        for each in effects
    ]


def _read_effects(value: Sequence[dict[str, Any]]) -> tuple[TargetEffect, ...]:
    return tuple(
        TargetEffect(
            _read_target(each["target"]),
            OrderState(each["state"]),
            each["code"],
            each["detail"],
            each["mitigator"],
            each["proof"],
        )
        for each in value
    )


def _id(references: str = "") -> Column[Any]:
    if references:
        return Column(f"{references}_id", String(), ForeignKey(f"{references}.id"), nullable=False)
    return Column("id", String(), primary_key=True)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

alert_group = Table(
    "alert_group",
    metadata,
    _id(),
    Column("gid", BigInteger, nullable=False),
    Column("sid", BigInteger, nullable=False),
    Column("signature", Words, nullable=False),
    Column("category", Words, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("src_ip", Words, nullable=False),
    Column("dest_ip", Words, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
    Column("event_id", String(), nullable=False),
    Column("state", Choice(GroupState), nullable=False),
    Column("verdict", Choice(Verdict), nullable=False),
    Column("incident_id", String(), nullable=False),
    Column("badges", _texts(), nullable=False),
    Column("sensor", Words, nullable=False),
    UniqueConstraint("gid", "sid", "src_ip", "dest_ip"),
)
Index("ix_alert_group_priority", alert_group.c.state, alert_group.c.severity, alert_group.c["count"].desc())
Index("ix_alert_group_last_seen", alert_group.c.state, alert_group.c.last_seen.desc())
Index("ix_alert_group_incident", alert_group.c.incident_id)

incident = Table(
    "incident",
    metadata,
    _id(),
    Column("title", Words, nullable=False),
    Column("threat_class", Choice(ThreatClass), nullable=False),
    Column("severity", Integer, nullable=False),
    Column("state", Choice(IncidentState), nullable=False, index=True),
    Column("detected_at", Moment, nullable=False),
    Column("opened_at", Moment, nullable=False, index=True),
    Column("opened_by", Words, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("profile", Words, nullable=False),
    Column("summary", Words, nullable=False),
    Column("group_ids", _texts(), nullable=False),
    Column("affected", _texts(), nullable=False),
    Column("indicators", _texts(), nullable=False),
    Column("timeline", Document(_write_timeline, _read_timeline), nullable=False),
    Column("closed_at", Moment),
    Column("drill", Boolean, nullable=False),
    Column("notes", _texts(), nullable=False),
    Column("subtype", Words, nullable=False),
    Column("kind_text", Words, nullable=False),
    Column("ownership", Choice(Ownership), nullable=False),
    Column("responsible", Words, nullable=False),
    Column("facts", Document(dict, dict), nullable=False),
    Column("determined_by", Words, nullable=False),
    Column("determined_at", Moment),
    Column("related", Document(_write_related, _read_related), nullable=False),
)

decision = Table(
    "decision",
    metadata,
    _id(),
    _id("incident"),
    Column("measure", Choice(Measure), nullable=False),
    Column("targets", Document(_write_targets, _read_targets), nullable=False),
    Column("scope", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("authority", Document(_write_authority, _read_authority), nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("requested_by", Words, nullable=False),
    Column("people_needed", Integer, nullable=False),
    Column("needed_because", Words, nullable=False),
    Column("confirm_within_s", Integer, nullable=False),
    Index("ix_decision_incident", "incident_id", "decided_at"),
    Index("ix_decision_decided", "decided_at"),
)

approval = Table(
    "approval",
    metadata,
    Column("decision_id", String(), ForeignKey("decision.id"), primary_key=True),
    Column("by", String(255), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("granted", Boolean, nullable=False),
    Column("note", Words, nullable=False),
)

action = Table(
    "action",
    metadata,
    _id(),
    _id("decision"),
    _id("incident"),
    Column("measure", Choice(Measure), nullable=False),
    Column("target", Document(_write_target, _read_target), nullable=False),
    Column("mitigator", Words, nullable=False),
    Column("state", Choice(ActionState), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("reason", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("applied_at", Moment),
    Column("ended_at", Moment),
    Column("confirm_by", Moment),
    Index("ix_action_state", "state", "created_at"),
    Index("ix_action_incident", "incident_id", "created_at"),
    Index("ix_action_decision", "decision_id"),
    Index("ix_action_created", "created_at"),
    # A hash in PostgreSQL: a URL may be longer than its trees take.
    Index("ix_action_target", "target", postgresql_using="hash"),
)

report = Table(
    "report",
    metadata,
    _id(),
    _id("incident"),
    Column("stage", Choice(Stage), nullable=False),
    Column("state", Choice(ReportState), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("body", Document(dict, dict), nullable=False),
    Column("signed_off_by", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Moment),
    Column("last_error", Words, nullable=False),
    Column("receipt", Document(_write_receipt, _read_receipt)),
    Column("profile", Words, nullable=False),
    Column("stage_id", Words, nullable=False),
    Column("receiver", Words, nullable=False),
    Index("ix_report_state", "state", "created_at"),
    Index("ix_report_due", "state", "due_at"),
    Index("ix_report_incident", "incident_id", "created_at"),
    Index("ix_report_created", "created_at"),
)

stage_timer = Table(
    "stage_timer",
    metadata,
    _id(),
    _id("incident"),
    Column("profile", Words, nullable=False),
    Column("stage_id", Words, nullable=False),
    Column("stage", Choice(Stage), nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("due_at", Moment),
    Column("warned", Integer, nullable=False),
    Column("next_at", Moment),
    Column("met_at", Moment),
    Column("dropped", Words, nullable=False),
    Column("drill", Boolean, nullable=False),
    Index("ix_stage_timer_next", "next_at"),
    Index("ix_stage_timer_due", "met_at", "due_at"),
    Index("ix_stage_timer_incident", "incident_id"),
)

notice = Table(
    "notice",
    metadata,
    _id(),
    Column("created_at", Moment, nullable=False),
    Column("level", Words, nullable=False),
    Column("to", _texts(), nullable=False),
    Column("subject", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("incident_id", String(), nullable=False),
    Column("drill", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Moment),
    Column("delivered_at", Moment),
    Column("last_error", Words, nullable=False),
    Index("ix_notice_waiting", "delivered_at", "next_attempt_at"),
    Index("ix_notice_incident", "incident_id", "created_at"),
    Index("ix_notice_created", "created_at"),
)

departure = Table(
    "departure",
    metadata,
    _id(),
    Column("at", Moment, nullable=False),
    Column("report_id", String(), nullable=False),
    Column("incident_id", String(), nullable=False),
    Column("receiver", Words, nullable=False),
    Column("channel", Words, nullable=False),
    Column("format", Words, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("sha256", String(), nullable=False),
    Column("tlp", Words, nullable=False),
    Column("withheld", _texts(), nullable=False),
    Column("pseudonyms", Integer, nullable=False),
    Column("receipt", Words, nullable=False),
    Column("drill", Boolean, nullable=False),
    Index("ix_departure_at", "at"),
    Index("ix_departure_incident", "incident_id", "at"),
)

account = Table(
    "account",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("role", Choice(Role), nullable=False),
    Column("password_hash", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("must_change", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", Words, nullable=False),
    Column("verb", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("previous", String(), nullable=False),
    Column("hash", String(), nullable=False),
    Index("ix_audit_subject", "subject", "seq"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(), nullable=False),
)

coordinator_order = Table(
    "coordinator_order",
    metadata,
    _id(),
    Column("issuer", String(255), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", Choice(OrderKind), nullable=False),
    Column("state", Choice(OrderState), nullable=False),
    Column("code", Integer, nullable=False),
    Column("detail", Words, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("category", Words, nullable=False),
    Column("legal_basis", Words, nullable=False),
    Column("scope", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("targets", Document(_write_targets, _read_targets), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("document", Document(dict, dict), nullable=False),
    Column("via", Words, nullable=False),
    Column("incident_id", String(), nullable=False),
    Column("decision_ids", _texts(), nullable=False),
    Column("refers_to", String(), nullable=False),
    Column("confirmed_by", Words, nullable=False),
    Column("paper_due_at", Moment),
    Column("paper_id", String(), nullable=False),
    Column("effects", Document(_write_effects, _read_effects), nullable=False),
    Column("drill", Boolean, nullable=False),
    Index("ix_coordinator_order_received", "received_at"),
    Index("ix_coordinator_order_state", "state", "received_at"),
    Index("ix_coordinator_order_count", "issuer", "seq"),
    Index("ix_coordinator_order_refers_to", "refers_to"),
)

message = Table(
    "message",
    metadata,
    _id(),
    Column("collection", String(80), nullable=False),
    Column("subject", String(), nullable=False),
    Column("document", Document(dict, dict), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Moment),
    Column("last_error", Words, nullable=False),
    Column("sent_at", Moment),
    Column("receipt", Words, nullable=False),
    Index("ix_message_due", "sent_at", "created_at"),
    Index("ix_message_subject", "subject", "created_at"),
)

poll_cursor = Table(
    "poll_cursor",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("value", Words, nullable=False),
)

coordinator_query = Table(
    "coordinator_query",
    metadata,
    _id(),
    Column("asker", String(255), nullable=False),
    Column("template", Words, nullable=False),
    Column("purpose", Words, nullable=False),
    Column("parameters", Document(dict, dict), nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("state", Choice(QueryState), nullable=False),
    Column("answer", Document(dict, dict), nullable=False),
    Column("via", Words, nullable=False),
    Column("wants_rows", Boolean, nullable=False),
    Column("rows", Document(list, tuple), nullable=False),
    Column("decided_by", Words, nullable=False),
    Column("decided_at", Moment),
    Column("note", Words, nullable=False),
    Index("ix_coordinator_query_received", "received_at"),
    Index("ix_coordinator_query_asker", "asker", "received_at"),
)

appeal = Table(
    "appeal",
    metadata,
    _id(),
    Column("number", String(32), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("filed_at", Moment, nullable=False),
    Column("who", Words, nullable=False),
    Column("contact", Words, nullable=False),
    Column("about", Words, nullable=False),
    Column("grounds", Words, nullable=False),
    Column("state", Choice(AppealState), nullable=False),
    Column("acknowledged_at", Moment, nullable=False),
    Column("ack_due", Moment, nullable=False),
    Column("answer_due", Moment, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("lifted", _texts(), nullable=False),
    Column("answered_at", Moment),
    Column("answered_by", Words, nullable=False),
    Column("reasons", Words, nullable=False),
    UniqueConstraint("number"),
    UniqueConstraint("secret_hash"),
    Index("ix_appeal_state", "state", "answer_due"),
    Index("ix_appeal_filed", "filed_at"),
)

audit_person = Table(
    "audit_person",
    metadata,
    Column("token", String(24), primary_key=True),
    Column("sealed", LargeBinary(), nullable=False),
)
