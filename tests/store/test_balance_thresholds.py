"""Accounts are told once per fall below each threshold, by the marks that the charging path leaves."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from pbxbill.billing.notices.noticing import Money, tell
from pbxbill.billing.parties import set_party
from pbxbill.billing.payments import balance_marks
from pbxbill.billing.payments.balance_marks import read_marks
from pbxbill.billing.payments.balance_thresholds import set_defaults, set_thresholds, thresholds_of
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Adjust, Answer, Granted, SetCreditLimit, Settle, TopUp
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.money import Unit, to_decimal
from pbxbill.store.accounts import NewAccount, ensure_unit, open_account, open_wallet
from pbxbill.store.driver import connect
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.thresholds import AUTO_TOP_UP, NOTICE
from tests.small_operator import eur
from tests.store.billed_accounts import MINUTE_US
from tests.store.invoiced_accounts import Invoicing, operator_id

pytestmark = pytest.mark.timeout(60)


class Watched:
    """bob, who has an address, and what he is told."""

    def __init__(self, invoicing: Invoicing) -> None:
        self.site = invoicing
        self.accounts = invoicing.accounts
        self.id = self.accounts.ids["bob"]
        with invoicing.transaction() as session:
            set_party(session, self.id, {"legal_name": "Bob", "email": "bob@example.org"})
        self._told: list[str] = []
        self._messages = 0

    def thresholds(self, *amounts: str, purpose: str = NOTICE) -> None:
        with self.site.transaction() as session:
            wallet = session.query(WalletRow).filter_by(account_id=self.id).one()
            set_thresholds(session, wallet, purpose, [eur(x) for x in amounts], self.site.clock.now_us())

    def money(self, *amounts: str) -> None:
        """Top-ups, and adjustments below zero."""
        with self.site.transaction() as session:
            for amount in amounts:
                moved, at_us = eur(amount), self.site.clock.now_us()
                command = (TopUp if moved > 0 else Adjust)(new_id(), self.id, "EUR", moved, at_us)
                self.site.books.post(session, [command])

    def call(self, engine: ChargingEngine) -> Granted:
        request = replace(self.accounts.request("bob"), at_us=self.site.clock.now_us())
        granted = engine.execute(request)
        assert isinstance(granted, Granted), granted
        return granted

    def limit(self, amount: str) -> None:
        with self.site.transaction() as session:
            command = SetCreditLimit(self.id, "EUR", eur(amount), self.site.clock.now_us())
            self.site.books.post(session, [command])

    def told(self) -> list[str]:
        """The notices since it was asked last."""
        self.site.clock.advance(1_000_000)
        read_marks(self.site.database, self.site.clock)
        ((messages,),) = self.accounts.select("SELECT COUNT(*) FROM outbox")
        assert messages == self._messages + len(self._told)
        self._messages, told = messages, list(self._told)
        self._told.clear()
        return told

    def tell(self, session: Session, account_id: int, kind: str, **named: Any) -> int:
        """As noticing.tell, and remembered."""
        written = tell(session, account_id, kind, **named)  # type: ignore[arg-type]
        amounts = [to_decimal(x.amount, 6) for x in named["facts"].values() if isinstance(x, Money)]
        self._told.append(" ".join((str(kind), *(f"{x.normalize():f}" for x in amounts))))
        return written


@pytest.fixture
def bob(invoicing: Invoicing, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(invoicing)
    monkeypatch.setattr(balance_marks, "tell", watched.tell)
    return watched


def test_each_threshold_is_told_once_per_fall(bob: Watched) -> None:
    bob.money("20")
    bob.thresholds("10", "5", "0")
    bob.money("-9")
    assert bob.told() == []
    bob.money("-2")
    assert bob.told() == ["low_balance 9 10"]
    bob.money("-1")
    assert bob.told() == []
    bob.money("-4")
    assert bob.told() == ["low_balance 4 5"]
    bob.money("-4")
    assert bob.told() == ["balance_used_up 0"]
    bob.money("7", "-1")
    assert bob.told() == []
    bob.money("-2")
    assert bob.told() == ["low_balance 4 5"]
    bob.money("20")
    assert bob.told() == []
    bob.money("-15")
    assert bob.told() == ["low_balance 9 10"]


def test_one_fall_past_several_thresholds_is_one_message(bob: Watched) -> None:
    bob.money("20")
    bob.thresholds("10", "5", "0")
    bob.money("-17")
    assert bob.told() == ["low_balance 3 5"]


def test_what_is_made_good_before_anybody_looked_is_not_told(bob: Watched) -> None:
    bob.money("20")
    bob.thresholds("10")
    bob.money("-15", "30")
    assert bob.told() == []
    bob.money("-30")
    assert bob.told() == ["low_balance 5 10"]


def test_a_threshold_above_the_funds_is_told_of_with_the_next_fall(bob: Watched) -> None:
    bob.money("3")
    bob.thresholds("10", "2")
    assert bob.told() == []
    bob.money("-0.50")
    assert bob.told() == []
    bob.money("-1")
    assert bob.told() == ["low_balance 1.5 2"]
    bob.money("20", "-13")
    assert bob.told() == ["low_balance 8.5 10"]


def test_a_credit_limit_counts(bob: Watched) -> None:
    bob.limit("20")
    bob.thresholds("10")
    bob.limit("5")
    assert bob.told() == ["low_balance 5 10"]
    bob.limit("15")
    assert bob.told() == []
    bob.money("-8")
    assert bob.told() == ["low_balance 7 10"]


def test_less_than_a_coin_is_used_up(bob: Watched) -> None:
    bob.money("1")
    bob.thresholds("0")
    bob.money("-0.990000")
    assert bob.told() == []
    bob.money("-0.000001")
    assert bob.told() == ["balance_used_up 0.009999"]


def test_a_call_that_holds_funds_is_told_of_while_it_lasts(bob: Watched) -> None:
    bob.money("1")
    bob.thresholds("0.90")
    engine = ChargingEngine(lambda: connect(bob.accounts.url), bob.site.clock)
    engine.start()
    try:
        granted = bob.call(engine)
        now_us = bob.site.clock.now_us()
        engine.execute(Answer(granted.session_id, now_us, "leg"))
        assert bob.told() == ["low_balance 0.88 0.9"]
        engine.execute(Settle(granted.session_id, now_us, now_us + MINUTE_US, 16))
        assert bob.told() == []
    finally:
        engine.stop()


def test_a_call_that_was_given_back_before_anybody_looked_is_not_told(bob: Watched) -> None:
    bob.money("1")
    bob.thresholds("0.90")
    engine = ChargingEngine(lambda: connect(bob.accounts.url), bob.site.clock)
    engine.start()
    try:
        granted = bob.call(engine)
        engine.execute(Settle(granted.session_id, None, bob.site.clock.now_us(), 17))
        assert bob.told() == []
        granted = bob.call(engine)
        assert bob.told() == ["low_balance 0.88 0.9"]
        engine.execute(Settle(granted.session_id, None, bob.site.clock.now_us(), 17))
    finally:
        engine.stop()


def test_an_issuers_thresholds_are_for_all_who_have_none_of_their_own(bob: Watched) -> None:
    bob.money("20")
    with bob.site.transaction() as session:
        issuer_id = operator_id(session)
    count = set_defaults(bob.site.database, issuer_id, "EUR", [eur("10")], 1)
    assert count == 4  # bob, hot, carol and the reseller; alice is the reseller's
    bob.money("-12")
    assert bob.told() == ["low_balance 8 10"]
    bob.thresholds("5")
    bob.money("-4")
    assert bob.told() == ["low_balance 4 5"]
    bob.thresholds()  # the issuer's again
    bob.money("20", "-15")
    assert bob.told() == ["low_balance 9 10"]
    set_defaults(bob.site.database, issuer_id, "EUR", [], 1)
    assert bob.accounts.select("SELECT COUNT(*) FROM balance_thresholds") == [(0,)]
    assert bob.accounts.select("SELECT COUNT(*) FROM wallets WHERE tell_from IS NOT NULL") == [(0,)]


def test_new_accounts_begin_with_their_issuers_thresholds(bob: Watched) -> None:
    with bob.site.transaction() as session:
        issuer_id = operator_id(session)
        ensure_unit(session, Unit("USD"))
    set_defaults(bob.site.database, issuer_id, "EUR", [eur("10"), 0], 1)
    with bob.site.transaction() as session:
        account = open_account(session, NewAccount("dora", "Dora"), 0)
        wallet_id = open_wallet(session, account, "EUR").id
        other_id = open_wallet(session, account, "USD").id
        assert [x.below for x in thresholds_of(session, wallet_id)] == [eur("10"), 0]
        assert thresholds_of(session, other_id) == []
        assert session.get_one(WalletRow, wallet_id).tell_from == eur("10")
        assert session.get_one(AccountRow, account.id).parent_id == issuer_id


@pytest.mark.parametrize(
    "purpose, amounts, reason",
    [
        (NOTICE, ["-1"], "a threshold is 0 or more"),
        (NOTICE, [str(x) for x in range(11)], "a wallet has up to 10 thresholds"),
        (AUTO_TOP_UP, ["1", "2"], "a wallet has up to 1 thresholds"),
    ],
)
def test_thresholds_that_cannot_be(bob: Watched, purpose: str, amounts: list[str], reason: str) -> None:
    with pytest.raises(InputRefused, match=reason):
        bob.thresholds(*amounts, purpose=purpose)


def test_one_who_died_between_mark_and_notice_lost_nothing(
    bob: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob.money("20")
    bob.thresholds("10")
    bob.money("-15")

    def dies(*_args: object, **_kwargs: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(balance_marks, "tell", dies)
        with pytest.raises(KeyboardInterrupt):
            read_marks(bob.site.database, bob.site.clock)
    assert bob.told() == ["low_balance 5 10"]
    assert bob.told() == []
