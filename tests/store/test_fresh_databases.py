"""What tests find in their databases is what they would have written themselves, and no other test's."""

from sqlalchemy import MetaData, func, select

from pbxbill.store.engine import migrate, open_engine
from tests.store.billed_accounts import open_accounts


def _rows(url: str) -> dict[str, list[tuple]]:
    engine = open_engine(url)
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in tables.sorted_tables
        }
    engine.dispose()
    # Each installation has a name of its own.
    rows["installation"] = [row[:0] for row in rows["installation"]]
    return rows


def test_accounts_that_were_copied_are_as_if_just_opened(accounts, empty_database_url):
    migrate(empty_database_url)
    opened = open_accounts(empty_database_url)
    assert accounts.ids == opened.ids
    assert _rows(accounts.url) == _rows(opened.url)


def test_what_comes_next_gets_the_same_ids(accounts, empty_database_url):
    migrate(empty_database_url)
    opened = open_accounts(empty_database_url)
    for each in (accounts, opened):
        each.top_up("alice", "5")
    assert _counts(accounts.url) == _counts(opened.url)


def _counts(url: str) -> dict[str, tuple]:
    engine = open_engine(url)
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        found = {
            table.name: tuple(
                connection.execute(
                    select(func.count(), *(func.max(column) for column in table.primary_key))
                ).one()
            )
            for table in tables.sorted_tables
            if all(column.type.python_type is int for column in table.primary_key)
        }
    engine.dispose()
    return found
