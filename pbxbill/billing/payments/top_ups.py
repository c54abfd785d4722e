"""Money received that is to be used up: into the wallet, with its receipt; and taken back if it was wrong.

What was received for invoices is a payment (payments.py).
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.billed import is_currency
from pbxbill.billing.invoices.gathering import gathered_to
from pbxbill.billing.invoices.receipts import Receipt, issue_receipt
from pbxbill.billing.invoices.standing import happened, locked_wallet, reason_given, said
from pbxbill.billing.life_cycle.account_events import note_event
from pbxbill.billing.payments.funds_received import funds_received
from pbxbill.billing.points.points_earning import take_back
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry, Refused, TopUp
from pbxbill.charging.funds import MAX_KEY_LENGTH, MAX_MEMO_LENGTH
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow, LedgerAccountRow, PostingRow
from pbxbill.store.payment_models import GatewayPaymentRow
from pbxbill.store.points_units import refuse_points

TOP_UP = "top-up"
"""The kind of its journal entries."""
MAX_METHOD_LENGTH = 40
MAX_REFERENCE_LENGTH = 150


@dataclass(frozen=True, slots=True)
class NewTopUp:
    """Money received for a wallet."""

    amount: int
    unit: str
    method: str
    """As people call it: cash, bank, card."""
    key: str
    """Made from its cause: one that comes twice with it is the same top-up."""
    reference: str = ""
    by: str = ""
    receipt: bool = True
    """Make the receipt at once, if the unit is a currency; else `pbxbill payments receipt` makes it."""


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """A top-up, made now or before."""

    entry_id: str
    repeated: bool
    """It had been made before: nothing moved."""
    balance: int
    """Of the wallet, as it stands."""
    available: int
    receipt: Receipt | None = None


def top_up(session: Session, books: Bookkeeper, account: AccountRow, new: NewTopUp, now_us: int) -> ToppedUp:
    """Put received money into a wallet; live calls last longer once the caller has announced it.

    DuplicateKey where the key was used for something else.
    """
    memo = _memo(new)
    unit = unit_of(session, new.unit)
    refuse_points(session, unit.code)
    with_receipt = new.receipt and is_currency(unit)
    if with_receipt:  # whoever bills the account locks this first, and its wallets then
        gathered_to(session, account.id, unit.code, lock=True)
    locked_wallet(session, account.id, unit.code)
    known = session.scalar(select(JournalEntryRow.id).where(JournalEntryRow.idempotency_key == new.key))
    command = TopUp(new.key, account.id, unit.code, new.amount, now_us, memo)
    (outcome,) = books.post(session, [command])
    if isinstance(outcome, Refused):
        raise InputRefused(outcome.reason)
    receipt = None
    if with_receipt:
        receipt = issue_receipt(session, outcome.entry_id, now_us, new.by)
    if known is None:
        if new.by:
            told = f"{said(new.amount, unit)} {memo}".rstrip()
            note_event(session, account.id, "top_up", told, now_us=now_us, by=new.by)
        funds_received(
            session,
            books,
            account,
            unit=unit.code,
            amount=new.amount,
            entry_id=outcome.entry_id,
            cause="top_up",
            now_us=now_us,
        )
    return ToppedUp(outcome.entry_id, known is not None, outcome.balance, outcome.available, receipt)


def _memo(new: NewTopUp) -> str:
    method = new.method.strip()
    if not method.isprintable() or len(method) > MAX_METHOD_LENGTH:
        raise InputRefused(
            f"say how it was paid in up to {MAX_METHOD_LENGTH} printable characters, e.g. cash"
        )
    if not new.reference.isprintable() or len(new.reference) > MAX_REFERENCE_LENGTH:
        raise InputRefused(f"a reference has up to {MAX_REFERENCE_LENGTH} printable characters, on one line")
    if not (new.key.isprintable() and 0 < len(new.key) <= MAX_KEY_LENGTH):
        raise InputRefused(f"a key has 1 to {MAX_KEY_LENGTH} printable characters")
    return ": ".join(filter(None, (method, new.reference)))[:MAX_MEMO_LENGTH]


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A top-up that was reversed."""

    account_id: int
    unit: str
    moved: Moved


def reverse_top_up(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    entry_id: str,
    *,
    reason: str,
    now_us: int,
    owed: bool = False,
    by: str = "",
) -> TakenBack:
    """Take back a top-up that was wrong, by the equal and opposite entry; live calls are shortened for it.

    owed: also what is spent already, which the account then owes. Else InputRefused where it is.
    """
    reason = reason_given(reason)
    entry = session.get(JournalEntryRow, entry_id)
    if entry is None or entry.kind != TOP_UP:
        raise InputRefused(
            f"{entry_id[:40]!r} is no top-up; `pbxbill payments reverse` takes payments and write-offs back"
        )
    paid = select(GatewayPaymentRow.key).where(GatewayPaymentRow.entry_id == entry_id)
    if session.scalar(paid) is not None:
        raise InputRefused(
            f"top-up {entry_id} came through a gateway: `pbxbill payments refund` gives it back to who paid"
        )
    account_id, amount = _holder_and_amount(session, entry_id)
    receipt = session.scalar(select(InvoiceRow).where(InvoiceRow.period_key == f"receipt:{entry_id}"))
    locked_wallet(session, account_id, entry.unit)
    if session.scalar(select(JournalEntryRow.id).where(JournalEntryRow.reverses_id == entry_id)) is not None:
        raise InputRefused(f"top-up {entry_id} is reversed already")
    command = PostEntry(
        f"reverse:{entry_id}",
        account_id,
        entry.unit,
        -amount,
        ((LedgerCode.CASH, -amount),),
        "reversal",
        now_us,
        f"{entry.memo[:80]}: {reason}" if entry.memo else reason,
        owed=owed,
        reverses_id=entry_id,
    )
    (outcome,) = books.post(session, [command])
    if isinstance(outcome, Refused):
        unit = unit_of(session, entry.unit)
        most = "" if outcome.most is None else f"; at most {said(outcome.most, unit)} now"
        raise InputRefused(f"{outcome.reason}{most}. `--owed` takes it all, and the account owes the rest")
    detail = f"{said(amount, unit_of(session, entry.unit))} taken back: {reason}"
    note_event(session, account_id, "top_up_reversed", detail, now_us=now_us, by=by)
    if receipt is not None:
        happened(session, receipt.id, "reversal", detail, at_us=now_us, by=by)
    take_back(session, books, entry_id, kept=0, now_us=now_us)
    session.flush()
    return TakenBack(account_id, entry.unit, outcome)


def _holder_and_amount(session: Session, entry_id: str) -> tuple[int, int]:
    holder_id, amount = session.execute(
        select(LedgerAccountRow.holder_id, -PostingRow.amount)
        .join(PostingRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .where(PostingRow.entry_id == entry_id, LedgerAccountRow.code == LedgerCode.WALLET)
    ).one()
    return holder_id, amount
