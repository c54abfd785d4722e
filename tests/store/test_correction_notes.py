"""Re-rating calls that are on invoices: notes make the invoices agree, and wallets are moved once only."""

from collections.abc import Iterator

import pytest

from pbxbill.billing.invoices.correction_notes import CorrectionNote, invoiced, issue_correction_notes
from pbxbill.billing.invoices.draft_editing import Correction, correct_line, remove_line
from pbxbill.billing.invoices.drafting import Drafted, recalculate
from pbxbill.billing.invoices.note_amounts import Amount, Lines, Whole
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.payments.payments import NewPayment, record_payment, write_off
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.mediation.rerate import Definition, Rerating
from pbxbill.store.billing_models import TaxRateRow
from pbxbill.store.decks import add_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import CLOCK, FRANCE, BilledAccounts, rate
from tests.store.invoiced_accounts import FEBRUARY, FEBRUARY_US, JANUARY, JANUARY_US, Invoicing

GERMANY_TODAY, FRANCE_TODAY = ("49", "Germany", "0.12"), ("33", "France", "0.30", "0.05", "60/60")


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    made = Invoicing(accounts)
    yield made
    made.database.dispose()


def rerate(billing: Invoicing, *rates: tuple[str, ...], until_us: int = FEBRUARY_US) -> None:
    """The retail deck had been wrong since ever."""
    with billing.transaction() as session:
        rows = [rate(*row) for row in rates]
        add_deck_version(
            session,
            deck_name="retail",
            unit="EUR",
            rates=rows,
            effective_from_us=0,
            source="corrected.csv",
            now_us=billing.clock.now_us(),
        )
    definition = Definition(JANUARY_US, until_us)
    Rerating(lambda: connect(billing.accounts.url), CLOCK, definition, invoiced).apply(lambda calls, of: None)


def notes(billing: Invoicing) -> list[CorrectionNote]:
    issued: list[CorrectionNote] = []
    while True:
        with billing.transaction() as session:
            made = issue_correction_notes(session, billing.books, billing.clock.now_us())
        if made is None:
            return issued
        issued += made


def pay(billing: Invoicing, code: str, amount: str) -> None:
    with billing.transaction() as session:
        account = session.get_one(AccountRow, billing.accounts.ids[code])
        new = NewPayment(eur(amount), "EUR", "bank", f"{code}{amount}")
        record_payment(session, billing.books, account, new, billing.clock.now_us())


def wallet(billing: Invoicing, code: str) -> int:
    return billing.accounts.wallet(code)[0]


def told(made: list[CorrectionNote]) -> list[tuple[str, str, int]]:
    return [(note.kind, note.number, note.total) for note in made]


def test_an_open_invoice_is_reduced_by_what_calls_cost_less(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)  # 10 x 0.12 = 1.20
    billing.call("carol", 60, 4, FRANCE)  # 0.35
    issued = billing.invoice("carol")
    rerate(billing, ("49", "Germany", "0.07"), FRANCE_TODAY)  # 10 x 0.05 less
    assert wallet(billing, "carol") == -eur("1.05")
    assert told(notes(billing)) == [("credit_note", "CN-2026-00001", eur("0.50"))]
    assert wallet(billing, "carol") == -eur("1.05")
    row = billing.row(issued.invoice_id)
    assert (row["open"], row["open_wallet"], row["state"]) == (eur("1.05"), eur("1.05"), "issued")
    assert_books_in_order(billing.accounts.url)
    pay(billing, "carol", "1.05")
    assert wallet(billing, "carol") == 0
    assert billing.row(issued.invoice_id)["state"] == "paid"
    assert notes(billing) == []
    assert_books_in_order(billing.accounts.url)


def test_a_paid_invoice_leaves_the_money_in_the_wallet(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)
    billing.invoice("carol")
    pay(billing, "carol", "1.20")
    rerate(billing, ("49", "Germany", "0.07"))
    assert wallet(billing, "carol") == eur("0.50")
    assert told(notes(billing)) == [("credit_note", "CN-2026-00001", eur("0.50"))]
    assert wallet(billing, "carol") == eur("0.50")
    assert_books_in_order(billing.accounts.url)


def test_what_was_written_off_of_calls_is_not_given_back_as_money(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)  # 1.20
    issued = billing.invoice("carol")
    with billing.transaction() as session:
        write_off(session, billing.books, issued.invoice_id, reason="gone", now_us=billing.clock.now_us())
    rerate(billing, ("49", "Germany", "0.07"))
    assert wallet(billing, "carol") == eur("0.50")
    assert told(notes(billing)) == [("credit_note", "CN-2026-00001", eur("0.50"))]
    # Nobody paid: 0.70 are lost, not 1.20, and nothing stays in the wallet.
    assert wallet(billing, "carol") == 0
    assert billing.balance(LedgerCode.WRITTEN_OFF) == eur("0.70")
    assert -billing.balance(LedgerCode.REVENUE_USAGE) == eur("0.70")
    assert billing.row(issued.invoice_id)["state"] == "written_off"
    assert_books_in_order(billing.accounts.url)


def test_what_calls_give_back_comes_off_an_invoice_of_which_nothing_was_paid(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)  # 1.20
    billing.charge("carol", "10")
    issued = billing.invoice("carol")
    ((router,),) = billing.accounts.select("SELECT id FROM invoice_lines WHERE charge_id IS NOT NULL")
    with billing.transaction() as session:
        what = Lines(((router, eur("8")),))
        credit(session, billing.books, issued.invoice_id, what, "wrong", billing.clock.now_us())
    # 11.20 - 8.00, which took the wallet's 1.20 first.
    row = billing.row(issued.invoice_id)
    assert (row["open"], row["open_wallet"]) == (eur("3.20"), 0)
    rerate(billing, ("49", "Germany", "0.07"))
    notes(billing)
    assert billing.row(issued.invoice_id)["open"] == eur("2.70")
    assert wallet(billing, "carol") == 0
    assert_books_in_order(billing.accounts.url)


def test_calls_that_cost_more_ask_for_a_debit_note(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)
    issued = billing.invoice("carol")
    rerate(billing, ("49", "Germany", "0.15"))
    (note,) = notes(billing)
    assert (note.kind, note.number, note.total, note.corrects_id) == (
        "debit_note",
        "DN-2026-00001",
        eur("0.30"),
        issued.invoice_id,
    )
    row = billing.row(note.note_id)
    assert (row["due"], row["open_wallet"], row["state"]) == (eur("0.30"), eur("0.30"), "issued")
    assert billing.balance(LedgerCode.RECEIVABLE) == eur("1.50")
    assert_books_in_order(billing.accounts.url)
    pay(billing, "carol", "1.50")
    assert wallet(billing, "carol") == 0
    # The debit note is credited like an invoice, when it was wrong itself.
    with billing.transaction() as session:
        credit(session, billing.books, note.note_id, Whole(), "mistake", billing.clock.now_us())
    assert wallet(billing, "carol") == eur("0.30")
    assert_books_in_order(billing.accounts.url)


def test_a_prepaid_wallet_has_paid_the_debit_note_already(billing: Invoicing) -> None:
    billing.top_up("bob", "5")
    billing.call("bob", 600, 3)
    billing.invoice("bob")
    rerate(billing, ("49", "Germany", "0.15"))
    (note,) = notes(billing)
    row = billing.row(note.note_id)
    assert (row["from_wallet"], row["due"], row["state"]) == (eur("0.30"), 0, "paid")
    assert wallet(billing, "bob") == eur("3.50")
    assert_books_in_order(billing.accounts.url)


def test_a_tariffs_tax_is_given_back_with_the_calls(billing: Invoicing) -> None:
    billing.top_up("alice", "5")
    billing.call("alice", 600, 3)  # 1.20 + 19 % = 1.428
    issued = billing.invoice("alice")
    assert (issued.total, issued.due) == (eur("1.43"), 0)
    rerate(billing, ("49", "Germany", "0.07"))  # 0.70 + 19 % = 0.833: 0.595 less
    (note,) = [x for x in notes(billing) if x.account_id == billing.accounts.ids["alice"]]
    row = billing.row(note.note_id)
    # Net 0.50, tax 0.095 -> 0.10. The wallet was given 0.595, and gets what rounding added.
    assert (row["net"], row["tax"], note.total) == (eur("0.50"), eur("0.10"), eur("0.60"))
    assert wallet(billing, "alice") == eur("5") - eur("1.428") + eur("0.60")
    # The tax of the books is that of the documents: 0.23 - 0.10.
    assert -billing.balance(LedgerCode.TAX_PAYABLE, "reseller") == eur("0.13")
    assert -billing.balance(LedgerCode.REVENUE_USAGE, "reseller") == eur("0.70")
    assert_books_in_order(billing.accounts.url)


def test_tax_that_only_the_invoice_asked_for_comes_off_the_invoice(billing: Invoicing) -> None:
    with billing.transaction() as session:
        session.add(
            TaxRateRow(
                issuer_id=1, name="VAT", ppm=190_000, category="S", from_us=0, compound=False, inclusive=False
            )
        )
    billing.top_up("bob", "5")
    billing.call("bob", 600, 3)  # 1.20, whose tax of 0.228 the wallet did not give
    issued = billing.invoice("bob")
    assert (issued.total, issued.due) == (eur("1.43"), eur("0.23"))
    rerate(billing, ("49", "Germany", "0.07"))
    (note,) = notes(billing)
    assert note.total == eur("0.60")  # 0.50 + 0.10
    row = billing.row(issued.invoice_id)
    assert (row["open"], row["open_wallet"]) == (eur("0.13"), 0)
    assert wallet(billing, "bob") == eur("4.30")
    assert_books_in_order(billing.accounts.url)


def test_calls_of_two_invoices_make_a_note_for_each(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)
    january = billing.invoice("carol", JANUARY)
    billing.call("carol", 1200, 35)
    february = billing.invoice("carol", FEBRUARY)
    billing.call("carol", 60, 70)  # on none yet
    rerate(billing, ("49", "Germany", "0.07"), until_us=JANUARY_US + 100 * 86_400_000_000)
    made = notes(billing)
    assert {(x.corrects_id, x.total) for x in made} == {
        (january.invoice_id, eur("0.50")),
        (february.invoice_id, eur("1.00")),
    }
    assert wallet(billing, "carol") == -eur("2.17")  # 31 minutes at 0.07
    assert_books_in_order(billing.accounts.url)


def test_calls_on_a_draft_need_no_note(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)
    drafted = billing.draft("carol")
    assert isinstance(drafted, Drafted)
    rerate(billing, ("49", "Germany", "0.07"))
    assert notes(billing) == []
    with billing.transaction() as session:
        recalculate(session, drafted.invoice_id, billing.clock.now_us())
    billing.issue(drafted.invoice_id)
    # Re-rating is of today, which is after January: its correction is on the invoice of today's period.
    assert billing.row(drafted.invoice_id)["total"] == eur("1.20")
    assert_books_in_order(billing.accounts.url)


def test_what_was_credited_by_hand_is_not_given_back_again(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)
    issued = billing.invoice("carol")
    with billing.transaction() as session:
        credit(session, billing.books, issued.invoice_id, Amount(eur("1.00")), "goodwill", 1)
    assert wallet(billing, "carol") == -eur("0.20")
    rerate(billing, ("49", "Germany", "0.07"))
    (note,) = notes(billing)
    assert note.total == eur("0.20")  # of 0.50 no more than what was left
    assert billing.row(issued.invoice_id)["state"] == "cancelled"
    assert wallet(billing, "carol") == 0
    assert_books_in_order(billing.accounts.url)


def test_an_invoice_that_is_wholly_credited_gives_back_nothing_more(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)
    issued = billing.invoice("carol")
    with billing.transaction() as session:
        credit(session, billing.books, issued.invoice_id, Whole(), "goodwill", 1)
    before = wallet(billing, "carol")
    rerate(billing, ("49", "Germany", "0.07"))
    assert notes(billing) == []
    assert wallet(billing, "carol") == before
    assert_books_in_order(billing.accounts.url)


def inclusive(billing: Invoicing) -> int:
    """An invoice over 7.20, of which 1.149580 are 19 % inside the price: 7.20 / 1.19 = 6.050420."""
    billing.tax(19, inclusive=True)
    billing.call("carol", 3600, 3)  # 60 x 0.12
    issued = billing.invoice("carol")
    assert books(billing) == {
        "receivable": "7.200000",
        "wallet:invoiced": "-7.200000",
        "revenue:usage": "-6.050420",
        "tax:payable": "-1.150000",
        "rounding": "0.000420",
    }
    return issued.invoice_id


def books(billing: Invoicing) -> dict[str, str]:
    """What stands in the operator's books beside wallets, in euros; credit below zero."""
    balances = {code.value: billing.balance(code) for code in LedgerCode if code is not LedgerCode.WALLET}
    return {code: f"{amount / 1_000_000:.6f}" for code, amount in balances.items() if amount}


def test_tax_inside_the_price_leaves_nothing_once_all_was_credited_and_re_rated(billing: Invoicing) -> None:
    invoice_id = inclusive(billing)
    with billing.transaction() as session:
        credit(session, billing.books, invoice_id, Whole(), "goodwill", billing.clock.now_us())
    assert books(billing) == {}
    rerate(billing, ("49", "Germany", "0.02"))  # 6.00 less, all of which was given back already
    assert notes(billing) == []
    assert (wallet(billing, "carol"), books(billing)) == (0, {})
    assert_books_in_order(billing.accounts.url)


def test_tax_inside_the_price_of_calls_that_cost_less(billing: Invoicing) -> None:
    inclusive(billing)
    rerate(billing, ("49", "Germany", "0.02"))  # 6.00 less: net 5.042017, of it tax 0.957983
    assert [note.total for note in notes(billing)] == [eur("6.00")]
    assert wallet(billing, "carol") == -eur("1.20")
    # 1.20 / 1.19 = 1.008403; documents ask for 1.15 - 0.96 of tax, and both are rounded.
    assert books(billing) == {
        "receivable": "1.200000",
        "wallet:invoiced": "-1.200000",
        "revenue:usage": "-1.008403",
        "tax:payable": "-0.190000",
        "rounding": "-0.001597",
    }
    assert_books_in_order(billing.accounts.url)


def test_tax_inside_the_price_of_calls_whose_invoice_was_credited_in_part(billing: Invoicing) -> None:
    invoice_id = inclusive(billing)
    with billing.transaction() as session:
        credit(session, billing.books, invoice_id, Amount(eur("3.60")), "goodwill", billing.clock.now_us())
    rerate(billing, ("49", "Germany", "0.02"))
    # Of 6.00 no more than the 3.60 that the first note left, to the last coin of tax: 3.02 and 0.58.
    assert [note.total for note in notes(billing)] == [eur("3.60")]
    assert wallet(billing, "carol") == 0
    # The first note gave back 3.03 of the line's 6.05, exactly 3.030210; the second took 3.02 for the rest.
    assert books(billing) == {"revenue:usage": "-0.000210", "rounding": "0.000210"}
    assert_books_in_order(billing.accounts.url)


def test_tax_inside_the_price_of_calls_that_cost_more(billing: Invoicing) -> None:
    inclusive(billing)
    rerate(billing, ("49", "Germany", "0.22"))  # 6.00 more
    assert told(notes(billing)) == [("debit_note", "DN-2026-00001", eur("6.00"))]
    # 13.20 / 1.19 = 11.092437; 1.15 and 0.96 of tax.
    assert books(billing) == {
        "receivable": "13.200000",
        "wallet:invoiced": "-13.200000",
        "revenue:usage": "-11.092437",
        "tax:payable": "-2.110000",
        "rounding": "0.002437",
    }
    assert_books_in_order(billing.accounts.url)


def test_there_and_back_again(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)
    billing.invoice("carol")
    for price in ("0.07", "0.15", "0.12", "0.01"):
        rerate(billing, ("49", "Germany", price))
        notes(billing)
        assert_books_in_order(billing.accounts.url)
    # After its debit note a call's further corrections are on the next invoice.
    assert told(notes(billing)) == []
    billing.call("carol", 6000, 35)
    billing.invoice("carol", FEBRUARY)
    assert_books_in_order(billing.accounts.url)


def edited(billing: Invoicing, net: str | None) -> Drafted:
    """A draft whose line of calls was corrected, or removed, before it was issued; 5.00 beside it."""
    billing.call("carol", 600, 3)  # 1.20
    billing.charge("carol", "5")
    drafted = billing.draft("carol")
    assert isinstance(drafted, Drafted)
    ((line_id,),) = billing.accounts.select("SELECT id FROM invoice_lines WHERE collection = 'wallet'")
    with billing.transaction() as session:
        if net is None:
            remove_line(session, line_id, "goodwill", billing.clock.now_us())
        else:
            correct_line(session, line_id, Correction(eur(net)), "goodwill", billing.clock.now_us())
    billing.issue(drafted.invoice_id)
    return drafted


def test_calls_whose_line_was_corrected_in_the_draft(billing: Invoicing) -> None:
    drafted = edited(billing, "0.80")
    assert wallet(billing, "carol") == -eur("0.80")
    rerate(billing, ("49", "Germany", "0.07"))  # 0.50 less
    assert told(notes(billing)) == [("credit_note", "CN-2026-00001", eur("0.50"))]
    assert billing.row(drafted.invoice_id)["open"] == eur("5.30")
    assert wallet(billing, "carol") == -eur("0.30")
    assert_books_in_order(billing.accounts.url)
    rerate(billing, ("49", "Germany", "0.01"))  # 0.60 less, of which 0.30 is left
    assert [note.total for note in notes(billing)] == [eur("0.30")]
    assert wallet(billing, "carol") == 0
    assert_books_in_order(billing.accounts.url)


def test_calls_whose_line_was_removed_from_the_draft_are_not_given_back_again(billing: Invoicing) -> None:
    edited(billing, None)
    rerate(billing, ("49", "Germany", "0.07"))
    assert notes(billing) == []
    assert wallet(billing, "carol") == 0
    assert_books_in_order(billing.accounts.url)
    rerate(billing, ("49", "Germany", "0.10"))
    assert told(notes(billing)) == [("debit_note", "DN-2026-00001", eur("0.30"))]
    assert wallet(billing, "carol") == -eur("0.30")
    assert_books_in_order(billing.accounts.url)


def test_a_credit_on_the_invoice_does_not_keep_what_calls_give_back(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)  # 1.20
    billing.charge("carol", "-1.00", kind="credit", collection="wallet")
    issued = billing.invoice("carol")
    assert issued.total == eur("0.20")
    rerate(billing, ("49", "Germany", "0.07"))
    assert told(notes(billing)) == [("credit_note", "CN-2026-00001", eur("0.50"))]
    assert wallet(billing, "carol") == eur("0.30")
    assert_books_in_order(billing.accounts.url)
    refused = pytest.raises(InputRefused, match=r"gave back 0\.30 EUR themselves")
    with billing.transaction() as session, refused:
        credit(session, billing.books, issued.invoice_id, Whole(), "goodwill", billing.clock.now_us())
    assert_books_in_order(billing.accounts.url)
