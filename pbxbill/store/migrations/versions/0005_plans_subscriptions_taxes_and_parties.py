"""Plans, subscriptions, DIDs, taxes, parties and how accounts are billed; a chart with more accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


NEW_CODES = (
    "revenue:recurring",
    "revenue:one-time",
    "revenue:dids",
    "revenue:readings",
    "revenue:minimum-spend",
    "revenue:fees",
    "deferred:revenue",
    "receivable",
    "wallet:invoiced",
    "rounding",
    "written-off",
)
"""Accounts that every chart has from now on."""


def upgrade() -> None:
    """Bring the schema forward."""
    for code in NEW_CODES:
        op.execute(
            "INSERT INTO ledger_accounts (issuer_id, code, unit, holder_id) "  # noqa: S608 codes are ours
            f"SELECT DISTINCT issuer_id, '{code}', unit, 0 FROM ledger_accounts WHERE holder_id = 0"
        )
    op.create_table(
        "billing_profiles",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("invoicing", sa.String(length=8), server_default="draft", nullable=False),
        sa.Column("cycle", sa.String(length=12), server_default="month", nullable=False),
        sa.Column("every", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("anchor", sa.String(length=10), server_default="", nullable=False),
        sa.Column("zone", sa.String(length=64), server_default="", nullable=False),
        sa.Column("billed_to_us", sa.BigInteger(), nullable=True),
        sa.Column("next_us", sa.BigInteger(), nullable=True),
        sa.Column("language", sa.String(length=8), server_default="", nullable=False),
        sa.Column("formats", sa.String(length=64), server_default="pdf", nullable=False),
        sa.Column("emails", sa.Text(), server_default="", nullable=False),
        sa.Column("template_id", sa.BigInteger(), nullable=True),
        sa.Column("purchase_order", sa.String(length=64), server_default="", nullable=False),
        sa.Column("payment_days", sa.BigInteger(), nullable=True),
        sa.Column("call_list", sa.String(length=8), server_default="annex", nullable=False),
        sa.Column("previous_balance", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("tax_treatment", sa.String(length=16), server_default="automatic", nullable=False),
        sa.Column("minimum_total", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("group_name", sa.String(length=64), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_billing_profiles_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_billing_profiles")),
    )
    with op.batch_alter_table("billing_profiles", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_billing_profiles_group_name"), ["group_name"], unique=False)
        batch_op.create_index(batch_op.f("ix_billing_profiles_next_us"), ["next_us"], unique=False)

    op.create_table(
        "issuers",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone", sa.String(length=64), server_default="UTC", nullable=False),
        sa.Column("tax_rounding", sa.String(length=8), server_default="invoice", nullable=False),
        sa.Column("payment_days", sa.BigInteger(), server_default="14", nullable=False),
        sa.Column("payment_terms", sa.String(length=500), server_default="", nullable=False),
        sa.Column("did_quarantine_days", sa.BigInteger(), server_default="60", nullable=False),
        sa.Column("template_id", sa.BigInteger(), nullable=True),
        sa.Column("mail", sa.Text(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_issuers_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_issuers")),
    )

    op.create_table(
        "parties",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("legal_name", sa.String(length=200), nullable=False),
        sa.Column("street", sa.String(length=200), server_default="", nullable=False),
        sa.Column("extra", sa.String(length=200), server_default="", nullable=False),
        sa.Column("postal_code", sa.String(length=20), server_default="", nullable=False),
        sa.Column("city", sa.String(length=100), server_default="", nullable=False),
        sa.Column("region", sa.String(length=64), server_default="", nullable=False),
        sa.Column("country", sa.String(length=2), server_default="", nullable=False),
        sa.Column("vat_id", sa.String(length=32), server_default="", nullable=False),
        sa.Column("registration_id", sa.String(length=64), server_default="", nullable=False),
        sa.Column("contact", sa.String(length=100), server_default="", nullable=False),
        sa.Column("email", sa.String(length=254), server_default="", nullable=False),
        sa.Column("phone", sa.String(length=32), server_default="", nullable=False),
        sa.Column("website", sa.String(length=200), server_default="", nullable=False),
        sa.Column("bank_name", sa.String(length=100), server_default="", nullable=False),
        sa.Column("iban", sa.String(length=34), server_default="", nullable=False),
        sa.Column("bic", sa.String(length=11), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_parties_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_parties")),
    )

    op.create_table(
        "plans",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("retired_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_plans_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
        sa.UniqueConstraint("issuer_id", "name", name=op.f("uq_plans_issuer_id_name")),
    )

    op.create_table(
        "tax_exemptions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tax_name", sa.String(length=40), server_default="", nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("certificate", sa.String(length=100), server_default="", nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_tax_exemptions_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_exemptions")),
    )
    with op.batch_alter_table("tax_exemptions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tax_exemptions_account_id"), ["account_id"], unique=False)

    op.create_table(
        "tax_rates",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("ppm", sa.BigInteger(), nullable=False),
        sa.Column("category", sa.String(length=2), nullable=False),
        sa.Column("country", sa.String(length=2), server_default="", nullable=False),
        sa.Column("region", sa.String(length=64), server_default="", nullable=False),
        sa.Column("product_class", sa.String(length=32), server_default="", nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=True),
        sa.Column("compound", sa.Boolean(), nullable=False),
        sa.Column("inclusive", sa.Boolean(), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.String(length=300), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_tax_rates_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_rates")),
    )
    with op.batch_alter_table("tax_rates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tax_rates_issuer_id"), ["issuer_id"], unique=False)

    op.create_table(
        "plan_versions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("plan_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_plan_versions_plan_id")),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_plan_versions_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_versions")),
        sa.UniqueConstraint("plan_id", "number", name=op.f("uq_plan_versions_plan_id_number")),
    )

    op.create_table(
        "subscriptions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("plan_version_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("overrides", sa.Text(), server_default="{}", nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("trial_ends_us", sa.BigInteger(), nullable=True),
        sa.Column("term_ends_us", sa.BigInteger(), nullable=True),
        sa.Column("ends_us", sa.BigInteger(), nullable=True),
        sa.Column("paused_us", sa.BigInteger(), nullable=True),
        sa.Column("charged_to_us", sa.BigInteger(), nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=True),
        sa.Column("reminded_us", sa.BigInteger(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_subscriptions_account_id")),
        sa.ForeignKeyConstraint(
            ["plan_version_id"], ["plan_versions.id"], name=op.f("fk_subscriptions_plan_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subscriptions_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_subscriptions_due_us"), ["due_us"], unique=False)

    op.create_table(
        "dids",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.String(length=32), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("country", sa.String(length=2), server_default="", nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("endpoint_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("subscription_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("free_from_us", sa.BigInteger(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_dids_account_id")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name=op.f("fk_dids_endpoint_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_dids_issuer_id")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_dids_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dids")),
        sa.UniqueConstraint("number", name=op.f("uq_dids_number")),
    )
    with op.batch_alter_table("dids", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dids_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_dids_issuer_id"), ["issuer_id"], unique=False)

    op.create_table(
        "subscription_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subscription_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("plan_version_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("quantity", sa.BigInteger(), nullable=True),
        sa.Column("effective_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("requested_us", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(length=64), server_default="", nullable=False),
        sa.Column("decided_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["plan_version_id"], ["plan_versions.id"], name=op.f("fk_subscription_changes_plan_version_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_subscription_changes_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription_changes")),
    )
    with op.batch_alter_table("subscription_changes", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_subscription_changes_subscription_id"), ["subscription_id"], unique=False
        )

    op.create_table(
        "did_history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("did_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_did_history_account_id")),
        sa.ForeignKeyConstraint(["did_id"], ["dids.id"], name=op.f("fk_did_history_did_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_did_history")),
    )
    with op.batch_alter_table("did_history", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_did_history_did_id"), ["did_id"], unique=False)

    with op.batch_alter_table("endpoints", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tariff_id", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("postings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_postings_ledger_account_id"))
        batch_op.create_index(
            "ix_postings_ledger_account_id_entry_id", ["ledger_account_id", "entry_id"], unique=False
        )


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("postings", schema=None) as batch_op:
        batch_op.drop_index("ix_postings_ledger_account_id_entry_id")
        batch_op.create_index(
            batch_op.f("ix_postings_ledger_account_id"), ["ledger_account_id"], unique=False
        )

    with op.batch_alter_table("endpoints", schema=None) as batch_op:
        batch_op.drop_column("tariff_id")

    op.drop_table("did_history")
    op.drop_table("subscription_changes")
    op.drop_table("dids")
    op.drop_table("subscriptions")
    op.drop_table("plan_versions")
    op.drop_table("tax_rates")
    op.drop_table("tax_exemptions")
    op.drop_table("plans")
    op.drop_table("parties")
    op.drop_table("issuers")
    op.drop_table("billing_profiles")
