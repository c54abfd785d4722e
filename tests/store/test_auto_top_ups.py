"""Wallets that fill themselves from a saved card: once per fall, within caps, later after each decline."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pbxbill.billing.parties import set_party
from pbxbill.billing.payments.auto_top_up_attempts import fill_wallets
from pbxbill.billing.payments.auto_top_ups import resume, turn_off
from pbxbill.billing.payments.balance_marks import read_marks
from pbxbill.billing.payments.balance_thresholds import set_thresholds
from pbxbill.billing.payments.gateway_payments import GatewayDesk
from pbxbill.billing.payments.saved_methods import forget_method
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Answer, Extend, Extended, Granted, Settle
from pbxbill.errors import InputRefused
from pbxbill.store.driver import connect
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import AutoTopUpRow, SavedMethodRow
from pbxbill.store.thresholds import NOTICE
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import MINUTE_US, BilledAccounts
from tests.store.filling_wallets import Filling
from tests.store.other_process import Process, go, line, started

pytestmark = pytest.mark.timeout(60)
HOUR_S = 3600
POINTS = ("dies", "died", "before:2", "after:2", "before:4", "after:4")
"""The gateway, and commits: of the attempt, and of what came of it."""


@pytest.fixture
def filling(accounts: BilledAccounts, tmp_path: Path) -> Iterator[Filling]:
    made = Filling(accounts, folder=tmp_path)
    made.set_up()
    made.save_card()
    made.top_up("bob", "10")
    yield made
    made.database.dispose()
    assert_books_in_order(accounts.url)


def test_a_wallet_is_filled_once_per_fall(filling: Filling) -> None:
    filling.set()
    assert filling.jobs() == ""
    filling.spend("6")
    assert filling.jobs() == "1 asked for, 1 paid"
    assert filling.wallet() == eur("24")
    assert filling.jobs() == ""
    filling.spend("20")
    assert filling.jobs() == "1 asked for, 1 paid"
    assert filling.gateway.charges == 2


def test_funds_that_are_low_already_are_filled_at_once(filling: Filling) -> None:
    filling.set(below="15")
    assert filling.jobs() == "1 asked for, 1 paid"
    assert filling.wallet() == eur("30")


def test_what_is_not_enough_is_followed_by_more(filling: Filling) -> None:
    filling.set(below="40", amount="20", daily_cap="60")
    assert filling.jobs() == "1 asked for, 1 paid; 1 asked for, 1 paid"
    assert filling.jobs() == ""
    assert filling.wallet() == eur("50")


@pytest.mark.parametrize("charge_back", [False, True])
def test_money_that_went_back_is_not_taken_again_from_the_same_card(
    filling: Filling, charge_back: bool
) -> None:
    with filling.transaction() as session:
        party = {"legal_name": "Bob", "email": "bob@example.org"}
        set_party(session, filling.accounts.ids["bob"], party)
    filling.set()
    filling.spend("6")
    filling.jobs()
    filling.spend("24")
    (key,) = filling.gateway.keys("paid")
    ref = filling.gateway.give_back_there(key, 2000, charge_back=charge_back)
    filling.tell(filling.told_back(ref))
    assert filling.jobs() == ""
    assert (filling.wallet(), filling.gateway.charges) == (-eur("20"), 1)
    assert (filling.standing_row, filling.messages("auto_top_up_stopped")) == (("off", 0, False), 1)
    with filling.transaction() as session:
        resume(session, filling.account(session, "bob"), "EUR", filling.clock.now_us())
    assert filling.jobs() == "1 asked for, 1 paid; 1 asked for, 1 paid"


def test_a_clock_that_was_ahead_holds_up_no_wallet(filling: Filling) -> None:
    filling.set()
    year_us = 365 * 86_400_000_000
    filling.clock.step(year_us)
    filling.gateway.fault("charge", "late")
    filling.spend("6")
    assert filling.jobs() == "1 asked for, 1 not answered"
    filling.clock.step(-year_us)
    filling.poll(130)
    assert filling.wallet() == eur("24")
    filling.spend("20")
    assert filling.jobs() == "1 asked for, 2 paid"


def test_an_attempt_that_nobody_knows_of_blocks_a_second_one(filling: Filling) -> None:
    filling.set()
    filling.gateway.fault("charge", "late")
    filling.spend("6")
    assert filling.jobs() == "1 asked for, 1 not answered"
    filling.spend("1")
    for _ in range(3):
        filling.later(30)
        filling.jobs()
    assert filling.gateway.charges == 1
    assert filling.wallet() == eur("3")
    filling.poll()
    assert filling.wallet() == eur("23")
    assert filling.jobs() == "1 paid"
    assert filling.gateway.charges == 1
    filling.spend("20")
    filling.jobs()
    assert filling.gateway.charges == 2


@pytest.mark.parametrize("fault", ["lost", "late"])
def test_one_who_dies_before_the_answer_is_written_leaves_one_charge(
    filling: Filling, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filling.set()
    filling.spend("6")
    read_marks(filling.database, filling.clock)
    desk = filling.another_desk()

    def dies(payment_id: int) -> None:
        if fault == "late":  # the gateway has done it, and nobody heard
            filling.gateway.fault("charge", "late")
            GatewayDesk.go_on(desk, payment_id)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(desk, "go_on", dies)
        with pytest.raises(KeyboardInterrupt):
            fill_wallets(desk)
    assert filling.wallet() == eur("4")
    filling.later(60)
    assert filling.jobs() == "1 not answered"
    filling.poll(150)
    filling.later(60)
    assert filling.jobs() == "1 paid"
    assert filling.gateway.charges == 1
    assert filling.wallet() == eur("24")


def _process(filling: Filling, stack: ExitStack, dies_at: str = "") -> Process:
    path, now_us = filling.folder / "gateway.json", filling.clock.now_us()
    process = stack.enter_context(started("filling_process", filling.accounts.url, path, now_us, dies_at))
    assert line(process) == "ready"
    return process


def test_processes_at_once_make_one_attempt(filling: Filling) -> None:
    filling.set()
    filling.spend("6")
    filling.later(1)
    with ExitStack() as stack:
        processes = [_process(filling, stack) for _ in range(4)]
        for process in processes:
            go(process)
        told = [line(process) for process in processes]
    assert sum("1 asked for, 1 paid" in words for words in told) == 1
    assert filling.gateway.charges == 1
    assert filling.wallet() == eur("24")


@pytest.mark.parametrize("point", POINTS)
def test_one_who_is_killed_anywhere_leaves_one_charge(filling: Filling, point: str) -> None:
    filling.set()
    filling.spend("6")
    filling.later(1)
    at_gateway = point in {"dies", "died"}
    if at_gateway:
        filling.gateway.fault("charge", point)
    with ExitStack() as stack:
        process = _process(filling, stack, "" if at_gateway else point)
        go(process)
        assert process.wait(30) == -9
    for seconds in (20, 130, 3600, 20):
        filling.poll(seconds)
        filling.jobs()
    assert filling.gateway.charges == 1
    assert filling.wallet() == eur("24")
    assert filling.standing_row == ("on", 0, False)


def test_after_declines_it_waits_longer_and_longer_then_stops(filling: Filling) -> None:
    filling.set()
    filling.spend("6")
    for declines, hours in ((1, 1), (2, 6), (3, 24)):
        filling.gateway.fault("charge", "declined")
        assert filling.jobs() == "1 asked for, 1 declined"
        assert filling.standing_row == ("on", declines, False)
        filling.later(hours * HOUR_S - 10)
        assert filling.jobs() == ""
        filling.later(10)
    filling.gateway.fault("charge", "declined")
    assert filling.jobs() == "1 asked for, 1 declined"
    assert filling.standing_row == ("stopped", 4, False)
    filling.later(100 * HOUR_S)
    filling.spend("1")
    assert filling.jobs() == ""
    assert len(filling.gateway.keys("declined")) == 4


def _stop(filling: Filling) -> None:
    filling.set()
    filling.spend("6")
    for _ in range(4):
        filling.gateway.fault("charge", "declined")
        filling.jobs()
        filling.later(24 * HOUR_S)
    assert filling.standing_row == ("stopped", 4, False)


def _save_another_card(filling: Filling) -> None:
    with filling.transaction() as session:
        old = session.query(SavedMethodRow).one()
        names = ("account_id", "gateway_id", "customer_ref", "brand", "expires", "state")
        kept = {name: getattr(old, name) for name in names}
        now_us = filling.clock.now_us()
        session.add(
            SavedMethodRow(**kept, method_ref="new", last4="1881", preferred=False, created_us=now_us)
        )


def test_a_card_that_was_there_before_is_not_charged_in_place_of_the_chosen_one(filling: Filling) -> None:
    _save_another_card(filling)
    filling.later(1)
    _stop(filling)
    assert filling.jobs() == ""


def test_a_card_that_was_saved_after_a_decline_resumes_what_stopped(filling: Filling) -> None:
    filling.set()
    filling.spend("6")
    for number in range(3):
        filling.gateway.fault("charge", "declined")
        assert filling.jobs() == "1 asked for, 1 declined"
        if number == 0:
            _save_another_card(filling)
        filling.later(24 * HOUR_S)
    filling.gateway.fault("charge", "declined")
    assert filling.jobs() == "1 asked for, 1 declined; 1 asked for, 1 paid, 1 resumed with a new card"


def test_a_new_card_resumes_what_stopped(filling: Filling) -> None:
    _stop(filling)
    _save_another_card(filling)
    assert filling.jobs() == "1 asked for, 1 paid, 1 resumed with a new card"
    assert filling.standing_row == ("on", 0, False)


def test_it_is_resumed_by_hand(filling: Filling) -> None:
    _stop(filling)
    with filling.transaction() as session:
        resume(session, filling.account(session, "bob"), "EUR", filling.clock.now_us())
    assert filling.jobs() == "1 asked for, 1 paid"


def test_success_forgets_declines(filling: Filling) -> None:
    filling.set()
    filling.gateway.fault("charge", "declined")
    filling.spend("6")
    filling.jobs()
    filling.later(HOUR_S)
    assert filling.jobs() == "1 asked for, 1 paid"
    assert filling.standing_row == ("on", 0, False)


def test_a_busy_gateway_is_no_decline(filling: Filling) -> None:
    filling.set()
    filling.gateway.fault("charge", "busy")
    filling.spend("6")
    assert filling.jobs() == "1 asked for"
    assert filling.standing_row == ("on", 0, False)
    assert filling.jobs() == ""
    filling.later(HOUR_S)
    assert filling.jobs() == "1 asked for, 1 paid"


def test_a_card_that_was_removed_stops_it(filling: Filling) -> None:
    filling.set()
    with filling.transaction() as session:
        forget_method(session, session.query(SavedMethodRow).one())
    filling.spend("6")
    assert filling.jobs() == ""
    assert filling.standing_row == ("stopped", 0, False)
    with filling.transaction() as session, pytest.raises(InputRefused, match="no saved method"):
        resume(session, filling.account(session, "bob"), "EUR", filling.clock.now_us())


def test_caps_count_in_the_accounts_own_days_and_months(filling: Filling) -> None:
    # 2026-01-31, 22:00 in Auckland, where it is 13 hours later than in UTC.
    with filling.transaction() as session:
        set_profile(session, filling.accounts.ids["bob"], ProfileTerms(zone="Pacific/Auckland"))
    filling.later(30 * 24 * HOUR_S + 9 * HOUR_S)
    filling.set(daily_cap="30", monthly_cap="50")
    filling.spend("6")
    assert filling.jobs() == "1 asked for, 1 paid"
    filling.spend("20")
    assert filling.jobs() == ""  # 20 of 30 are taken today
    filling.later(HOUR_S)
    assert filling.jobs() == ""
    filling.later(HOUR_S)  # midnight there; in UTC it is 11:00
    assert filling.jobs() == "1 asked for, 1 paid"
    filling.later(24 * HOUR_S)
    filling.spend("20")
    assert filling.jobs() == "1 asked for, 1 paid"
    filling.later(24 * HOUR_S)
    filling.spend("20")
    assert filling.jobs() == ""  # 40 of February's 50
    filling.later(24 * HOUR_S)
    assert filling.jobs() == ""
    filling.later(25 * 24 * HOUR_S)
    assert filling.jobs() == "1 asked for, 1 paid"


def test_without_caps_too_a_wallet_is_filled_five_times_an_hour_at_most(filling: Filling) -> None:
    with filling.transaction() as session:
        party = {"legal_name": "Bob", "email": "bob@example.org"}
        set_party(session, filling.accounts.ids["bob"], party)
    filling.set(below="500", amount="20")
    for _ in range(8):
        filling.jobs()
    assert (filling.gateway.charges, filling.messages("auto_top_up_stopped")) == (5, 1)
    assert filling.standing_row == ("on", 0, False)
    filling.later(HOUR_S)
    for _ in range(8):
        filling.jobs()
    assert (filling.gateway.charges, filling.messages("auto_top_up_stopped")) == (10, 2)


def test_what_nobody_knows_of_counts_towards_the_cap(filling: Filling) -> None:
    filling.set(below="40", amount="20", daily_cap="20")
    filling.gateway.fault("charge", "late")
    filling.jobs()
    filling.poll()
    filling.jobs()
    assert filling.gateway.charges == 1


def test_one_that_was_turned_off_asks_for_nothing(filling: Filling) -> None:
    filling.set()
    with filling.transaction() as session:
        turn_off(session, filling.account(session, "bob"), "EUR", filling.clock.now_us())
    filling.spend("6")
    assert filling.jobs() == ""
    assert filling.standing_row == ("off", 0, False)


def test_a_suspended_account_is_filled_once_it_works_again(filling: Filling) -> None:
    filling.set()
    with filling.transaction() as session:
        filling.account(session, "bob").status = "suspended"
    filling.spend("6")
    assert filling.jobs() == ""
    with filling.transaction() as session:
        filling.account(session, "bob").status = "active"
    filling.later(HOUR_S)
    assert filling.jobs() == "1 asked for, 1 paid"


def test_an_account_that_another_system_bills_is_neither_told_nor_charged(filling: Filling) -> None:
    filling.set()
    with filling.transaction() as session:
        wallet = session.query(WalletRow).filter_by(account_id=filling.accounts.ids["bob"]).one()
        set_thresholds(session, wallet, NOTICE, [eur("5")], 1)
        set_party(session, wallet.account_id, {"legal_name": "Bob", "email": "bob@example.org"})
        filling.account(session, "bob").shadow = True
    filling.spend("6")
    assert filling.jobs() == ""
    assert filling.messages("low_balance") == 0
    with filling.transaction() as session:
        filling.account(session, "bob").shadow = False
    filling.later(HOUR_S)
    assert filling.jobs() == "1 asked for, 1 paid"
    filling.spend("20")
    filling.jobs()
    assert filling.messages("low_balance") == 1


def test_a_live_call_lasts_longer_by_it(filling: Filling) -> None:
    filling.spend("9.76")  # 0.24 is left: two minutes
    filling.set(below="0.20", amount="5")
    engine = ChargingEngine(lambda: connect(filling.accounts.url), filling.clock)
    engine.start()
    try:
        request = replace(filling.accounts.request("bob"), at_us=filling.clock.now_us())
        granted = engine.execute(request)
        assert isinstance(granted, Granted)
        answered_us = filling.clock.now_us()
        engine.execute(Answer(granted.session_id, answered_us, "leg"))
        filling.later(50)
        short = engine.execute(Extend(granted.session_id, 3 * MINUTE_US, filling.clock.now_us()))
        assert isinstance(short, Extended)
        assert (short.granted_us, short.final) == (2 * MINUTE_US, True)
        assert filling.jobs() == "1 asked for, 1 paid"
        longer = engine.execute(Extend(granted.session_id, 3 * MINUTE_US, filling.clock.now_us()))
        assert isinstance(longer, Extended)
        assert (longer.granted_us, longer.final) == (3 * MINUTE_US, False)
        engine.execute(Settle(granted.session_id, answered_us, answered_us + 3 * MINUTE_US, 16))
    finally:
        engine.stop()
    assert filling.wallet() == eur("4.88")


@pytest.mark.parametrize(
    "terms, reason",
    [
        ({"amount": "0"}, "must be more than zero"),
        ({"amount": "0.001"}, "in whole coins"),
        ({"below": "-1"}, "0 or more"),
        ({"daily_cap": "10"}, "the daily cap is less than one top-up"),
        ({"monthly_cap": "10"}, "the monthly cap is less than one top-up"),
        ({"method_id": 99}, "no saved method 99"),
    ],
)
def test_terms_that_cannot_be(filling: Filling, terms: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputRefused, match=reason):
        filling.set(**terms)


def test_another_accounts_card_is_not_charged(filling: Filling) -> None:
    card = filling.save_card("carol")
    with pytest.raises(InputRefused, match="account bob has no saved method"):
        filling.set(method_id=card)


def test_it_needs_a_wallet_and_a_row(filling: Filling) -> None:
    with filling.transaction() as session:
        bob = session.get_one(AccountRow, filling.accounts.ids["bob"])
        with pytest.raises(InputRefused, match="has no automatic top-up in EUR"):
            turn_off(session, bob, "EUR", 0)
        assert session.query(AutoTopUpRow).count() == 0
