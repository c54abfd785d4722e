"""What is committed has reached the disk: every connection that the product opens is a durable one."""

from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from pbxbill.store.driver import Driver, connect
from pbxbill.store.engine import open_engine, reading

FULL = 2


def of_driver(driver: Driver, setting: str) -> object:
    ((value,),) = driver.select(setting)
    return value


def of_connection(connection: Connection, setting: str) -> object:
    return connection.exec_driver_sql(setting).scalar_one()


def test_sqlite_writes_every_commit_to_the_disk(sqlite_url: str) -> None:
    with closing(connect(sqlite_url)) as driver:
        assert of_driver(driver, "PRAGMA synchronous") == FULL
        assert of_driver(driver, "PRAGMA journal_mode") == "wal"
        assert of_driver(driver, "PRAGMA foreign_keys") == 1
    database = open_engine(sqlite_url)
    # Two at once, so that the pool has to make both.
    with reading(database).connect() as one, reading(database).connect() as other:
        for connection in (one, other):
            assert of_connection(connection, "PRAGMA synchronous") == FULL
            assert of_connection(connection, "PRAGMA journal_mode") == "wal"
            assert of_connection(connection, "PRAGMA foreign_keys") == 1
    database.dispose()


def test_a_new_sqlite_database_keeps_a_log_of_what_is_written(tmp_path: Path) -> None:
    with closing(connect(f"sqlite:///{tmp_path / 'by_driver.db'}")) as driver:
        assert of_driver(driver, "PRAGMA journal_mode") == "wal"
    database = open_engine(f"sqlite:///{tmp_path / 'by_engine.db'}")
    with database.connect() as connection:
        assert of_connection(connection, "PRAGMA journal_mode") == "wal"
    database.dispose()


def test_postgresql_waits_for_the_disk_at_every_commit(postgres_url: str) -> None:
    with closing(connect(postgres_url)) as driver:
        assert of_driver(driver, "SHOW synchronous_commit") == "on"
    database = open_engine(postgres_url)
    with database.connect() as connection:
        assert of_connection(connection, "SHOW synchronous_commit") == "on"
    database.dispose()
