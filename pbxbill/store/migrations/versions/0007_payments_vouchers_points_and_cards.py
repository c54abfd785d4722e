"""Gateways, what was asked of them and what they told; vouchers, points, calling cards."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


NEW_CODES = ("vouchers", "transfer", "points")
"""Accounts that every chart has from now on."""


def upgrade() -> None:  # noqa: PLR0915  # one statement per table and index
    """Bring the schema forward."""
    for code in NEW_CODES:
        op.execute(
            "INSERT INTO ledger_accounts (issuer_id, code, unit, holder_id) "  # noqa: S608 codes are ours
            f"SELECT DISTINCT issuer_id, '{code}', unit, 0 FROM ledger_accounts WHERE holder_id = 0"
        )
    op.create_table(
        "guesses",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("locked_to_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_guesses")),
    )
    op.create_table(
        "installation",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation")),
    )
    salt = sa.text("INSERT INTO installation (name, value) VALUES ('code_salt', :salt)")
    op.execute(salt.bindparams(salt=secrets.token_hex(32)))
    op.create_table(
        "access_numbers",
        sa.Column("number", sa.String(length=32), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_access_numbers_issuer_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_access_numbers")),
    )
    op.create_table(
        "calling_cards",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), server_default="", nullable=False),
        sa.Column("pin_hash", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("last_used_us", sa.BigInteger(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_calling_cards_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calling_cards")),
        sa.UniqueConstraint("pin_hash", name=op.f("uq_calling_cards_pin_hash")),
    )
    with op.batch_alter_table("calling_cards", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_calling_cards_account_id"), ["account_id"], unique=False)

    op.create_table(
        "payment_gateways",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("units", sa.String(length=200), server_default="", nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_payment_gateways_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_gateways")),
        sa.UniqueConstraint("name", name=op.f("uq_payment_gateways_name")),
    )
    op.create_table(
        "points_rules",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("points_unit", sa.String(length=12), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("per", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("valid_days", sa.BigInteger(), nullable=True),
        sa.Column("worth", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_points_rules_issuer_id")),
        sa.ForeignKeyConstraint(["points_unit"], ["units.code"], name=op.f("fk_points_rules_points_unit")),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_points_rules_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_points_rules")),
    )
    with op.batch_alter_table("points_rules", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_points_rules_issuer_id"), ["issuer_id"], unique=False)

    op.create_table(
        "referrals",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("referrer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=True),
        sa.Column("rewarded_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_referrals_account_id")),
        sa.ForeignKeyConstraint(["referrer_id"], ["accounts.id"], name=op.f("fk_referrals_referrer_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_referrals")),
    )
    with op.batch_alter_table("referrals", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_referrals_entry_id"), ["entry_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_referrals_referrer_id"), ["referrer_id"], unique=False)

    op.create_table(
        "voucher_batches",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("digits", sa.BigInteger(), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=True),
        sa.Column("validity_days", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_voucher_batches_issuer_id")),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_voucher_batches_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voucher_batches")),
        sa.UniqueConstraint("issuer_id", "name", name=op.f("uq_voucher_batches_issuer_id_name")),
    )
    with op.batch_alter_table("voucher_batches", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_voucher_batches_issuer_id"), ["issuer_id"], unique=False)

    op.create_table(
        "known_callers",
        sa.Column("number", sa.String(length=32), nullable=False),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["calling_cards.id"], name=op.f("fk_known_callers_card_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_known_callers")),
    )
    with op.batch_alter_table("known_callers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_known_callers_card_id"), ["card_id"], unique=False)

    op.create_table(
        "points_earned_to",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rule_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("rest", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_points_earned_to_account_id")),
        sa.ForeignKeyConstraint(["rule_id"], ["points_rules.id"], name=op.f("fk_points_earned_to_rule_id")),
        sa.PrimaryKeyConstraint("account_id", "rule_id", name=op.f("pk_points_earned_to")),
    )
    op.create_table(
        "points_lots",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rule_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("earned", sa.BigInteger(), nullable=False),
        sa.Column("left", sa.BigInteger(), nullable=False),
        sa.Column("taken_back", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("earned_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("told_us", sa.BigInteger(), nullable=True),
        sa.Column("cause_id", sa.String(length=32), nullable=True),
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_points_lots_account_id")),
        sa.ForeignKeyConstraint(["rule_id"], ["points_rules.id"], name=op.f("fk_points_lots_rule_id")),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_points_lots_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_points_lots")),
        sa.UniqueConstraint("key", name=op.f("uq_points_lots_key")),
    )
    with op.batch_alter_table("points_lots", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_points_lots_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_points_lots_cause_id"), ["cause_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_points_lots_expires_us"), ["expires_us"], unique=False)

    op.create_table(
        "saved_methods",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gateway_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("customer_ref", sa.String(length=128), nullable=False),
        sa.Column("method_ref", sa.String(length=128), nullable=False),
        sa.Column("brand", sa.String(length=32), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=False),
        sa.Column("expires", sa.String(length=7), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("preferred", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_saved_methods_account_id")),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["payment_gateways.id"], name=op.f("fk_saved_methods_gateway_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_methods")),
        sa.UniqueConstraint(
            "account_id",
            "gateway_id",
            "method_ref",
            name=op.f("uq_saved_methods_account_id_gateway_id_method_ref"),
        ),
    )
    with op.batch_alter_table("saved_methods", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_saved_methods_account_id"), ["account_id"], unique=False)

    op.create_table(
        "vouchers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("redeemed_us", sa.BigInteger(), nullable=True),
        sa.Column("entry_id", sa.String(length=32), nullable=True),
        sa.Column("channel", sa.String(length=12), server_default="", nullable=False),
        sa.Column("by", sa.String(length=64), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_vouchers_account_id")),
        sa.ForeignKeyConstraint(["batch_id"], ["voucher_batches.id"], name=op.f("fk_vouchers_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vouchers")),
        sa.UniqueConstraint("batch_id", "serial", name=op.f("uq_vouchers_batch_id_serial")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_vouchers_code_hash")),
    )
    with op.batch_alter_table("vouchers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_vouchers_account_id"), ["account_id"], unique=False)

    op.create_table(
        "gateway_payments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("gateway_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("purpose", sa.String(length=12), nullable=False),
        sa.Column("invoice_ids", sa.Text(), server_default="", nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("gateway_ref", sa.String(length=128), server_default="", nullable=False),
        sa.Column("method_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("save_method", sa.Boolean(), nullable=False),
        sa.Column("url", sa.Text(), server_default="", nullable=False),
        sa.Column("form", sa.Text(), server_default="", nullable=False),
        sa.Column("error", sa.String(length=300), server_default="", nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=True),
        sa.Column("told_amount", sa.BigInteger(), nullable=True),
        sa.Column("told_currency", sa.String(length=12), server_default="", nullable=False),
        sa.Column("received", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refunded", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("poll_us", sa.BigInteger(), nullable=True),
        sa.Column("polls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_gateway_payments_account_id")),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["payment_gateways.id"], name=op.f("fk_gateway_payments_gateway_id")
        ),
        sa.ForeignKeyConstraint(
            ["method_id"], ["saved_methods.id"], name=op.f("fk_gateway_payments_method_id")
        ),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_gateway_payments_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_payments")),
        sa.UniqueConstraint("key", name=op.f("uq_gateway_payments_key")),
    )
    with op.batch_alter_table("gateway_payments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gateway_payments_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_gateway_payments_entry_id"), ["entry_id"], unique=False)
        batch_op.create_index(
            "ix_gateway_payments_gateway_id_gateway_ref", ["gateway_id", "gateway_ref"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_gateway_payments_poll_us"), ["poll_us"], unique=False)

    op.create_table(
        "auto_top_ups",
        sa.Column("wallet_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("below", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("method_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("daily_cap", sa.BigInteger(), nullable=True),
        sa.Column("monthly_cap", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("declines", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=True),
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["method_id"], ["saved_methods.id"], name=op.f("fk_auto_top_ups_method_id")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["gateway_payments.id"], name=op.f("fk_auto_top_ups_payment_id")
        ),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_auto_top_ups_wallet_id")),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_auto_top_ups")),
    )
    with op.batch_alter_table("auto_top_ups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_auto_top_ups_next_us"), ["next_us"], unique=False)

    op.create_table(
        "received_webhooks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gateway_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("event_ref", sa.String(length=128), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("detail", sa.String(length=300), nullable=False),
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("times", sa.BigInteger(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["payment_gateways.id"], name=op.f("fk_received_webhooks_gateway_id")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["gateway_payments.id"], name=op.f("fk_received_webhooks_payment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_received_webhooks")),
        sa.UniqueConstraint(
            "gateway_id", "event_ref", name=op.f("uq_received_webhooks_gateway_id_event_ref")
        ),
    )
    with op.batch_alter_table("received_webhooks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_received_webhooks_payment_id"), ["payment_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_received_webhooks_received_us"), ["received_us"], unique=False)

    op.create_table(
        "refunds",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=160), nullable=False),
        sa.Column("payment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("gateway_ref", sa.String(length=128), server_default="", nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=True),
        sa.Column("back_entry_id", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("poll_us", sa.BigInteger(), nullable=True),
        sa.Column("polls", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["gateway_payments.id"], name=op.f("fk_refunds_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("key", name=op.f("uq_refunds_key")),
    )
    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_refunds_gateway_ref"), ["gateway_ref"], unique=False)
        batch_op.create_index(batch_op.f("ix_refunds_payment_id"), ["payment_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_refunds_poll_us"), ["poll_us"], unique=False)


def downgrade() -> None:  # noqa: PLR0915  # one statement per table and index
    """Take it back."""
    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_refunds_poll_us"))
        batch_op.drop_index(batch_op.f("ix_refunds_payment_id"))
        batch_op.drop_index(batch_op.f("ix_refunds_gateway_ref"))

    op.drop_table("refunds")
    with op.batch_alter_table("received_webhooks", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_received_webhooks_received_us"))
        batch_op.drop_index(batch_op.f("ix_received_webhooks_payment_id"))

    op.drop_table("received_webhooks")
    with op.batch_alter_table("auto_top_ups", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_auto_top_ups_next_us"))

    op.drop_table("auto_top_ups")
    with op.batch_alter_table("gateway_payments", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gateway_payments_poll_us"))
        batch_op.drop_index("ix_gateway_payments_gateway_id_gateway_ref")
        batch_op.drop_index(batch_op.f("ix_gateway_payments_entry_id"))
        batch_op.drop_index(batch_op.f("ix_gateway_payments_account_id"))

    op.drop_table("gateway_payments")
    with op.batch_alter_table("vouchers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_vouchers_account_id"))

    op.drop_table("vouchers")
    with op.batch_alter_table("saved_methods", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_saved_methods_account_id"))

    op.drop_table("saved_methods")
    with op.batch_alter_table("points_lots", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_points_lots_expires_us"))
        batch_op.drop_index(batch_op.f("ix_points_lots_cause_id"))
        batch_op.drop_index(batch_op.f("ix_points_lots_account_id"))

    op.drop_table("points_lots")
    op.drop_table("points_earned_to")
    with op.batch_alter_table("known_callers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_known_callers_card_id"))

    op.drop_table("known_callers")
    with op.batch_alter_table("voucher_batches", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_voucher_batches_issuer_id"))

    op.drop_table("voucher_batches")
    with op.batch_alter_table("referrals", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_referrals_referrer_id"))
        batch_op.drop_index(batch_op.f("ix_referrals_entry_id"))

    op.drop_table("referrals")
    with op.batch_alter_table("points_rules", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_points_rules_issuer_id"))

    op.drop_table("points_rules")
    op.drop_table("payment_gateways")
    with op.batch_alter_table("calling_cards", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_calling_cards_account_id"))

    op.drop_table("calling_cards")
    op.drop_table("access_numbers")
    op.drop_table("installation")
    op.drop_table("guesses")
