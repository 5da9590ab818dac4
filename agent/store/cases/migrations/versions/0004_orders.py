"""Orders and queries of coordinating centres, messages to them, where polling left off."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _moments(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, MOMENT, nullable=False) for name in names]


def upgrade() -> None:
    """Four tables; nothing of older versions changes."""
    op.create_table(
        "coordinator_order",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        *_texts("detail"),
        *_moments("received_at", "not_before", "expires_at", "due_at"),
        *_texts("category", "legal_basis", "scope", "reason", "targets"),
        sa.Column("digest", sa.String(64), nullable=False),
        *_texts("document", "via"),
        sa.Column("incident_id", sa.String(), nullable=False),
        *_texts("decision_ids"),
        sa.Column("refers_to", sa.String(), nullable=False),
        *_texts("confirmed_by"),
        sa.Column("paper_due_at", MOMENT, nullable=True),
        sa.Column("paper_id", sa.String(), nullable=False),
        *_texts("effects"),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_coordinator_order"),
    )
    op.create_index("ix_coordinator_order_received", "coordinator_order", ["received_at"])
    op.create_index("ix_coordinator_order_state", "coordinator_order", ["state", "received_at"])
    op.create_index("ix_coordinator_order_count", "coordinator_order", ["issuer", "seq"])
    op.create_index("ix_coordinator_order_refers_to", "coordinator_order", ["refers_to"])
    op.create_table(
        "message",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("collection", sa.String(80), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        *_texts("document"),
        *_moments("created_at"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=True),
        *_texts("last_error"),
        sa.Column("sent_at", MOMENT, nullable=True),
        *_texts("receipt"),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
    )
    op.create_index("ix_message_due", "message", ["sent_at", "created_at"])
    op.create_index("ix_message_subject", "message", ["subject", "created_at"])
    op.create_table(
        "poll_cursor",
        sa.Column("name", sa.String(255), nullable=False),
        *_texts("value"),
        sa.PrimaryKeyConstraint("name", name="pk_poll_cursor"),
    )
    op.create_table(
        "coordinator_query",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("asker", sa.String(255), nullable=False),
        *_texts("template", "purpose", "parameters"),
        *_moments("received_at"),
        sa.Column("state", sa.String(32), nullable=False),
        *_texts("answer", "via"),
        sa.Column("wants_rows", sa.Boolean(), nullable=False),
        *_texts("rows", "decided_by"),
        sa.Column("decided_at", MOMENT, nullable=True),
        *_texts("note"),
        sa.PrimaryKeyConstraint("id", name="pk_coordinator_query"),
    )
    op.create_index("ix_coordinator_query_received", "coordinator_query", ["received_at"])
    op.create_index("ix_coordinator_query_asker", "coordinator_query", ["asker", "received_at"])
