"""How long it takes until a dialled call rings: kept with each call, summed up in roll-ups."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    for table in ("reservations", "cdrs"):
        op.add_column(table, sa.Column("ringing_us", sa.BigInteger(), nullable=True))
    # No call so far has it, so that the sums of all there are are nothing.
    op.add_column("rollups", sa.Column("rung", sa.Integer(), server_default="0", nullable=False))
    op.add_column("rollups", sa.Column("ringing_us", sa.BigInteger(), server_default="0", nullable=False))
