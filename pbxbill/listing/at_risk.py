"""Which balances are at risk: where people's next calls may be refused. One rule for list and count."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, or_, select
from sqlalchemy.orm import aliased

from pbxbill.listing.listing import N_, Rows
from pbxbill.rating.exchange import MAX_UNIT_SCALE
from pbxbill.store.models import AccountRow, UnitRow, WalletRow

USED_TENTHS = 9
"""Who has used so many tenths of his credit is at risk."""
CHOICES = (
    ("all", N_("All balances at risk")),
    ("low", N_("Funds nearly used up")),
    ("credit-used", N_("Credit nearly used up")),
)

_FUNDS = WalletRow.posted + WalletRow.credit_limit
_AVAILABLE = _FUNDS - WalletRow.reserved
_COIN = case(
    {digits: 10**digits for digits in range(MAX_UNIT_SCALE + 1)}, value=UnitRow.scale - UnitRow.digits
)
"""What calls leave of less buys nothing."""
_OTHER, _OF_OTHER = aliased(WalletRow), aliased(UnitRow)


def _other_money() -> ColumnElement[bool]:
    found = select(_OTHER.id).join(_OF_OTHER, _OF_OTHER.code == _OTHER.unit)
    condition = (
        _OTHER.account_id == WalletRow.account_id,
        _OTHER.id != WalletRow.id,
        _OTHER.posted + _OTHER.credit_limit > 0,
        _OF_OTHER.scale > 0,
    )
    return found.where(*condition).correlate(WalletRow).exists()


def at_risk(columns: Sequence[Any], kind: str = "all") -> Rows:
    """Columns of wallets at risk, with their accounts and units, of accounts that are not closed.

    low: at or below the highest threshold of notices, or prepaid without a coin in any currency.
    credit-used: nine tenths of the credit, or overdrawn.
    """
    # What is counted (minutes, points) is no money: a wallet of it may well be empty.
    used_up = and_(
        AccountRow.mode == "prepaid",
        WalletRow.credit_limit == 0,
        UnitRow.scale > 0,
        _FUNDS < _COIN,
        ~_other_money(),
    )
    low = or_(WalletRow.tell_from >= _AVAILABLE, used_up)
    nearly = and_(WalletRow.credit_limit > 0, WalletRow.credit_limit * (10 - USED_TENTHS) > _AVAILABLE * 10)
    credit = or_(nearly, WalletRow.overdraft > 0)
    conditions = {"low": low, "credit-used": credit}
    return (
        select(*columns)
        .select_from(WalletRow)
        .join(AccountRow, AccountRow.id == WalletRow.account_id)
        .join(UnitRow, UnitRow.code == WalletRow.unit)
        .where(AccountRow.status != "terminated", conditions.get(kind, or_(low, credit)))
    )


def narrow_to_risk(query: Rows, kind: str) -> Rows:
    """Narrow accounts to those with a wallet at risk."""
    return query.where(AccountRow.id.in_(at_risk([WalletRow.account_id], kind).correlate(None)))
