"""What meets: arrears and no funds, pauses and fees, minimum spend, taxes, invoices; any mixture at all."""

from collections.abc import Iterator
from random import Random

import pytest

from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.subscribing import Wanted, When, cancel, change, pause, resume
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import TaxRateRow
from tests.small_operator import eur
from tests.store.subscribed_accounts import Shop

LINE = 'unit = "EUR"\n[[charge]]\nname = "Line"\nprice = "31"\n'
DAY_US = 86_400_000_000


def tax(shop: Shop, ppm: int, *, inclusive: bool) -> None:
    with shop.session() as session:
        session.add(
            TaxRateRow(
                issuer_id=account_by_code(session, "operator").id,
                name="VAT",
                ppm=ppm,
                category="S",
                from_us=0,
                to_us=None,
                compound=False,
                inclusive=inclusive,
            )
        )


def test_tax_is_taken_with_the_charge_and_given_back_with_it(shop: Shop) -> None:
    tax(shop, 200_000, inclusive=False)
    shop.plan("line", LINE)
    shop.top_up("bob", "100")
    id = shop.subscribe("bob", "line")
    assert (shop.wallet("bob"), shop.balances()["tax:payable"]) == ("62.80", "-6.20")  # 31.00 and 20 %
    shop.at("2026-01-21")
    shop.does(cancel, id, When())
    assert shop.wallet("bob") == "76.00"  # 11.00 and 2.20 came back
    assert shop.balances() == {"cash": "100.00", "deferred:revenue": "-20.00", "tax:payable": "-4.00"}


def test_a_price_that_contains_its_tax_costs_no_more(shop: Shop) -> None:
    tax(shop, 240_000, inclusive=True)
    shop.plan("line", LINE)
    shop.top_up("bob", "100")
    shop.subscribe("bob", "line")
    assert shop.wallet("bob") == "69.00"
    assert shop.balances() == {"cash": "100.00", "deferred:revenue": "-25.00", "tax:payable": "-6.00"}
    assert shop.charges("bob") == [("2026-01-01", "line: Line", "25.00")]


def test_what_the_invoice_asks_for_posts_nothing_yet(shop: Shop) -> None:
    shop.plan("line", 'collection = "invoice"\n' + LINE)
    id = shop.subscribe("bob", "line")
    assert (shop.state(id), shop.charges("bob")) == ("active", [("2026-01-01", "line: Line", "31.00")])
    assert (shop.wallet("bob"), shop.balances()) == ("0.00", {})
    assert shop.accounts.select("SELECT deferred, tax, entry_id FROM charges") == [(0, 0, None)]


def test_arrears_that_cannot_be_paid_stay_owed_for_the_time_that_was_served(shop: Shop) -> None:
    shop.plan("line", 'timing = "arrears"\n' + LINE)
    id = shop.subscribe("bob", "line")
    assert (shop.state(id), shop.charges("bob")) == ("active", [])
    shop.charge("bob", "2026-02-01")
    assert shop.state(id) == "unpaid"
    shop.charge("bob", "2026-02-10")
    shop.at("2026-02-15")
    shop.top_up("bob", "40")
    shop.charge("bob")
    # January was served; from the 1st to the 15th of February it rested.
    assert shop.charges("bob") == [("2026-01-01", "line: Line", "31.00")]
    shop.top_up("bob", "40")
    shop.charge("bob", "2026-03-01")
    assert shop.charges("bob")[1:] == [("2026-02-15", "line: Line", "15.50")]
    assert shop.state(id) == "active"


def test_an_unpaid_end_leaves_what_was_served_to_the_invoice(shop: Shop) -> None:
    shop.plan("line", 'timing = "arrears"\n' + LINE)
    id = shop.subscribe("bob", "line")
    shop.charge("bob", "2026-02-01")
    shop.at("2026-02-10")
    shop.does(cancel, id, When())
    assert shop.state(id) == "ended"
    rows = shop.accounts.select("SELECT net, collection, entry_id FROM charges")
    assert rows == [(eur("31"), "invoice", None)]


def test_a_pause_is_no_way_around_the_cancellation_fee(shop: Shop) -> None:
    shop.plan("line", LINE + '[term]\nmonths = 10\nfee = "remaining"\nshare = "50"\n')
    id = shop.subscribe("carol", "line")
    shop.at("2026-03-01")
    shop.does(pause, id, When())
    shop.at("2026-04-01")
    shop.does(cancel, id, When())
    # Seven months of 31.00 remain until November; half of them.
    assert shop.charges("carol")[4:] == [("2026-03-31", "line: Cancellation fee", "108.50")]


def test_what_is_missing_to_a_minimum_spend_is_charged(shop: Shop) -> None:
    shop.plan("minimum", 'unit = "EUR"\nminimum_spend = "10"\n')
    shop.subscribe("carol", "minimum")
    shop.charge("carol", "2026-02-01")
    assert shop.charges("carol") == [("2026-01-01", "minimum: Minimum spend", "10.00")]
    assert shop.balances() == {"revenue:minimum-spend": "-10.00"}


def test_a_change_waits_until_an_unpaid_subscription_is_paid(shop: Shop) -> None:
    shop.plan("line", LINE)
    better = shop.plan("better", LINE.replace("31", "62"))
    shop.top_up("bob", "31")
    id = shop.subscribe("bob", "line")
    shop.does(change, id, Wanted(version=better, at=ChangeAt.CYCLE_END))
    shop.charge("bob", "2026-02-01")
    assert (shop.state(id), shop.wallet("bob")) == ("unpaid", "0.00")
    with pytest.raises(InputRefused, match="unpaid; it must be paid first"):
        shop.does(pause, id, When())
    shop.at("2026-02-15")
    shop.top_up("bob", "31")
    shop.charge("bob")
    assert shop.charges("bob")[1:] == [("2026-02-15", "better: Line", "31.00")]
    assert shop.state(id) == "active"


def test_two_changes_at_the_same_moment_charge_it_once(shop: Shop) -> None:
    shop.plan("line", LINE)
    shop.top_up("bob", "500")
    id = shop.subscribe("bob", "line")
    shop.at("2026-01-21")
    shop.does(change, id, Wanted(quantity=2))
    shop.does(change, id, Wanted(quantity=3))
    assert [amount for _, _, amount in shop.charges("bob")] == ["31.00", "-11.00", "22.00", "-22.00", "33.00"]
    assert shop.wallet("bob") == "447.00"  # 20 days of one, 11 of three


@pytest.mark.parametrize("seed", range(4))
def test_any_mixture_leaves_books_and_subscriptions_sound(shop: Shop, seed: int) -> None:
    """Two years of changes, pauses, ends and top-ups, looked at now and then."""
    chance = Random(seed)
    plans = [
        shop.plan("advance", LINE),
        shop.plan("arrears", 'timing = "arrears"\n' + LINE.replace("31", "17")),
        shop.plan("weekly", 'cycle = "week"\nunpaid = "keep"\n' + LINE.replace("31", "3.33")),
        shop.plan("seconds", 'proration = "second"\ntrial_days = 5\n' + LINE.replace("31", "7.77")),
        shop.plan(
            "invoiced",
            'collection = "invoice"\n' + LINE + '[term]\nmonths = 5\nfee = "sliding"\namount = "20"\n',
        ),
    ]
    ids: list[int] = []
    for _ in range(60):
        shop.clock.advance(chance.randrange(1, 20) * DAY_US + chance.randrange(DAY_US))
        code = chance.choice(("bob", "carol"))
        try:
            match chance.choice(
                ("add", "change", "quantity", "pause", "resume", "cancel", "top-up", "charge")
            ):
                case "add":
                    ids.append(shop.subscribe(code, chance.choice(plans).name))
                case "change" if ids:
                    at = chance.choice(tuple(ChangeAt))
                    shop.does(change, chance.choice(ids), Wanted(version=chance.choice(plans), at=at))
                case "quantity" if ids:
                    shop.does(change, chance.choice(ids), Wanted(quantity=chance.randrange(4)))
                case "pause" if ids:
                    shop.does(pause, chance.choice(ids), When(at=chance.choice(tuple(ChangeAt))))
                case "resume" if ids:
                    shop.does(resume, chance.choice(ids), When())
                case "cancel" if ids:
                    shop.does(cancel, chance.choice(ids), When(at=chance.choice(tuple(ChangeAt))))
                case "top-up":
                    shop.top_up(code, str(chance.randrange(1, 100)))
                case _:
                    shop.charge(code)
        except InputRefused:
            pass  # that is what a person is told
        assert shop.accounts.wallet("bob")[0] >= 0, "prepaid: nothing below the floor"
    for code in ("bob", "carol"):
        shop.charge(code)
        assert shop.charge(code).charge_ids == ()
    deferred = shop.accounts.select("SELECT CAST(COALESCE(SUM(deferred), 0) AS BIGINT) FROM charges")
    posted = shop.accounts.select(
        "SELECT CAST(COALESCE(-SUM(p.amount), 0) AS BIGINT) FROM postings p "
        "JOIN ledger_accounts l ON l.id = p.ledger_account_id WHERE l.code = 'deferred:revenue'"
    )
    assert deferred == posted
    for id in ids:
        assert set(covered(shop, id)) <= {0, 1}, (
            f"subscription {id} pays for a time twice, or gets it back twice"
        )


def covered(shop: Shop, id: int) -> Iterator[int]:
    """How often each stretch of time is paid for, from one charge's edge to the next."""
    edges: dict[int, int] = {}
    for kind, from_us, to_us in shop.accounts.select(
        f"SELECT kind, from_us, to_us FROM charges WHERE subscription_id = {id} AND from_us IS NOT NULL"
    ):
        sign = -1 if kind == "credit" else 1
        edges[from_us] = edges.get(from_us, 0) + sign
        edges[to_us] = edges.get(to_us, 0) - sign
    times = 0
    for at_us in sorted(edges):
        times += edges[at_us]
        yield times
