"""People's approval of decisions, and actions on trial."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """What was decided before needed nobody else and is on no trial."""
    op.add_column("decision", sa.Column("requested_by", sa.Text(), nullable=False, server_default=""))
    op.add_column("decision", sa.Column("people_needed", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("decision", sa.Column("needed_because", sa.Text(), nullable=False, server_default=""))
    op.add_column("decision", sa.Column("confirm_within_s", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("action", sa.Column("confirm_by", MOMENT, nullable=True))
    op.create_table(
        "approval",
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("by", sa.String(length=255), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["decision_id"], ["decision.id"], name="fk_approval_decision_id"),
        sa.PrimaryKeyConstraint("decision_id", "by", name="pk_approval"),
    )
