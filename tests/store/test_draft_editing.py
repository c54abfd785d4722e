"""What people change of a draft: reasons, sums, and what goes back to the wallet when it is issued."""

from typing import Any

import pytest

from pbxbill.billing.books.recognition import recognise
from pbxbill.billing.invoices.draft_editing import Correction, NewLine, add_line, correct_line, remove_line
from pbxbill.billing.invoices.drafting import Drafted, discard, recalculate
from pbxbill.billing.invoices.issuing import AlreadyIssued, NotIssued
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from tests.small_operator import eur
from tests.store.billed_accounts import FRANCE
from tests.store.invoiced_accounts import DAY_US, JANUARY, JANUARY_US, Invoicing


@pytest.fixture
def draft(invoicing: Invoicing) -> int:
    """Of alice: 0.20 of calls with 19 % of tax in it, taken from her wallet, and 20.00 to be asked for."""
    invoicing.tax(19, issuer="reseller")
    invoicing.top_up("alice", "5")
    invoicing.call("alice", 100, 3)
    invoicing.charge("alice", "20", kind="set_up")
    drafted = invoicing.draft("alice")
    assert isinstance(drafted, Drafted)
    return drafted.invoice_id


def line_ids(invoicing: Invoicing, invoice_id: int) -> list[int]:
    """Of the lines that count: the set-up, then the calls."""
    return [
        id
        for (id,) in invoicing.accounts.select(
            f"SELECT id FROM invoice_lines WHERE invoice_id = {invoice_id} AND origin <> 'removed' "
            "ORDER BY position"
        )
    ]


def events(invoicing: Invoicing, invoice_id: int) -> list[str]:
    rows = invoicing.accounts.select(
        f"SELECT kind, detail FROM invoice_events WHERE invoice_id = {invoice_id} ORDER BY id"
    )
    return [f"{kind}: {detail}" for kind, detail in rows]


def change(invoicing: Invoicing, use_case: Any, *what: Any) -> Any:
    with invoicing.transaction() as session:
        return use_case(session, *what, "as agreed", invoicing.clock.now_us(), "eve")


def total(invoicing: Invoicing, invoice_id: int) -> int:
    return int(invoicing.row(invoice_id)["total"] or 0)


def test_a_line_is_added(invoicing: Invoicing, draft: int) -> None:
    change(invoicing, add_line, draft, NewLine("Visit on site", eur("80"), 1_500_000))
    change(invoicing, add_line, draft, NewLine("Discount", -eur("10")))
    # 0.20 + 20 + 120 - 10 = 130.20; tax 0.038 taken, and 19 % of 130.00 = 24.70: 24.738 -> 24.74.
    assert total(invoicing, draft) == eur("154.94")
    assert events(invoicing, draft)[1:] == [
        "line added: line 3, Visit on site, 120.00 EUR: as agreed",
        "line added: line 4, Discount, -10.00 EUR: as agreed",
    ]
    invoicing.issue(draft)
    # The wallet paid 0.238 -> 0.24; the rest is due.
    assert invoicing.row(draft)["due"] == eur("154.70")
    assert invoicing.balance(LedgerCode.REVENUE_ONE_TIME, "reseller") == -eur("130")


def test_a_removed_charge_is_waived(invoicing: Invoicing, draft: int) -> None:
    change(invoicing, remove_line, line_ids(invoicing, draft)[0])
    assert total(invoicing, draft) == eur("0.24")
    invoicing.issue(draft)
    assert invoicing.row(draft)["due"] == 0
    nothing = invoicing.draft("alice", JANUARY)
    assert isinstance(nothing, Drafted)
    assert nothing.repeated


def test_what_the_wallet_gave_for_a_removed_line_is_given_back(invoicing: Invoicing, draft: int) -> None:
    change(invoicing, remove_line, line_ids(invoicing, draft)[1])
    assert total(invoicing, draft) == eur("23.80")
    assert invoicing.accounts.wallet("alice")[0] == eur("4.762")  # not before it is issued
    invoicing.issue(draft)
    assert invoicing.accounts.wallet("alice")[0] == eur("5")
    assert invoicing.balance(LedgerCode.REVENUE_USAGE, "reseller") == 0
    assert invoicing.balance(LedgerCode.TAX_PAYABLE, "reseller") == -eur("3.80")


def test_a_line_corrected_to_less_gives_the_rest_back(invoicing: Invoicing, draft: int) -> None:
    calls = line_ids(invoicing, draft)[1]
    corrected = change(invoicing, correct_line, calls, Correction(eur("0.10"), "Calls, half price"))
    # 0.10 + 0.019; 20 + 3.80: 20.10 + 3.819 -> 3.82
    assert total(invoicing, draft) == eur("23.92")
    change(invoicing, correct_line, corrected, Correction(eur("0.15")))
    invoicing.issue(draft)
    # 0.15 and 19 % of it, 0.0285, stay: 5.00 - 0.1785
    assert invoicing.accounts.wallet("alice")[0] == eur("4.8215")
    assert invoicing.balance(LedgerCode.REVENUE_USAGE, "reseller") == -eur("0.15")
    assert invoicing.lines(draft) == [("Line 20", eur("20")), ("Calls, half price", eur("0.15"))]


def test_a_corrected_line_is_removed(invoicing: Invoicing, draft: int) -> None:
    calls = line_ids(invoicing, draft)[1]
    corrected = change(invoicing, correct_line, calls, Correction(eur("0.10")))
    change(invoicing, remove_line, corrected)
    invoicing.issue(draft)
    assert invoicing.accounts.wallet("alice")[0] == eur("5")


def test_a_charge_in_advance_is_given_back_from_what_is_not_earned(invoicing: Invoicing) -> None:
    # 31.00 were taken for January in advance; 10.00 of it, ten days, are earned. Of the 26.00 that go back
    # 21.00 are not earned yet, 5.00 are revenue.
    invoicing.top_up("bob", "50")
    invoicing.charge("bob", "31", day=1, collection="wallet", service=JANUARY)
    with invoicing.transaction() as session:
        tenth_us = JANUARY_US + 10 * DAY_US
        recognise(session, invoicing.books, tenth_us, tenth_us, by_day=True)
    assert invoicing.balance(LedgerCode.DEFERRED) == -eur("21")
    drafted = invoicing.draft("bob")
    assert isinstance(drafted, Drafted)
    change(invoicing, correct_line, line_ids(invoicing, drafted.invoice_id)[0], Correction(eur("5")))
    invoicing.issue(drafted.invoice_id)
    assert invoicing.accounts.wallet("bob")[0] == eur("45")
    assert invoicing.balance(LedgerCode.DEFERRED) == 0
    assert invoicing.balance(LedgerCode.REVENUE_RECURRING) == -eur("5")


def test_a_charge_is_corrected_in_price(invoicing: Invoicing, draft: int) -> None:
    change(invoicing, correct_line, line_ids(invoicing, draft)[0], Correction(eur("15")))
    invoicing.issue(draft)
    # 15.20, 2.85 + 0.038 = 2.888 -> 2.89: 18.09, of which the wallet paid 0.24.
    assert invoicing.row(draft)["due"] == eur("17.85")


@pytest.mark.parametrize("net", ["0.21", "-0.01"])
def test_a_wallet_is_not_made_to_give_more_by_a_correction(
    invoicing: Invoicing, draft: int, net: str
) -> None:
    calls = line_ids(invoicing, draft)[1]
    with pytest.raises(
        InputRefused, match=r"the wallet gave 0\.20 EUR for this line: correct it to something"
    ):
        change(invoicing, correct_line, calls, Correction(eur(net)))


def test_a_draft_never_comes_to_less_than_nothing(invoicing: Invoicing, draft: int) -> None:
    with pytest.raises(InputRefused, match=r"the draft would come to -23\.56 EUR; an invoice is never below"):
        change(invoicing, add_line, draft, NewLine("Discount", -eur("40")))
    assert total(invoicing, draft) == eur("24.04")


def test_without_a_reason_nothing_is_changed(invoicing: Invoicing, draft: int) -> None:
    with invoicing.transaction() as session, pytest.raises(InputRefused, match="say why"):
        remove_line(session, line_ids(invoicing, draft)[0], " ", 1)


def test_a_draft_is_reckoned_again_and_keeps_what_people_did(invoicing: Invoicing, draft: int) -> None:
    setup, _ = line_ids(invoicing, draft)
    change(invoicing, correct_line, setup, Correction(eur("15")))
    change(invoicing, add_line, draft, NewLine("Visit", eur("80")))
    invoicing.call("alice", 60, 9, FRANCE)  # 0.35 and tax, late
    with invoicing.transaction() as session:
        recalculate(session, draft, invoicing.clock.now_us())
    assert invoicing.lines(draft) == [
        ("Calls (2)", eur("0.55")),
        ("Line 20", eur("15")),
        ("Visit", eur("80")),
    ]
    invoicing.issue(draft)
    # 95.55 and 18.05 + 0.038 + 0.0665 = 18.1545 -> 18.15: 113.70, of which 0.6545 -> 0.65 were paid.
    assert invoicing.row(draft)["due"] == eur("113.05")


def test_what_was_removed_stays_removed_when_a_draft_is_reckoned_again(
    invoicing: Invoicing, draft: int
) -> None:
    change(invoicing, remove_line, line_ids(invoicing, draft)[1])
    invoicing.call("alice", 60, 9, FRANCE)
    with invoicing.transaction() as session:
        recalculate(session, draft, invoicing.clock.now_us())
        recalculate(session, draft, invoicing.clock.now_us())
    assert invoicing.lines(draft) == [("Line 20", eur("20")), ("Calls (1)", eur("0.35"))]
    invoicing.issue(draft)
    assert invoicing.accounts.wallet("alice")[0] == eur("4.5835")  # 5 - 0.35 - 19 % of it


def test_a_discarded_draft_gives_all_back_to_the_next_one(invoicing: Invoicing, draft: int) -> None:
    change(invoicing, remove_line, line_ids(invoicing, draft)[1])
    change(invoicing, add_line, draft, NewLine("Visit", eur("80")))
    change(invoicing, discard, draft)
    with pytest.raises(InputRefused, match=f"draft {draft} was discarded"):
        change(invoicing, add_line, draft, NewLine("Visit", eur("80")))
    with pytest.raises(InputRefused, match=f"draft {draft} is discarded"):
        invoicing.issue(draft)
    issued = invoicing.invoice("alice")
    assert invoicing.lines(issued.invoice_id) == [("Line 20", eur("20")), ("Calls (1)", eur("0.20"))]


def test_an_issued_invoice_cannot_be_changed(invoicing: Invoicing, draft: int) -> None:
    invoicing.issue(draft)
    (line, *_) = line_ids(invoicing, draft)
    before = invoicing.row(draft)
    said = "is issued and never changed; a credit note corrects it"
    for use_case, what in (
        (add_line, (draft, NewLine("Visit", eur("80")))),
        (correct_line, (line, Correction(eur("1")))),
        (remove_line, (line,)),
        (discard, (draft,)),
    ):
        with pytest.raises(InputRefused, match=said):
            change(invoicing, use_case, *what)
    with invoicing.transaction() as session, pytest.raises(InputRefused, match=said):
        recalculate(session, draft, 1)
    assert isinstance(invoicing.issue(draft), AlreadyIssued)
    assert invoicing.row(draft) == before


def test_a_draft_without_lines_is_not_issued(invoicing: Invoicing, draft: int) -> None:
    for line in line_ids(invoicing, draft):
        change(invoicing, remove_line, line)
    assert isinstance(invoicing.issue(draft), NotIssued)
    assert invoicing.accounts.wallet("alice")[0] == eur("4.762")


@pytest.mark.parametrize("correction, left", [(None, "0"), ("0.50", "0.50")])
def test_tax_inside_the_price_of_calls_that_are_given_back(
    invoicing: Invoicing, correction: str | None, left: str
) -> None:
    invoicing.tax(20, inclusive=True)
    invoicing.call("carol", 600, 3)  # 1.20, of it 0.20 of tax that the tariff knew nothing of
    invoicing.charge("carol", "10")
    drafted = invoicing.draft("carol")
    assert isinstance(drafted, Drafted)
    ((id,),) = invoicing.accounts.select("SELECT id FROM invoice_lines WHERE collection = 'wallet'")
    if correction is None:
        change(invoicing, remove_line, id)
    else:
        change(invoicing, correct_line, id, Correction(eur(correction)))
    invoicing.issue(drafted.invoice_id)
    # 20 % of what is left, and of the 10.00.
    assert -invoicing.balance(LedgerCode.TAX_PAYABLE) == invoicing.row(drafted.invoice_id)["tax"]
    assert -invoicing.balance(LedgerCode.REVENUE_USAGE) == eur(left)


def test_a_corrected_line_is_known_as_that_after_the_draft_was_reckoned_again(
    invoicing: Invoicing, draft: int
) -> None:
    calls = line_ids(invoicing, draft)[1]
    corrected = change(invoicing, correct_line, calls, Correction(eur("0.05")))
    with invoicing.transaction() as session:
        recalculate(session, draft, invoicing.clock.now_us())
    # Up to what the wallet gave it may be corrected again.
    change(invoicing, correct_line, corrected, Correction(eur("0.15")))
    assert sorted(net for _, net in invoicing.lines(draft)) == [eur("0.15"), eur("20")]


def test_a_draft_of_astronomic_amounts_is_refused_in_a_sentence(invoicing: Invoicing, draft: int) -> None:
    line = NewLine("Moon", 2**62 - 1)
    with pytest.raises(InputRefused, match="more than any amount may be"):
        change(invoicing, _twice, draft, line)
    for _ in range(3):
        invoicing.charge("carol", "4000000000000")
    with pytest.raises(InputRefused, match="more than any amount may be"):
        invoicing.draft("carol")
    assert invoicing.row(draft)["total"] == eur("24.04")


@pytest.mark.parametrize("product_class", ["", "p" * 33, "a\x01b"])
def test_a_product_class_that_cannot_be_kept_is_refused(
    invoicing: Invoicing, draft: int, product_class: str
) -> None:
    before = total(invoicing, draft)
    with pytest.raises(InputRefused, match="a product class has 1 to 32 printable characters"):
        change(invoicing, add_line, draft, NewLine("Visit", eur("80"), product_class=product_class))
    assert total(invoicing, draft) == before


def _twice(session: Any, invoice_id: int, line: NewLine, reason: str, now_us: int, by: str) -> None:
    for _ in range(2):
        add_line(session, invoice_id, line, reason, now_us, by)
