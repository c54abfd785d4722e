"""verify finds transfers that are off, wallets that listen wrongly and attempts that are two at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxbill.billing.payments.auto_top_ups import AutoTopUpTerms, set_auto_top_up
from pbxbill.billing.payments.balance_promises import BALANCE_RULES
from pbxbill.billing.payments.balance_thresholds import set_thresholds
from pbxbill.billing.payments.transfers import NewTransfer, transfer_funds
from pbxbill.charging.verify import checked
from pbxbill.store.driver import connect
from pbxbill.store.models import WalletRow
from pbxbill.store.thresholds import NOTICE
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.paying_accounts import Paying

BOB = "(SELECT id FROM wallets WHERE account_id = (SELECT id FROM accounts WHERE code = 'bob'))"
TRANSFER, LISTENS, FILLED = (rule.name for rule in BALANCE_RULES)
ATTEMPT = (
    "INSERT INTO gateway_payments (key, gateway_id, account_id, purpose, unit, amount, state, automatic, "
    "save_method, by, created_us) SELECT '{}', MIN(g.id), (SELECT id FROM accounts WHERE code = '{}'), "
    "'top_up', 'EUR', 1, 'asking', {}, FALSE, '', 1 FROM payment_gateways g"
)


@pytest.fixture
def paying(accounts: BilledAccounts, tmp_path: Path) -> Iterator[Paying]:
    """bob gave hot 5 of his 20 EUR, is told below 10 and 5, and filled below 2."""
    made = Paying(accounts, folder=tmp_path)
    made.set_up()
    made.save_card()
    made.top_up("bob", "20")
    with made.transaction() as session:
        bob, hot = made.account(session, "bob"), made.account(session, "hot")
        transfer_funds(
            session, made.books, bob, hot, NewTransfer(eur("5"), "EUR", "k", "gift"), made.clock.now_us()
        )
        wallet = session.query(WalletRow).filter_by(account_id=bob.id).one()
        set_thresholds(session, wallet, NOTICE, [eur("10"), eur("5")], 1)
        set_auto_top_up(session, bob, "EUR", AutoTopUpTerms(eur("2"), eur("10")), 1)
    yield made
    made.database.dispose()


def _broken(url: str) -> list[str]:
    driver = connect(url)
    try:
        driver.begin_snapshot()
        return [rule.name for rule in BALANCE_RULES if not checked(driver, rule).holds]
    finally:
        driver.rollback()
        driver.close()


def test_what_is_right_is_left_alone(paying: Paying) -> None:
    assert _broken(paying.accounts.url) == []
    assert paying.accounts.problems() == []


@pytest.mark.parametrize(
    "rule, damage",
    [
        (
            TRANSFER,
            [
                (
                    "UPDATE postings SET amount = amount + 1 WHERE ledger_account_id IN "
                    "(SELECT id FROM ledger_accounts WHERE code = 'transfer')"
                )
            ],
        ),
        (LISTENS, [f"UPDATE wallets SET tell_from = 1 WHERE id = {BOB}"]),
        (LISTENS, [f"UPDATE wallets SET tell_from = NULL WHERE id = {BOB}"]),
        (LISTENS, [f"UPDATE wallets SET tell_below = 5000000 WHERE id = {BOB}"]),
        (LISTENS, [f"UPDATE wallets SET tell_below = NULL WHERE id = {BOB}"]),
        (LISTENS, [f"UPDATE wallets SET posted = 9000000 WHERE id = {BOB}"]),
        (LISTENS, ["DELETE FROM balance_thresholds WHERE below = 10000000"]),
        (LISTENS, ["UPDATE wallets SET tell_below = 1, tell_from = 1 WHERE tell_from IS NULL"]),
        (FILLED, [ATTEMPT.format("a", "bob", "TRUE"), ATTEMPT.format("b", "bob", "TRUE")]),
        (
            FILLED,
            [
                ATTEMPT.format("a", "carol", "TRUE"),
                ("UPDATE auto_top_ups SET next_us = 1, payment_id = (SELECT MAX(id) FROM gateway_payments)"),
            ],
        ),
        (
            FILLED,
            [
                ATTEMPT.format("a", "bob", "FALSE"),
                ("UPDATE auto_top_ups SET next_us = 1, payment_id = (SELECT MAX(id) FROM gateway_payments)"),
            ],
        ),
        (
            FILLED,
            [
                ATTEMPT.format("a", "bob", "TRUE"),
                ("UPDATE auto_top_ups SET payment_id = (SELECT MAX(id) FROM gateway_payments)"),
            ],
        ),
        (FILLED, ["DELETE FROM balance_thresholds WHERE purpose = 'auto_top_up'"]),
    ],
)
def test_what_was_damaged_is_found(paying: Paying, rule: str, damage: list[str]) -> None:
    driver = connect(paying.accounts.url)
    driver.begin()
    for statement in damage:
        driver.select(statement + " RETURNING 1")
    driver.commit()
    driver.close()
    assert _broken(paying.accounts.url) == [rule]


def test_a_mark_that_waits_is_no_fault(paying: Paying) -> None:
    paying.top_up("bob", "-6")
    assert paying.accounts.select("SELECT COUNT(*) FROM balance_marks") == [(1,)]
    assert _broken(paying.accounts.url) == []
