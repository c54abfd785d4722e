"""Lists of entries among millions: what a page looks through, the next one finds on; what is told is the same
for an account with few movements and for one with many."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.ids import id_of_moment
from pbxbill.listing import listing, wallet_entries
from pbxbill.listing.accounts import ACCOUNTS
from pbxbill.listing.journal import JOURNAL
from pbxbill.listing.ledger import LEDGER
from pbxbill.listing.listing import Asked, Listing, page_of
from pbxbill.listing.own import OWN_PAYMENTS
from pbxbill.listing.own_ledger import OWN_LEDGER
from pbxbill.listing.payments import PAYMENTS
from pbxbill.money import Unit
from pbxbill.store.accounts import NewAccount, ensure_chart, ensure_unit, open_account, open_wallet
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow, JournalEntryRow, LedgerAccountRow, PostingRow, WalletRow
from tests.store.billed_accounts import BilledAccounts

BEGIN_US = 1_773_000_000_000_000
DAY_US = 86_400_000_000
ENTRIES = 200
FROM, TO = "2026-03-10", "2026-03-12"


@pytest.fixture
def session(accounts: BilledAccounts) -> Iterator[Session]:
    database = open_engine(accounts.url)
    with transaction(database) as writing:
        _write(writing, accounts, random.Random(3))
    with transaction(database) as reading:
        yield reading
    database.dispose()


def _write(session: Session, accounts: BilledAccounts, chance: random.Random) -> None:
    """Calls, and now and then a payment; some were written long after they were."""
    operator = session.scalars(select(AccountRow).where(AccountRow.kind == "operator")).one()
    ensure_chart(session, operator.id, "EUR")
    cash, revenue = (
        session.scalars(
            select(LedgerAccountRow.id).where(
                LedgerAccountRow.issuer_id == operator.id, LedgerAccountRow.code == code
            )
        ).first()
        for code in ("cash", "revenue:usage")
    )
    wallets = {x.account_id: x for x in session.scalars(select(WalletRow))}
    for number in range(ENTRIES):
        written_us = BEGIN_US + number * DAY_US // 20
        usage = number % 9 > 0
        wallet = wallets[accounts.ids[chance.choice(["bob", "bob", "bob", "carol", "reseller"])]]
        amount = chance.randrange(1, 999) if usage else -chance.randrange(1, 9_999)
        entry_id = f"{id_of_moment(written_us)}{number:020x}"
        session.add(
            JournalEntryRow(
                id=entry_id, idempotency_key=f"key:{number}", unit="EUR", memo=f"Bank transfer {number}",
                kind="usage" if usage else chance.choice(["top-up", "payment", "refund"]),
                at_us=written_us - chance.choice([0, 0, 3, 5]) * DAY_US,
            )
        )  # fmt: skip
        for line, (book, moved) in enumerate(
            ((wallet.ledger_account_id, amount), (revenue if usage else cash, -amount))
        ):
            session.add(PostingRow(entry_id=entry_id, line=line, ledger_account_id=book or 0, amount=moved))
        wallet.posted -= amount


def scope_of(session: Session, code: str, *, own: bool = False) -> Scope:
    account = session.scalars(select(AccountRow).where(AccountRow.code == code)).one()
    return Scope(account.id, account.path, own=own)


def pages(
    session: Session, listed: Listing, scope: Scope, filters: dict[str, str], order: str, size: int = 200
) -> tuple[list[dict[str, Any]], int]:
    """What all pages hold, one after the other, and how many they are."""
    rows, count, after = [], 0, ""
    while True:
        page = page_of(session, listed, scope, Asked(filters, order, after, size=size))
        rows += page.rows
        count += 1
        if not page.after:
            return rows, count
        after = page.after


CASES: tuple[tuple[Listing, str, bool, tuple[dict[str, str], ...]], ...] = (
    (LEDGER, "operator", False, ({}, {"unit": "EUR"}, {"from": FROM, "to": TO}, {"kind": "refund"},
                                 {"kind": "usage", "to": TO}, {"account_id": "bob", "to": TO},
                                 {"account_id": "bob", "kind": "top-up"}, {"account_id": "bob"})),
    (OWN_LEDGER, "bob", True, ({}, {"kind": "payment"}, {"q": "transfer 1"}, {"from": FROM, "to": TO})),
    (JOURNAL, "operator", False, ({}, {"from": FROM, "to": TO}, {"kind": "payment"}, {"ledger": "cash"},
                                  {"issuer": "operator", "from": FROM})),
    (PAYMENTS, "operator", False, ({"account": "bob"}, {"account": "bob", "kind": "refund"},
                                   {"account": "nobody"}, {"from": FROM, "to": TO})),
    (OWN_PAYMENTS, "bob", True, ({}, {"kind": "top-up"}, {"from": FROM})),
)  # fmt: skip


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("listed, code, own, asked", CASES, ids=[x[0].name for x in CASES])
def test_many_movements_are_told_as_few_are(
    session: Session, monkeypatch: pytest.MonkeyPatch, listed: Listing, code: str, own: bool,
    asked: tuple[dict[str, str], ...], order: str,
) -> None:  # fmt: skip
    scope = scope_of(session, code, own=own)
    bob = str(scope_of(session, "bob").account_id)
    for filters in asked:
        named = {key: bob if key == "account_id" else value for key, value in filters.items()}
        session.info.clear()
        count = 0
        whole, one = pages(session, listed, scope, named, order)
        assert one == 1
        assert bool(whole) == ("nobody" not in filters.values()), filters
        with monkeypatch.context() as many:
            many.setattr(listing, "MOST_LOOKED", 35)
            many.setattr(wallet_entries, "MOST_OF_WALLETS", 10)
            for size in (200, 2):
                session.info.clear()
                found, count = pages(session, listed, scope, named, order, size)
                assert found == whole, (filters, size)
        if filters and "nobody" not in filters.values():
            assert count > 1


def test_pages_lead_back_through_what_was_looked_through(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = scope_of(session, "operator")
    monkeypatch.setattr(listing, "MOST_LOOKED", 35)
    asked = {"from": FROM, "to": TO}
    forth, _ = pages(session, JOURNAL, scope, asked, "newest", 1)
    (oldest,) = page_of(session, JOURNAL, scope, Asked({}, "oldest", size=1)).rows
    back, before = [], listing._cursor((oldest["id"], -1))
    while before:
        page = page_of(session, JOURNAL, scope, Asked(asked, before=before, size=1))
        back += [x["id"] for x in page.rows]
        before = page.before
    assert back == [x["id"] for x in forth][::-1]
    assert page_of(session, JOURNAL, scope, Asked({"to": FROM})).looked_us is not None


def test_balances_after_movements_are_those_of_the_wallet(session: Session) -> None:
    scope = scope_of(session, "bob", own=True)
    rows, _ = pages(session, OWN_LEDGER, scope, {}, "oldest", 7)
    balance = 0
    for row in rows:
        balance += row["amount"]
        assert row["balance"] == balance
    posted = session.scalars(select(WalletRow.posted).where(WalletRow.account_id == scope.account_id)).one()
    assert balance == posted
    session.info.clear()
    known = {x["id"]: x["balance"] for x in rows}
    for filters in ({"kind": "top-up"}, {"kind": "usage"}, {"q": "transfer 1"}):
        for size in (3, 200):
            found, _ = pages(session, OWN_LEDGER, scope, filters, "newest", size)
            assert found
            assert {x["id"]: x["balance"] for x in found}.items() <= known.items()


@pytest.mark.parametrize("size", [1, 2, 50])
def test_an_entry_that_moves_a_wallet_twice_lessens_the_balance_before_it_once(
    session: Session, size: int
) -> None:
    scope = scope_of(session, "bob", own=True)
    wallet = session.scalars(select(WalletRow).where(WalletRow.account_id == scope.account_id)).one()
    before, written_us = wallet.posted, BEGIN_US + ENTRIES * DAY_US
    entry_id = f"{id_of_moment(written_us)}{0:020x}"
    session.add(
        JournalEntryRow(
            id=entry_id, idempotency_key="twice", unit="EUR", memo="", kind="usage", at_us=written_us
        )
    )
    for line, amount in enumerate((-500, 200)):
        book = wallet.ledger_account_id
        session.add(PostingRow(entry_id=entry_id, line=line, ledger_account_id=book, amount=amount))
    wallet.posted += 300
    session.flush()
    rows, _ = pages(session, OWN_LEDGER, scope, {}, "newest", size)
    assert [x["balance"] for x in rows[:3]] == [before + 300, before + 300, before]


@pytest.mark.parametrize("size", [1, 3, 50])
def test_accounts_by_balance_are_ordered_by_the_wallet_that_is_shown(
    accounts: BilledAccounts, size: int
) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        ensure_unit(session, Unit("USD"))
        for number, posted in enumerate((5, -3, 5, -9, 0)):
            account = open_account(session, NewAccount(f"x{number}", "X", tariff="plain"), 0)
            if number < 4:
                for unit_posted in (posted, -100):  # the second is not shown
                    unit = "EUR" if unit_posted == posted else "USD"
                    wallet = open_wallet(session, account, unit, credit_limit=1_000)
                    wallet.posted = unit_posted
        session.flush()
        scope = scope_of(session, "operator")
        whole = page_of(session, ACCOUNTS, scope, Asked(size=200)).rows
        expected = sorted(whole, key=lambda x: (x["balance"] or 0, x["id"]))
        found, _ = pages(session, ACCOUNTS, scope, {}, "balance", size)
        assert [(x["id"], x["balance"]) for x in found] == [(x["id"], x["balance"]) for x in expected]
        assert [x["balance"] for x in expected][:2] == [-9, -3]
    database.dispose()


@pytest.mark.parametrize("order, day", [("newest", {"to": FROM}), ("oldest", {"from": TO})])
def test_what_was_written_about_a_day_is_a_step_away(
    session: Session, monkeypatch: pytest.MonkeyPatch, order: str, day: dict[str, str]
) -> None:
    scope = scope_of(session, "operator")
    monkeypatch.setattr(listing, "MOST_LOOKED", 35)
    first = page_of(session, JOURNAL, scope, Asked(day, order))
    assert first.nearby
    there = page_of(session, JOURNAL, scope, Asked(day, order, first.nearby))
    assert there.rows
    assert there.nearby == ""
    whole, _ = pages(session, JOURNAL, scope, day, order)
    assert {x["id"] for x in there.rows} <= {x["id"] for x in whole}
    assert page_of(session, JOURNAL, scope, Asked({"unit": "EUR"}, order)).nearby == ""
