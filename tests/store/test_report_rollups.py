"""Roll-ups equal the records at every moment: after late records, corrections, and kills in between."""

import random

import pytest
from sqlalchemy import select, text

from pbxbill.errors import StoreUnavailable
from pbxbill.reports import rollups
from pbxbill.reports.rollups import check_counts, rebuild, roll_up
from pbxbill.reports.sums import Summed, Sums, Wanted, add, read
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.report_models import RollupPeriodRow, RollupRow, RollupStateRow
from pbxbill.store.rollup_marks import HOUR_US, ROLLED_AFTER_US
from tests.store.billed_accounts import BilledAccounts
from tests.store.reported_calls import BEGIN_US, DAY_US, PLACES, Reported, marks, open_reported

END_US = BEGIN_US + 40 * DAY_US


@pytest.fixture
def reported(accounts: BilledAccounts) -> Reported:
    return open_reported(accounts)


def summed(rows: list[Summed]) -> dict[str, list[int]]:
    found: dict[str, Sums] = {}
    for row in rows:
        found[row.member] = add(found.get(row.member, Sums()), row.sums)
    return {
        member: [x.calls, x.answered, x.billed_us, x.total, x.tax, x.cost, x.rung, x.ringing_us]
        for member, x in found.items()
        if any(x)
    }


def assert_equal(reported: Reported, from_us: int = BEGIN_US - DAY_US, to_us: int = END_US) -> None:
    database = open_engine(reported.accounts.url)
    try:
        with transaction(database) as session:
            for seller_id in (reported.operator_id, reported.accounts.ids["reseller"]):
                seller = session.get_one(AccountRow, seller_id)
                for dimension in ("direction", "account", "destination", "carrier"):
                    wanted = Wanted(seller, dimension, [(from_us, to_us)])
                    expected = reported.expected(seller_id, dimension, from_us, to_us)
                    assert summed(read(session, wanted)) == expected, (seller_id, dimension)
                    if expected:  # another one alone each time
                        member = sorted(expected)[reported.number % len(expected)]
                        alone = Wanted(seller, dimension, [(from_us, to_us)], members=(member,))
                        assert summed(read(session, alone)) == {member: expected[member]}
    finally:
        database.dispose()


@pytest.mark.parametrize("seed", range(4))
def test_reports_equal_the_records_whatever_comes_when(
    reported: Reported, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    picked = random.Random(seed)
    database = open_engine(reported.accounts.url)
    now_us = BEGIN_US
    monkeypatch.setattr(rollups, "HOURS_AT_ONCE", {"postgresql": 24, "sqlite": 12})
    run_id = 0
    try:
        for _ in range(12):
            now_us += picked.choice([HOUR_US // 2, 7 * HOUR_US, 3 * DAY_US, 9 * DAY_US])
            with transaction(database) as session:
                for _ in range(picked.randrange(1, 15)):
                    # Calls of just now, and records that come late, of weeks ago.
                    age_us = picked.choice([0, HOUR_US // 2, 5 * HOUR_US, 11 * DAY_US])
                    started_us = max(BEGIN_US, now_us - age_us - picked.randrange(HOUR_US // 4))
                    reported.call(session, picked, started_us, now_us)
            if reported.charged and picked.random() < 0.5:
                run_id += 1
                with transaction(database) as session:
                    reported.correct(session, picked, run_id, now_us)
            assert_equal(reported)
            steps = picked.choice([0, 1, 3, 1000])
            roll_up(database, now_us, stop=iter([False] * steps + [True] * 1000).__next__)
            assert_equal(reported)
            assert_equal(reported, BEGIN_US + 5 * HOUR_US, now_us // HOUR_US * HOUR_US)
        roll_up(database, now_us + DAY_US)
        with transaction(database) as session:
            assert marks(session) == 0
            until_us = session.scalars(select(RollupStateRow.until_us)).one()
            assert until_us == (now_us + DAY_US - ROLLED_AFTER_US) // HOUR_US * HOUR_US
        assert check_counts(database, now_us, always=True) == 0
        assert_equal(reported)
        before = _rows(reported)
        rebuild(database, now_us + DAY_US)
        assert _rows(reported) == before
        assert_equal(reported)
    finally:
        database.dispose()


def test_days_and_months_are_read_where_they_hold(reported: Reported) -> None:
    database = open_engine(reported.accounts.url)
    picked = random.Random(1)
    try:
        with transaction(database) as session:
            for day in range(33):
                reported.call(session, picked, BEGIN_US + day * DAY_US, BEGIN_US + day * DAY_US)
        done = roll_up(database, BEGIN_US + 34 * DAY_US)
        assert (done.days, done.months) == (33, 2)
        assert roll_up(database, BEGIN_US + 34 * DAY_US) == rollups.Rolled()
        with transaction(database) as session:
            # What a month holds is read from the month alone.
            session.execute(text("DELETE FROM rollups WHERE grain <> 'month'"))
        assert_equal(reported, BEGIN_US, BEGIN_US + 31 * DAY_US)
    finally:
        database.dispose()


def test_what_fails_in_between_leaves_what_was(reported: Reported, monkeypatch: pytest.MonkeyPatch) -> None:
    database = open_engine(reported.accounts.url)
    picked = random.Random(2)
    try:
        with transaction(database) as session:
            for _ in range(20):
                reported.call(session, picked, BEGIN_US, BEGIN_US)
        roll_up(database, BEGIN_US + 2 * DAY_US)
        with transaction(database) as session:
            reported.call(session, picked, BEGIN_US, BEGIN_US + 2 * DAY_US)

        def killed(*_: object) -> None:
            raise StoreUnavailable("killed")

        with monkeypatch.context() as broken:
            broken.setattr(rollups, "_drop_periods", killed)
            with pytest.raises(StoreUnavailable):
                roll_up(database, BEGIN_US + 2 * DAY_US)
        with transaction(database) as session:
            assert marks(session) == 1
        assert_equal(reported)
        roll_up(database, BEGIN_US + 2 * DAY_US)
        assert_equal(reported)
    finally:
        database.dispose()


def test_a_record_that_a_wrong_clock_left_unmarked_is_found(reported: Reported) -> None:
    database = open_engine(reported.accounts.url)
    picked = random.Random(3)
    now_us = BEGIN_US + 2 * DAY_US
    try:
        with transaction(database) as session:
            reported.call(session, picked, BEGIN_US, BEGIN_US)
        roll_up(database, now_us)
        with transaction(database) as session:
            reported.call(session, picked, BEGIN_US + HOUR_US, BEGIN_US + HOUR_US)
            assert marks(session) == 0
        assert check_counts(database, now_us) == 1
        assert check_counts(database, now_us + HOUR_US) == 0
        roll_up(database, now_us)
        assert_equal(reported)
    finally:
        database.dispose()


def test_two_dimensions_at_once_come_from_the_records(reported: Reported) -> None:
    from pbxbill.reports.call_facts import Members

    database = open_engine(reported.accounts.url)
    picked = random.Random(4)
    try:
        with transaction(database) as session:
            for _ in range(60):
                reported.call(session, picked, BEGIN_US, BEGIN_US)
        roll_up(database, BEGIN_US + 2 * DAY_US)
        with transaction(database) as session:
            operator = session.get_one(AccountRow, reported.operator_id)
            only = Members(account_id=reported.accounts.ids["reseller"])
            period = [(BEGIN_US, BEGIN_US + HOUR_US)]
            found = read(session, Wanted(operator, "destination", period, only))
            total = sum(x.sums.total for x in found)
            of_reseller = reported.expected(operator.id, "account", *period[0])
            assert total == of_reseller[str(reported.accounts.ids["reseller"])][3]
            assert {x.member for x in found} <= set(PLACES)
    finally:
        database.dispose()


def _rows(reported: Reported) -> list[tuple[object, ...]]:
    database = open_engine(reported.accounts.url)
    try:
        with transaction(database) as session:
            columns = list(RollupRow.__table__.columns)
            rows = session.execute(select(*columns).order_by(*columns[:6])).all()
            periods = session.execute(select(*RollupPeriodRow.__table__.columns)).all()
            return sorted(map(tuple, rows)) + sorted(map(tuple, periods))
    finally:
        database.dispose()
