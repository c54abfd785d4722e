"""Points: earned once for each cause, the first to expire spent first, never below zero."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from pbxbill.billing.invoices.drafting import Nothing
from pbxbill.billing.payments.funds_received import funds_received
from pbxbill.billing.payments.payments import NewPayment, record_payment, reverse
from pbxbill.billing.payments.top_ups import NewTopUp, reverse_top_up, top_up
from pbxbill.billing.points.points import (
    accounts_to_tell,
    give_by_hand,
    holdings,
    tell_of_expiry,
)
from pbxbill.billing.points.points_rules import end_rule
from pbxbill.billing.points.points_usage import certain_until, earn_by_usage, used_since
from pbxbill.billing.points.referrals import refer, reward, to_reward
from pbxbill.clock import SystemClock
from pbxbill.errors import DuplicateKey, InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.accounts import set_wallet_order
from pbxbill.store.decks import add_deck_version
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PointsRuleRow
from pbxbill.store.points_units import refuse_points
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.books_in_order import assert_books_in_order, problems_of
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts, rate
from tests.store.invoiced_accounts import DAY_US, JANUARY_US
from tests.store.other_process import go, line, started
from tests.store.points_shop import PointsShop


@pytest.fixture
def shop(accounts: BilledAccounts) -> Iterator[PointsShop]:
    made = PointsShop(accounts)
    yield made
    made.database.dispose()
    assert_books_in_order(accounts.url)


def test_a_top_up_earns_once(shop: PointsShop) -> None:
    shop.rule()
    entry_id = shop.pay_in("12.90")
    assert shop.points() == 12
    assert shop.earned(entry_id, "12.90") == 0
    assert shop.points() == 12
    assert shop.balance(LedgerCode.POINTS) == 12


@pytest.mark.parametrize(
    "kind, amount, points",
    [("payment", "5", 5), ("transfer", "5", 0), ("other", "5", 0), ("top-up", "0.99", 0)],
)
def test_only_money_from_outside_earns(shop: PointsShop, kind: str, amount: str, points: int) -> None:
    shop.rule()
    entry_id = shop.post("bob", amount, kind, 1, LedgerCode.CASH)
    assert shop.earned(entry_id, amount) == points


def test_customers_earn_by_the_rules_of_their_own_seller(shop: PointsShop) -> None:
    shop.rule(issuer="reseller", points=3)
    shop.pay_in("10", "bob")
    shop.pay_in("10", "alice")
    assert (shop.points("bob"), shop.points("alice")) == (0, 30)


def test_an_ended_rule_gives_nothing_and_what_it_gave_keeps_its_worth(shop: PointsShop) -> None:
    rule_id = shop.rule()
    shop.pay_in("10")
    with shop.transaction() as session:
        end_rule(session, rule_id)
    shop.pay_in("10")
    assert shop.points() == 10
    assert shop.spend(10).amount == eur("0.10")


def test_the_first_to_expire_are_spent_first(shop: PointsShop) -> None:
    lasting = shop.rule()
    shop.pay_in("10")
    with shop.transaction() as session:
        end_rule(session, lasting)
    shop.rule(valid_days=30, worth=eur("0.02"))
    shop.pay_in("10")
    before = shop.euros()
    spent = shop.spend(12)
    assert shop.left() == [8, 0]
    assert spent.amount == shop.euros() - before == 10 * eur("0.02") + 2 * eur("0.01")
    assert shop.points() == 8


def test_no_more_is_spent_than_there_is(shop: PointsShop) -> None:
    shop.rule()
    shop.pay_in("10")
    for points in (11, 0, -5, 10**30):
        with pytest.raises(InputRefused):
            shop.spend(points)
    with pytest.raises(InputRefused):
        shop.spend(1, "hot")
    assert (shop.points(), shop.left()) == (10, [10])


def test_a_key_spends_once(shop: PointsShop) -> None:
    shop.rule()
    shop.pay_in("10")
    first = shop.spend(4, key="shop-7")
    again = shop.spend(4, key="shop-7")
    assert (again.entry_id, again.amount, again.repeated) == (first.entry_id, first.amount, True)
    assert shop.points() == 6
    with pytest.raises(DuplicateKey):
        shop.spend(5, key="shop-7")


def test_points_without_worth_are_not_spent(shop: PointsShop) -> None:
    shop.rule(worth=0)
    shop.pay_in("10")
    with pytest.raises(InputRefused, match="has 0 PTS to spend"):
        shop.spend(1)


def test_points_expire_and_are_told_of_before(shop: PointsShop) -> None:
    shop.rule(valid_days=30)
    shop.pay_in("10")
    now_us = shop.clock.now_us()
    assert accounts_to_tell(shop.database, now_us) == []
    assert shop.expire() == 0
    shop.clock.step(20 * DAY_US)
    now_us = shop.clock.now_us()
    assert accounts_to_tell(shop.database, now_us) == [(shop.accounts.ids["bob"], "PTS")]
    with shop.transaction() as session:
        assert tell_of_expiry(session, shop.accounts.ids["bob"], "PTS", now_us) == 10
        assert tell_of_expiry(session, shop.accounts.ids["bob"], "PTS", now_us) == 0
    assert accounts_to_tell(shop.database, now_us) == []
    shop.spend(4)
    shop.clock.step(11 * DAY_US)
    with pytest.raises(InputRefused):
        shop.spend(1)
    with shop.transaction() as session:
        assert holdings(session, shop.accounts.ids["bob"], shop.clock.now_us()) == []
    assert shop.expire() == 6
    assert shop.expire() == 0
    assert shop.points() == 0


def test_a_reversed_top_up_takes_its_points_back_as_far_as_there_are_any(shop: PointsShop) -> None:
    shop.rule()
    first = shop.pay_in("10")
    shop.pay_in("3")
    shop.spend(8)
    assert shop.take_back(first) == 5
    assert shop.points() == 0
    assert shop.take_back(first) == 0
    shop.pay_in("20")
    # What was spent is gone; it is asked for again only where the same money goes back once more.
    assert shop.points() == 20


def test_a_part_that_is_refunded_takes_back_its_share_once(shop: PointsShop) -> None:
    shop.rule()
    entry_id = shop.pay_in("10.50")
    assert shop.take_back(entry_id, kept="10.20") == 0
    assert shop.take_back(entry_id, kept="9.90") == 1
    assert shop.take_back(entry_id, kept="9.90") == 0
    assert shop.take_back(entry_id) == 9
    assert shop.points() == 0


def test_top_ups_payments_and_vouchers_earn_by_themselves_and_give_back(shop: PointsShop) -> None:
    shop.rule()
    with shop.transaction() as session:
        bob = session.get_one(AccountRow, shop.accounts.ids["bob"])
        now_us = shop.clock.now_us()
        first = top_up(session, shop.books, bob, NewTopUp(eur("10"), "EUR", "cash", "k1"), now_us)
        again = top_up(session, shop.books, bob, NewTopUp(eur("10"), "EUR", "cash", "k1"), now_us)
        assert again.repeated
    assert shop.points() == 10
    with shop.transaction() as session:
        reverse_top_up(session, shop.books, first.entry_id, reason="wrong", now_us=shop.clock.now_us())
    assert shop.points() == 0
    with shop.transaction() as session:
        bob = session.get_one(AccountRow, shop.accounts.ids["bob"])
        paid = record_payment(session, shop.books, bob, NewPayment(eur("7"), "EUR", "bank", "k2"), now_us)
        facts: dict[str, Any] = {"unit": "EUR", "amount": eur("7"), "entry_id": paid.entry_id}
        funds_received(session, shop.books, bob, **facts, cause="payment", now_us=now_us)
    assert shop.points() == 7
    with shop.transaction() as session:
        reverse(session, shop.books, paid.entry_id, reason="bounced", now_us=shop.clock.now_us())
    assert shop.points() == 0


def test_no_tariff_charges_points(shop: PointsShop) -> None:
    shop.rule()
    with shop.transaction() as session:
        add_deck_version(
            session,
            deck_name="points",
            unit="PTS",
            rates=[rate("49", "Germany", "1")],
            effective_from_us=0,
            source="x.csv",
            now_us=0,
        )
        with pytest.raises(InputRefused, match="are points"):
            add_tariff_version(session, NewTariff("in points", "points"), 0)


def test_whoever_brought_somebody_is_rewarded_once(shop: PointsShop) -> None:
    shop.rule("referral", per=eur("10"), points=500)
    with shop.transaction() as session:
        bob, hot, alice = (
            session.get_one(AccountRow, shop.accounts.ids[code]) for code in ("bob", "hot", "alice")
        )
        refer(session, bob, hot, shop.clock.now_us())
        for account, referrer in ((bob, hot), (hot, hot), (alice, hot)):
            with pytest.raises(InputRefused):
                refer(session, account, referrer, shop.clock.now_us())
    shop.pay_in("9")
    assert to_reward(shop.database) == []
    shop.pay_in("10")
    shop.pay_in("10")
    assert to_reward(shop.database) == [shop.accounts.ids["bob"]]
    for expected in (500, 0):
        with shop.transaction() as session:
            assert reward(session, shop.books, shop.accounts.ids["bob"], shop.clock.now_us()) == expected
    assert (shop.points("hot"), shop.points("bob")) == (500, 0)
    shop.pay_in("10", "carol")
    with shop.transaction() as session:
        carol, bob = (session.get_one(AccountRow, shop.accounts.ids[code]) for code in ("carol", "bob"))
        with pytest.raises(InputRefused, match="has paid before"):
            refer(session, carol, bob, shop.clock.now_us())


def test_a_referral_whose_money_went_back_earns_nothing(shop: PointsShop) -> None:
    shop.rule("referral", per=eur("10"), points=500)
    with shop.transaction() as session:
        bob, hot = (session.get_one(AccountRow, shop.accounts.ids[code]) for code in ("bob", "hot"))
        refer(session, bob, hot, shop.clock.now_us())
    entry_id = shop.pay_in("10")
    shop.take_back(entry_id)
    assert to_reward(shop.database) == []
    shop.pay_in("12")
    assert to_reward(shop.database) == [shop.accounts.ids["bob"]]


def _earn_by_usage(shop: PointsShop, rule_id: int, code: str, now_us: int) -> int:
    with shop.transaction() as session:
        until = certain_until(now_us)
        return earn_by_usage(session, shop.books, rule_id, shop.accounts.ids[code], until, now_us)


def test_usage_earns_once_and_the_rest_counts_on(shop: PointsShop) -> None:
    rule_id = shop.rule("usage", per=eur("0.50"))
    shop.call("carol", 600, 3)
    tomorrow_us = SystemClock().now_us() + 2 * DAY_US
    # What is younger than a day is not certain to be all there.
    assert _earn_by_usage(shop, rule_id, "carol", SystemClock().now_us()) == 0
    assert _earn_by_usage(shop, rule_id, "carol", tomorrow_us) == 2
    assert _earn_by_usage(shop, rule_id, "carol", tomorrow_us) == 0
    assert shop.accounts.select("SELECT rest FROM points_earned_to") == [(eur("0.20"),)]
    with shop.transaction() as session:
        rule = session.get_one(PointsRuleRow, rule_id)
        page = used_since(session, rule, until=certain_until(tomorrow_us + DAY_US))
    assert {amount for _, amount in page} == {None}
    assert shop.points("carol") == 2


def test_points_are_on_no_invoice_and_pay_for_no_call(shop: PointsShop) -> None:
    shop.rule()
    shop.pay_in("10", "carol")
    shop.spend(5, "carol")
    with shop.transaction() as session:
        carol = session.get_one(AccountRow, shop.accounts.ids["carol"])
        with pytest.raises(InputRefused, match="are points"):
            set_wallet_order(session, carol, ("PTS", "EUR"))
    assert isinstance(shop.draft("carol"), Nothing)


@pytest.mark.parametrize(
    "terms",
    [
        {"kind": "luck"},
        {"per": 0},
        {"per": -1},
        {"points": 0},
        {"points": 10**9},
        {"valid_days": 0},
        {"worth": -1},
        {"worth": eur("2")},
        {"points_unit": "EUR"},
        {"unit": "PTS"},
        {"unit": "XXX"},
        {"issuer": "bob"},
    ],
)
def test_what_can_be_no_rule_is_refused(shop: PointsShop, terms: dict[str, object]) -> None:
    with pytest.raises(InputRefused):
        shop.rule(**terms)  # type: ignore[arg-type]


def test_a_second_rule_for_the_same_is_refused(shop: PointsShop) -> None:
    shop.rule()
    with pytest.raises(InputRefused, match="says so already"):
        shop.rule(points=2)


def test_units_of_points_are_told_from_currencies(shop: PointsShop) -> None:
    shop.rule()
    with shop.transaction() as session:
        refuse_points(session, "EUR")
        with pytest.raises(InputRefused, match="are points"):
            refuse_points(session, "PTS")


def test_points_given_by_hand_are_worth_what_their_rule_says(shop: PointsShop) -> None:
    rule_id = shop.rule()
    for expected in (True, False):
        with shop.transaction() as session:
            bob = session.get_one(AccountRow, shop.accounts.ids["bob"])
            given_now = give_by_hand(
                session, shop.books, bob, rule_id, 50, key="sorry", reason="goodwill", now_us=JANUARY_US
            )
        assert given_now is expected
    assert shop.spend(50).amount == eur("0.50")


def test_verify_finds_points_that_were_changed_by_hand(shop: PointsShop) -> None:
    shop.rule()
    shop.pay_in("10")
    ((entry_id,),) = shop.accounts.select("SELECT entry_id FROM points_lots")
    bob = shop.accounts.ids["bob"]
    for change, undo, found in (
        (
            'UPDATE points_lots SET "left" = 9',
            'UPDATE points_lots SET "left" = 10',
            "has 10 PTS in its wallet, and 9",
        ),
        ('UPDATE points_lots SET "left" = 11', 'UPDATE points_lots SET "left" = 10', "earned 10, left 11"),
        (
            "UPDATE points_lots SET earned = 12",
            "UPDATE points_lots SET earned = 10",
            "12 points were earned by",
        ),
        (
            "UPDATE points_lots SET entry_id = 'x'",
            f"UPDATE points_lots SET entry_id = '{entry_id}'",
            "its entry put 0 into",
        ),
        (
            f"INSERT INTO referrals (account_id, referrer_id, created_us) VALUES ({bob}, {bob}, 0)",
            "DELETE FROM referrals",
            "who is rewarded for nothing",
        ),
    ):
        with shop.transaction() as session:
            session.execute(text(change))
        assert any(found in problem for problem in problems_of(shop.accounts.url)), found
        with shop.transaction() as session:
            session.execute(text(undo))


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("top_up"), st.integers(1, 3_000)),
        st.tuples(st.just("spend"), st.integers(1, 40)),
        st.tuples(st.just("back"), st.integers(0, 5)),
        st.tuples(st.just("days"), st.integers(1, 40)),
    ),
    max_size=12,
)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=ACTS)
def test_whatever_happens_lots_and_wallet_agree_and_stay_above_zero(
    shop: PointsShop, acts: list[tuple[str, int]]
) -> None:
    if not shop.rule_ids:
        shop.rule_ids["top_up"] = shop.rule(valid_days=30)
    before, given_before = shop.euros(), shop.balance(LedgerCode.POINTS)
    entries: list[str] = []
    money = 0
    for what, number in acts:
        if what == "top_up":
            amount = f"{number // 100}.{number % 100:02d}"
            money += eur(amount)
            entries.append(shop.pay_in(amount))
        elif what == "spend":
            try:
                money += shop.spend(number).amount
            except InputRefused:
                assert shop.points() < number or sum(shop.left()) >= 0
        elif what == "back" and number < len(entries):
            shop.take_back(entries[number])
        elif what == "days":
            shop.clock.step(number * DAY_US)
            shop.expire()
        assert shop.points() == sum(shop.left()) >= 0
    # In the books of points, what was given less what is gone is what wallets hold; the rest is in euros.
    in_euros = shop.euros() - before
    assert in_euros == money
    assert isinstance(given_before, int)


def test_two_processes_spend_the_same_points_once(shop: PointsShop) -> None:
    shop.rule()
    shop.pay_in("100")
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started("spending_process", shop.accounts.url, shop.accounts.ids["bob"], 7))
            for _ in range(4)
        ]
        for process in processes:
            assert line(process) == "ready"
        for process in processes:
            go(process)
        spent = sum(int(line(process)) for process in processes)
    assert spent == 14
    assert shop.points() == 100 - 14 * 7
    assert shop.euros() == eur("100") + 14 * 7 * eur("0.01")
