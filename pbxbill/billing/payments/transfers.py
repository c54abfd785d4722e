"""Funds moved from one customer's wallet to another's: both postings or none.

Both are customers of the same issuer, so that the same books owe the one less and the other more. Between a
reseller's own wallet, which is in the books of whoever is above him, and one of his customers' there is
nothing to move: what he owes a customer is not what his issuer owes him.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import reason_given, said
from pbxbill.billing.life_cycle.account_events import note_event
from pbxbill.billing.payments.funds_received import funds_received
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry
from pbxbill.charging.status import AccountStatus
from pbxbill.errors import InputRefused, check
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import MAX_AMOUNT
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow, JournalEntryRow, WalletRow
from pbxbill.store.points_units import refuse_points

TRANSFER = "transfer"
"""The kind of its journal entries."""
MAX_KEY_LENGTH = 150


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """What is to be moved, and why."""

    amount: int
    unit: str
    key: str
    """One that comes twice with it is the same transfer."""
    reason: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Transferred:
    """A transfer, made now or before."""

    entry_ids: tuple[str, str]
    """What the giver's wallet gave, and what the taker's got."""
    giver_balance: int
    taker_balance: int
    repeated: bool


def transfer_funds(
    session: Session,
    books: Bookkeeper,
    giver: AccountRow,
    taker: AccountRow,
    new: NewTransfer,
    now_us: int,
) -> Transferred:
    """Move funds between two wallets; InputRefused where they may not or cannot be moved.

    What live calls have reserved stays, and so does credit: only funds that are there can go.
    """
    reason = reason_given(new.reason)
    unit = unit_of(session, new.unit)
    refuse_points(session, unit.code)
    _refuse_strangers(session, giver, taker)
    if new.amount <= 0:
        raise InputRefused("a transfer must be more than zero")
    if not (new.key.isprintable() and 0 < len(new.key) <= MAX_KEY_LENGTH):
        raise InputRefused(f"a transfer's key has 1 to {MAX_KEY_LENGTH} printable characters")
    wallets = _locked_wallets(session, (giver, taker), unit.code)
    keys = (f"{TRANSFER}:{new.key}:out", f"{TRANSFER}:{new.key}:in")
    known = session.scalar(select(JournalEntryRow.id).where(JournalEntryRow.idempotency_key == keys[0]))
    if known is None:
        own = wallets[giver.id]
        free = max(0, own.posted - own.reserved)
        if new.amount > free:
            raise InputRefused(
                f"account {giver.code} has {said(free, unit)} that can be moved: funds without credit, "
                "and without what its live calls hold"
            )
        if taker.status == AccountStatus.TERMINATED:
            raise InputRefused(f"account {taker.code} is terminated")
        if wallets[taker.id].posted + new.amount > MAX_AMOUNT:
            raise InputRefused(f"the wallet of account {taker.code} cannot hold so much")
    commands = [
        PostEntry(key, account.id, unit.code, moved, ((LedgerCode.TRANSFER, moved),), TRANSFER, now_us, memo)
        for key, account, moved, memo in (
            (keys[0], giver, -new.amount, f"to {taker.code}: {reason}"),
            (keys[1], taker, new.amount, f"from {giver.code}: {reason}"),
        )
    ]
    gave, got = books.post(session, commands)
    check(isinstance(gave, Moved) and isinstance(got, Moved), "transfer {} was refused in part", new.key)
    assert isinstance(gave, Moved)
    assert isinstance(got, Moved)
    if known is None:
        for account, other in ((giver, f"to {taker.code}"), (taker, f"from {giver.code}")):
            told = f"{said(new.amount, unit)} {other}: {reason}"
            note_event(session, account.id, "transfer", told, now_us=now_us, by=new.by)
        funds_received(
            session,
            books,
            taker,
            unit=unit.code,
            amount=new.amount,
            entry_id=got.entry_id,
            cause="transfer",
            now_us=now_us,
        )
    return Transferred((gave.entry_id, got.entry_id), gave.balance, got.balance, known is not None)


def _refuse_strangers(session: Session, giver: AccountRow, taker: AccountRow) -> None:
    if giver.id == taker.id:
        raise InputRefused("a transfer goes from one account to another")
    if giver.parent_id == taker.parent_id:
        return
    for reseller, customer in ((giver, taker), (taker, giver)):
        if customer.parent_id == reseller.id:
            raise InputRefused(
                f"{reseller.code} is who bills {customer.code}: nothing can be moved between them, since his "
                f"own wallet is in the books of who bills him. In his books `pbxbill topup {customer.code}` "
                f"gives {customer.code} funds, and `pbxbill adjust {customer.code}` takes some"
            )
    names = [
        "nobody" if x.parent_id is None else session.get_one(AccountRow, x.parent_id).code
        for x in (giver, taker)
    ]
    raise InputRefused(
        f"{giver.code} is a customer of {names[0]} and {taker.code} of {names[1]}: funds move between "
        "customers of the same issuer"
    )


def _locked_wallets(
    session: Session, accounts: tuple[AccountRow, AccountRow], unit: str
) -> dict[int, WalletRow]:
    """Both wallets in the unit, by account; all wallets of both are locked in the order of their ids."""
    rows = session.scalars(
        select(WalletRow)
        .where(WalletRow.account_id.in_([account.id for account in accounts]))
        .order_by(WalletRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    found = {row.account_id: row for row in rows if row.unit == unit}
    for account in accounts:
        if account.id not in found:
            raise InputRefused(f"account {account.code} has no {unit} wallet")
    return found
