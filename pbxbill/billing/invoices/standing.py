"""How an issued invoice stands: what is open of it, which state that makes, and its events.

An invoice or a debit note asks for money; a credit note, a receipt or a quote asks for none. Whoever changes
what is open has locked the invoice's row first, and money moves in the same transaction.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry
from pbxbill.errors import InputRefused, check
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit, format_amount, minor_step
from pbxbill.store.invoice_models import AllocationRow, InvoiceEventRow, InvoiceLineRow, InvoiceRow
from pbxbill.store.models import WalletRow

ASKING = ("invoice", "debit_note")
"""Kinds of documents that money is asked for by."""
STANDING = ("issued", "partly_paid", "paid", "written_off", "cancelled")
"""States of what is issued."""
UNSETTLED = ("issued", "partly_paid")
"""States in which something may be open."""


class Part(NamedTuple):
    """What of a payment, a note or a write-off goes to an invoice."""

    invoice_id: int
    amount: int
    wallet: int
    """What of it the wallet gets."""


Parts = tuple[tuple[LedgerCode, int], ...]


def postings(*parts: tuple[LedgerCode, int]) -> Parts:
    """Those that move something, one for each account."""
    sums: dict[LedgerCode, int] = {}
    for code, amount in parts:
        sums[code] = sums.get(code, 0) + amount
    return tuple((code, amount) for code, amount in sums.items() if amount)


def post(session: Session, books: Bookkeeper, command: PostEntry) -> Moved:
    """Post an entry of an invoice; InputRefused where the wallet cannot give what it takes."""
    (outcome,) = books.post(session, [command])
    if not isinstance(outcome, Moved):
        raise InputRefused(outcome.reason)
    return outcome


def locked_invoice(session: Session, invoice_id: int) -> InvoiceRow:
    """A document of any kind, for this transaction alone; InputRefused if there is none."""
    row = session.scalar(
        select(InvoiceRow)
        .where(InvoiceRow.id == invoice_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise InputRefused(f"there is no invoice {invoice_id}")
    return row


def locked_standing(session: Session, invoice_id: int) -> InvoiceRow:
    """An issued invoice or debit note, locked; InputRefused for anything else, which has nothing open."""
    row = locked_invoice(session, invoice_id)
    if row.kind not in ASKING:
        raise InputRefused(f"{named(row)} asks for no money: choose an invoice or a debit note")
    if row.state not in STANDING:
        raise InputRefused(f"{named(row)} is {row.state}, not issued")
    return row


def locked_open(
    session: Session, account_id: int, unit: str, ids: Collection[int] | None = None
) -> list[InvoiceRow]:
    """The account's invoices that something is open of (or these), locked, in the order to pay them."""
    query = select(InvoiceRow).where(InvoiceRow.account_id == account_id, InvoiceRow.unit == unit)
    if ids is None:
        query = query.where(InvoiceRow.kind.in_(ASKING), InvoiceRow.state.in_(UNSETTLED), InvoiceRow.open > 0)
    else:
        query = query.where(InvoiceRow.id.in_(ids))
    query = query.order_by(InvoiceRow.id).with_for_update().execution_options(populate_existing=True)
    rows = list(session.scalars(query))
    if ids is None:
        # What is disputed waits for its dispute; else what was due first is paid first.
        return sorted(rows, key=lambda row: (row.disputed_us is not None, row.due_us or 0, row.id))
    found = {row.id: row for row in rows}
    for id in ids:
        if id not in found:
            raise InputRefused(f"the account has no invoice {id} in {unit}")
        if found[id].kind not in ASKING or found[id].state not in STANDING:
            raise InputRefused(f"{named(found[id])} is {found[id].state} and asks for no money")
    return [found[id] for id in dict.fromkeys(ids)]


def locked_wallet(session: Session, account_id: int, unit: str) -> WalletRow:
    """The account's wallet in a unit, locked with all its others, as the charging engine locks them."""
    rows = session.scalars(
        select(WalletRow)
        .where(WalletRow.account_id == account_id)
        .order_by(WalletRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    wallet = next((row for row in list(rows) if row.unit == unit), None)
    if wallet is None:
        raise InputRefused(f"the account has no {unit} wallet")
    return wallet


def funds(session: Session, wallet: WalletRow) -> int:
    """What a wallet would hold if all that issued invoices ask for on its behalf were paid."""
    asked = session.scalar(
        select(func.coalesce(func.sum(InvoiceRow.open_wallet), 0)).where(
            InvoiceRow.account_id == wallet.account_id, InvoiceRow.unit == wallet.unit
        )
    )
    return wallet.posted + int(asked or 0)


def reduce_open(row: InvoiceRow, amount: int) -> Part:
    """Take an amount off what is open; the wallet's part of it first."""
    check(0 <= amount <= row.open, "{} of {} open cannot be taken off invoice {}", amount, row.open, row.id)
    wallet = min(amount, row.open_wallet)
    row.open -= amount
    row.open_wallet -= wallet
    row.disputed = min(row.disputed, row.open)
    return Part(row.id, amount, wallet)


def written_off(session: Session, invoice_id: int) -> Part:
    """What of an invoice is given up; less what a note gave back of that, and what is asked for again."""
    amount, wallet = session.execute(
        select(
            func.coalesce(func.sum(AllocationRow.amount), 0),
            func.coalesce(func.sum(AllocationRow.wallet_amount), 0),
        ).where(AllocationRow.invoice_id == invoice_id, AllocationRow.kind == "write_off")
    ).one()
    return Part(invoice_id, int(amount), int(wallet))


def undo_written_off(given_up: Part, amount: int) -> Part:
    """What of an amount comes off what is given up, which nobody has paid; the wallet's part of it first."""
    undone = max(0, min(amount, given_up.amount))
    return Part(given_up.invoice_id, undone, max(0, min(undone, given_up.wallet)))


def given_to_wallet(session: Session, invoice_id: int) -> int:
    """What the notes of an invoice gave into the wallet: what they did not take off the invoice."""
    notes = select(func.coalesce(func.sum(InvoiceRow.total), 0)).where(
        InvoiceRow.corrects_id == invoice_id,
        InvoiceRow.kind == "credit_note",
        InvoiceRow.state.in_(STANDING),
    )
    return int(session.scalar(notes) or 0) - allocated(session, invoice_id, "credit_note")


def allocated(session: Session, invoice_id: int, kind: str) -> int:
    """What went to an invoice by payments, say, and was not taken back."""
    amount = select(func.coalesce(func.sum(AllocationRow.amount), 0)).where(
        AllocationRow.invoice_id == invoice_id, AllocationRow.kind == kind
    )
    return int(session.scalar(amount) or 0)


def allocate(  # noqa: PLR0913  # one parameter per column
    session: Session,
    part: Part,
    *,
    kind: str,
    entry_id: str,
    now_us: int,
    memo: str,
    note_id: int | None = None,
) -> None:
    """Write what went to an invoice, or below zero was taken back from it, and the state that it makes.

    What dunning had done to the account for an invoice that asks for nothing any more is lifted with it.
    """
    session.add(
        AllocationRow(
            invoice_id=part.invoice_id,
            kind=kind,
            entry_id=entry_id,
            note_id=note_id,
            amount=part.amount,
            wallet_amount=part.wallet,
            at_us=now_us,
            memo=memo[:200],
        )
    )
    session.flush()
    row = session.get_one(InvoiceRow, part.invoice_id)
    row.state = _state(session, row)
    session.flush()
    from pbxbill.billing.dunning.dunning import (
        settled_or_changed,  # which writes events of invoices by this module
    )

    settled_or_changed(session, (row.id,), now_us)


def _state(session: Session, row: InvoiceRow) -> str:
    own = AllocationRow.invoice_id == row.id
    if row.open:
        paid = select(func.sum(AllocationRow.amount)).where(own, AllocationRow.kind == "payment")
        return "partly_paid" if session.scalar(paid) else "issued"
    if wholly_credited(session, row.id):
        return "cancelled"
    if not written_off(session, row.id).amount:
        return "paid"
    closing = AllocationRow.kind.in_(("payment", "write_off")), AllocationRow.amount > 0
    last = select(AllocationRow.kind).where(own, *closing).order_by(AllocationRow.id.desc())
    return "written_off" if session.scalar(last.limit(1)) == "write_off" else "paid"


def wholly_credited(session: Session, invoice_id: int) -> bool:
    """Whether notes gave back all of an invoice."""
    lines = session.execute(
        select(InvoiceLineRow.net, InvoiceLineRow.credited).where(
            InvoiceLineRow.invoice_id == invoice_id, InvoiceLineRow.origin != "removed"
        )
    ).all()
    return any(credited for _, credited in lines) and all(net == credited for net, credited in lines)


def happened(session: Session, invoice_id: int, kind: str, detail: str, *, at_us: int, by: str) -> None:
    """Write an event of an invoice."""
    session.add(
        InvoiceEventRow(invoice_id=invoice_id, at_us=at_us, kind=kind, detail=detail[:500], by=by[:64])
    )


def reason_given(reason: str) -> str:
    """A reason as it is kept; InputRefused without one."""
    reason = reason.strip()
    if not reason:
        raise InputRefused("say why: a reason is kept with it")
    if not reason.isprintable() or len(reason) > 300:
        raise InputRefused("a reason has up to 300 printable characters, on one line")
    return reason


def whole_coins(amount: int, unit: Unit, what: str) -> int:
    """An amount above zero in whole minor units, as invoices are; InputRefused for another."""
    if amount <= 0 or amount % minor_step(unit):
        raise InputRefused(f"{what} is more than zero, in whole coins: not {said(amount, unit)}")
    return amount


def named(row: InvoiceRow) -> str:
    """A document as people speak of it."""
    return f"{row.kind.replace('_', ' ')} {row.number or row.id}"


def said(amount: int, unit: Unit) -> str:
    """An amount with its unit."""
    return f"{format_amount(amount, unit)} {unit.code}"


def listed(rows: Iterable[InvoiceRow]) -> str:
    """Numbers of some documents."""
    return ", ".join(row.number or str(row.id) for row in rows)
