"""The schema of the first release"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "call_charges",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("tariff_version_id", sa.BigInteger(), nullable=False),
        sa.Column("rate_id", sa.BigInteger(), nullable=False),
        sa.Column("billable_s", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("uncollected", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("session_id", "level", name=op.f("pk_call_charges")),
    )
    op.create_table(
        "catalogue",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogue")),
    )
    op.create_table(
        "cdrs",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("switch", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=128), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("dialled", sa.String(length=64), nullable=False),
        sa.Column("called", sa.String(length=15), nullable=False),
        sa.Column("destination", sa.String(length=100), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("answered_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=False),
        sa.Column("billed_us", sa.BigInteger(), nullable=False),
        sa.Column("granted_us", sa.BigInteger(), nullable=False),
        sa.Column("hangup_cause", sa.BigInteger(), nullable=False),
        sa.Column("denial", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column("evidence", sa.String(length=8), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_cdrs")),
    )
    with op.batch_alter_table("cdrs", schema=None) as batch_op:
        batch_op.create_index("ix_cdrs_account_id_started_us", ["account_id", "started_us"], unique=False)
        batch_op.create_index("ix_cdrs_started_us", ["started_us"], unique=False)

    op.create_table(
        "daemon_leases",
        sa.Column("switch", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("renewed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("switch", name=op.f("pk_daemon_leases")),
    )
    op.create_table(
        "journal_entries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.String(length=200), nullable=False),
        sa.Column("reverses_id", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_entries")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_journal_entries_idempotency_key")),
        sa.UniqueConstraint("reverses_id", name=op.f("uq_journal_entries_reverses_id")),
    )
    op.create_table(
        "postings",
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("ledger_account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "line", name=op.f("pk_postings")),
    )
    with op.batch_alter_table("postings", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_postings_ledger_account_id"), ["ledger_account_id"], unique=False
        )

    op.create_table(
        "reconciliations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("switch", sa.String(length=64), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("open_count", sa.BigInteger(), nullable=False),
        sa.Column("live_count", sa.BigInteger(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
    )
    op.create_table(
        "reservation_levels",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("wallet_id", sa.BigInteger(), nullable=False),
        sa.Column("issuer_id", sa.BigInteger(), nullable=False),
        sa.Column("tariff_version_id", sa.BigInteger(), nullable=False),
        sa.Column("rate_id", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "level", name=op.f("pk_reservation_levels")),
    )
    with op.batch_alter_table("reservation_levels", schema=None) as batch_op:
        batch_op.create_index(
            "ix_reservation_levels_held",
            ["wallet_id"],
            unique=False,
            sqlite_where=sa.text("reserved > 0"),
            postgresql_where=sa.text("reserved > 0"),
        )

    op.create_table(
        "reservation_steps",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("verb", sa.String(length=8), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("granted_us", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservation_steps")),
    )
    with op.batch_alter_table("reservation_steps", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reservation_steps_session_id"), ["session_id"], unique=False)

    op.create_table(
        "reservations",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("switch", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=128), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("dialled", sa.String(length=64), nullable=False),
        sa.Column("called", sa.String(length=15), nullable=False),
        sa.Column("destination", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("requested_us", sa.BigInteger(), nullable=False),
        sa.Column("answered_us", sa.BigInteger(), nullable=True),
        sa.Column("paid_leg", sa.String(length=128), nullable=False),
        sa.Column("granted_us", sa.BigInteger(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("slice_s", sa.BigInteger(), nullable=False),
        sa.Column("renew_before_s", sa.BigInteger(), nullable=False),
        sa.Column("max_call_s", sa.BigInteger(), nullable=False),
        sa.Column("failure_policy", sa.String(length=8), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('reserved', 'answered', 'settled', 'voided')", name=op.f("ck_reservations_state")
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_reservations")),
    )
    with op.batch_alter_table("reservations", schema=None) as batch_op:
        batch_op.create_index(
            "ix_reservations_open",
            ["switch"],
            unique=False,
            sqlite_where=sa.text("state IN ('reserved', 'answered')"),
            postgresql_where=sa.text("state IN ('reserved', 'answered')"),
        )

    op.create_table(
        "tariffs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tariffs")),
        sa.UniqueConstraint("name", name=op.f("uq_tariffs_name")),
    )
    op.create_table(
        "units",
        sa.Column("code", sa.String(length=12), nullable=False),
        sa.Column("scale", sa.BigInteger(), nullable=False),
        sa.Column("digits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_units")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("parent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("mode", sa.String(length=12), nullable=False),
        sa.Column("tariff_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("inbound_tariff_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("failure_policy", sa.String(length=8), nullable=False),
        sa.Column("offline_allowance", sa.BigInteger(), nullable=False),
        sa.Column("announce_balance", sa.Boolean(), nullable=True),
        sa.Column("announce_minutes", sa.Boolean(), nullable=True),
        sa.Column("announce_warning", sa.Boolean(), nullable=True),
        sa.Column("announce_denial", sa.Boolean(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["inbound_tariff_id"], ["tariffs.id"], name=op.f("fk_accounts_inbound_tariff_id")
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["accounts.id"], name=op.f("fk_accounts_parent_id")),
        sa.ForeignKeyConstraint(["tariff_id"], ["tariffs.id"], name=op.f("fk_accounts_tariff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("code", name=op.f("uq_accounts_code")),
    )
    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_accounts_parent_id"), ["parent_id"], unique=False)

    op.create_table(
        "rate_decks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_rate_decks_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_decks")),
        sa.UniqueConstraint("name", name=op.f("uq_rate_decks_name")),
    )
    op.create_table(
        "reconciliation_differences",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reconciliation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("detail", sa.String(length=300), nullable=False),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["reconciliations.id"],
            name=op.f("fk_reconciliation_differences_reconciliation_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation_differences")),
    )
    with op.batch_alter_table("reconciliation_differences", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_reconciliation_differences_reconciliation_id"), ["reconciliation_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_reconciliation_differences_session_id"), ["session_id"], unique=False
        )

    op.create_table(
        "deck_versions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deck_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("effective_from_us", sa.BigInteger(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("rate_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["deck_id"], ["rate_decks.id"], name=op.f("fk_deck_versions_deck_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deck_versions")),
        sa.UniqueConstraint("deck_id", "number", name=op.f("uq_deck_versions_deck_id_number")),
    )
    op.create_table(
        "endpoints",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=64), nullable=False),
        sa.Column("tech_prefix", sa.String(length=16), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_endpoints_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
        sa.UniqueConstraint("kind", "value", "tech_prefix", name=op.f("uq_endpoints_kind_value_tech_prefix")),
    )
    with op.batch_alter_table("endpoints", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_endpoints_account_id"), ["account_id"], unique=False)

    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("holder_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_ledger_accounts_issuer_id")),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_ledger_accounts_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
        sa.UniqueConstraint(
            "issuer_id",
            "code",
            "unit",
            "holder_id",
            name=op.f("uq_ledger_accounts_issuer_id_code_unit_holder_id"),
        ),
    )
    op.create_table(
        "tariff_versions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tariff_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("deck_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("tax_mode", sa.String(length=12), nullable=False),
        sa.Column("tax_ppm", sa.BigInteger(), nullable=False),
        sa.Column("rounding", sa.String(length=12), nullable=False),
        sa.Column("rounding_step", sa.BigInteger(), nullable=False),
        sa.Column("slice_s", sa.BigInteger(), nullable=False),
        sa.Column("renew_before_s", sa.BigInteger(), nullable=False),
        sa.Column("max_call_s", sa.BigInteger(), nullable=False),
        sa.Column("announce_balance", sa.Boolean(), nullable=False),
        sa.Column("announce_minutes", sa.Boolean(), nullable=False),
        sa.Column("announce_warning", sa.Boolean(), nullable=False),
        sa.Column("announce_denial", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["deck_id"], ["rate_decks.id"], name=op.f("fk_tariff_versions_deck_id")),
        sa.ForeignKeyConstraint(["tariff_id"], ["tariffs.id"], name=op.f("fk_tariff_versions_tariff_id")),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_tariff_versions_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tariff_versions")),
        sa.UniqueConstraint("tariff_id", "number", name=op.f("uq_tariff_versions_tariff_id_number")),
    )
    op.create_table(
        "rates",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deck_version_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("prefix", sa.String(length=15), nullable=False),
        sa.Column("destination", sa.String(length=100), nullable=False),
        sa.Column("price_per_min", sa.BigInteger(), nullable=False),
        sa.Column("connection_fee", sa.BigInteger(), nullable=False),
        sa.Column("minimum_charge", sa.BigInteger(), nullable=False),
        sa.Column("initial_increment_s", sa.BigInteger(), nullable=False),
        sa.Column("following_increment_s", sa.BigInteger(), nullable=False),
        sa.Column("free_s", sa.BigInteger(), nullable=False),
        sa.Column("effective_from_us", sa.BigInteger(), nullable=True),
        sa.Column("effective_to_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["deck_version_id"], ["deck_versions.id"], name=op.f("fk_rates_deck_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rates")),
    )
    with op.batch_alter_table("rates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rates_deck_version_id"), ["deck_version_id"], unique=False)

    op.create_table(
        "wallets",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("ledger_account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("credit_limit", sa.BigInteger(), nullable=False),
        sa.Column("overdraft", sa.BigInteger(), nullable=False),
        sa.Column("starved", sa.Boolean(), nullable=False),
        sa.Column("news", sa.BigInteger(), nullable=False),
        sa.Column("told_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("credit_limit >= 0", name=op.f("ck_wallets_credit_limit")),
        sa.CheckConstraint(
            "posted - reserved + credit_limit + overdraft >= 0", name=op.f("ck_wallets_never_overspent")
        ),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_wallets_reserved")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_wallets_account_id")),
        sa.ForeignKeyConstraint(
            ["ledger_account_id"], ["ledger_accounts.id"], name=op.f("fk_wallets_ledger_account_id")
        ),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_wallets_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallets")),
        sa.UniqueConstraint("account_id", "unit", name=op.f("uq_wallets_account_id_unit")),
    )
    with op.batch_alter_table("wallets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_wallets_told_us"), ["told_us"], unique=False)


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("wallets", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_wallets_told_us"))

    op.drop_table("wallets")
    with op.batch_alter_table("rates", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rates_deck_version_id"))

    op.drop_table("rates")
    op.drop_table("tariff_versions")
    op.drop_table("ledger_accounts")
    with op.batch_alter_table("endpoints", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_endpoints_account_id"))

    op.drop_table("endpoints")
    op.drop_table("deck_versions")
    with op.batch_alter_table("reconciliation_differences", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_reconciliation_differences_session_id"))
        batch_op.drop_index(batch_op.f("ix_reconciliation_differences_reconciliation_id"))

    op.drop_table("reconciliation_differences")
    op.drop_table("rate_decks")
    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_accounts_parent_id"))

    op.drop_table("accounts")
    op.drop_table("units")
    op.drop_table("tariffs")
    with op.batch_alter_table("reservations", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_reservations_open",
            sqlite_where=sa.text("state IN ('reserved', 'answered')"),
            postgresql_where=sa.text("state IN ('reserved', 'answered')"),
        )

    op.drop_table("reservations")
    with op.batch_alter_table("reservation_steps", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_reservation_steps_session_id"))

    op.drop_table("reservation_steps")
    with op.batch_alter_table("reservation_levels", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_reservation_levels_held",
            sqlite_where=sa.text("reserved > 0"),
            postgresql_where=sa.text("reserved > 0"),
        )

    op.drop_table("reservation_levels")
    op.drop_table("reconciliations")
    with op.batch_alter_table("postings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_postings_ledger_account_id"))

    op.drop_table("postings")
    op.drop_table("journal_entries")
    op.drop_table("daemon_leases")
    with op.batch_alter_table("cdrs", schema=None) as batch_op:
        batch_op.drop_index("ix_cdrs_started_us")
        batch_op.drop_index("ix_cdrs_account_id_started_us")

    op.drop_table("cdrs")
    op.drop_table("catalogue")
    op.drop_table("call_charges")
