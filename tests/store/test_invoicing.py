"""Invoices of what wallets gave and of charges, worked by hand, with what they post."""

import pytest

from pbxbill.billing.invoices.drafting import Drafted, Nothing, draft_period
from pbxbill.billing.period import Period
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit
from pbxbill.store.accounts import NewAccount, account_by_code, add_endpoint, ensure_unit, open_account
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.catalogue_models import DestinationPrefixRow, DestinationRow
from pbxbill.store.models import TariffRow
from tests.small_operator import eur
from tests.store.billed_accounts import FRANCE, GERMANY
from tests.store.invoiced_accounts import DAY_US, FEBRUARY, JANUARY, Invoicing, operator_id


def sums(invoicing: Invoicing, invoice_id: int) -> str:
    """net tax total | from the wallet, due, of it the wallet's"""
    row = invoicing.row(invoice_id)
    names = ("net", "tax", "total", "from_wallet", "due", "open_wallet")
    return " ".join(f"{int(row[name] or 0) / 1_000_000:.2f}" for name in names)


def test_prepaid_usage_was_paid_from_the_wallet(invoicing: Invoicing) -> None:
    # bob: 0.12 a minute to Germany, to France 0.30 a minute and 0.05 once; no tax.
    # 100 s x 0.12 / 60 = 0.20; 60 s to France: 0.30 + 0.05 = 0.35. Together 0.55.
    invoicing.top_up("bob", "5")
    invoicing.call("bob", 100, day=3)
    invoicing.call("bob", 60, 4, FRANCE)
    issued = invoicing.invoice("bob")
    assert invoicing.lines(issued.invoice_id) == [("Calls (2)", eur("0.55"))]
    assert sums(invoicing, issued.invoice_id) == "0.55 0.00 0.55 0.55 0.00 0.00"
    assert invoicing.row(issued.invoice_id)["state"] == "paid"
    assert invoicing.postings(issued.invoice_id) == {}  # all was posted call by call


def test_postpaid_usage_is_asked_for(invoicing: Invoicing) -> None:
    # carol, without funds: 100 s to Germany = 0.20 owed, due in full; the wallet's debt is receivable now.
    invoicing.call("carol", 100, 3)
    issued = invoicing.invoice("carol")
    assert sums(invoicing, issued.invoice_id) == "0.20 0.00 0.20 0.00 0.20 0.20"
    assert invoicing.row(issued.invoice_id)["state"] == "issued"
    assert invoicing.postings(issued.invoice_id) == {"receivable": "0.200000", "wallet:invoiced": "-0.200000"}


def test_a_wallet_that_held_half_paid_half(invoicing: Invoicing) -> None:
    # 0.10 were there, 0.20 were used: 0.10 is due.
    invoicing.top_up("carol", "0.10")
    invoicing.call("carol", 100, 3)
    issued = invoicing.invoice("carol")
    assert sums(invoicing, issued.invoice_id) == "0.20 0.00 0.20 0.10 0.10 0.10"


def test_fractions_of_cents_are_rounded_once_and_posted(invoicing: Invoicing) -> None:
    # 101 s x 0.12 / 60 = 0.202 owed; 0.20 is asked for, the 0.002 that nobody will pay go into the wallet.
    invoicing.call("carol", 101, 3)
    issued = invoicing.invoice("carol")
    assert invoicing.postings(issued.invoice_id) == {
        "wallet": "-0.002000",
        "receivable": "0.200000",
        "wallet:invoiced": "-0.200000",
        "rounding": "0.002000",
    }
    assert invoicing.accounts.wallet("carol")[0] == -eur("0.20")


def test_tax_of_the_tariff_was_taken_with_each_call(invoicing: Invoicing) -> None:
    # alice, of the reseller: 100 s = 0.20 and 19 % = 0.038, from her wallet. The invoice says 0.04 of tax:
    # the 0.002 more are owed to the tax office, out of rounding.
    invoicing.top_up("alice", "5")
    invoicing.call("alice", 100, 3)
    issued = invoicing.invoice("alice")
    assert sums(invoicing, issued.invoice_id) == "0.20 0.04 0.24 0.24 0.00 0.00"
    assert invoicing.postings(issued.invoice_id) == {"tax:payable": "-0.002000", "rounding": "0.002000"}
    assert invoicing.balance(LedgerCode.TAX_PAYABLE, "reseller") == -eur("0.04")
    ((name, ppm),) = invoicing.accounts.select("SELECT name, ppm FROM invoice_taxes")
    assert (name, ppm) == ("Tax", 190_000)


def test_a_reseller_is_billed_for_what_his_customers_used(invoicing: Invoicing) -> None:
    # Wholesale: 100 s x 0.06 / 60 = 0.10, owed by the reseller to the operator.
    invoicing.top_up("alice", "5")
    invoicing.call("alice", 100, 3)
    issued = invoicing.invoice("reseller")
    assert invoicing.lines(issued.invoice_id) == [("Calls (1)", eur("0.10"))]
    assert sums(invoicing, issued.invoice_id) == "0.10 0.00 0.10 0.00 0.10 0.10"


def test_tax_that_no_tariff_took_is_asked_for(invoicing: Invoicing) -> None:
    # bob paid 0.55 from his wallet; 19 % of it, 0.1045 -> 0.10, only the invoice asks for.
    invoicing.tax(19)
    invoicing.top_up("bob", "5")
    invoicing.call("bob", 100, 3)
    invoicing.call("bob", 60, 4, FRANCE)
    issued = invoicing.invoice("bob")
    assert sums(invoicing, issued.invoice_id) == "0.55 0.10 0.65 0.55 0.10 0.00"
    assert invoicing.postings(issued.invoice_id) == {"receivable": "0.100000", "tax:payable": "-0.100000"}


def test_tax_inside_the_price_is_taken_out_of_what_was_revenue(invoicing: Invoicing) -> None:
    # 595 s x 0.12 / 60 = 1.19 with 19 % inside: 1.00 and 0.19. Posted as revenue, 0.19 is moved to tax.
    invoicing.tax(19, inclusive=True)
    invoicing.top_up("bob", "5")
    invoicing.call("bob", 595, 3)
    issued = invoicing.invoice("bob")
    assert sums(invoicing, issued.invoice_id) == "1.00 0.19 1.19 1.19 0.00 0.00"
    assert invoicing.postings(issued.invoice_id) == {"revenue:usage": "0.190000", "tax:payable": "-0.190000"}


def test_charges_that_the_invoice_collects(invoicing: Invoicing) -> None:
    # A line for February in advance, 9.90, is earned in February; a set-up, 20.00, now.
    # 19 % of 29.90 is 5.681.
    invoicing.tax(19)
    invoicing.top_up("bob", "5")
    invoicing.charge("bob", "9.90", day=32, service=FEBRUARY)
    invoicing.charge("bob", "20", day=5, kind="set_up")
    issued = invoicing.invoice("bob")
    assert sums(invoicing, issued.invoice_id) == "29.90 5.68 35.58 0.00 35.58 0.00"
    assert invoicing.postings(issued.invoice_id) == {
        "receivable": "35.580000",
        "deferred:revenue": "-9.900000",
        "revenue:one-time": "-20.000000",
        "tax:payable": "-5.680000",
    }
    rows = invoicing.accounts.select("SELECT net, deferred, entry_id IS NULL FROM charges ORDER BY net")
    assert [tuple(map(int, row)) for row in rows] == [(eur("9.90"), eur("9.90"), 0), (eur("20"), 0, 0)]


def test_a_period_in_arrears_is_earned_when_it_is_invoiced(invoicing: Invoicing) -> None:
    invoicing.top_up("bob", "5")
    invoicing.charge("bob", "9.90", day=31, service=JANUARY)
    issued = invoicing.invoice("bob")
    assert invoicing.postings(issued.invoice_id) == {
        "receivable": "9.900000",
        "revenue:recurring": "-9.900000",
    }


def test_all_kinds_together(invoicing: Invoicing) -> None:
    # carol has 5.00 and gets 1.00 of goodwill. Her wallet gave 0.20 for calls, 11.90 (10.00 and 19 % of it)
    # for a line, 2.00 by hand: of 14.10 the first 6.00 were there, 8.10 are owed. The invoice asks for 20.00
    # more. Taxes: of the line 1.90 as taken; of calls and set-up 19 % of 20.20 = 3.838; together 5.738,
    # rounded 5.74, of which 3.84 are not taken yet. Total 10 + 20 + 0.20 + 2 + 5.74 = 37.94; 31.94 are due.
    invoicing.tax(19)
    invoicing.top_up("carol", "5")
    invoicing.call("carol", 100, 3)
    invoicing.charge("carol", "10", collection="wallet", service=JANUARY, tax="1.90")
    invoicing.charge("carol", "20", kind="set_up")
    invoicing.post("carol", "-2", "adjustment", 7, LedgerCode.ADJUSTMENT)
    invoicing.post("carol", "1", "adjustment", 8, LedgerCode.ADJUSTMENT)
    issued = invoicing.invoice("carol")
    assert invoicing.lines(issued.invoice_id) == [
        ("Line 10", eur("10")),
        ("Line 20", eur("20")),
        ("Calls (1)", eur("0.20")),
        ("Adjustment", eur("2")),
    ]
    assert sums(invoicing, issued.invoice_id) == "32.20 5.74 37.94 6.00 31.94 8.10"
    assert invoicing.postings(issued.invoice_id) == {
        "receivable": "31.940000",
        "revenue:one-time": "-20.000000",
        "tax:payable": "-3.840000",
        "wallet:invoiced": "-8.100000",
    }


def test_a_charge_given_back_after_it_was_paid(invoicing: Invoicing) -> None:
    # 10.00 were taken in advance, and 3.00 of it are given back on the invoice: into the wallet.
    invoicing.top_up("bob", "10")
    invoicing.charge("bob", "10", collection="wallet", service=JANUARY)
    rest = Period(JANUARY.from_us + 19 * DAY_US, JANUARY.to_us)
    invoicing.charge("bob", "-3", day=20, kind="credit", service=rest)
    issued = invoicing.invoice("bob")
    assert sums(invoicing, issued.invoice_id) == "7.00 0.00 7.00 7.00 0.00 0.00"
    assert invoicing.postings(issued.invoice_id) == {"wallet": "-3.000000", "deferred:revenue": "3.000000"}
    assert invoicing.accounts.wallet("bob")[0] == eur("3")


def test_a_late_record_is_on_the_next_invoice(invoicing: Invoicing) -> None:
    invoicing.call("carol", 100, 3)
    first = invoicing.invoice("carol")
    invoicing.call("carol", 50, 5)  # of January, known in February
    invoicing.call("carol", 200, 33)
    again = invoicing.draft("carol")
    assert isinstance(again, Drafted)
    assert (again.invoice_id, again.state, again.repeated) == (first.invoice_id, "issued", True)
    second = invoicing.invoice("carol", FEBRUARY)
    assert invoicing.lines(second.invoice_id) == [("Calls (2)", eur("0.50"))]  # 0.10 + 0.40
    assert invoicing.balance(LedgerCode.RECEIVABLE) == eur("0.70")


def test_funds_pay_the_first_invoice_first(invoicing: Invoicing) -> None:
    # 0.30 were there. January took 0.20, February 0.40, of which 0.10 were still there.
    invoicing.top_up("carol", "0.30")
    invoicing.call("carol", 100, 3)
    invoicing.call("carol", 200, 33)
    first = invoicing.invoice("carol")
    second = invoicing.invoice("carol", FEBRUARY)
    assert sums(invoicing, first.invoice_id) == "0.20 0.00 0.20 0.20 0.00 0.00"
    assert sums(invoicing, second.invoice_id) == "0.40 0.00 0.40 0.10 0.30 0.30"


def test_what_is_issued_first_is_paid_first(invoicing: Invoicing) -> None:
    invoicing.top_up("carol", "0.30")
    invoicing.call("carol", 100, 3)
    invoicing.call("carol", 200, 33)
    first = invoicing.draft("carol")
    assert isinstance(first, Drafted)
    second = invoicing.invoice("carol", FEBRUARY)
    assert sums(invoicing, second.invoice_id) == "0.40 0.00 0.40 0.30 0.10 0.10"
    invoicing.issue(first.invoice_id)
    assert sums(invoicing, first.invoice_id) == "0.20 0.00 0.20 0.00 0.20 0.20"


def test_usage_by_class_of_destination(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        session.add_all([DestinationRow(id=1, name="Germany", kind="national")])
        session.add_all([DestinationRow(id=2, name="Mobile", kind="mobile")])
        session.flush()
        session.add_all([DestinationPrefixRow(prefix="49", destination_id=1)])
        session.add_all([DestinationPrefixRow(prefix="4917", destination_id=2)])
        bob = account_by_code(session, "bob")
        bob.inbound_tariff_id = session.query(TariffRow.id).filter_by(name="plain").scalar()
        add_endpoint(session, bob, "did", GERMANY)
    invoicing.top_up("bob", "5")
    invoicing.call("bob", 100, 3)
    invoicing.call("bob", 200, 3, "491701234567")
    invoicing.call("bob", 60, 3, FRANCE)
    issued = invoicing.invoice("bob")
    assert invoicing.lines(issued.invoice_id) == [
        ("Calls (1)", eur("0.35")),
        ("Calls to mobiles (1)", eur("0.40")),
        ("National calls (1)", eur("0.20")),
    ]


def test_nothing_used_makes_no_invoice(invoicing: Invoicing) -> None:
    invoicing.top_up("hot", "5")
    assert invoicing.draft("hot") == Nothing("there is nothing to invoice")


def test_what_is_worth_little_waits(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        row = BillingProfileRow(account_id=invoicing.accounts.ids["carol"], minimum_total=eur("0.50"))
        session.add(row)
    invoicing.call("carol", 100, 3)
    assert invoicing.draft("carol") == Nothing("it comes to 0.20 EUR, less than 0.50 EUR: it waits")
    invoicing.call("carol", 200, 33)
    issued = invoicing.invoice("carol", FEBRUARY)
    assert invoicing.lines(issued.invoice_id) == [("Calls (2)", eur("0.60"))]


def test_what_is_less_than_nothing_waits(invoicing: Invoicing) -> None:
    invoicing.charge("carol", "-3", kind="credit")
    nothing = invoicing.draft("carol")
    assert isinstance(nothing, Nothing)
    assert nothing.reason == "it comes to -3.00 EUR: it waits for charges to be set against"
    invoicing.charge("carol", "10", day=33)
    issued = invoicing.invoice("carol", FEBRUARY)
    assert (issued.total, issued.due) == (eur("7"), eur("7"))


def test_an_account_without_a_wallet_gets_one_with_its_first_invoice(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        account = open_account(session, NewAccount("dave", "Dave", mode="postpaid"), 0)
        invoicing.accounts.ids["dave"] = account.id
    invoicing.charge("dave", "9.90", kind="set_up")
    issued = invoicing.invoice("dave")
    assert sums(invoicing, issued.invoice_id) == "9.90 0.00 9.90 0.00 9.90 0.00"
    assert invoicing.accounts.wallet("dave") == (0, 0, 0)


def test_points_are_not_invoiced(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        ensure_unit(session, Unit("POINTS", 0, 0))
        made = draft_period(session, invoicing.accounts.ids["bob"], "POINTS", JANUARY, JANUARY.to_us)
    assert made == Nothing("POINTS is no currency: no invoice is made out in it")


def test_periods_that_overlap_are_refused(invoicing: Invoicing) -> None:
    invoicing.call("carol", 100, 3)
    number = invoicing.invoice("carol").number
    invoicing.call("carol", 100, 20)
    with pytest.raises(InputRefused, match=f"part of this period is on invoice {number} already"):
        invoicing.draft("carol", Period(JANUARY.from_us + 15 * DAY_US, JANUARY.to_us + 15 * DAY_US))


def test_the_operator_is_billed_by_nobody(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session, pytest.raises(InputRefused, match="billed by nobody"):
        draft_period(session, operator_id(session), "EUR", JANUARY, JANUARY.to_us)
