"""Names in the audit trail, sealed, in place of which its records have tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Records written before keep the names they have: their hashes cover them."""
    op.create_table(
        "audit_person",
        sa.Column("token", sa.String(24), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_audit_person"),
    )
