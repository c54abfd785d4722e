"""Where what is given back is taken from: of a charge in advance, what is not earned yet first."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import Parts
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.billing_models import ChargeRow


def locked_charges(session: Session, ids: Iterable[int | None]) -> dict[int, ChargeRow]:
    """Charges by id; locked in the order in which what they earn is booked."""
    known = sorted({id for id in ids if id is not None})
    query = select(ChargeRow).where(ChargeRow.id.in_(known)).order_by(ChargeRow.id).with_for_update()
    rows = session.scalars(query.execution_options(populate_existing=True)) if known else ()
    return {row.id: row for row in rows}


def taken_back(charge: ChargeRow | None, income: LedgerCode, exact: int) -> Parts:
    """The parts of an entry that take an exact amount back; the charge has that much less to earn.

    Below zero: what was given back is asked for again after all.
    """
    unearned = 0
    left = 0 if charge is None else charge.deferred - charge.earned
    if charge is not None and left * exact > 0:
        unearned = min(left, exact) if exact > 0 else max(left, exact)
        charge.deferred -= unearned
    return (LedgerCode.DEFERRED, unearned), (income, exact - unearned)
