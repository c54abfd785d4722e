"""The migrations make the schema that the models describe, and the schema itself refuses overspending."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, text
from sqlalchemy.exc import IntegrityError

from pbxbill.errors import StoreUnavailable
from pbxbill.store import (  # noqa: F401 their tables register themselves
    access_models,
    billing_models,
    catalogue_models,
    dunning_models,
    earning_models,
    invoice_models,
    live_models,
    mediation_models,
    notice_models,
    payment_models,
    report_models,
    rerating_models,
    switch_models,
)
from pbxbill.store.engine import (
    MIGRATIONS,
    _alembic,
    migrate,
    newest_revision,
    open_engine,
    pending_revision,
    transaction,
)
from pbxbill.store.models import Base, UnitRow
from tests.store.billed_accounts import open_accounts


def test_migrations_and_models_agree(empty_database_url: str) -> None:
    migrate(empty_database_url)
    database = open_engine(empty_database_url)
    try:
        with database.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []
    finally:
        database.dispose()


def test_every_check_of_the_models_is_in_the_database(database_url: str) -> None:
    database = open_engine(database_url)
    try:
        inspector = inspect(database)
        for table in Base.metadata.sorted_tables:
            expected = {x.name for x in table.constraints if type(x).__name__ == "CheckConstraint"}
            found = {x["name"] for x in inspector.get_check_constraints(table.name)}
            assert expected <= found
    finally:
        database.dispose()


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    migrate(database_url)
    database = open_engine(database_url)
    try:
        assert pending_revision(database) is None
    finally:
        database.dispose()


def test_the_newest_revision_is_alembics() -> None:
    """It is known by its file's name, without loading Alembic."""
    assert newest_revision() == ScriptDirectory(str(MIGRATIONS)).get_current_head()


def test_an_empty_database_says_which_revision_it_lacks(empty_database_url: str) -> None:
    database = open_engine(empty_database_url)
    try:
        assert pending_revision(database) is not None
    finally:
        database.dispose()


@pytest.mark.parametrize(
    "change", ["posted = -1", "reserved = 1", "reserved = -1", "credit_limit = -1", "overdraft = -1"]
)
def test_the_schema_itself_refuses_an_overspent_wallet(database_url: str, change: str) -> None:
    accounts = open_accounts(database_url)
    database = open_engine(database_url)
    statement = text(f"UPDATE wallets SET {change} WHERE account_id = {accounts.ids['bob']}")
    try:
        with database.connect() as connection, pytest.raises(IntegrityError):
            connection.execute(statement)
    finally:
        database.dispose()
    assert accounts.wallet("bob") == (0, 0, 0)


FIRST_RELEASE = (
    "INSERT INTO units (code, scale, digits) VALUES ('EUR', 6, 2)",
    (
        "INSERT INTO accounts (id, path, kind, code, name, status, mode, language, failure_policy, "
        "offline_allowance, created_us) "
        "VALUES (1, '/', 'operator', 'operator', 'x', 'active', 'postpaid', 'en', 'closed', 0, 0)"
    ),
    (
        "INSERT INTO reservation_levels (session_id, level, account_id, wallet_id, issuer_id, "
        "tariff_version_id, rate_id, reserved) VALUES ('a', 0, 1, 2, 1, 3, 4, 5)"
    ),
    (
        "INSERT INTO call_charges (session_id, level, account_id, wallet_id, tariff_version_id, rate_id, "
        "billable_s, total, tax, uncollected) VALUES ('b', 0, 1, 2, 3, 4, 60, 7, 1, 0)"
    ),
)


def test_what_the_first_release_wrote_is_kept(empty_database_url: str) -> None:
    command.upgrade(_alembic(empty_database_url), "0001")
    database = open_engine(empty_database_url)
    try:
        with database.begin() as connection:
            for statement in FIRST_RELEASE:
                connection.execute(text(statement))
        migrate(empty_database_url)
        with database.connect() as connection:
            level = connection.execute(text("SELECT line, exchange_id, reserved FROM reservation_levels"))
            assert level.all() == [(0, None, 5)]
            charge = connection.execute(text("SELECT line, exchange_id, total, tax FROM call_charges"))
            assert charge.all() == [(0, None, 7, 1)]
            account = connection.execute(text("SELECT code, wallet_order FROM accounts"))
            assert account.all() == [("operator", None)]
    finally:
        database.dispose()


def test_a_connection_that_can_never_write_is_left(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/pbxbill.db"
    migrate(url)
    database = open_engine(url)
    with database.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")  # as one of a file that could not be written
    with pytest.raises(StoreUnavailable, match="readonly"), transaction(database) as session:
        session.execute(insert(UnitRow).values(code="EUR", scale=6, digits=2))
    with transaction(database) as session:
        session.execute(insert(UnitRow).values(code="EUR", scale=6, digits=2))
    with transaction(database) as session:
        assert session.get(UnitRow, "EUR") is not None
    database.dispose()
