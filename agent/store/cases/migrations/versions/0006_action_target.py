"""Actions are found by their target."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A hash in PostgreSQL: a URL may be longer than its trees take."""
    op.create_index("ix_action_target", "action", ["target"], unique=False, postgresql_using="hash")
