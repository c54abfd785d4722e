"""Subscriptions from sign-up to end, on each database: what is charged, taken, deferred and kept."""

import pytest

from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.subscribing import Wanted, When, cancel, change, pause, resume
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from tests.store.subscribed_accounts import Shop, moment_us

LINE = """
unit = "EUR"
[[charge]]
name = "Line"
price = "31.00"
[[charge]]
name = "Set-up"
type = "set_up"
quantity = "flat"
price = "10"
"""
BETTER = """
unit = "EUR"
[[charge]]
name = "Better line"
price = "62.00"
"""


def test_a_period_is_paid_in_advance_and_deferred(shop: Shop) -> None:
    shop.plan("line", LINE)
    shop.top_up("bob", "100")
    shop.at("2026-01-15 09:30")
    id = shop.subscribe("bob", "line")
    # Anchored to the sign-up: a whole period from the 15th to the 15th, and the set-up.
    assert shop.charges("bob") == [
        ("2026-01-15", "line: Set-up", "10.00"),
        ("2026-01-15", "line: Line", "31.00"),
    ]
    assert shop.wallet("bob") == "59.00"
    assert shop.balances() == {"cash": "100.00", "deferred:revenue": "-31.00", "revenue:one-time": "-10.00"}
    assert shop.charge("bob").charge_ids == ()
    assert shop.charge("bob", "2026-02-14").charge_ids == ()
    assert len(shop.charge("bob", "2026-02-15").charge_ids) == 1
    assert shop.wallet("bob") == "28.00"
    assert shop.state(id) == "active"
    assert shop.history(id) == [("subscribe", "done")]


def test_a_change_in_the_middle_of_a_period_is_worked_out_by_days(shop: Shop) -> None:
    shop.plan("line", LINE)
    better = shop.plan("better", BETTER)
    shop.top_up("bob", "200")
    id = shop.subscribe("bob", "line")  # the 1st: January has 31 days, a day costs 1.00
    shop.at("2026-01-11 17:00")
    shop.does(change, id, Wanted(version=better))
    # The 11th belongs to the new plan: 10 days were used, 21 come back; 21 days at 2.00 are charged.
    assert shop.charges("bob")[2:] == [
        ("2026-01-11", "line: Line, given back", "-21.00"),
        ("2026-01-11", "better: Better line", "42.00"),
    ]
    assert shop.wallet("bob") == "138.00"  # 200 - 10 - 31 + 21 - 42
    assert shop.balances()["deferred:revenue"] == "-52.00"  # 31 - 21 + 42
    shop.charge("bob", "2026-02-01")
    assert shop.charges("bob")[4:] == [("2026-02-01", "better: Better line", "62.00")]


def test_a_change_at_the_cycles_end_gives_nothing_back(shop: Shop) -> None:
    shop.plan("line", LINE)
    better = shop.plan("better", BETTER)
    shop.top_up("bob", "200")
    id = shop.subscribe("bob", "line")
    shop.at("2026-01-11")
    shop.does(change, id, Wanted(version=better, at=ChangeAt.CYCLE_END, reason="grows"))
    assert len(shop.charges("bob")) == 2
    assert shop.history(id) == [("subscribe", "done"), ("change", "planned")]
    shop.charge("bob", "2026-02-03")
    assert shop.charges("bob")[2:] == [("2026-02-01", "better: Better line", "62.00")]
    assert shop.history(id) == [("subscribe", "done"), ("change", "done")]


def test_more_of_it_is_charged_from_the_day_on(shop: Shop) -> None:
    shop.plan("better", BETTER)
    shop.top_up("bob", "400")
    id = shop.subscribe("bob", "better", quantity=2)
    shop.at("2026-01-30")
    shop.does(change, id, Wanted(quantity=3))
    assert shop.charges("bob") == [
        ("2026-01-01", "better: Better line", "124.00"),
        ("2026-01-30", "better: Better line, given back", "-8.00"),  # two days of two
        ("2026-01-30", "better: Better line", "12.00"),  # two days of three
    ]


def test_a_pause_gives_back_and_charges_nothing_until_it_ends(shop: Shop) -> None:
    shop.plan("line", LINE)
    shop.top_up("bob", "100")
    id = shop.subscribe("bob", "line")
    shop.at("2026-01-21")
    shop.does(pause, id, When(reason="on holiday"))
    assert (shop.state(id), shop.wallet("bob")) == ("paused", "70.00")  # 11 of 31 days came back
    shop.charge("bob", "2026-02-20")
    assert len(shop.charges("bob")) == 3
    shop.at("2026-02-23 12:00")
    shop.does(resume, id, When())
    assert shop.charges("bob")[3:] == [("2026-02-23", "line: Line", "6.642857")]  # 6 of 28 days of 31.00
    shop.charge("bob", "2026-03-01")
    assert shop.charges("bob")[4:] == [("2026-03-01", "line: Line", "31.00")]
    assert [kind for kind, _ in shop.history(id)] == ["subscribe", "pause", "resume"]


def test_leaving_early_costs_the_fee_and_gives_back_the_rest(shop: Shop) -> None:
    fee = '[term]\nmonths = 12\nfee = "fixed"\namount = "25"\n'
    shop.plan("line", LINE + fee)
    shop.top_up("bob", "100")
    id = shop.subscribe("bob", "line")
    shop.at("2026-01-21")
    shop.does(cancel, id, When(reason="moves away"))
    assert shop.charges("bob")[2:] == [
        ("2026-01-21", "line: Line, given back", "-11.00"),
        ("2026-01-20", "line: Cancellation fee", "25.00"),
    ]
    assert (shop.state(id), shop.wallet("bob")) == ("ended", "45.00")
    assert shop.balances()["revenue:fees"] == "-25.00"
    shop.charge("bob", "2026-03-01")
    assert len(shop.charges("bob")) == 4
    with pytest.raises(InputRefused, match="has ended; subscribe anew"):
        shop.does(pause, id, When())


def test_a_cancellation_at_the_cycles_end(shop: Shop) -> None:
    shop.plan("line", LINE)
    shop.top_up("bob", "100")
    id = shop.subscribe("bob", "line")
    shop.at("2026-01-21")
    shop.does(cancel, id, When(at=ChangeAt.CYCLE_END))
    assert shop.state(id) == "active"
    shop.charge("bob", "2026-02-01")
    assert (shop.state(id), shop.wallet("bob")) == ("ended", "59.00")


def test_a_prepaid_account_without_funds_is_barred_until_it_tops_up(shop: Shop) -> None:
    shop.plan("line", LINE)
    shop.top_up("bob", "45")
    id = shop.subscribe("bob", "line")
    assert (shop.state(id), shop.wallet("bob")) == ("active", "4.00")
    charged = shop.charge("bob", "2026-02-01")
    assert charged.charge_ids == ()
    assert [(x.subscription_id, x.needed, x.free) for x in charged.unpaid] == [(id, 31_000_000, 4_000_000)]
    assert (shop.state(id), shop.wallet("bob")) == ("unpaid", "4.00")
    assert shop.charge("bob", "2026-02-10").unpaid
    shop.at("2026-02-15")
    shop.top_up("bob", "30")
    assert shop.charge("bob").unpaid == ()
    # Paid from the 15th on: 14 of the 28 days of February.
    assert shop.charges("bob")[2:] == [("2026-02-15", "line: Line", "15.50")]
    assert (shop.state(id), shop.wallet("bob")) == ("active", "18.50")
    assert [kind for kind, _ in shop.history(id)] == ["subscribe", "unpaid", "resume"]


def test_a_prepaid_account_may_sign_up_first_and_pay_later(shop: Shop) -> None:
    shop.plan("line", LINE)
    id = shop.subscribe("bob", "line")
    assert (shop.state(id), shop.charges("bob")) == ("unpaid", [])
    shop.at("2026-01-17")
    shop.top_up("bob", "50")
    shop.charge("bob")
    # The set-up is owed once, and 15 of 31 days.
    assert shop.charges("bob") == [
        ("2026-01-17", "line: Set-up", "10.00"),
        ("2026-01-17", "line: Line", "15.00"),
    ]
    assert shop.state(id) == "active"


def test_what_is_kept_while_unpaid_is_owed(shop: Shop) -> None:
    shop.plan("line", 'unpaid = "keep"\n' + LINE)
    shop.top_up("bob", "45")
    id = shop.subscribe("bob", "line")
    shop.charge("bob", "2026-02-10")
    assert (shop.state(id), shop.wallet("bob")) == ("unpaid", "4.00")
    shop.at("2026-02-15")
    shop.top_up("bob", "30")
    shop.charge("bob")
    assert shop.charges("bob")[2:] == [("2026-02-01", "line: Line", "31.00")]
    assert (shop.state(id), shop.wallet("bob")) == ("active", "3.00")
    assert [kind for kind, _ in shop.history(id)] == ["subscribe", "unpaid", "paid"]


def test_a_postpaid_account_owes_what_its_wallet_does_not_hold(shop: Shop) -> None:
    shop.plan("better", BETTER)
    id = shop.subscribe("carol", "better")  # its limit is 20
    assert (shop.state(id), shop.wallet("carol")) == ("active", "-62.00")


def test_a_change_that_cannot_be_paid_is_refused_and_changes_nothing(shop: Shop) -> None:
    shop.plan("line", LINE)
    better = shop.plan("better", BETTER)
    shop.top_up("bob", "45")
    id = shop.subscribe("bob", "line")
    shop.at("2026-01-11")
    with pytest.raises(InputRefused, match=r"costs 42.00 EUR now, and 25.00 EUR are free"):
        shop.does(change, id, Wanted(version=better))
    assert (shop.wallet("bob"), shop.history(id)) == ("4.00", [("subscribe", "done")])


def test_months_that_nobody_looked_at_come_as_they_would_have_come(shop: Shop) -> None:
    shop.plan("line", LINE)
    better = shop.plan("better", BETTER)
    id = shop.subscribe("carol", "line", from_us=moment_us("2026-01-31"))
    assert (shop.state(id), shop.charges("carol")) == ("planned", [])
    shop.does(change, id, Wanted(version=better, at_us=moment_us("2026-03-31")))
    shop.does(cancel, id, When(at_us=moment_us("2026-05-15")))
    shop.charge("carol", "2026-06-30")
    assert shop.charges("carol") == [
        ("2026-01-31", "line: Set-up", "10.00"),
        ("2026-01-31", "line: Line", "31.00"),
        ("2026-02-28", "line: Line", "31.00"),
        ("2026-03-31", "better: Better line", "62.00"),
        ("2026-04-30", "better: Better line", "30.00"),  # until 15 May: 15 of 31 days
    ]
    assert shop.state(id) == "ended"
    assert shop.charge("carol").charge_ids == ()


def test_a_trial_is_free_and_turns_into_a_paid_subscription(shop: Shop) -> None:
    shop.plan("line", "trial_days = 14\n" + LINE)
    id = shop.subscribe("carol", "line")
    assert (shop.state(id), shop.charges("carol")) == ("trial", [])
    shop.charge("carol", "2026-01-14 23:59")
    assert shop.state(id) == "trial"
    shop.charge("carol", "2026-01-15")
    assert shop.state(id) == "active"
    assert shop.charges("carol") == [
        ("2026-01-15", "line: Set-up", "10.00"),
        ("2026-01-15", "line: Line", "31.00"),
    ]


def first_paid(shop: Shop, terms: str) -> int:
    """Five days of trial, until 6 March; then 10.00 for the set-up and 31.00 for a month were taken."""
    shop.at("2026-03-01")
    shop.plan("line", f"trial_days = 5\n{terms}{LINE}")
    shop.top_up("bob", "200")
    id = shop.subscribe("bob", "line")
    shop.charge("bob", "2026-03-06")
    assert shop.wallet("bob") == "159.00"
    shop.at("2026-03-07")
    return id


FEE = '[term]\nmonths = 12\nfee = "fixed"\namount = "40"\n'
BOTH_GIVEN_BACK = [
    ("2026-03-06", "line: Line", "31.00"),
    ("2026-03-06", "line: Line, given back", "-31.00"),
    ("2026-03-06", "line: Set-up", "10.00"),
    ("2026-03-06", "line: Set-up, given back", "-10.00"),
]


@pytest.mark.parametrize("terms", ["", 'proration = "none"\n', 'proration = "second"\n'])
def test_who_is_found_to_have_left_in_the_trial_owes_nothing(shop: Shop, terms: str) -> None:
    id = first_paid(shop, terms)
    shop.does(cancel, id, When(at_us=moment_us("2026-03-03")))
    assert shop.state(id) == "ended"
    shop.charge("bob", "2026-05-20")
    assert sorted(shop.charges("bob")) == BOTH_GIVEN_BACK
    assert (shop.wallet("bob"), shop.balances()) == ("200.00", {"cash": "200.00"})


def test_no_fee_is_due_for_leaving_in_the_trial_however_late_that_is_known(shop: Shop) -> None:
    shop.at("2026-03-01")
    shop.plan("line", f"trial_days = 5\n{LINE}{FEE}")
    id = shop.subscribe("carol", "line")
    shop.charge("carol", "2026-04-20")  # two periods: 10.00 and twice 31.00
    assert shop.wallet("carol") == "-72.00"
    shop.does(cancel, id, When(at_us=moment_us("2026-03-03")))
    assert (shop.wallet("carol"), shop.balances()) == ("0.00", {})


@pytest.mark.parametrize("terms", ["", 'proration = "none"\n'])
def test_a_pause_dated_back_into_the_trial(shop: Shop, terms: str) -> None:
    id = first_paid(shop, terms)
    shop.does(pause, id, When(at_us=moment_us("2026-03-03")))
    assert (shop.state(id), shop.wallet("bob")) == ("paused", "200.00")
    shop.charge("bob", "2026-03-20")
    assert sorted(shop.charges("bob")) == BOTH_GIVEN_BACK
    # As if it had been paused in time: the set-up, and 17 of the 31 days from 6 March; or all of them.
    shop.does(resume, id, When())
    assert shop.wallet("bob") == ("159.00" if terms else "173.00")
    assert sorted(shop.charges("bob"))[4:] == [
        ("2026-03-20", "line: Line", "31.00" if terms else "17.00"),
        ("2026-03-20", "line: Set-up", "10.00"),
    ]


@pytest.mark.parametrize("terms", ["", 'proration = "none"\n'])
def test_a_change_dated_back_into_the_trial(shop: Shop, terms: str) -> None:
    better = shop.plan("better", terms + BETTER)
    id = first_paid(shop, terms)
    shop.does(change, id, Wanted(version=better, at_us=moment_us("2026-03-03")))
    assert sorted(shop.charges("bob")) == [("2026-03-06", "better: Better line", "62.00"), *BOTH_GIVEN_BACK]
    assert (shop.state(id), shop.wallet("bob")) == ("active", "138.00")  # 200.00 and 62.00 less
    shop.charge("bob", "2026-04-06")
    assert shop.wallet("bob") == "76.00"
    assert shop.balances() == {"cash": "200.00", "deferred:revenue": "-124.00"}


def test_a_minimum_spend_that_is_charged_is_not_reckoned_anew(shop: Shop) -> None:
    shop.plan("line", f'minimum_spend = "40"\n{LINE}')
    id = shop.subscribe("carol", "line")
    shop.charge("carol", "2026-02-10")
    assert ("2026-01-01", "line: Minimum spend", "40.00") in shop.charges("carol")
    with pytest.raises(InputRefused, match=r"2026-01-20 is before 2026-02-01, up to which .* minimum spend"):
        shop.does(cancel, id, When(at_us=moment_us("2026-01-20")))
    shop.does(cancel, id, When(at_us=moment_us("2026-02-08")))  # 7 of 28 days: 7.75 and 10.00
    assert shop.wallet("carol") == "-98.75"  # 10 + 31 + 40 + 7.75 + 10


def test_what_is_invoiced_cannot_be_changed(shop: Shop) -> None:
    from pbxbill.store.billing_models import BillingProfileRow

    better = shop.plan("better", BETTER)
    shop.plan("line", LINE)
    id = shop.subscribe("carol", "line")
    shop.charge("carol", "2026-02-10")
    with shop.session() as session:
        account_id = account_by_code(session, "carol").id
        session.add(BillingProfileRow(account_id=account_id, billed_to_us=moment_us("2026-02-01")))
    with pytest.raises(
        InputRefused, match="2026-01-20 is before 2026-02-01, up to which account carol is invoiced"
    ):
        shop.does(change, id, Wanted(version=better, at_us=moment_us("2026-01-20")))
    with pytest.raises(InputRefused, match="invoiced"):
        shop.subscribe("carol", "line", from_us=moment_us("2026-01-20"))
    shop.does(change, id, Wanted(version=better, at_us=moment_us("2026-02-03")))
    assert ("2026-02-03", "better: Better line", "57.571429") in shop.charges("carol")  # 26 of 28 days
    with pytest.raises(InputRefused, match="2026-02-02 is before what happened to subscription"):
        shop.does(pause, id, When(at_us=moment_us("2026-02-02")))


@pytest.mark.parametrize("collection", ["wallet", "invoice"])
def test_what_has_not_begun_yet_is_cancelled_at_no_cost(shop: Shop, collection: str) -> None:
    term = '[term]\nmonths = 12\nfee = "fixed"\namount = "40"\n'
    shop.plan("line", f'collection = "{collection}"\n{LINE}{term}')
    shop.top_up("bob", "100")
    id = shop.subscribe("bob", "line", from_us=moment_us("2026-02-01"))
    shop.does(cancel, id, When(reason="changed his mind"))
    shop.charge("bob", "2026-02-01")
    assert shop.state(id) == "ended"
    shop.charge("bob", "2026-03-05")
    assert shop.charges("bob") == []
    assert shop.wallet("bob") == "100.00"
