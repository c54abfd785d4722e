"""Marks that the charging path leaves: once per fall, and where a wallet is filled again."""

from collections.abc import Callable

import pytest

from pbxbill.charging.events import Adjust, Answer, Extend, Moved, SetCreditLimit, Settle, TopUp
from pbxbill.ids import new_id
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import WalletRow
from tests.small_operator import eur
from tests.store.billed_accounts import CLOCK, MINUTE_US, BilledAccounts

pytestmark = pytest.mark.timeout(60)


def _watch(accounts: BilledAccounts, code: str, below: str | None, top: str) -> None:
    """As the job does it, in a transaction of its own."""
    database = open_engine(accounts.url)
    with transaction(database) as session:
        wallet = session.query(WalletRow).filter_by(account_id=accounts.ids[code]).one()
        wallet.tell_below = None if below is None else eur(below)
        wallet.tell_from = eur(top)
    database.dispose()


def _marks(accounts: BilledAccounts) -> list[int]:
    return [row[0] for row in accounts.select("SELECT can_spend FROM balance_marks ORDER BY id")]


def _told(accounts: BilledAccounts, code: str) -> int | None:
    statement = f"SELECT tell_below FROM wallets WHERE account_id = {accounts.ids[code]}"
    ((told,),) = accounts.select(statement)
    return None if told is None else int(told)


def test_a_call_that_reserves_below_the_threshold_leaves_one_mark(accounts: BilledAccounts) -> None:
    accounts.top_up("bob", "1")
    _watch(accounts, "bob", "0.90", "0.90")
    with accounts.engine() as engine:
        granted = accounts.call(engine, "bob")  # 0.12 a minute, which are held for the first
        assert _marks(accounts) == [eur("0.88")]
        assert _told(accounts, "bob") is None
        now_us = CLOCK.now_us()
        engine.execute(Answer(granted.session_id, now_us, "leg"))
        engine.execute(Extend(granted.session_id, 2 * MINUTE_US, now_us + 50_000_000))
        engine.execute(Settle(granted.session_id, now_us, now_us + MINUTE_US, 16))
        accounts.call(engine, "bob")
    assert _marks(accounts) == [eur("0.88")]


def test_nothing_is_marked_above_it_nor_without_thresholds(accounts: BilledAccounts) -> None:
    accounts.top_up("bob", "1")
    accounts.top_up("alice", "1")
    _watch(accounts, "bob", "0.88", "0.88")
    with accounts.engine() as engine:
        accounts.call(engine, "bob")
        accounts.call(engine, "alice")
    assert _marks(accounts) == []
    assert _told(accounts, "bob") == eur("0.88")


def test_an_engine_that_remembers_wallets_hears_of_a_threshold_at_once(accounts: BilledAccounts) -> None:
    accounts.top_up("bob", "5")
    with accounts.engine() as engine:
        accounts.call(engine, "bob")
        _watch(accounts, "bob", "4.80", "4.80")
        accounts.call(engine, "bob")
        assert _marks(accounts) == [eur("4.76")]
        _watch(accounts, "bob", "4.70", "4.80")
        accounts.call(engine, "bob")
        accounts.call(engine, "bob")
    assert _marks(accounts) == [eur("4.76"), eur("4.64")]


Change = Callable[[int, int], Adjust | SetCreditLimit | TopUp]

FILLS: tuple[Change, ...] = (
    lambda id, now_us: TopUp(new_id(), id, "EUR", eur("1"), now_us),
    lambda id, now_us: Adjust(new_id(), id, "EUR", eur("1"), now_us),
    lambda id, now_us: SetCreditLimit(id, "EUR", eur("1"), now_us),
)


@pytest.mark.parametrize("fill", FILLS)
def test_what_fills_a_wallet_after_a_fall_leaves_a_mark(accounts: BilledAccounts, fill: Change) -> None:
    accounts.top_up("bob", "5")
    _watch(accounts, "bob", None, "6")
    with accounts.engine() as engine:
        assert isinstance(engine.execute(fill(accounts.ids["bob"], CLOCK.now_us())), Moved)
        assert _marks(accounts) == [eur("6")]
        _watch(accounts, "bob", "6", "6")
        engine.execute(fill(accounts.ids["bob"], CLOCK.now_us() + 1))
    assert _marks(accounts) == [eur("6")]


def test_money_taken_out_and_a_lower_limit_count_as_falls(accounts: BilledAccounts) -> None:
    _watch(accounts, "carol", "15", "15")
    with accounts.engine() as engine:
        assert isinstance(
            engine.execute(SetCreditLimit(accounts.ids["carol"], "EUR", eur("10"), CLOCK.now_us())), Moved
        )
        assert _marks(accounts) == [eur("10")]
        _watch(accounts, "carol", "8", "15")
        engine.execute(Adjust(new_id(), accounts.ids["carol"], "EUR", -eur("3"), CLOCK.now_us()))
    assert _marks(accounts) == [eur("10"), eur("7")]


def test_a_command_that_came_before_marks_nothing(accounts: BilledAccounts) -> None:
    command = TopUp("once", accounts.ids["bob"], "EUR", eur("1"), CLOCK.now_us())
    with accounts.engine() as engine:
        engine.execute(command)
        _watch(accounts, "bob", None, "6")
        engine.execute(command)
    assert _marks(accounts) == []
