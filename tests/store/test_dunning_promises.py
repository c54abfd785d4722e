"""verify finds what is wrong with dunning: rows are changed by hand, and it must name them."""

from datetime import date

import pytest

from pbxbill.billing.dunning.dunning_promises import DUNNING_RULES
from pbxbill.billing.dunning.promises_to_pay import NewPromise, promise
from pbxbill.charging.verify import checked
from pbxbill.store.driver import connect
from pbxbill.store.models import AccountRow
from tests.store.billed_accounts import BilledAccounts
from tests.store.dunned_accounts import Dunned

STEPS, STOPS, PROMISES = (rule.name for rule in DUNNING_RULES)
AGAIN = (
    "INSERT INTO promises_to_pay (id, account_id, unit, amount, until_us, state, made_us, remark, by) "
    "SELECT id + 1, account_id, unit, amount, until_us, state, made_us, remark, by FROM promises_to_pay"
)
DAMAGE = [
    (STEPS, "UPDATE invoices SET dunning_step = 1 WHERE dunning_step = 3"),
    (STEPS, "DELETE FROM dunning_steps WHERE level = 1"),
    (STEPS, "UPDATE dunning_steps SET open = open + 10000 WHERE level = 2"),
    (STEPS, "UPDATE charges SET kind = 'one_time' WHERE kind = 'late_fee'"),
    (STOPS, "UPDATE dunning_states SET level = 2"),
    (STOPS, "UPDATE dunning_states SET account_id = account_id - 1"),
    (STOPS, "UPDATE dunning_steps SET ended_us = at_us WHERE level = 3"),
    (STOPS, "UPDATE suspensions SET cause = 'dunning:999'"),
    (STOPS, "UPDATE invoices SET open = 0 WHERE dunning_step = 3"),
    (PROMISES, "UPDATE promises_to_pay SET state = 'kept'"),
    (PROMISES, "UPDATE promises_to_pay SET ended_us = 1"),
    (
        PROMISES,
        AGAIN,
    ),
]


@pytest.mark.parametrize("name, statement", DAMAGE)
def test_what_is_broken_is_found(accounts: BilledAccounts, name: str, statement: str) -> None:
    dunned = Dunned(accounts)
    dunned.open()
    dunned.until(20)
    if name == PROMISES:
        with dunned.session() as session:
            account = session.get_one(AccountRow, accounts.ids["carol"])
            promise(session, account, NewPromise("EUR", date(2026, 3, 17)), dunned.clock.now_us())
    assert _broken(accounts.url) == []
    with dunned.session() as session:
        session.connection().exec_driver_sql(statement)
    dunned.database.dispose()
    assert name in _broken(accounts.url)


def _broken(url: str) -> list[str]:
    driver = connect(url)
    try:
        return [x.name for x in (checked(driver, rule) for rule in DUNNING_RULES) if not x.holds]
    finally:
        driver.close()
