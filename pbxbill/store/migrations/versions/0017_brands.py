"""How the panels and portals of operator and resellers look."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "brands",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=80), server_default="", nullable=False),
        sa.Column("host", sa.String(length=253), nullable=True),
        sa.Column("colour", sa.String(length=7), server_default="", nullable=False),
        sa.Column("logo", sa.LargeBinary(), nullable=True),
        sa.Column("logo_type", sa.String(length=32), server_default="", nullable=False),
        sa.Column("footer", sa.String(length=300), server_default="", nullable=False),
        sa.Column("support_email", sa.String(length=200), server_default="", nullable=False),
        sa.Column("support_phone", sa.String(length=40), server_default="", nullable=False),
        sa.Column("support_url", sa.String(length=300), server_default="", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_brands_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_brands")),
        sa.UniqueConstraint("host", name=op.f("uq_brands_host")),
    )
