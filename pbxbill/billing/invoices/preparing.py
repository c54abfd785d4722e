"""Reckons what a draft will hold before anything is locked, so that nobody waits for it.

SQLite has one write lock, which calls need as well, and a seller of many has tens of thousands of entries in
a month. What was read ahead counts only if nothing has come or gone since that would be on the draft; calls
of the next period do not matter.
"""

from typing import NamedTuple

from sqlalchemy.orm import Session

from pbxbill.billing.invoices.billed import Billed, RunMemory, billed_account, is_currency
from pbxbill.billing.invoices.draft_lines import DraftLine, lines_of
from pbxbill.billing.invoices.gathered_items import charges_to_ask_for, lock_charges_to_ask_for
from pbxbill.billing.invoices.gathering import Gathered, came_since, gather
from pbxbill.billing.period import Period
from pbxbill.store.driver import rows_within

_DISCARDED = (
    "SELECT COUNT(*) FROM invoices WHERE account_id = :account_id AND unit = :unit AND state = 'discarded'"
)


class Reckoned(NamedTuple):
    """What a draft will hold."""

    gathered: Gathered
    lines: list[DraftLine]


class Prepared(NamedTuple):
    """The same, read ahead."""

    billed: Billed
    reckoned: Reckoned
    discarded: int
    """Drafts of the account: another one gives entries back."""


def reckon(session: Session, billed: Billed, period: Period, memory: RunMemory) -> Reckoned:
    """Gather what the next invoice takes, for nobody else to change, and make lines of it."""
    lock_charges_to_ask_for(session, billed.account_id, billed.unit.code, period.to_us)
    return _reckoned(session, billed, period, memory)


def _reckoned(session: Session, billed: Billed, period: Period, memory: RunMemory) -> Reckoned:
    taxes = memory.taxes_of(session, billed)
    gathered = gather(session, billed.account_id, billed.unit.code, period, taxes.changes, memory.known)
    return Reckoned(gathered, lines_of(gathered, period, taxes))


def prepare(session: Session, account_id: int, unit: str, period: Period, memory: RunMemory) -> None:
    """Reckon ahead; the session only reads."""
    billed = billed_account(session, account_id, unit)
    if is_currency(billed.unit):
        reckoned = _reckoned(session, billed, period, memory)
        memory.prepared[account_id, unit, period] = Prepared(billed, reckoned, _discarded(session, billed))


def reckoned_now(session: Session, billed: Billed, period: Period, memory: RunMemory, mark: str) -> Reckoned:
    """What was reckoned ahead, if it still holds; else reckoned now. mark: up to where all is on invoices."""
    key = (billed.account_id, billed.unit.code, period)
    ahead = memory.prepared.pop(key, None)
    if ahead is not None and _holds(session, ahead, billed, period, mark):
        return ahead.reckoned
    return reckon(session, billed, period, memory)


def _holds(session: Session, ahead: Prepared, billed: Billed, period: Period, mark: str) -> bool:
    gathered, unit = ahead.reckoned.gathered, billed.unit.code
    lock_charges_to_ask_for(session, billed.account_id, unit, period.to_us)
    return (
        (ahead.billed, gathered.after) == (billed, mark)
        and list(gathered.asked) == charges_to_ask_for(session, billed.account_id, unit, period.to_us)
        and not came_since(session, billed.account_id, unit, period, gathered.newest or gathered.after)
        and ahead.discarded == _discarded(session, billed)
    )


def _discarded(session: Session, billed: Billed) -> int:
    values = {"account_id": billed.account_id, "unit": billed.unit.code}
    return int(rows_within(session, _DISCARDED, values)[0][0])
