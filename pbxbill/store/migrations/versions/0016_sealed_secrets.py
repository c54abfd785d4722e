"""Secrets of webhooks have room to be sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    with op.batch_alter_table("webhook_endpoints", schema=None) as batch_op:
        for name, default in (("secret", None), ("old_secret", "")):
            batch_op.alter_column(
                name,
                existing_type=sa.String(length=120),
                type_=sa.Text(),
                existing_nullable=False,
                existing_server_default=default,
            )
