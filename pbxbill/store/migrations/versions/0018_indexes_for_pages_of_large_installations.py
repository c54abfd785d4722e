"""What pages search, narrow and order by is found by indexes where there are millions of rows."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    # Searched by how it begins.
    op.create_index(
        op.f("ix_accounts_path"),
        "accounts",
        ["path"],
        unique=False,
        postgresql_ops={"path": "varchar_pattern_ops"},
    )
    op.create_index("ix_accounts_created_us", "accounts", ["created_us", "id"], unique=False)
    op.create_index("ix_accounts_name", "accounts", ["name", "id"], unique=False)
    denied = sa.text("denial IS NOT NULL")
    op.create_index(
        "ix_cdrs_denied",
        "cdrs",
        ["started_us"],
        unique=False,
        sqlite_where=denied,
        postgresql_where=denied,
    )
    beside_calls = sa.text("kind <> 'usage'")
    for name, column in (("beside_calls", "id"), ("beside_calls_at_us", "at_us")):
        op.create_index(
            f"ix_journal_entries_{name}",
            "journal_entries",
            [column],
            unique=False,
            sqlite_where=beside_calls,
            postgresql_where=beside_calls,
        )
    unpaid = sa.text("open > 0")
    op.create_index(
        "ix_invoices_unpaid",
        "invoices",
        ["account_id"],
        unique=False,
        sqlite_where=unpaid,
        postgresql_where=unpaid,
    )
    op.create_index("ix_allocations_at_us", "allocations", ["at_us"], unique=False)
    op.create_index(op.f("ix_wallets_ledger_account_id"), "wallets", ["ledger_account_id"], unique=False)
