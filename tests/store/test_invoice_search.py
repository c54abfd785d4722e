"""Search of invoices, and their history: entry by entry to the calls, and back."""

from collections.abc import Iterator
from typing import Any

import pytest

from pbxbill.billing.invoices.history import afterwards, behind_lines, entries_of_call, invoices_of
from pbxbill.billing.invoices.note_amounts import Amount
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.invoices.search import Found, Page, Wanted, find, search, sums
from pbxbill.billing.payments.payments import NewPayment, record_payment
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from tests.small_operator import eur
from tests.store.billed_accounts import FRANCE, BilledAccounts
from tests.store.invoiced_accounts import (
    DAY_US,
    FEBRUARY,
    FEBRUARY_US,
    JANUARY,
    JANUARY_US,
    MARCH_US,
    Invoicing,
)


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    """January: carol 1.20, alice (of the reseller) 0.71, reseller 0.30. February: carol 2.40, bob's draft."""
    made = Invoicing(accounts)
    with made.transaction() as session:
        session.add(BillingProfileRow(account_id=accounts.ids["carol"], cycle="quarter", group_name="gold"))
    made.call("carol", 600, 3)
    made.call("alice", 300, 4)  # 0.60 + 19 %, and the reseller 0.30
    for code in ("carol", "alice", "reseller"):
        made.invoice(code, JANUARY)
    made.call("carol", 1200, 35)
    made.invoice("carol", FEBRUARY)
    made.call("bob", 60, 36)
    made.draft("bob", FEBRUARY)
    with made.transaction() as session:
        account = session.get_one(AccountRow, accounts.ids["carol"])
        new = NewPayment(eur("0.20"), "EUR", "bank", "k")
        record_payment(session, made.books, account, new, made.clock.now_us())
    yield made
    made.database.dispose()


def found(billing: Invoicing, now_us: int = MARCH_US, **wanted: Any) -> list[tuple[str, int]]:
    with billing.transaction() as session:
        page = search(session, Wanted(**wanted), now_us)
    return [(row.account, row.total) for row in page.rows]


CAROL_1, CAROL_2 = ("carol", eur("1.20")), ("carol", eur("2.40"))
ALICE, RESELLER, BOB = ("alice", eur("0.71")), ("reseller", eur("0.30")), ("bob", eur("0.12"))


FOUND: list[tuple[dict[str, Any], list[tuple[str, int]]]] = [
    ({}, [BOB, CAROL_2, RESELLER, ALICE, CAROL_1]),
    ({"account": "carol"}, [CAROL_2, CAROL_1]),
    ({"reseller": "reseller"}, [RESELLER, ALICE]),
    ({"issuer": "reseller"}, [ALICE]),
    ({"issuer": "operator", "kinds": ("invoice",)}, [BOB, CAROL_2, RESELLER, CAROL_1]),
    ({"least": eur("0.71"), "most": eur("1.20"), "unit": "EUR"}, [ALICE, CAROL_1]),
    ({"unit": "USD"}, []),
    ({"statuses": ("draft",)}, [BOB]),
    ({"statuses": ("partly_paid", "draft")}, [BOB, CAROL_1]),
    ({"statuses": ("unpaid",)}, [CAROL_2, RESELLER, ALICE, CAROL_1]),
    ({"statuses": ("disputed",)}, []),
    ({"from_us": FEBRUARY_US + DAY_US}, [BOB, CAROL_2]),
    ({"to_us": FEBRUARY_US + DAY_US}, [RESELLER, ALICE, CAROL_1]),
    ({"period_from_us": JANUARY_US, "period_to_us": JANUARY_US + DAY_US}, [RESELLER, ALICE, CAROL_1]),
    ({"period_from_us": FEBRUARY_US}, [BOB, CAROL_2]),
    ({"cycle": "quarter"}, [CAROL_2, CAROL_1]),
    ({"cycle": "month"}, [BOB, RESELLER, ALICE]),
    ({"group": "gold"}, [CAROL_2, CAROL_1]),
    ({"number": "inv-2026-00001"}, [ALICE, CAROL_1]),
    ({"number": "INV-2026-0000"}, [CAROL_2, RESELLER, ALICE, CAROL_1]),
    ({"number": "INV_2026"}, []),
    ({"dunning_step": 1}, []),
    ({"dunning_step": 0, "account": "bob"}, [BOB]),
    ({"kinds": ("credit_note",)}, []),
]


def test_search(billing: Invoicing) -> None:
    for wanted, documents in FOUND:
        assert found(billing, **wanted) == documents, wanted


def test_what_is_open_past_its_day_is_overdue(billing: Invoicing) -> None:
    # Issued on 1 February and payable within 14 days: until the end of the 15th in UTC.
    assert found(billing, FEBRUARY_US + 14 * DAY_US, statuses=("overdue",)) == []
    assert found(billing, FEBRUARY_US + 16 * DAY_US, statuses=("overdue",)) == [RESELLER, ALICE, CAROL_1]
    with billing.transaction() as session:
        page = search(session, Wanted(account="carol"), FEBRUARY_US + 16 * DAY_US)
    assert [(row.open, row.is_overdue) for row in page.rows] == [(eur("2.40"), False), (eur("1.00"), True)]


def test_pages_and_sums(billing: Invoicing) -> None:
    rows: list[Found] = []
    before_id = None
    with billing.transaction() as session:
        while True:
            page: Page = search(session, Wanted(), MARCH_US, limit=2, before_id=before_id)
            rows += page.rows
            assert len(page.rows) <= 2
            before_id = page.next_id
            if before_id is None:
                break
        (added,) = sums(session, Wanted(statuses=("unpaid",)), MARCH_US)
        with pytest.raises(InputRefused, match="a page holds"):
            search(session, Wanted(), MARCH_US, limit=501)
        with pytest.raises(InputRefused, match="status 'lost': use one of"):
            search(session, Wanted(statuses=("lost",)), MARCH_US)
        with pytest.raises(InputRefused, match="no account 'nobody'"):
            search(session, Wanted(reseller="nobody"), MARCH_US)
    assert [row.account for row in rows] == ["bob", "carol", "reseller", "alice", "carol"]
    assert (added.documents, added.net, added.tax) == (4, eur("4.50"), eur("0.11"))
    assert (added.total, added.open) == (eur("4.61"), eur("4.41"))


def test_a_document_is_named_by_its_number_or_id(billing: Invoicing) -> None:
    with billing.transaction() as session:
        assert find(session, "INV-2026-00003").total == eur("2.40")
        draft = find(session, "5")
        assert draft.state == "draft"
        with pytest.raises(InputRefused, match=r"several issuers .* \(1, 2\)"):
            find(session, "INV-2026-00001")
        with pytest.raises(InputRefused, match="there is no document 'INV-77'"):
            find(session, "INV-77")
        with pytest.raises(InputRefused, match="there is no document"):
            find(session, "INV-2026-00003", ("quote",))


def test_every_entry_of_an_invoice_and_back(billing: Invoicing) -> None:
    billing.call("carol", 60, 60, FRANCE)
    billing.call("carol", 60, 61)
    billing.post("carol", "-0.50", "adjustment", 62, LedgerCode.ADJUSTMENT)
    march = billing.invoice("carol", JANUARY._replace(from_us=MARCH_US, to_us=MARCH_US + 31 * DAY_US))
    with billing.transaction() as session:
        credit(session, billing.books, march.invoice_id, Amount(eur("0.10")), "wrong", billing.clock.now_us())
    with billing.transaction() as session:
        behind = behind_lines(session, march.invoice_id)
        assert [(x.kind, x.called, x.amount) for x in behind] == [
            ("usage", "33612345", eur("0.35")),
            ("usage", "493012345", eur("0.12")),
            ("adjustment", None, eur("0.50")),
        ]
        first = behind_lines(session, march.invoice_id, limit=1)
        assert behind_lines(session, march.invoice_id, after=first[-1].entry_id) == behind[1:]
        since = afterwards(session, march.invoice_id)
        assert [(x.role, x.amount, x.number) for x in since] == [
            ("issued", eur("0.97"), march.number),
            ("credit_note", eur("0.10"), "CN-2026-00001"),
        ]
        (on,) = invoices_of(session, behind[0].entry_id)
        assert (on.invoice_id, on.number, on.role, on.account) == (
            march.invoice_id,
            march.number,
            "line",
            "carol",
        )
        assert behind[0].session_id is not None
        assert entries_of_call(session, behind[0].session_id) == [behind[0].entry_id]
        notes = [(x.kind, x.role) for x in invoices_of(session, since[1].entry_id)]
        assert notes == [("invoice", "credit_note"), ("credit_note", "issued")]
        assert invoices_of(session, "0" * 32) == []


def test_a_call_is_on_the_invoices_of_each_level(billing: Invoicing) -> None:
    with billing.transaction() as session:
        alice = session.get_one(InvoiceRow, 2)
        (entry,) = behind_lines(session, alice.id)
        assert entry.session_id is not None
        on = [x for id in entries_of_call(session, entry.session_id) for x in invoices_of(session, id)]
    assert {x.account for x in on} == {"alice", "reseller"}
