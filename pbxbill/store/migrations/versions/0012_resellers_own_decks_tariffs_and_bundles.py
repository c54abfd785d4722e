"""Decks, tariffs and bundles belong to an issuer; rate sheets that are looked at before they count."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OWNED = ("rate_decks", "tariffs", "bundles")
# Engines have no tariff, deck or bundle without an operator, but a database may: nothing of it is lost.
_OPERATOR = (
    "INSERT INTO accounts (path, kind, code, name, status, mode, language, failure_policy, "
    "offline_allowance, created_us) "
    "SELECT '/', 'operator', 'operator', 'Operator', 'active', 'postpaid', 'en', 'closed', 0, 0 "
    "WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE kind = 'operator') AND "
    "(EXISTS (SELECT 1 FROM rate_decks) OR EXISTS (SELECT 1 FROM tariffs) OR EXISTS (SELECT 1 FROM bundles))"
)


def upgrade() -> None:
    """Bring the schema forward."""
    op.execute(_OPERATOR)
    for table in OWNED:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column("issuer_id", sa.BigInteger(), nullable=True))
        # All there is was the operator's.
        op.execute(f"UPDATE {table} SET issuer_id = (SELECT id FROM accounts WHERE kind = 'operator')")  # noqa: S608
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.alter_column("issuer_id", existing_type=sa.BigInteger(), nullable=False)
            batch_op.drop_constraint(f"uq_{table}_name", type_="unique")
            batch_op.create_unique_constraint(batch_op.f(f"uq_{table}_issuer_id_name"), ["issuer_id", "name"])

    with op.batch_alter_table("rates", schema=None) as batch_op:
        batch_op.create_index("ix_rates_deck_version_id_prefix", ["deck_version_id", "prefix"], unique=False)
        batch_op.drop_index(batch_op.f("ix_rates_deck_version_id"))

    op.create_table(
        "rate_imports",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("deck", sa.String(length=64), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("preview", sa.Text(), server_default="", nullable=False),
        sa.Column("refused", sa.LargeBinary(), nullable=True),
        sa.Column("report", sa.LargeBinary(), nullable=True),
        sa.Column("version_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=500), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("beaten_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_imports")),
    )
    with op.batch_alter_table("rate_imports", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rate_imports_issuer_id"), ["issuer_id"], unique=False)


def downgrade() -> None:
    """Take it back; resellers must have none of a name that the operator has."""
    op.drop_table("rate_imports")
    with op.batch_alter_table("rates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rates_deck_version_id"), ["deck_version_id"], unique=False)
        batch_op.drop_index("ix_rates_deck_version_id_prefix")

    for table in OWNED:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_constraint(batch_op.f(f"uq_{table}_issuer_id_name"), type_="unique")
            batch_op.create_unique_constraint(f"uq_{table}_name", ["name"])
            batch_op.drop_column("issuer_id")
