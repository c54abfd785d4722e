"""Where an account is in the tree, and what all accounts below it come to."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.prefixes import begins_with


@dataclass(frozen=True, slots=True)
class UnitSums:
    """Wallets in one unit."""

    unit: str
    wallets: int
    posted: int
    available: int


@dataclass(frozen=True, slots=True)
class Subtree:
    """All accounts below one, at any depth."""

    accounts: int
    resellers: int
    sums: tuple[UnitSums, ...]


def above(session: Session, scope: Scope, account: AccountRow) -> list[tuple[int, str]]:
    """Ids and codes of the accounts above one which whoever looks may see, the highest first."""
    ids = [int(x) for x in account.path.split("/") if x and int(x) != account.id]
    if not ids:
        return []
    query = select(AccountRow.id, AccountRow.code).where(AccountRow.id.in_(ids), scope.among(AccountRow.id))
    codes = {row.id: row.code for row in session.execute(query)}
    return [(id, codes[id]) for id in ids if id in codes]


def subtree_of(session: Session, account: AccountRow) -> Subtree:
    """The sums of what is below an account, itself left out."""
    below = begins_with(AccountRow.path, account.path), AccountRow.id != account.id
    kinds = select(AccountRow.kind, func.count()).where(*below).group_by(AccountRow.kind)
    counted = {kind: many for kind, many in session.execute(kinds)}  # noqa: C416 # rows are no pairs to dict()
    available = WalletRow.posted - WalletRow.reserved + WalletRow.credit_limit
    query = (
        select(WalletRow.unit, func.count(), func.sum(WalletRow.posted), func.sum(available))
        .join(AccountRow, AccountRow.id == WalletRow.account_id)
        .where(*below)
        .group_by(WalletRow.unit)
        .order_by(WalletRow.unit)
    )
    sums = [
        UnitSums(unit, many, int(posted), int(left)) for unit, many, posted, left in session.execute(query)
    ]
    return Subtree(sum(counted.values()), counted.get("reseller", 0), tuple(sums))
