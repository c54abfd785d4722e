"""Revenue that is earned as time passes, and the trial balance, on each database; sums worked by hand."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pbxbill.billing.books.recognition import recognise, recognise_all
from pbxbill.billing.books.trial_balance import TrialBalance, trial_balances
from pbxbill.billing.invoices.note_amounts import Lines
from pbxbill.billing.invoices.notes import credit
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import format_amount
from pbxbill.store.driver import connect
from tests.books_in_order import assert_books_in_order
from tests.small_operator import EUR, eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.booked_months import BookedMonths, moment, open_books_of


@pytest.fixture
def months(accounts: BilledAccounts) -> Iterator[BookedMonths]:
    opened = open_books_of(accounts)
    yield opened
    opened.close()
    assert_books_in_order(accounts.url)


def balance(months: BookedMonths, begins: str = "", ends: str = "", issuer: str = "operator") -> TrialBalance:
    driver = connect(months.accounts.url)
    try:
        driver.begin_snapshot()
        times = {"from_us": moment(begins)} if begins else {}
        times |= {"to_us": moment(ends)} if ends else {}
        (found,) = [x for x in trial_balances(driver, **times) if x.issuer == issuer]
        return found
    finally:
        driver.rollback()
        driver.close()


def told(found: TrialBalance) -> dict[str, list[str]]:
    """Opening, debit, credit, closing of accounts that anything happened to."""
    return {
        x.code.value: [format_amount(n, EUR) for n in (x.opening, x.debit, x.credit, x.closing)]
        for x in found.accounts
        if any(x[1:])
    }


def test_a_month_is_earned_when_it_is_over(months: BookedMonths) -> None:
    months.january()
    assert months.recognise("2026-01-31 23:59")[0].entries == 0
    (done,) = months.recognise("2026-02-01")
    assert (done.charges, done.entries) == (1, 1)
    # carol's quarter is on no invoice yet: it is not in the books, and nothing of it is earned.
    assert months.earned_entries() == [
        "2026-01-31 1 charge | deferred:revenue 31.00; revenue:recurring -31.00"
    ]
    assert months.recognise("2026-02-01")[0].entries == 0


def test_two_months_by_hand(months: BookedMonths) -> None:
    months.january()
    months.recognise("2026-02-01")
    months.february()
    (done,) = months.recognise("2026-03-01")
    assert [amount for *_, amount in done.amounts] == [eur("70.071429")]
    # bob 31.00 - 19.928571; carol's 31 + 28 of 90 days at 1.00, posted in February.
    assert months.earned_entries()[1:] == [
        "2026-02-28 3 charges | deferred:revenue 70.071429; revenue:recurring -70.071429"
    ]
    february = balance(months, "2026-02-01", "2026-03-01")
    assert told(february) == {
        "wallet": ["-58.80", "31.00", "20.128571", "-47.928571"],
        "revenue:usage": ["-0.20", "0.00", "0.00", "-0.20"],
        "revenue:recurring": ["-31.00", "0.00", "70.071429", "-101.071429"],
        "revenue:one-time": ["-10.00", "0.00", "0.00", "-10.00"],
        "deferred:revenue": ["0.00", "90.00", "121.00", "-31.00"],
        "receivable": ["0.00", "90.20", "50.00", "40.20"],
        "wallet:invoiced": ["0.00", "0.20", "0.20", "0.00"],
        "cash": ["100.00", "50.00", "0.00", "150.00"],
    }
    # bob's 59.00 are his; carol's 0.20 are on no invoice before the 1st.
    assert february.opening == (eur("-59"), eur("0.20"))
    assert february.closing == (eur("-47.928571"), 0)


def test_wallets_below_zero_are_unbilled_until_they_are_invoiced(months: BookedMonths) -> None:
    months.january()
    months.invoicing.call("carol", 50, day=33)  # 0.10 on 2 February
    months.february()
    # Between the invoice and its payment: 0.30 owed, 0.20 of it receivable.
    before, after = (balance(months, ends=day) for day in ("2026-02-09", "2026-02-10 00:01"))
    assert told(before)["wallet:invoiced"][-1] == "-0.20"
    assert (before.closing.unbilled, after.closing.unbilled) == (eur("0.10"), eur("0.10"))
    assert told(after)["wallet:invoiced"][-1] == "0.00"


def test_catching_up_books_the_same_months(months: BookedMonths) -> None:
    months.january()
    months.february()
    months.recognise("2026-04-01")
    # carol's third month too: 31.00 in March. bob's January and February, as if somebody had looked.
    assert [entry.partition(" |")[0] for entry in months.earned_entries()] == [
        "2026-01-31 1 charge",
        "2026-02-28 3 charges",
        "2026-03-31 1 charge",
    ]
    assert told(balance(months, ends="2026-02-01"))["deferred:revenue"][-1] == "0.00"
    assert told(balance(months))["deferred:revenue"][-1] == "0.00"
    assert told(balance(months, ends="2026-03-01"))["revenue:recurring"][-1] == "-101.071429"


def test_days_are_earned_where_somebody_wants_them(months: BookedMonths) -> None:
    months.january()
    months.recognise("2026-01-11 15:00", by_day=True)
    months.recognise("2026-01-11 23:00", by_day=True)
    months.recognise("2026-02-01")
    assert months.earned_entries() == [
        "2026-01-10 1 charge | deferred:revenue 10.00; revenue:recurring -10.00",
        "2026-01-31 1 charge | deferred:revenue 21.00; revenue:recurring -21.00",
    ]


def test_nothing_is_earned_of_the_future(months: BookedMonths) -> None:
    months.january()
    with months.shop.session() as session:
        done = recognise(session, months.shop.books, moment("2027-01-01"), moment("2026-01-20"))
    assert (done.charges, done.entries, done.next_id) == (0, 0, None)


def test_a_note_takes_back_what_is_not_earned_first(months: BookedMonths) -> None:
    months.january()
    months.february()
    months.recognise("2026-03-01")  # 59.00 of carol's 90.00 are earned, 31.00 are not
    ((line_id,),) = months.accounts.select(
        f"SELECT id FROM invoice_lines WHERE invoice_id = {months.invoice_id} AND charge_id IS NOT NULL"
    )
    with months.shop.session() as session:
        what = Lines(((line_id, eur("40")),))
        note = credit(session, months.shop.books, months.invoice_id, what, "fault", months.shop.now_us)
    assert note.total == eur("40")
    # 31.00 from deferred, 9.00 from revenue: nothing is left to earn.
    after = told(balance(months))
    assert (after["deferred:revenue"][-1], after["revenue:recurring"][-1]) == ("0.00", "-92.071429")
    assert months.recognise("2026-04-01")[0].entries == 0


def test_an_entry_says_which_charges_it_is_made_of(months: BookedMonths) -> None:
    months.january()
    months.recognise("2026-02-01")
    months.february()
    months.recognise("2026-03-01")
    ids = months.accounts.select("SELECT id FROM journal_entries WHERE kind = 'earned' ORDER BY at_us")
    made_of = [
        [
            tuple(row)
            for row in months.accounts.select(f"SELECT month, amount FROM earnings WHERE entry_id = '{id}'")
        ]
        for (id,) in ids
    ]
    assert made_of[0] == [("2026-01", eur("31"))]
    assert sorted(made_of[1]) == [
        ("2026-02", eur("-19.928571")),
        ("2026-02", eur("31")),
        ("2026-02", eur("59")),
    ]


def test_many_charges_go_in_batches(months: BookedMonths) -> None:
    months.january()
    months.february()
    until_us = months.shop.at("2026-03-01")
    first_id, batches = 0, 0
    while True:
        with months.shop.session() as session:
            done = recognise(session, months.shop.books, until_us, until_us, first_id=first_id or 0, most=1)
        if done.next_id is None:
            break
        batches += 1
        first_id = done.next_id
    assert batches == 4  # bob's January, February and what came back; carol's quarter
    assert told(balance(months))["deferred:revenue"][-1] == "-31.00"


def test_two_at_once_earn_everything_once(months: BookedMonths) -> None:
    months.january()
    months.february()
    until_us = months.shop.at("2026-03-01")

    def one() -> int:
        books = Bookkeeper(lambda: connect(months.accounts.url), months.shop.clock)
        done = recognise_all(months.shop.database, books, until_us, until_us)
        return sum(amount for batch in done for *_, amount in batch.amounts)

    with ThreadPoolExecutor(2) as pool:
        sums = [future.result(30) for future in [pool.submit(one), pool.submit(one)]]
    assert sum(sums) == eur("101.071429")


def test_a_reseller_has_books_of_his_own(months: BookedMonths) -> None:
    # alice is the reseller's: 60 s to Germany cost her 0.12 and 19 %, him 0.06.
    months.invoicing.top_up("alice", "1")
    months.invoicing.call("alice", 60, day=3)
    assert told(balance(months, issuer="reseller")) == {
        "wallet": ["0.00", "0.1428", "1.00", "-0.8572"],
        "revenue:usage": ["0.00", "0.00", "0.12", "-0.12"],
        "tax:payable": ["0.00", "0.00", "0.0228", "-0.0228"],
        "cash": ["0.00", "1.00", "0.00", "1.00"],
    }
    own = balance(months)
    assert told(own) == {
        "wallet": ["0.00", "0.06", "0.00", "0.06"],
        "revenue:usage": ["0.00", "0.00", "0.06", "-0.06"],
    }
    assert own.closing == (0, eur("0.06"))
    assert [x.code for x in own.accounts] == list(LedgerCode)
