"""What an incident is, its clocks, notices to people, what left the house."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def _text(name: str, default: str = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def upgrade() -> None:
    """What older versions wrote is of our own network, without sub-type and facts; their reports are of one profile."""
    for column in (
        _text("subtype"),
        _text("kind_text"),
        sa.Column("ownership", sa.String(32), nullable=False, server_default="own"),
        _text("responsible"),
        _text("facts", "{}"),
        _text("determined_by"),
        sa.Column("determined_at", MOMENT, nullable=True),
        _text("related", "[]"),
    ):
        op.add_column("incident", column)
    for name in ("profile", "stage_id", "receiver"):
        op.add_column("report", _text(name))
    op.create_table(
        "stage_timer",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("stage_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("warned", sa.Integer(), nullable=False),
        sa.Column("next_at", MOMENT, nullable=True),
        sa.Column("met_at", MOMENT, nullable=True),
        sa.Column("dropped", sa.Text(), nullable=False),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name="fk_stage_timer_incident_id"),
        sa.PrimaryKeyConstraint("id", name="pk_stage_timer"),
    )
    op.create_index("ix_stage_timer_next", "stage_timer", ["next_at"])
    op.create_index("ix_stage_timer_due", "stage_timer", ["met_at", "due_at"])
    op.create_index("ix_stage_timer_incident", "stage_timer", ["incident_id"])
    op.create_table(
        "notice",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=True),
        sa.Column("delivered_at", MOMENT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notice"),
    )
    op.create_index("ix_notice_waiting", "notice", ["delivered_at", "next_attempt_at"])
    op.create_index("ix_notice_incident", "notice", ["incident_id", "created_at"])
    op.create_index("ix_notice_created", "notice", ["created_at"])
    op.create_table(
        "departure",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("report_id", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("tlp", sa.Text(), nullable=False),
        sa.Column("withheld", sa.Text(), nullable=False),
        sa.Column("pseudonyms", sa.Integer(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_departure"),
    )
    op.create_index("ix_departure_at", "departure", ["at"])
    op.create_index("ix_departure_incident", "departure", ["incident_id", "at"])
