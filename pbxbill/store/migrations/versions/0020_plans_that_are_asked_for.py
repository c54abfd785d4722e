"""Accounts ask for new subscriptions: requests that concern none yet. Notes are found by their day."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema forward."""
    with op.batch_alter_table("subscription_changes", schema=None) as batch_op:
        batch_op.alter_column("subscription_id", existing_type=ROW_ID, nullable=True)
        batch_op.add_column(sa.Column("account_id", ROW_ID, nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_subscription_changes_account_id"), "accounts", ["account_id"], ["id"]
        )
        batch_op.create_index(batch_op.f("ix_subscription_changes_account_id"), ["account_id"], unique=False)

    are_notes = sa.text("kind IN ('credit_note', 'debit_note')")
    op.create_index(
        "ix_invoices_notes",
        "invoices",
        ["issuer_id", "issued_us"],
        unique=False,
        sqlite_where=are_notes,
        postgresql_where=are_notes,
    )
