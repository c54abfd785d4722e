"""What is owed at a moment, told from what is open now, is what each invoice says of itself."""

import random
from collections import defaultdict
from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.dunning.ageing import DAY_US, Aged, ageing, open_invoices, who_owes
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.invoice_models import AllocationRow, InvoiceRow
from pbxbill.store.models import AccountRow
from tests.store.billed_accounts import BilledAccounts

BEGIN_US = 1_700_000_000_000_000
OWING = ("alice", "bob", "carol", "reseller")
DAYS = 300
ENDS = (0, 30, 60, 90, 120)
MOMENTS = (BEGIN_US - 1, *(BEGIN_US + days * DAY_US for days in (10, 150, 290, 500)))


@pytest.fixture
def session(accounts: BilledAccounts) -> Iterator[Session]:
    database = open_engine(accounts.url)
    with transaction(database) as writing:
        _write(writing, accounts, random.Random(11))
    with transaction(database) as reading:
        yield reading
    database.dispose()


def _write(session: Session, accounts: BilledAccounts, chance: random.Random) -> None:
    """Invoices that were paid, paid in part, paid back, or not at all; receipts and drafts among them."""
    operator_id = session.scalars(select(AccountRow.id).where(AccountRow.kind == "operator")).one()
    for number in range(120):
        issued_us = BEGIN_US + chance.randrange(DAYS) * DAY_US
        kind = chance.choice(["invoice"] * 6 + ["debit_note", "credit_note", "receipt", "draft"])
        due = 0 if kind in ("credit_note", "receipt") else chance.randrange(1, 9) * 100
        row = InvoiceRow(
            issuer_id=operator_id, account_id=accounts.ids[chance.choice(OWING)],
            kind="invoice" if kind == "draft" else kind, state="issued",
            number=None if kind == "draft" else f"{kind}-{number}", unit="EUR", created_us=issued_us,
            issued_us=None if kind == "draft" else issued_us,
            due_us=chance.choice([None, issued_us + chance.randrange(60) * DAY_US]),
            net=due, tax=0, total=due, from_wallet=0, due=due, open=0 if kind == "draft" else due,
            open_wallet=0, dunning_step=0,
        )  # fmt: skip
        session.add(row)
        session.flush()
        for _ in range(chance.randrange(4) if row.open else 0):
            given = row.due - row.open
            amount = -given if given and chance.random() < 0.3 else chance.randrange(row.open + 1)
            at_us = issued_us + chance.randrange(DAYS) * DAY_US
            session.add(
                AllocationRow(
                    invoice_id=row.id, kind="payment", entry_id=f"{number:032x}", amount=amount,
                    wallet_amount=0, at_us=at_us,
                )
            )  # fmt: skip
            row.open -= amount


def _reckoned(
    session: Session, at_us: int, *, below: AccountRow | None = None, by_reseller: bool = False
) -> list[Aged]:
    """The same, invoice by invoice."""
    codes = {x.id: x for x in session.scalars(select(AccountRow))}
    found: dict[str, list[tuple[int, int | None]]] = defaultdict(list)
    for row in session.scalars(select(InvoiceRow).where(InvoiceRow.kind.in_(("invoice", "debit_note")))):
        given = select(AllocationRow.amount).where(
            AllocationRow.invoice_id == row.id, AllocationRow.at_us <= at_us
        )
        open_ = row.due - sum(session.scalars(given))
        account = codes[row.account_id]
        inside = below is None or (account.path.startswith(below.path) and account.id != below.id)
        if row.number and row.issued_us is not None and row.issued_us <= at_us and open_ > 0 and inside:
            whose = codes[account.parent_id or 0] if by_reseller else account
            found[whose.code].append((open_, row.due_us))
    names = {x.code: x.name for x in codes.values()}
    rows = []
    for code, each in found.items():
        late = [0] * 6
        for open_, due_us in each:
            late_us = at_us - (at_us if due_us is None else due_us)
            late[sum(late_us > days * DAY_US for days in ENDS)] += open_
        oldest = min((x for _, x in each if x is not None), default=None)
        rows.append(Aged(code, names[code], "EUR", len(each), sum(x for x, _ in each), tuple(late), oldest))
    return sorted(rows, key=lambda x: (-x.open, x.code))


@pytest.mark.parametrize("at_us", MOMENTS)
def test_it_is_what_invoices_say_one_by_one(session: Session, at_us: int) -> None:
    reseller = session.scalars(select(AccountRow).where(AccountRow.code == "reseller")).one()
    for below in (None, reseller):
        for by_reseller in (False, True):
            found = ageing(session, at_us, below=below, by_reseller=by_reseller)
            assert found == _reckoned(session, at_us, below=below, by_reseller=by_reseller)
    for account in session.scalars(select(AccountRow)):
        alone = ageing(session, at_us, account=account)
        assert alone == [x for x in _reckoned(session, at_us) if x.code == account.code]
        assert sum(x.open for x in open_invoices(session, account, at_us)) == sum(x.open for x in alone)


@pytest.mark.parametrize("by_reseller", [False, True])
def test_the_first_rows_come_with_sums_of_all(session: Session, by_reseller: bool) -> None:
    at_us = MOMENTS[3]
    everything = ageing(session, at_us, by_reseller=by_reseller)
    found = who_owes(session, at_us, by_reseller=by_reseller, limit=1)
    assert found.rows == everything[:1]
    assert found.many == len(everything) > 1
    (total,) = found.totals
    assert total.unit == "EUR"
    assert total.open == sum(x.open for x in everything)
    assert total.invoices == sum(x.invoices for x in everything)
    assert total.buckets == tuple(map(sum, zip(*(x.buckets for x in everything), strict=True)))


def test_nobody_owes_before_the_first_invoice(session: Session) -> None:
    assert who_owes(session, MOMENTS[0]) == ([], [], 0)
