"""Payments and notes of an invoice at the same moment: each waits for the other, nothing counts twice."""

from collections.abc import Callable, Iterator
from threading import Barrier, Thread

import pytest
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.correction_notes import invoiced, issue_correction_notes
from pbxbill.billing.invoices.note_amounts import Amount, Lines, Whole
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.payments.payments import (
    Allocated,
    NewPayment,
    pay_from_wallet,
    record_payment,
    reverse,
    write_off,
)
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.mediation.rerate import Definition, Rerating
from pbxbill.store.decks import add_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import CLOCK, BilledAccounts, rate
from tests.store.invoiced_accounts import FEBRUARY_US, JANUARY_US, Invoicing

Work = Callable[[Session, Bookkeeper, int], object]
AT_ONCE = 4
ROUNDS = 3


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    """carol owes 1.20 for January."""
    made = Invoicing(accounts)
    made.call("carol", 600, 3)
    made.invoice("carol")
    yield made
    assert_books_in_order(accounts.url)
    made.database.dispose()


def at_once(billing: Invoicing, *works: Work) -> list[object]:
    """Each in a thread with connections of its own; what came of it, a refusal too."""
    outcomes: list[object] = [None] * len(works)
    barrier = Barrier(len(works), timeout=30)

    def run(number: int) -> None:
        own = Invoicing(billing.accounts, billing.clock)
        try:
            barrier.wait()
            with own.transaction() as session:
                outcomes[number] = works[number](session, own.books, own.clock.now_us())
        except InputRefused as refused:
            outcomes[number] = refused
        except BaseException as fault:  # noqa: BLE001  # shown by the test, not lost with the thread
            outcomes[number] = fault
        finally:
            own.database.dispose()

    threads = [Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, InputRefused):
            raise outcome
    return outcomes


def payment(billing: Invoicing, amount: str, key: str) -> Work:
    def work(session: Session, books: Bookkeeper, now_us: int) -> object:
        account = session.get_one(AccountRow, billing.accounts.ids["carol"])
        return record_payment(session, books, account, NewPayment(eur(amount), "EUR", "bank", key), now_us)

    return work


def whole_line(line_id: int) -> Work:
    return lambda session, books, now_us: credit(
        session, books, 1, Lines(((line_id, None),)), "wrong", now_us
    )


def entry_of(paid: object) -> str:
    assert isinstance(paid, Allocated), paid
    return paid.entry_id


def refused(outcomes: list[object]) -> int:
    return sum(isinstance(outcome, InputRefused) for outcome in outcomes)


def test_payments_at_once_pay_an_invoice_once(billing: Invoicing) -> None:
    at_once(billing, *(payment(billing, "0.50", f"k{number}") for number in range(AT_ONCE)))
    row = billing.row(1)
    assert (row["state"], row["open"]) == ("paid", 0)
    assert billing.accounts.select("SELECT CAST(SUM(amount) AS BIGINT) FROM allocations") == [(eur("1.20"),)]
    assert billing.accounts.wallet("carol")[0] == eur("0.80")
    assert billing.balance(LedgerCode.CASH) == eur("2.00")


def test_the_same_payment_at_once_counts_once(billing: Invoicing) -> None:
    for number in range(ROUNDS):  # the first pays, the others find nothing open
        at_once(billing, *(payment(billing, "1.20", f"round {number}") for _ in range(AT_ONCE)))
    assert billing.balance(LedgerCode.CASH) == ROUNDS * eur("1.20")
    assert billing.accounts.wallet("carol")[0] == (ROUNDS - 1) * eur("1.20")


def test_a_line_is_credited_by_one_of_those_who_ask_at_once(billing: Invoicing) -> None:
    ((line_id,),) = billing.accounts.select("SELECT id FROM invoice_lines")
    outcomes = at_once(billing, *(whole_line(line_id) for _ in range(AT_ONCE)))
    assert refused(outcomes) == AT_ONCE - 1
    assert billing.accounts.select("SELECT COUNT(*) FROM invoices WHERE kind = 'credit_note'") == [(1,)]
    assert billing.accounts.wallet("carol")[0] == 0


def test_a_note_and_a_payment_at_once(billing: Invoicing) -> None:
    at_once(
        billing,
        payment(billing, "1.20", "k"),
        lambda session, books, now_us: credit(session, books, 1, Amount(eur("0.70")), "wrong", now_us),
    )
    # Whichever came first: 0.70 is the account's.
    assert billing.accounts.wallet("carol")[0] == eur("0.70")
    assert billing.row(1)["state"] == "paid"


def test_everything_at_once(billing: Invoicing) -> None:
    carol = billing.accounts.ids["carol"]
    billing.top_up("carol", "0.30", 33)
    paid = at_once(billing, payment(billing, "0.40", "early"))[0]
    at_once(
        billing,
        payment(billing, "0.30", "late"),
        lambda session, books, now_us: credit(session, books, 1, Amount(eur("0.25")), "wrong", now_us),
        lambda session, books, now_us: write_off(
            session, books, 1, reason="gone", now_us=now_us, amount=eur("0.05")
        ),
        lambda session, books, now_us: pay_from_wallet(
            session, books, session.get_one(AccountRow, carol), unit="EUR", now_us=now_us
        ),
        lambda session, books, now_us: reverse(
            session, books, entry_of(paid), reason="bounced", now_us=now_us
        ),
    )
    assert_books_in_order(billing.accounts.url)
    outcome = at_once(
        billing,
        lambda session, books, now_us: credit(session, books, 1, Whole(), "all wrong", now_us),
        lambda session, books, now_us: credit(session, books, 1, Whole(), "all wrong", now_us),
    )
    assert refused(outcome) == 1


def test_a_payment_is_taken_back_once(billing: Invoicing) -> None:
    paid = at_once(billing, payment(billing, "1.20", "k"))[0]
    entry_id = entry_of(paid)
    outcomes = at_once(
        billing,
        *(
            lambda session, books, now_us: reverse(session, books, entry_id, reason="bounced", now_us=now_us)
            for _ in range(AT_ONCE)
        ),
    )
    assert refused(outcomes) == AT_ONCE - 1
    assert billing.row(1)["open"] == eur("1.20")
    assert billing.balance(LedgerCode.CASH) == 0


def test_notes_of_re_rating_are_issued_once(billing: Invoicing) -> None:
    with billing.transaction() as session:
        rates = [rate("49", "Germany", "0.07")]
        add_deck_version(
            session, deck_name="retail", unit="EUR", rates=rates, effective_from_us=0, source="x", now_us=1
        )
    definition = Definition(JANUARY_US, FEBRUARY_US)
    Rerating(lambda: connect(billing.accounts.url), CLOCK, definition, invoiced).apply(lambda calls, of: None)
    outcomes = at_once(billing, *(issue_correction_notes for _ in range(AT_ONCE)))
    assert sum(len(made) for made in outcomes if isinstance(made, list)) == 1
    assert billing.row(1)["open"] == eur("0.70")
