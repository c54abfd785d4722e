"""Charges that a person makes: one-time charges, fees, discounts and credits, and taking them back."""

import json
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.charge import ONE, ChargeKind, Collection, checked_product_class, income_of
from pbxbill.billing.invoices.standing import reason_given
from pbxbill.billing.subscriptions.making_charges import (
    ENTRY_KIND,
    MAX_DESCRIPTION,
    NewCharge,
    Short,
    make_charges,
)
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import MAX_AMOUNT, Rounding, format_amount, round_ratio
from pbxbill.store.accounts import unit_of
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.invoice_models import InvoiceEntryRow, InvoiceRow
from pbxbill.store.models import AccountRow

MAX_QUANTITY = 10**6 * ONE
MAX_KEY_LENGTH = 100
KINDS = (
    ChargeKind.ONE_TIME,
    ChargeKind.SET_UP,
    ChargeKind.LATE_FEE,
    ChargeKind.CANCELLATION_FEE,
    ChargeKind.CREDIT,
)
"""What a person can charge; a credit gives back."""
VOID = "void"
"""Collection of a charge that was withdrawn before anybody paid it."""


@dataclass(frozen=True, slots=True)
class HandCharge:
    """A charge as a person makes it."""

    description: str
    unit: str
    unit_price: int
    """Of a credit too it is above zero."""
    reason: str
    kind: ChargeKind = ChargeKind.ONE_TIME
    quantity: int = ONE
    """In millionths."""
    product_class: str = "service"
    collection: Collection = Collection.INVOICE
    at_us: int | None = None
    """On the invoice whose period this moment lies in; None: now."""
    key: str = ""
    """The same key charges once."""
    by: str = ""


def add_charge(
    session: Session, books: Bookkeeper, account: AccountRow, charge: HandCharge, now_us: int
) -> ChargeRow:
    """Charge an account, or give it back, and keep why; InputRefused where its wallet cannot pay."""
    if account.parent_id is None:
        raise InputRefused("the operator is charged for nothing; charge resellers and customers")
    unit = unit_of(session, charge.unit)
    amount = _checked_amount(charge)
    description = charge.description.strip()
    if not (0 < len(description) <= MAX_DESCRIPTION and description.isprintable()):
        raise InputRefused(
            f"a description has 1 to {MAX_DESCRIPTION} printable characters: the customer reads it"
        )
    checked_product_class(charge.product_class)
    if len(charge.key) > MAX_KEY_LENGTH or not charge.key.isprintable():
        raise InputRefused(f"a key has up to {MAX_KEY_LENGTH} printable characters")
    explanation = {"reason": reason_given(charge.reason), "by": charge.by[:64]}
    key = f"hand:{account.id}:{charge.key or new_id()}"
    sign = -1 if charge.kind is ChargeKind.CREDIT else 1
    new = NewCharge(
        key=key,
        kind=charge.kind,
        description=description,
        product_class=charge.product_class,
        unit=unit.code,
        quantity=charge.quantity,
        unit_price=sign * charge.unit_price,
        amount=sign * amount,
        at_us=now_us if charge.at_us is None else charge.at_us,
        collection=charge.collection,
        explanation=explanation,
    )
    made = make_charges(session, books, account, [new], now_us)
    if isinstance(made, Short):
        raise InputRefused(
            f"{format_amount(made.needed, unit)} {unit.code} are not in the wallet: "
            f"{format_amount(max(0, made.free), unit)} are free"
        )
    if made:
        return made[0]
    found = session.scalars(select(ChargeRow).where(ChargeRow.key == key)).one()
    same = (found.kind, found.description, found.unit, found.quantity)
    if same != (new.kind, new.description, new.unit, new.quantity):
        raise InputRefused(f"key {charge.key!r} was used for another charge: {found.description}")
    return found


def _checked_amount(charge: HandCharge) -> int:
    if charge.kind not in KINDS:
        raise InputRefused(f"a charge by hand is one of {', '.join(KINDS)}")
    if not 0 < charge.quantity <= MAX_QUANTITY:
        raise InputRefused("a quantity is above 0 and up to 1,000,000")
    if not 0 < charge.unit_price <= MAX_AMOUNT // charge.quantity * ONE:
        raise InputRefused("a price is above 0 and not out of range; a discount is a charge of kind credit")
    return round_ratio(charge.unit_price * charge.quantity, ONE, Rounding.HALF_UP)


def withdraw_charge(
    session: Session, books: Bookkeeper, charge_id: int, reason: str, now_us: int, by: str = ""
) -> ChargeRow:
    """Take back a charge that is on no invoice; what the wallet gave for it comes back by an opposite one."""
    row = session.scalar(
        select(ChargeRow)
        .where(ChargeRow.id == charge_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise InputRefused(f"no charge {charge_id}; `pbxbill charges list` shows them")
    if row.deferred:
        raise InputRefused(
            f"charge {charge_id} is paid in advance for a time of subscription {row.subscription_id}: "
            "give it back with a credit, or change the subscription"
        )
    why = reason_given(reason)
    _check_not_invoiced(session, row)
    if row.collection == VOID or _withdrawal(session, row) is not None or row.key.startswith("withdraw:"):
        raise InputRefused(f"charge {charge_id} is withdrawn already")
    if row.entry_id is None:
        known = json.loads(row.explanation) if row.explanation else {}
        row.collection = VOID
        row.explanation = json.dumps(known | {"withdrawn": why, "withdrawn_by": by[:64]}, ensure_ascii=False)
        session.flush()
        return row
    return _give_back(session, books, row, why, now_us, by)


def _give_back(
    session: Session, books: Bookkeeper, row: ChargeRow, why: str, now_us: int, by: str
) -> ChargeRow:
    parts = ((income_of(row.kind, row.gives_back), row.net), (LedgerCode.TAX_PAYABLE, row.tax))
    key = f"withdraw:{row.id}"
    values = {
        name: getattr(row, name)
        for name in (
            "account_id",
            "kind",
            "gives_back",
            "product_class",
            "unit",
            "quantity",
            "at_us",
            "collection",
        )
    }
    entry = PostEntry(
        idempotency_key=f"charge:{key}",
        account_id=row.account_id,
        unit=row.unit,
        amount=row.net + row.tax,
        parts=parts if row.tax else parts[:1],
        kind=ENTRY_KIND,
        at_us=row.at_us,
        memo=f"withdrawn: {row.description}",
        owed=True,
        reverses_id=row.entry_id,
    )
    opposite = ChargeRow(
        **values,
        key=key,
        description=f"Withdrawn: {row.description}"[:MAX_DESCRIPTION],
        unit_price=-row.unit_price,
        net=-row.net,
        tax=-row.tax,
        explanation=json.dumps(
            _called(row) | {"reason": why, "by": by[:64], "withdraws": row.id}, ensure_ascii=False
        ),
        created_us=now_us,
    )
    (moved,) = books.post(session, [entry])
    if not isinstance(moved, Moved):
        raise InputRefused(f"charge cannot be given back: {moved.reason}")
    opposite.entry_id = moved.entry_id
    session.add(opposite)
    session.flush()
    return opposite


def _called(row: ChargeRow) -> dict[str, str | int]:
    """What a charge is called, so that its withdrawal is told in the customer's language too."""
    known = json.loads(row.explanation) if row.explanation else {}
    if "charge" not in known:
        return {"charge": row.description}
    return {name: known[name] for name in ("plan", "charge", "piece") if name in known}


def _withdrawal(session: Session, row: ChargeRow) -> int | None:
    return session.scalar(select(ChargeRow.id).where(ChargeRow.key == f"withdraw:{row.id}"))


def _check_not_invoiced(session: Session, row: ChargeRow) -> None:
    invoice_id = row.invoice_id
    if invoice_id is None and row.entry_id is not None:
        entry = session.get(InvoiceEntryRow, row.entry_id)
        invoice_id = None if entry is None else entry.invoice_id
    if invoice_id is None:
        return
    invoice = session.get(InvoiceRow, invoice_id)
    if invoice is not None and invoice.state == "draft":
        raise InputRefused(
            f"charge {row.id} is on draft {invoice_id}: remove its line there, or discard the draft"
        )
    number = invoice_id if invoice is None or invoice.number is None else invoice.number
    raise InputRefused(f"charge {row.id} is on invoice {number}: correct it by a credit note")


def list_charges(
    session: Session, account: AccountRow | None = None, *, open_only: bool = False, most: int = 1_000
) -> list[tuple[ChargeRow, str]]:
    """Charges with their account's code, the newest first; open_only: those on no invoice."""
    query = (
        select(ChargeRow, AccountRow.code)
        .join(AccountRow, AccountRow.id == ChargeRow.account_id)
        .order_by(ChargeRow.id.desc())
        .limit(most)
    )
    if account is not None:
        query = query.where(ChargeRow.account_id == account.id)
    if open_only:
        entries = select(InvoiceEntryRow.entry_id).where(InvoiceEntryRow.entry_id == ChargeRow.entry_id)
        query = query.where(ChargeRow.invoice_id.is_(None), ~entries.exists(), ChargeRow.collection != VOID)
    return [(row, code) for row, code in session.execute(query)]
