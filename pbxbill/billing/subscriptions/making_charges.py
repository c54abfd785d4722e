"""Makes charges: their rows, and what is taken for them from the wallet, in one transaction.

A charge has a key made from its cause: the same cause charges once, whoever asks and however often.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.billing.charge import ChargeKind, Collection, income_of
from pbxbill.billing.invoices.billed import billed_account
from pbxbill.billing.taxes.tax import Taxed, taxed
from pbxbill.billing.taxes.tax_rules import TaxTable
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.accounts import open_wallet
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.models import AccountRow, WalletRow

ENTRY_KIND = "charge"
MAX_DESCRIPTION = 200


@dataclass(frozen=True, slots=True)
class NewCharge:
    """A charge to be made; below zero: money back."""

    key: str
    kind: ChargeKind
    description: str
    product_class: str
    unit: str
    quantity: int
    """In millionths."""
    unit_price: int
    amount: int
    """As prices are: with the taxes that they contain."""
    at_us: int
    collection: Collection
    from_us: int | None = None
    to_us: int | None = None
    in_advance: bool = False
    subscription_id: int | None = None
    explanation: Mapping[str, int | str] = field(default_factory=dict)
    gives_back: ChargeKind | None = None
    """Of a credit: the kind of the charge that it gives back."""


class Short(NamedTuple):
    """The wallet cannot pay; nothing was made."""

    needed: int
    free: int
    unit: str


class _NotTaken(Exception):
    """Undoes what was written since the savepoint."""


def make_charges(
    session: Session, books: Bookkeeper, account: AccountRow, wanted: Sequence[NewCharge], now_us: int
) -> list[ChargeRow] | Short:
    """Make charges in one unit that are not made yet, all or none; those that were made now.

    A prepaid wallet must have the money free; postpaid and hybrid accounts owe it.
    """
    known = select(ChargeRow.key).where(ChargeRow.key.in_([charge.key for charge in wanted]))
    made = set(session.scalars(known))
    fresh = [charge for charge in wanted if charge.key not in made]
    if not fresh:
        return []
    unit = fresh[0].unit
    taxes = _Taxes(session, account, unit)
    rows = [_row(account, charge, taxes.of(charge), now_us) for charge in fresh]
    taken = [
        (row, charge)
        for row, charge in zip(rows, fresh, strict=True)
        if charge.collection is Collection.WALLET and row.net + row.tax
    ]
    total = sum(row.net + row.tax for row, _ in taken)
    owed = account.mode != "prepaid"
    commands: list[PostEntry] = []
    if taken:
        wallet = _wallet(session, account, unit)
        free = wallet.posted - wallet.reserved + wallet.credit_limit
        if not owed and total > 0 and free < total:
            return Short(total, free, unit)
        # Live calls that must give way are judged by the moment of the entry: for them it is now.
        posted_us = now_us if wallet.reserved and free < total else None
        # What comes back pays for what is taken.
        taken.sort(key=lambda pair: pair[0].net)
        commands = [_entry(account, row, charge, posted_us, owed=owed) for row, charge in taken]
    try:
        with session.begin_nested():
            for (row, _), outcome in zip(taken, books.post(session, commands), strict=True):
                if not isinstance(outcome, Moved):
                    raise _NotTaken
                row.entry_id = outcome.entry_id
            session.add_all(rows)
    except _NotTaken:
        return Short(total, 0, unit)
    except IntegrityError:
        # Somebody made one of them at the same moment: what is left is made after it.
        if not set(session.scalars(known)) - made:
            raise
        return make_charges(session, books, account, wanted, now_us)
    return rows


class _Taxes:
    """Of an account's charges; read at the first one."""

    def __init__(self, session: Session, account: AccountRow, unit: str) -> None:
        billed = billed_account(session, account.id, unit)
        self._buyer = billed.buyer
        self._table = TaxTable.load(session, billed.issuer_id)

    def of(self, charge: NewCharge) -> tuple[Taxed, int]:
        """What the charge comes to, and its unit price without tax."""
        taxes = self._table.applied(self._buyer, charge.product_class, charge.at_us)
        return taxed(charge.amount, taxes), taxed(charge.unit_price, taxes).net


def _row(account: AccountRow, charge: NewCharge, reckoned: tuple[Taxed, int], now_us: int) -> ChargeRow:
    price, unit_price = reckoned
    by_wallet = charge.collection is Collection.WALLET
    return ChargeRow(
        key=charge.key,
        account_id=account.id,
        subscription_id=charge.subscription_id,
        kind=charge.kind.value,
        gives_back="" if charge.gives_back is None else charge.gives_back.value,
        description=charge.description[:MAX_DESCRIPTION],
        product_class=charge.product_class,
        unit=charge.unit,
        quantity=charge.quantity,
        unit_price=unit_price,
        net=price.net,
        explanation=json.dumps(dict(charge.explanation), ensure_ascii=False) if charge.explanation else "",
        at_us=charge.at_us,
        from_us=charge.from_us,
        to_us=charge.to_us,
        collection=charge.collection.value,
        tax=price.tax if by_wallet else 0,
        entry_id=None,
        invoice_id=None,
        deferred=price.net if by_wallet and charge.in_advance else 0,
        earned=0,
        earned_to_us=None,
        created_us=now_us,
    )


def _entry(
    account: AccountRow, row: ChargeRow, charge: NewCharge, posted_us: int | None, *, owed: bool
) -> PostEntry:
    income = LedgerCode.DEFERRED if charge.in_advance else income_of(row.kind, row.gives_back)
    parts = ((income, -row.net), (LedgerCode.TAX_PAYABLE, -row.tax))
    return PostEntry(
        idempotency_key=f"charge:{row.key}",
        account_id=account.id,
        unit=row.unit,
        amount=-row.net - row.tax,
        parts=parts if row.tax else parts[:1],
        kind=ENTRY_KIND,
        at_us=row.at_us if posted_us is None else posted_us,
        memo=row.description,
        owed=owed,
    )


def _wallet(session: Session, account: AccountRow, unit: str) -> WalletRow:
    wallet = session.scalar(
        select(WalletRow)
        .where(WalletRow.account_id == account.id, WalletRow.unit == unit)
        .execution_options(populate_existing=True)
    )
    return open_wallet(session, account, unit) if wallet is None else wallet
