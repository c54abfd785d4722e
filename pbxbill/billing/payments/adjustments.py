"""A wallet corrected by hand: goodwill and mistakes, booked as adjustments; no money came or went."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import reason_given, said
from pbxbill.billing.life_cycle.account_events import note_event
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Adjust, Moved, Refused
from pbxbill.errors import InputRefused, check
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow, JournalEntryRow
from pbxbill.store.points_units import refuse_points


@dataclass(frozen=True, slots=True)
class NewAdjustment:
    """What a wallet gets, or loses where it is below zero."""

    amount: int
    unit: str
    key: str
    """One that comes twice with it is the same adjustment."""
    reason: str
    by: str = ""


class AdjustmentRefused(InputRefused):
    """A wallet cannot be corrected so. most: what could be taken out of it now, where that is the reason."""

    def __init__(self, reason: str, most: int | None) -> None:
        super().__init__(reason)
        self.most = most


def adjust_wallet(
    session: Session, books: Bookkeeper, account: AccountRow, new: NewAdjustment, now_us: int
) -> str:
    """Correct a wallet; the entry. InputRefused where it cannot be. Live calls are shortened for it."""
    return adjusted_wallet(session, books, account, new, now_us).entry_id


def adjusted_wallet(
    session: Session, books: Bookkeeper, account: AccountRow, new: NewAdjustment, now_us: int
) -> Moved:
    """The same; what became of the wallet."""
    reason, unit = reason_given(new.reason), unit_of(session, new.unit)
    refuse_points(session, unit.code)
    known = session.scalar(select(JournalEntryRow.id).where(JournalEntryRow.idempotency_key == new.key))
    (done,) = books.post(session, [Adjust(new.key, account.id, unit.code, new.amount, now_us, reason)])
    if isinstance(done, Refused):
        raise AdjustmentRefused(done.reason, done.most)
    check(isinstance(done, Moved), f"an adjustment was answered by {done}")
    assert isinstance(done, Moved)
    if known is None:
        told = f"{said(new.amount, unit)}: {reason}"
        note_event(session, account.id, "adjustment", told, now_us=now_us, by=new.by)
    return done
