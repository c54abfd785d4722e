"""What an account used and was charged for calls, as it may see it itself: by month, day or destination.

The same sums that its seller's reports are made of, narrowed to it; what the seller pays is left out.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_, Column
from pbxbill.reports.call_reports import ANSWERED, CALLS, NET, TALKED, TAX, TOTAL
from pbxbill.reports.call_sums import GROUP_COLUMNS, X_OF, call_rows
from pbxbill.reports.report import (
    BY_DAY,
    BY_MONTH,
    FROM,
    PERIOD_NAMES,
    TO,
    Asked,
    Chart,
    Parameter,
    Report,
    Table,
    choice_of,
)
from pbxbill.store.models import AccountRow

GROUPS = (BY_MONTH, ("destination", N_("Destination")), BY_DAY)
_COLUMNS: tuple[Column, ...] = (CALLS, ANSWERED, TALKED, NET, TAX, TOTAL)


def _own(session: Session, asked: Asked) -> Table:
    by = choice_of(asked, "group", GROUPS)
    account = session.get_one(AccountRow, asked.scope.account_id)
    if account.parent_id is None:
        raise InputRefused("nobody bills the operator")
    seller = session.get_one(AccountRow, account.parent_id)
    values = {**asked.values, "account": account.code}
    as_seller = replace(asked, scope=Scope(seller.id, seller.path), values=values)
    rows, totals, is_cut = call_rows(session, as_seller, by)
    columns = (*GROUP_COLUMNS[by], *_COLUMNS)
    chart = Chart("line" if by in PERIOD_NAMES else "bar", X_OF.get(by, by), ("total",))
    rows, totals = ([_seen(x, columns) for x in some] for some in (rows, totals))
    return Table(columns, rows, totals, chart, (), is_cut)


def _seen(row: dict[str, Any], columns: tuple[Column, ...]) -> dict[str, Any]:
    """Without what the calls cost the seller."""
    keys = {"unit", "period", "period_us", *(x.key for x in columns)}
    return {key: value for key, value in row.items() if key in keys}


OWN_USAGE = Report(
    "usage",
    N_("Usage"),
    N_("Your calls and what you were charged for them, by month, day or destination."),
    (FROM, TO, Parameter("group", N_("By"), choices=GROUPS)),
    _own,
    permission=Permission.OWN_READ,
)
