"""Entries of the audit log are found by the objects that they name, and read in the order of their time."""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ENTRIES_AT_ONCE = 5_000
LONGEST_KEY = 128
_ENTRIES = sa.text(
    "SELECT id, at_us, account_id, changes FROM audit_log WHERE id > :after ORDER BY id LIMIT :most"
)


def upgrade() -> None:
    """Bring the schema forward."""
    named = op.create_table(
        "audit_objects",
        sa.Column("object_table", sa.String(length=64), nullable=False),
        sa.Column("object_key", sa.String(length=LONGEST_KEY), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", ROW_ID, nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["audit_log.id"], name=op.f("fk_audit_objects_entry_id")),
        sa.PrimaryKeyConstraint(
            "object_table", "object_key", "at_us", "entry_id", name=op.f("pk_audit_objects")
        ),
    )
    op.drop_index("ix_audit_log_scope_id_id", "audit_log")
    op.drop_index("ix_audit_log_account_id_id", "audit_log")
    op.create_index("ix_audit_log_at_us", "audit_log", ["at_us", "id"], unique=False)
    op.create_index("ix_audit_log_scope_id", "audit_log", ["scope_id", "at_us", "id"], unique=False)
    op.create_index("ix_audit_log_account_id", "audit_log", ["account_id", "at_us", "id"], unique=False)
    for rows in _named(op.get_bind()):
        op.bulk_insert(named, rows)


def _named(connection: sa.Connection) -> Iterator[list[dict[str, Any]]]:
    """The objects of all entries that there are."""
    after = 0
    while entries := connection.execute(_ENTRIES, {"after": after, "most": ENTRIES_AT_ONCE}).all():
        after = entries[-1].id
        yield [
            {"object_table": table, "object_key": key, "at_us": x.at_us, "entry_id": x.id}
            for x in entries
            for table, key in sorted(_objects(x.changes, x.account_id))
        ]


def _objects(changes: str, account_id: int | None) -> set[tuple[str, str]]:
    """As access/audit.py tells them of an entry that it writes."""
    each = (x for x in json.loads(changes) if x.get("key") and "***" not in x["key"])
    found = {(x["table"], ",".join(map(str, x["key"]))) for x in each}
    if account_id is not None:
        found.add(("accounts", str(account_id)))
    return {(table, key) for table, key in found if len(key) <= LONGEST_KEY}
