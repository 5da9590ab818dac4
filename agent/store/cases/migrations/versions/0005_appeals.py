"""Complaints and appeals."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """There were none."""
    op.create_table(
        "appeal",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.String(32), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        *(sa.Column(name, MOMENT, nullable=False) for name in ("filed_at", "acknowledged_at", "ack_due", "answer_due")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("who", "contact", "about", "grounds", "lifted")),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("answered_at", MOMENT, nullable=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("answered_by", "reasons")),
        sa.PrimaryKeyConstraint("id", name="pk_appeal"),
        sa.UniqueConstraint("number", name="uq_appeal_number"),
        sa.UniqueConstraint("secret_hash", name="uq_appeal_secret_hash"),
    )
    op.create_index("ix_appeal_state", "appeal", ["state", "answer_due"])
    op.create_index("ix_appeal_filed", "appeal", ["filed_at"])
