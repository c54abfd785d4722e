"""What pages search, narrow and order by is found by indexes where there are millions of rows."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

PATTERNS = (
    ("accounts", "path"),
    ("cdrs", "called", "account_id"),
    ("cdrs", "caller"),
    ("cdrs", "destination"),
)
"""Columns that are searched by how they begin, and what is compared besides."""


def upgrade() -> None:
    """Bring the schema forward."""
    for table, column, *others in PATTERNS:
        op.create_index(
            op.f(f"ix_{table}_{column}"),
            table,
            [column, *others],
            unique=False,
            postgresql_ops={column: "varchar_pattern_ops"},
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
