"""What re-rating keeps: its runs, corrections of charges, notes that are asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "rerating_runs",
        sa.Column("id", row_id, nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("position_us", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rerating_runs")),
    )
    op.create_table(
        "call_corrections",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("tariff_version_id", sa.BigInteger(), nullable=False),
        sa.Column("rate_id", sa.BigInteger(), nullable=False),
        sa.Column("billable_s", sa.BigInteger(), nullable=False),
        sa.Column("old_total", sa.BigInteger(), nullable=False),
        sa.Column("new_total", sa.BigInteger(), nullable=False),
        sa.Column("tax_delta", sa.BigInteger(), nullable=False),
        sa.Column("uncollected_delta", sa.BigInteger(), nullable=False),
        sa.Column("invoiced", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "session_id", "level", "line", name=op.f("pk_call_corrections")),
    )
    op.create_index("ix_call_corrections_session_id", "call_corrections", ["session_id"])
    op.create_index("ix_call_corrections_entry_id", "call_corrections", ["entry_id"])
    op.create_table(
        "correction_notes",
        sa.Column("id", row_id, nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("requested_us", sa.BigInteger(), nullable=False),
        sa.Column("issued_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction_notes")),
        sa.UniqueConstraint(
            "run_id",
            "account_id",
            "unit",
            "kind",
            name=op.f("uq_correction_notes_run_id_account_id_unit_kind"),
        ),
    )
    op.create_index(op.f("ix_correction_notes_account_id"), "correction_notes", ["account_id"])


def downgrade() -> None:
    """Take it back."""
    op.drop_table("correction_notes")
    op.drop_table("call_corrections")
    op.drop_table("rerating_runs")
