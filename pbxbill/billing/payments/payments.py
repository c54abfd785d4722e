"""Money received for invoices, and taken back: each payment, however many invoices it pays, is one entry.

What the wallet owes of an invoice is paid first, into the wallet, where it frees credit. What is paid beyond
all invoices stays in the wallet as funds; funds can be put to invoices later.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.gathering import unclaimed_gross
from pbxbill.billing.invoices.standing import (
    Part,
    allocate,
    funds,
    given_to_wallet,
    happened,
    locked_open,
    locked_standing,
    locked_wallet,
    named,
    post,
    postings,
    reason_given,
    reduce_open,
    said,
    whole_coins,
    written_off,
)
from pbxbill.billing.points.points_earning import take_back
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import PostEntry
from pbxbill.errors import DuplicateKey, InputRefused
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit, minor_step
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import AllocationRow, InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow, LedgerAccountRow, PostingRow, WalletRow

PAYMENT, ALLOCATION, WRITE_OFF, REVERSAL = "payment", "allocation", "write-off", "reversal"
"""Kinds of journal entries."""
MAX_KEY_LENGTH = 150
MAX_METHOD_LENGTH = 40


@dataclass(frozen=True, slots=True)
class NewPayment:
    """Money received."""

    amount: int
    unit: str
    method: str
    """As people call it: cash, bank, card."""
    key: str
    """Its number at the bank, say: a payment that comes twice with it is the same payment."""
    invoice_ids: tuple[int, ...] | None = None
    """These, in this order; None: what was due first is paid first."""
    reference: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Allocated:
    """Where money went."""

    entry_id: str
    parts: tuple[Part, ...]
    to_wallet: int
    """Beyond invoices, into the wallet's funds; below zero: out of them."""
    repeated: bool = False
    """It had been recorded before: nothing moved."""


def record_payment(
    session: Session, books: Bookkeeper, account: AccountRow, new: NewPayment, now_us: int
) -> Allocated:
    """Money received: to the account's invoices, the rest into its wallet.

    DuplicateKey where the key was used for another payment.
    """
    unit = unit_of(session, new.unit)
    whole_coins(new.amount, unit, "a payment")
    method = _method(new.method)
    if not new.reference.isprintable() or len(new.reference) > MAX_KEY_LENGTH:
        raise InputRefused(f"a reference has up to {MAX_KEY_LENGTH} printable characters, on one line")
    key = f"{PAYMENT}:{_key(new.key)}"
    rows = locked_open(session, account.id, unit.code, new.invoice_ids)
    known = session.scalar(select(JournalEntryRow).where(JournalEntryRow.idempotency_key == key))
    if known is not None:
        return _repeated(session, known, account, new)
    parts, left = _shared(rows, new.amount)
    wallet_parts = sum(part.wallet for part in parts)
    moved = post(
        session,
        books,
        PostEntry(
            key,
            account.id,
            unit.code,
            wallet_parts + left,
            postings(
                (LedgerCode.CASH, new.amount),
                (LedgerCode.RECEIVABLE, left - new.amount),
                (LedgerCode.INVOICED, wallet_parts),
            ),
            PAYMENT,
            now_us,
            ": ".join(filter(None, (method, new.reference))),
        ),
    )
    for part in parts:
        allocate(session, part, kind="payment", entry_id=moved.entry_id, now_us=now_us, memo=method)
        detail = f"{said(part.amount, unit)} paid by {method} {new.reference}".rstrip()
        happened(session, part.invoice_id, "payment", detail, at_us=now_us, by=new.by)
    session.flush()
    return Allocated(moved.entry_id, parts, left)


def pay_from_wallet(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    *,
    unit: str,
    now_us: int,
    amount: int | None = None,
    invoice_ids: Sequence[int] | None = None,
    by: str = "",
) -> Allocated:
    """Put funds of the wallet to invoices, all that there are unless it is said how much."""
    known_unit = unit_of(session, unit)
    rows = locked_open(session, account.id, unit, invoice_ids)
    wallet = locked_wallet(session, account.id, unit)
    most = _spare(session, wallet, known_unit)
    asked = min(most, sum(row.open for row in rows)) if amount is None else amount
    if not asked:
        raise InputRefused("no invoice is open" if most else "the wallet has no funds beyond what it owes")
    whole_coins(asked, known_unit, "what is put to invoices")
    if asked > most:
        raise InputRefused(f"the wallet has {said(most, known_unit)} beyond what it owes, and no more")
    parts, left = _shared(rows, asked)
    if left:
        raise InputRefused(f"only {said(asked - left, known_unit)} is open of these invoices")
    wallet_parts = sum(part.wallet for part in parts)
    moved = post(
        session,
        books,
        PostEntry(
            f"{ALLOCATION}:{new_id()}",
            account.id,
            unit,
            wallet_parts - asked,
            postings((LedgerCode.RECEIVABLE, -asked), (LedgerCode.INVOICED, wallet_parts)),
            ALLOCATION,
            now_us,
            "invoices paid from the wallet",
        ),
    )
    for part in parts:
        allocate(session, part, kind="payment", entry_id=moved.entry_id, now_us=now_us, memo="wallet")
        detail = f"{said(part.amount, known_unit)} paid from the wallet"
        happened(session, part.invoice_id, "payment", detail, at_us=now_us, by=by)
    session.flush()
    return Allocated(moved.entry_id, parts, -asked)


def spare_told(session: Session, invoice_id: int) -> str:
    """A sentence where an invoice asks for money and its account's wallet has some to spare; else empty."""
    row = session.get_one(InvoiceRow, invoice_id, populate_existing=True)
    wallets = session.scalars(select(WalletRow).where(WalletRow.account_id == row.account_id)).all()
    wallet = next((x for x in wallets if x.unit == row.unit), None)
    if not row.open or wallet is None:
        return ""
    unit = unit_of(session, row.unit)
    spare = _spare(session, wallet, unit)
    if not spare:
        return ""
    code = session.get_one(AccountRow, row.account_id).code
    chosen = f" --unit {row.unit}" if len(wallets) > 1 else ""
    return f"{said(spare, unit)} lies in the wallet: `pbxbill payments from-wallet {code}{chosen}`"


def spare_funds(session: Session, account_id: int, unit: str) -> int:
    """What a wallet has for invoices, beyond what it owes for; nothing without a wallet. Only reads."""
    query = select(WalletRow).where(WalletRow.account_id == account_id, WalletRow.unit == unit)
    wallet = session.scalar(query)
    return 0 if wallet is None else _spare(session, wallet, unit_of(session, unit))


def _spare(session: Session, wallet: WalletRow, unit: Unit) -> int:
    # What it owes for and no invoice asks for yet is paid after what invoices ask for.
    later = unclaimed_gross(session, wallet.account_id, unit.code, wallet.ledger_account_id)
    step = minor_step(unit)
    return max(0, funds(session, wallet) + later) // step * step


def write_off(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    invoice_id: int,
    *,
    reason: str,
    now_us: int,
    amount: int | None = None,
    by: str = "",
) -> Allocated:
    """Give up what is open of an invoice, or part of it."""
    reason = reason_given(reason)
    row = locked_standing(session, invoice_id)
    unit = unit_of(session, row.unit)
    given_up = whole_coins(row.open if amount is None else amount, unit, "what is written off")
    if given_up > row.open:
        raise InputRefused(f"only {said(row.open, unit)} is open of {named(row)}")
    done = _give_up(session, books, row, given_up, memo=reason, now_us=now_us)
    detail = f"{said(given_up, unit)} written off: {reason}"
    happened(session, row.id, "write_off", detail, at_us=now_us, by=by)
    session.flush()
    return done


def _give_up(
    session: Session, books: Bookkeeper, row: InvoiceRow, amount: int, *, memo: str, now_us: int
) -> Allocated:
    part = reduce_open(row, amount)
    moved = post(
        session,
        books,
        PostEntry(
            f"{WRITE_OFF}:{row.id}:{new_id()}",
            row.account_id,
            row.unit,
            part.wallet,
            postings(
                (LedgerCode.WRITTEN_OFF, amount),
                (LedgerCode.RECEIVABLE, -amount),
                (LedgerCode.INVOICED, part.wallet),
            ),
            WRITE_OFF,
            now_us,
            f"{named(row)}: {memo}",
        ),
    )
    allocate(session, part, kind="write_off", entry_id=moved.entry_id, now_us=now_us, memo=memo)
    return Allocated(moved.entry_id, (part,), 0)


def reverse(
    session: Session, books: Bookkeeper, entry_id: str, *, reason: str, now_us: int, by: str = ""
) -> Allocated:
    """Take back a payment that bounced, or one that was put to the wrong invoice, or a write-off.

    It is the equal and opposite entry, which opens the invoices again. What a credit note gave to the wallet
    meanwhile, since an invoice looked paid, goes to the invoice now. What a note gave back of a write-off
    stays as it is.
    """
    reason = reason_given(reason)
    entry = session.get(JournalEntryRow, entry_id)
    if entry is None or entry.kind not in (PAYMENT, ALLOCATION, WRITE_OFF):
        raise InputRefused(
            f"{entry_id[:40]!r} is no payment, allocation or write-off; `payments list` shows them"
        )
    given = list(session.scalars(select(AllocationRow).where(AllocationRow.entry_id == entry_id)))
    rows = {id: locked_standing(session, id) for id in sorted({x.invoice_id for x in given})}
    account_id = next(iter(rows.values())).account_id if rows else _holder_id(session, entry_id)
    if session.scalar(select(JournalEntryRow.id).where(JournalEntryRow.reverses_id == entry_id)) is not None:
        raise InputRefused(f"entry {entry_id} is reversed already")
    for row in rows.values():
        if entry.kind == WRITE_OFF and written_off(session, row.id).amount <= 0:
            raise InputRefused(f"{named(row)}: a credit note has given back what was written off")
    legs = _legs(session, entry_id)
    amount = -sum(part for code, part in legs if code is not LedgerCode.WALLET)
    parts = tuple((code, -part) for code, part in legs if code is not LedgerCode.WALLET)
    memo = f"{entry.memo[:80]}: {reason}"
    moved = post(
        session,
        books,
        PostEntry(
            f"reverse:{entry_id}",
            account_id,
            entry.unit,
            amount,
            parts,
            REVERSAL,
            now_us,
            memo,
            owed=True,
            reverses_id=entry_id,
        ),
    )
    take_back(session, books, entry_id, kept=0, now_us=now_us)
    back = [Part(x.invoice_id, -x.amount, -x.wallet_amount) for x in given]
    unit = unit_of(session, entry.unit)
    for part, was in zip(back, given, strict=True):
        rows[part.invoice_id].open -= part.amount
        rows[part.invoice_id].open_wallet -= part.wallet
        allocate(session, part, kind=was.kind, entry_id=moved.entry_id, now_us=now_us, memo=reason)
        detail = f"{said(-part.amount, unit)} taken back: {reason}"
        happened(session, part.invoice_id, "reversal", detail, at_us=now_us, by=by)
    session.flush()
    for row in rows.values():
        _undone_stays_so(session, books, row, now_us)
        _refunds_to_invoice(session, books, row, now_us)
    return Allocated(moved.entry_id, tuple(back), amount + sum(-part.wallet for part in back))


def _undone_stays_so(session: Session, books: Bookkeeper, row: InvoiceRow, now_us: int) -> None:
    """What notes have given back of write-offs is not asked for again when these are reversed."""
    given_back = -written_off(session, row.id).amount
    if given_back > 0:
        memo = "credited before"
        _give_up(session, books, row, given_back, memo=memo, now_us=now_us)
        detail = f"{said(given_back, unit_of(session, row.unit))} stays written off: {memo}"
        happened(session, row.id, "write_off", detail, at_us=now_us, by="")


def _refunds_to_invoice(session: Session, books: Bookkeeper, row: InvoiceRow, now_us: int) -> None:
    """What notes gave to the wallet and not to an invoice that is open, after all, is taken from there."""
    amount = min(row.open, given_to_wallet(session, row.id))
    if amount <= 0:
        return
    part = reduce_open(row, amount)
    moved = post(
        session,
        books,
        PostEntry(
            f"{ALLOCATION}:{new_id()}",
            row.account_id,
            row.unit,
            part.wallet - amount,
            postings((LedgerCode.RECEIVABLE, -amount), (LedgerCode.INVOICED, part.wallet)),
            ALLOCATION,
            now_us,
            f"{named(row)}: credited before",
            owed=True,
        ),
    )
    allocate(
        session, part, kind="credit_note", entry_id=moved.entry_id, now_us=now_us, memo="credited before"
    )


def _shared(rows: Sequence[InvoiceRow], amount: int) -> tuple[tuple[Part, ...], int]:
    """Take an amount off invoices in their order; the parts, and what is left of it."""
    parts = []
    for row in rows:
        if amount and row.open:
            parts.append(reduce_open(row, min(amount, row.open)))
            amount -= parts[-1].amount
    return tuple(parts), amount


def _repeated(session: Session, known: JournalEntryRow, account: AccountRow, new: NewPayment) -> Allocated:
    """What a payment did when it came first."""
    given = session.scalars(select(AllocationRow).where(AllocationRow.entry_id == known.id))
    parts = tuple(Part(x.invoice_id, x.amount, x.wallet_amount) for x in given.all())
    received = sum(part for code, part in _legs(session, known.id) if code is LedgerCode.CASH)
    owner_id = session.get_one(InvoiceRow, parts[0].invoice_id).account_id if parts else None
    if owner_id is None:
        owner_id = _holder_id(session, known.id)
    if (owner_id, received, known.unit) != (account.id, new.amount, new.unit):
        raise DuplicateKey(f"{new.key!r} was used before for another payment")
    return Allocated(known.id, parts, received - sum(part.amount for part in parts), repeated=True)


def _legs(session: Session, entry_id: str) -> list[tuple[LedgerCode, int]]:
    legs = session.execute(
        select(LedgerAccountRow.code, PostingRow.amount)
        .join(LedgerAccountRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .where(PostingRow.entry_id == entry_id)
        .order_by(PostingRow.line)
    )
    return [(LedgerCode(code), amount) for code, amount in legs]


def _holder_id(session: Session, entry_id: str) -> int:
    """Whose wallet an entry moved."""
    return session.scalars(
        select(LedgerAccountRow.holder_id)
        .join(PostingRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .where(PostingRow.entry_id == entry_id, LedgerAccountRow.code == LedgerCode.WALLET)
    ).one()


def _key(key: str) -> str:
    if not (key.isprintable() and 0 < len(key) <= MAX_KEY_LENGTH):
        raise InputRefused(f"a payment's key has 1 to {MAX_KEY_LENGTH} printable characters")
    return key


def _method(method: str) -> str:
    method = method.strip()
    if not (method.isprintable() and 0 < len(method) <= MAX_METHOD_LENGTH):
        raise InputRefused(f"say how it was paid in 1 to {MAX_METHOD_LENGTH} printable characters, e.g. bank")
    return method
