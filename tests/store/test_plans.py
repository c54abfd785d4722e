"""Whoever asks for that has each statement planned for its values on PostgreSQL."""

from sqlalchemy import text

from pbxbill.store.engine import open_engine


def test_plans_are_kept_only_by_whom_they_serve(database_url: str) -> None:
    for plan_each, expected in ((True, "force_custom_plan"), (False, "auto")):
        database = open_engine(database_url, plan_each=plan_each)
        with database.connect() as connection:
            if database.dialect.name == "postgresql":
                assert connection.scalar(text("SHOW plan_cache_mode")) == expected
            assert connection.scalar(text("SELECT COUNT(*) FROM accounts")) == 0
        database.dispose()
