"""Credit notes: off what is open first, the rest into the wallet; the books are in order after each step."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from pbxbill.billing.books.recognition import recognise_all
from pbxbill.billing.invoices.debit_notes import debit
from pbxbill.billing.invoices.draft_editing import NewLine, add_line
from pbxbill.billing.invoices.drafting import Drafted
from pbxbill.billing.invoices.issuing import Issued
from pbxbill.billing.invoices.note_amounts import Amount, Lines, What, Whole
from pbxbill.billing.invoices.notes import Credited, credit
from pbxbill.billing.payments.payments import NewPayment, record_payment
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.billing_models import ChargeRow, IssuerRow, TaxRateRow
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import FRANCE, BilledAccounts
from tests.store.invoiced_accounts import DAY_US, JANUARY_US, MARCH_US, Invoicing


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    """carol, postpaid: 0.24 to Germany and 0.65 to France in January; 19 % on what invoices ask for."""
    made = Invoicing(accounts)
    made.call("carol", 120, 5)
    made.call("carol", 120, 6, FRANCE)
    with made.transaction() as session:
        operator = session.scalars(select(AccountRow).where(AccountRow.kind == "operator")).one()
        session.add(
            TaxRateRow(
                issuer_id=operator.id,
                name="VAT",
                ppm=190_000,
                category="S",
                product_class="service",
                from_us=0,
                compound=False,
                inclusive=False,
            )
        )
    yield made
    made.database.dispose()


def give_back(billing: Invoicing, invoice_id: int, what: What, reason: str = "wrong") -> Credited:
    with billing.transaction() as session:
        return credit(session, billing.books, invoice_id, what, reason, billing.clock.now_us(), "test")


def pay(billing: Invoicing, code: str, amount: str, key: str = "") -> None:
    with billing.transaction() as session:
        account = session.get_one(AccountRow, billing.accounts.ids[code])
        new = NewPayment(eur(amount), "EUR", "bank", key or amount)
        record_payment(session, billing.books, account, new, billing.clock.now_us())


def with_line(billing: Invoicing, code: str, description: str, price: str) -> Issued:
    """The account's January with something that the invoice asks for."""
    drafted = billing.draft(code)
    assert isinstance(drafted, Drafted)
    with billing.transaction() as session:
        line = NewLine(description, eur(price))
        add_line(session, drafted.invoice_id, line, "sold", billing.clock.now_us())
    issued = billing.issue(drafted.invoice_id)
    assert isinstance(issued, Issued)
    return issued


def wallet(billing: Invoicing, code: str) -> int:
    return billing.accounts.wallet(code)[0]


def test_an_unpaid_invoice_is_cancelled_by_a_note_over_all_of_it(billing: Invoicing) -> None:
    issued = billing.invoice("carol")
    assert wallet(billing, "carol") == -eur("0.89")
    note = give_back(billing, issued.invoice_id, Whole())
    assert (note.number, note.total, note.to_invoice, note.to_wallet) == (
        "CN-2026-00001",
        eur("0.89"),
        eur("0.89"),
        0,
    )
    assert wallet(billing, "carol") == 0
    row = billing.row(issued.invoice_id)
    assert (row["state"], row["open"], row["open_wallet"]) == ("cancelled", 0, 0)
    assert billing.balance(LedgerCode.REVENUE_USAGE) == 0
    assert_books_in_order(billing.accounts.url)


def test_what_was_paid_goes_into_the_wallet(billing: Invoicing) -> None:
    issued = billing.invoice("carol")
    pay(billing, "carol", "0.50")
    note = give_back(billing, issued.invoice_id, Amount(eur("0.60")))
    # 0.39 was open; 0.21 of the 0.60 had been paid.
    assert (note.to_invoice, note.to_wallet) == (eur("0.39"), eur("0.21"))
    assert wallet(billing, "carol") == eur("0.21")
    assert billing.row(issued.invoice_id)["state"] == "paid"
    give_back(billing, issued.invoice_id, Whole())
    assert wallet(billing, "carol") == eur("0.50")
    assert billing.row(issued.invoice_id)["state"] == "cancelled"
    assert_books_in_order(billing.accounts.url)


def test_lines_taxes_and_numbers_of_notes(billing: Invoicing) -> None:
    # 0.89 of calls without tax, 10.00 with 19 %: 1.90. In all 12.79.
    issued = with_line(billing, "carol", "Router", "10.00")
    assert issued.total == eur("12.79")
    ids: dict[str, int] = dict(
        billing.accounts.select(
            f"SELECT description, id FROM invoice_lines WHERE invoice_id = {issued.invoice_id}"
        )
    )
    first = give_back(billing, issued.invoice_id, Lines(((ids["Router"], eur("3.33")),)))
    assert (first.net, first.tax, first.number) == (eur("3.33"), eur("0.63"), "CN-2026-00001")
    second = give_back(billing, issued.invoice_id, Lines(((ids["Router"], None),)))
    assert (second.net, second.tax, second.number) == (eur("6.67"), eur("1.27"), "CN-2026-00002")
    with pytest.raises(
        InputRefused, match=f"invoice {issued.number}: nothing is left of line {ids['Router']}"
    ):
        give_back(billing, issued.invoice_id, Lines(((ids["Router"], None),)))
    assert billing.balance(LedgerCode.REVENUE_ONE_TIME) == 0
    assert billing.balance(LedgerCode.TAX_PAYABLE) == 0
    row = billing.row(issued.invoice_id)
    assert (row["state"], row["open"]) == ("issued", eur("0.89"))
    assert_books_in_order(billing.accounts.url)
    with billing.transaction() as session:
        kept = session.scalars(select(InvoiceRow.snapshot).where(InvoiceRow.id == first.note_id)).one()
    assert kept is not None
    assert f'"corrects":"{issued.number}"' in kept


def test_a_prepaid_account_gets_its_money_back(billing: Invoicing) -> None:
    billing.top_up("alice", "5")
    billing.call("alice", 600, 5)  # 10 x 0.12 + 19 % = 1.428
    issued = billing.invoice("alice")
    assert billing.row(issued.invoice_id)["state"] == "paid"
    before = wallet(billing, "alice")
    note = give_back(billing, issued.invoice_id, Whole())
    assert (note.net, note.tax, note.to_wallet) == (eur("1.20"), eur("0.23"), eur("1.43"))
    # The wallet gave 1.428; the invoice said 1.43, and so does the note. The rest is posted as rounding.
    assert wallet(billing, "alice") - before == eur("1.43")
    assert billing.balance(LedgerCode.REVENUE_USAGE, "reseller") == 0
    assert billing.balance(LedgerCode.TAX_PAYABLE, "reseller") == 0
    assert_books_in_order(billing.accounts.url)


def in_advance(billing: Invoicing, price: str) -> None:
    """A year in advance, asked for by carol's January invoice, which is issued on 1 February."""
    with billing.transaction() as session:
        session.add(
            ChargeRow(
                key="year",
                account_id=billing.accounts.ids["carol"],
                kind="recurring",
                description="Support, one year",
                product_class="service",
                unit="EUR",
                quantity=1_000_000,
                unit_price=eur(price),
                net=eur(price),
                at_us=JANUARY_US,
                from_us=JANUARY_US,
                to_us=JANUARY_US + 365 * DAY_US,
                collection="invoice",
                created_us=JANUARY_US,
            )
        )
    billing.invoice("carol")
    assert -billing.balance(LedgerCode.DEFERRED) == eur(price)


def time_passes(billing: Invoicing, until_us: int) -> None:
    """What was served until then is earned."""
    billing.clock.step(max(0, until_us - billing.clock.now_us()))
    list(recognise_all(billing.database, billing.books, until_us, billing.clock.now_us()))


def charge_line(billing: Invoicing) -> tuple[int, int]:
    """Invoice and line of the charge."""
    with billing.transaction() as session:
        line = session.scalars(select(InvoiceLineRow).where(InvoiceLineRow.charge_id.is_not(None))).one()
        return line.invoice_id, line.id


NEVER, MARCH, NEXT_YEAR = JANUARY_US, MARCH_US, JANUARY_US + 365 * DAY_US


@pytest.mark.parametrize(
    "until_us, credited, deferred_left, revenue_left",
    [
        # 365.00 for 365 days: until March 59.00 are earned, and 306.00 deferred.
        (MARCH, "365.00", "0", "0"),  # 306.00 are taken from what is deferred, 59.00 from revenue
        (MARCH, "100.00", "206.00", "59.00"),
        (MARCH, "336.00", "0", "29.00"),
        (NEVER, "365.00", "0", "0"),
        (NEXT_YEAR, "20.00", "0", "345.00"),
    ],
)
def test_what_is_not_earned_is_taken_back_first(
    billing: Invoicing, until_us: int, credited: str, deferred_left: str, revenue_left: str
) -> None:
    in_advance(billing, "365.00")
    time_passes(billing, until_us)
    invoice_id, line_id = charge_line(billing)
    give_back(billing, invoice_id, Lines(((line_id, eur(credited)),)))
    assert -billing.balance(LedgerCode.DEFERRED) == eur(deferred_left)
    assert -billing.balance(LedgerCode.REVENUE_RECURRING) == eur(revenue_left)
    assert_books_in_order(billing.accounts.url)
    time_passes(billing, NEXT_YEAR)
    assert billing.balance(LedgerCode.DEFERRED) == 0
    assert -billing.balance(LedgerCode.REVENUE_RECURRING) == eur("365.00") - eur(credited)
    assert_books_in_order(billing.accounts.url)


def test_thirds_of_a_charge_in_advance_leave_nothing_deferred(billing: Invoicing) -> None:
    # 33.333333 a year is 33.33 on the invoice, and 6.333333 of tax 6.33.
    in_advance(billing, "33.333333")
    invoice_id, line_id = charge_line(billing)
    for net in ("11.11", "11.11"):
        give_back(billing, invoice_id, Lines(((line_id, eur(net)),)))
    assert -billing.balance(LedgerCode.DEFERRED) == eur("11.111111")
    give_back(billing, invoice_id, Lines(((line_id, None),)))
    assert billing.balance(LedgerCode.DEFERRED) == 0
    assert billing.balance(LedgerCode.TAX_PAYABLE) == 0
    assert_books_in_order(billing.accounts.url)


def test_where_tax_is_rounded_on_lines_a_line_gives_back_its_own(billing: Invoicing) -> None:
    drafted = billing.draft("carol")
    assert isinstance(drafted, Drafted)
    with billing.transaction() as session:
        operator = session.scalars(select(AccountRow).where(AccountRow.kind == "operator")).one()
        session.add(IssuerRow(account_id=operator.id, tax_rounding="line"))
    with billing.transaction() as session:
        now_us = billing.clock.now_us()
        ids = [
            add_line(session, drafted.invoice_id, NewLine(f"Item {x}", eur("0.13")), "x", now_us)
            for x in "abc"
        ]
    issued = billing.issue(drafted.invoice_id)
    assert isinstance(issued, Issued)
    # Three times 0.13 x 19 % = 0.0247 -> 0.02, and 0.89 of calls without tax.
    assert issued.total == eur("1.34")
    notes = [give_back(billing, issued.invoice_id, Lines(((id, None),))) for id in ids]
    assert [note.tax for note in notes] == [eur("0.02")] * 3
    assert_books_in_order(billing.accounts.url)


def test_a_debit_note_is_asked_for_and_credited_like_an_invoice(billing: Invoicing) -> None:
    issued = billing.invoice("carol")
    with billing.transaction() as session:
        lines = [NewLine("Forgotten router", eur("10"))]
        more = debit(session, billing.books, issued.invoice_id, lines, "forgotten", billing.clock.now_us())
    assert (more.number, more.total, more.due) == ("DN-2026-00001", eur("11.90"), eur("11.90"))
    assert billing.balance(LedgerCode.RECEIVABLE) == eur("12.79")
    assert_books_in_order(billing.accounts.url)
    give_back(billing, more.invoice_id, Amount(eur("1.90")))
    pay(billing, "carol", "10.89")
    assert billing.row(more.invoice_id)["state"] == "paid"
    assert billing.row(issued.invoice_id)["state"] == "paid"
    assert_books_in_order(billing.accounts.url)
    with billing.transaction() as session, pytest.raises(InputRefused, match="is a note itself"):
        debit(session, billing.books, more.invoice_id, lines, "again", billing.clock.now_us())


def test_what_is_not_issued_cannot_be_credited(billing: Invoicing) -> None:
    drafted = billing.draft("carol")
    assert isinstance(drafted, Drafted)
    with pytest.raises(InputRefused, match="is draft, not issued"):
        give_back(billing, drafted.invoice_id, Whole())
    billing.issue(drafted.invoice_id)
    note = give_back(billing, drafted.invoice_id, Amount(eur("0.10")))
    with pytest.raises(InputRefused, match=f"credit note {note.number} asks for no money"):
        give_back(billing, note.note_id, Whole())
    with pytest.raises(InputRefused, match="say why"):
        give_back(billing, drafted.invoice_id, Whole(), " ")
    with pytest.raises(InputRefused, match=r"0\.80 EUR is more than the 0\.79 EUR left"):
        give_back(billing, drafted.invoice_id, Amount(eur("0.80")))
    assert_books_in_order(billing.accounts.url)
