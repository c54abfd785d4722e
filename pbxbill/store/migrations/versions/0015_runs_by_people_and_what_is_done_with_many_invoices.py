"""Billing runs know who asked for them; what is done with many invoices at once, and how far it is."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    with op.batch_alter_table("billing_runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("scope_id", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("by", sa.String(length=200), server_default="", nullable=False))

    op.create_table(
        "invoice_actions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("scope_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("chosen", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(length=300), server_default="", nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("looked", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("told", sa.Text(), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("beaten_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["scope_id"], ["accounts.id"], name=op.f("fk_invoice_actions_scope_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_actions")),
    )
