"""Dunning, promises, penalties; life-cycle and suspensions."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "account_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_account_events_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_events")),
    )
    with op.batch_alter_table("account_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_account_events_account_id"), ["account_id"], unique=False)

    op.create_table(
        "dunning_policies",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("standard", sa.Boolean(), nullable=False),
        sa.Column("groups", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("released_to_us", sa.BigInteger(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_dunning_policies_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dunning_policies")),
        sa.UniqueConstraint("issuer_id", "name", name=op.f("uq_dunning_policies_issuer_id_name")),
    )
    op.create_table(
        "dunning_policy_versions",
        sa.Column("policy_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["dunning_policies.id"], name=op.f("fk_dunning_policy_versions_policy_id")
        ),
        sa.PrimaryKeyConstraint("policy_id", "number", name=op.f("pk_dunning_policy_versions")),
    )
    op.create_table(
        "life_cycle_policies",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("standard", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["issuer_id"], ["accounts.id"], name=op.f("fk_life_cycle_policies_issuer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_life_cycle_policies")),
        sa.UniqueConstraint("issuer_id", "name", name=op.f("uq_life_cycle_policies_issuer_id_name")),
    )
    op.create_table(
        "penalty_classes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["accounts.id"], name=op.f("fk_penalty_classes_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_penalty_classes")),
        sa.UniqueConstraint("issuer_id", "name", name=op.f("uq_penalty_classes_issuer_id_name")),
    )
    op.create_table(
        "suspensions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cause", sa.String(length=120), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("lifted_us", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("lifted_by", sa.String(length=64), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_suspensions_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suspensions")),
    )
    with op.batch_alter_table("suspensions", schema=None) as batch_op:
        batch_op.create_index("ix_suspensions_account_id", ["account_id"], unique=False)
        batch_op.create_index(
            "uq_suspensions_in_force",
            ["account_id", "cause"],
            unique=True,
            sqlite_where=sa.text("lifted_us IS NULL"),
            postgresql_where=sa.text("lifted_us IS NULL"),
        )

    op.create_table(
        "dispute_files",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("invoice_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_dispute_files_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispute_files")),
    )
    with op.batch_alter_table("dispute_files", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dispute_files_invoice_id"), ["invoice_id"], unique=False)

    op.create_table(
        "dunning_states",
        sa.Column("invoice_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=True),
        sa.Column("next_us", sa.BigInteger(), nullable=True),
        sa.Column("penalty_to_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_dunning_states_account_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_dunning_states_invoice_id")),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_dunning_states")),
    )
    with op.batch_alter_table("dunning_states", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dunning_states_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_dunning_states_next_us"), ["next_us"], unique=False)

    op.create_table(
        "life_cycles",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("policy_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("stage", sa.String(length=12), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("valid_to_us", sa.BigInteger(), nullable=True),
        sa.Column("stop_on", sa.String(length=10), server_default="", nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=True),
        sa.Column("alerted_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_life_cycles_account_id")),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["life_cycle_policies.id"], name=op.f("fk_life_cycles_policy_id")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_life_cycles")),
    )
    with op.batch_alter_table("life_cycles", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_life_cycles_next_us"), ["next_us"], unique=False)

    op.create_table(
        "promises_to_pay",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("invoice_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("unit", sa.String(length=12), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("made_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("remark", sa.String(length=300), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_promises_to_pay_account_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_promises_to_pay_invoice_id")),
        sa.ForeignKeyConstraint(["unit"], ["units.code"], name=op.f("fk_promises_to_pay_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promises_to_pay")),
    )
    with op.batch_alter_table("promises_to_pay", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_promises_to_pay_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_promises_to_pay_invoice_id"), ["invoice_id"], unique=False)
        batch_op.create_index("ix_promises_to_pay_state_until_us", ["state", "until_us"], unique=False)

    op.create_table(
        "dunning_steps",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("invoice_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("policy_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.BigInteger(), nullable=False),
        sa.Column("charge_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("suspension_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("detail", sa.String(length=300), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["charge_id"], ["charges.id"], name=op.f("fk_dunning_steps_charge_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_dunning_steps_invoice_id")),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["dunning_policies.id"], name=op.f("fk_dunning_steps_policy_id")
        ),
        sa.ForeignKeyConstraint(
            ["suspension_id"], ["suspensions.id"], name=op.f("fk_dunning_steps_suspension_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dunning_steps")),
        sa.UniqueConstraint("invoice_id", "level", name=op.f("uq_dunning_steps_invoice_id_level")),
    )
    with op.batch_alter_table("dunning_steps", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dunning_steps_at_us"), ["at_us"], unique=False)

    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("minimum_balance", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("billing_profiles", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dunning_policy_id", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("penalty_class_id", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("issuers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("support_numbers", sa.Text(), server_default="", nullable=False))

    # What was suspended before was so by hand; accounts.status follows from what is in force.
    op.execute(
        'INSERT INTO suspensions (account_id, cause, status, reason, from_us, lifted_us, "by", lifted_by) '
        "SELECT id, 'hand', status, 'suspended before', created_us, NULL, '', '' FROM accounts "
        "WHERE status <> 'active' AND parent_id IS NOT NULL"
    )


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("issuers", schema=None) as batch_op:
        batch_op.drop_column("support_numbers")

    with op.batch_alter_table("billing_profiles", schema=None) as batch_op:
        batch_op.drop_column("penalty_class_id")
        batch_op.drop_column("dunning_policy_id")

    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.drop_column("minimum_balance")

    with op.batch_alter_table("dunning_steps", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dunning_steps_at_us"))

    op.drop_table("dunning_steps")
    with op.batch_alter_table("promises_to_pay", schema=None) as batch_op:
        batch_op.drop_index("ix_promises_to_pay_state_until_us")
        batch_op.drop_index(batch_op.f("ix_promises_to_pay_invoice_id"))
        batch_op.drop_index(batch_op.f("ix_promises_to_pay_account_id"))

    op.drop_table("promises_to_pay")
    with op.batch_alter_table("life_cycles", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_life_cycles_next_us"))

    op.drop_table("life_cycles")
    with op.batch_alter_table("dunning_states", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dunning_states_next_us"))
        batch_op.drop_index(batch_op.f("ix_dunning_states_account_id"))

    op.drop_table("dunning_states")
    with op.batch_alter_table("dispute_files", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dispute_files_invoice_id"))

    op.drop_table("dispute_files")
    with op.batch_alter_table("suspensions", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_suspensions_in_force",
            sqlite_where=sa.text("lifted_us IS NULL"),
            postgresql_where=sa.text("lifted_us IS NULL"),
        )
        batch_op.drop_index("ix_suspensions_account_id")

    op.drop_table("suspensions")
    op.drop_table("penalty_classes")
    op.drop_table("life_cycle_policies")
    op.drop_table("dunning_policy_versions")
    op.drop_table("dunning_policies")
    with op.batch_alter_table("account_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_account_events_account_id"))

    op.drop_table("account_events")
