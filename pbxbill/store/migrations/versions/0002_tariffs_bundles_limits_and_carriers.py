"""Bands, bundles, limits, carriers, exchange rates, and several wallets per level."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    _add_tables()
    _add_columns()


def _add_tables() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("notified_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alerts_at_us"), ["at_us"], unique=False)

    op.create_table(
        "band_calendars",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_band_calendars")),
        sa.UniqueConstraint("name", "number", name=op.f("uq_band_calendars_name_number")),
    )
    op.create_table(
        "bundles",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("measure", sa.String(length=12), nullable=False),
        sa.Column("pieces", sa.BigInteger(), nullable=False),
        sa.Column("destinations", sa.Text(), nullable=False),
        sa.Column("cycle", sa.String(length=12), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("rollover_cycles", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("initial_increment_s", sa.BigInteger(), nullable=False),
        sa.Column("following_increment_s", sa.BigInteger(), nullable=False),
        sa.Column("fee_owed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bundles")),
        sa.UniqueConstraint("name", name=op.f("uq_bundles_name")),
    )
    op.create_table(
        "call_costs",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("carrier_id", sa.BigInteger(), nullable=False),
        sa.Column("tariff_version_id", sa.BigInteger(), nullable=False),
        sa.Column("rate_id", sa.BigInteger(), nullable=True),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("billable_s", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_call_costs")),
    )
    with op.batch_alter_table("call_costs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_call_costs_carrier_id"), ["carrier_id"], unique=False)

    op.create_table(
        "counters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("ref_id", sa.BigInteger(), nullable=False),
        sa.Column("window_from_us", sa.BigInteger(), nullable=False),
        sa.Column("window_to_us", sa.BigInteger(), nullable=False),
        sa.Column("allowed", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counters")),
        sa.UniqueConstraint(
            "kind",
            "ref_id",
            "account_id",
            "window_from_us",
            "window_to_us",
            name=op.f("uq_counters_kind_ref_id_account_id_window_from_us_window_to_us"),
        ),
    )
    with op.batch_alter_table("counters", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_counters_account_id"), ["account_id"], unique=False)

    op.create_table(
        "destinations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_destinations")),
        sa.UniqueConstraint("name", name=op.f("uq_destinations_name")),
    )
    op.create_table(
        "dialling_rules",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dialling_rules")),
        sa.UniqueConstraint("name", name=op.f("uq_dialling_rules_name")),
    )
    op.create_table(
        "reserved_counts",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("counter_id", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "level", "counter_id", name=op.f("pk_reserved_counts")),
    )
    with op.batch_alter_table("reserved_counts", schema=None) as batch_op:
        batch_op.create_index("ix_reserved_counts_counter_id", ["counter_id"], unique=False)

    op.create_table(
        "carriers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("tariff_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["tariff_id"], ["tariffs.id"], name=op.f("fk_carriers_tariff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carriers")),
        sa.UniqueConstraint("name", name=op.f("uq_carriers_name")),
    )
    op.create_table(
        "destination_prefixes",
        sa.Column("prefix", sa.String(length=15), nullable=False),
        sa.Column("destination_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["destination_id"], ["destinations.id"], name=op.f("fk_destination_prefixes_destination_id")
        ),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_destination_prefixes")),
    )
    with op.batch_alter_table("destination_prefixes", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_destination_prefixes_destination_id"), ["destination_id"], unique=False
        )

    op.create_table(
        "exchange_rates",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("from_unit", sa.String(length=12), nullable=False),
        sa.Column("to_unit", sa.String(length=12), nullable=False),
        sa.Column("rate", sa.BigInteger(), nullable=False),
        sa.Column("effective_from_us", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["from_unit"], ["units.code"], name=op.f("fk_exchange_rates_from_unit")),
        sa.ForeignKeyConstraint(["to_unit"], ["units.code"], name=op.f("fk_exchange_rates_to_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchange_rates")),
        sa.UniqueConstraint(
            "from_unit",
            "to_unit",
            "effective_from_us",
            name=op.f("uq_exchange_rates_from_unit_to_unit_effective_from_us"),
        ),
    )
    op.create_table(
        "account_bundles",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bundle_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_account_bundles_account_id")),
        sa.ForeignKeyConstraint(["bundle_id"], ["bundles.id"], name=op.f("fk_account_bundles_bundle_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_bundles")),
    )
    with op.batch_alter_table("account_bundles", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_account_bundles_account_id"), ["account_id"], unique=False)

    op.create_table(
        "gateways",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("carrier_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["carrier_id"], ["carriers.id"], name=op.f("fk_gateways_carrier_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_gateways")),
    )
    op.create_table(
        "held_countries",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("region", sa.String(length=4), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_held_countries_account_id")),
        sa.PrimaryKeyConstraint("account_id", "region", name=op.f("pk_held_countries")),
    )
    op.create_table(
        "limits",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("window", sa.String(length=8), nullable=False),
        sa.Column("window_s", sa.BigInteger(), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("destinations", sa.Text(), nullable=False),
        sa.Column("suspends", sa.Boolean(), nullable=False),
        sa.Column("shorter_s", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_limits_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limits")),
    )
    with op.batch_alter_table("limits", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_limits_account_id"), ["account_id"], unique=False)

    op.create_table(
        "service_tariffs",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("service", sa.String(length=32), nullable=False),
        sa.Column("tariff_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_service_tariffs_account_id")),
        sa.ForeignKeyConstraint(["tariff_id"], ["tariffs.id"], name=op.f("fk_service_tariffs_tariff_id")),
        sa.PrimaryKeyConstraint("account_id", "service", name=op.f("pk_service_tariffs")),
    )


def _add_columns() -> None:
    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dialling_rule_id", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("wallet_order", sa.String(length=200), nullable=True))
        batch_op.add_column(
            sa.Column("shadow", sa.Boolean(), server_default=sa.text("false"), nullable=False)
        )

    _widen_key("call_charges")
    with op.batch_alter_table("cdrs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("shadow", sa.String(length=200), nullable=True))

    with op.batch_alter_table("deck_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("bands", sa.String(length=400), server_default="", nullable=False))
        batch_op.add_column(
            sa.Column("banded_only", sa.Boolean(), server_default=sa.text("false"), nullable=False)
        )

    with op.batch_alter_table("endpoints", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("status", sa.String(length=12), server_default="active", nullable=False)
        )

    with op.batch_alter_table("rate_decks", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("measure", sa.String(length=12), server_default="seconds", nullable=False)
        )
        batch_op.add_column(sa.Column("per", sa.BigInteger(), server_default="60", nullable=False))

    with op.batch_alter_table("rates", schema=None) as batch_op:
        batch_op.add_column(sa.Column("terms", sa.Text(), nullable=True))

    op.drop_index("ix_reservation_levels_held", table_name="reservation_levels")
    _widen_key("reservation_levels")
    op.create_index(
        "ix_reservation_levels_held",
        "reservation_levels",
        ["wallet_id"],
        sqlite_where=sa.text("reserved > 0"),
        postgresql_where=sa.text("reserved > 0"),
    )
    with op.batch_alter_table("reservations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("endpoint_id", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("gateway", sa.String(length=64), server_default="", nullable=False))
        batch_op.add_column(sa.Column("shadow", sa.String(length=200), nullable=True))
        batch_op.create_index(
            "ix_reservations_open_account",
            ["account_id"],
            unique=False,
            sqlite_where=sa.text("state IN ('reserved', 'answered')"),
            postgresql_where=sa.text("state IN ('reserved', 'answered')"),
        )

    with op.batch_alter_table("tariff_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("calendar_id", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("mark_up", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("cycle_steps", sa.Text(), nullable=True))
        batch_op.add_column(
            sa.Column("refuse_loss", sa.Boolean(), server_default=sa.text("false"), nullable=False)
        )
        batch_op.alter_column("deck_id", existing_type=sa.INTEGER(), nullable=True)

    with op.batch_alter_table("units", schema=None) as batch_op:
        batch_op.add_column(sa.Column("name", sa.String(length=40), server_default="", nullable=False))
        batch_op.add_column(sa.Column("symbol", sa.String(length=8), server_default="", nullable=False))


def _widen_key(table: str) -> None:
    # A level may take from several wallets: one row each.
    with op.batch_alter_table(table) as batch_op:
        batch_op.add_column(sa.Column("line", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("exchange_id", sa.BigInteger(), nullable=True))
        batch_op.drop_constraint(f"pk_{table}", type_="primary")
        batch_op.create_primary_key(f"pk_{table}", ["session_id", "level", "line"])


def downgrade() -> None:
    """Not offered: rows that the older schema cannot hold would be lost."""
    raise NotImplementedError("restore a backup to go back before this revision")
