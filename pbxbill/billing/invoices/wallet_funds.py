"""What of an invoice the wallet's funds have paid already, and what is asked for.

A wallet's funds pay what it gave for in the order in which it gave: first in, first out. What it would hold
were all issued invoices paid, less what it gave for later than this invoice's entries, is what was there for
them; what was not is owed.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from pbxbill.billing.invoices.gathering import Books, unclaimed_gross
from pbxbill.billing.taxes.tax import AppliedTax
from pbxbill.money import half_up
from pbxbill.store.driver import rows_within
from pbxbill.store.invoice_models import InvoiceRow

_FUNDS = (
    "SELECT w.posted, (SELECT CAST(COALESCE(SUM(v.open_wallet), 0) AS BIGINT) FROM invoices v "
    "WHERE v.account_id = w.account_id AND v.unit = w.unit), (SELECT CAST(COALESCE(SUM(l.net_exact "
    "+ l.tax_exact), 0) AS BIGINT) FROM invoices v JOIN invoice_lines l ON l.invoice_id = v.id "
    "WHERE v.account_id = w.account_id AND v.unit = w.unit AND v.state = 'draft' AND v.id <> :invoice_id "
    "AND l.collection = 'wallet' AND l.origin IN ('reckoned', 'removed')) "
    "FROM wallets w WHERE w.account_id = :account_id AND w.unit = :unit"
)


class SplitLine(NamedTuple):
    """What of a line says who pays it."""

    from_wallet: bool
    net_exact: int
    tax_exact: int
    taxes: tuple[AppliedTax, ...]

    @property
    def asks(self) -> bool:
        """Whether it asks for something that the wallet did not give."""
        if not self.from_wallet:
            return self.net_exact != 0
        return self.net_exact != 0 and not self.tax_exact and any(tax.ppm for tax in self.taxes)


class Split(NamedTuple):
    """How an invoice's total is met, in the unit's steps."""

    from_wallet: int
    """Paid by the wallet's funds, in whole minor units; below zero: the wallet got it already."""
    due: int
    open_wallet: int
    """What of due the wallet owes."""
    into_wallet: int
    """What issuing moves into the wallet, exact: what rounding leaves over, and what of the charges that the
    funds have paid the invoice gives back."""


def split(total: int, lines: Sequence[SplitLine], funds: int, minor: int) -> Split:
    """Who meets a total. funds: what was there for the wallet's charges before they were taken, and after."""
    wallet = sum(line.net_exact + line.tax_exact for line in lines if line.from_wallet)
    asks_more = any(line.asks for line in lines)
    owed = max(0, min(wallet, -funds))
    if not owed:
        from_wallet = half_up(wallet, 1, minor) if asks_more else total
    elif owed == wallet:
        from_wallet = 0
    else:
        from_wallet = half_up(wallet - owed, 1, minor)
    # What is given back may come to more than what is asked for; else lines that are rounded one by one come
    # to less than the wallet gave, and that is rounding.
    surplus = max(0, from_wallet - total) if asks_more else 0
    from_wallet = min(from_wallet, total)
    due = total - from_wallet
    open_wallet = min(due, half_up(owed, 1, minor)) if asks_more else due
    return Split(from_wallet, due, open_wallet, owed - open_wallet + surplus)


def funds_for(session: Session, row: InvoiceRow, books: Books) -> int:
    """What the wallet holds for a draft's charges: were all issued invoices paid, and nothing taken later."""
    values = {"account_id": row.account_id, "unit": row.unit, "invoice_id": row.id}
    ((posted, asked, on_drafts),) = rows_within(session, _FUNDS, values)
    later = on_drafts + unclaimed_gross(session, row.account_id, row.unit, books.wallet)
    return int(posted + asked + later)
