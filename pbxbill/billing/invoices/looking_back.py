"""Finds what wallets gave for that invoices pass over, and has the next ones take it.

`gathered` says up to which entry all of an account's are on invoices, and ids of entries grow with the
server's clock. If that was put back by more than gathering.MARGIN_MS after a draft was made, entries since
then may lie before the mark: no draft looks at them, `pbxbill verify` finds them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.gathering import CHARGED, gathered_to, id_before
from pbxbill.charging.ledger_promises import Rule, Search
from pbxbill.store.driver import rows_within
from pbxbill.store.models import AccountRow

_PASSED_OVER = (
    "FROM gathered g JOIN wallets w ON w.account_id = g.account_id AND w.unit = g.unit "
    "JOIN postings p ON p.ledger_account_id = w.ledger_account_id AND p.entry_id <= g.entry_id "
    "JOIN journal_entries e ON e.id = p.entry_id LEFT JOIN invoice_entries i ON i.entry_id = p.entry_id "
    f"WHERE i.entry_id IS NULL AND {CHARGED}"
)
_FOUND = "COUNT(*), CAST(SUM(p.amount) AS BIGINT)"
_WHERE = f"SELECT g.account_id, g.unit {_PASSED_OVER} GROUP BY g.account_id, g.unit ORDER BY 1, 2"
_OLDEST = f"SELECT {_FOUND}, MIN(p.entry_id) {_PASSED_OVER} AND g.account_id = :account_id AND g.unit = :unit"
_SET = text("UPDATE gathered SET entry_id = :mark WHERE account_id = :account_id AND unit = :unit")

LOOKED_AT = Rule(
    "invoices pass over nothing that wallets gave for",
    "gathered",
    (
        Search(
            f"SELECT g.account_id, g.unit, {_FOUND} {_PASSED_OVER} GROUP BY g.account_id, g.unit",
            "account {0}: {2} entries over {3} in {1} are on no invoice and too old to be looked at; "
            "after `pbxbill bill look-back` its next invoice takes them",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class PassedOver:
    """What the next invoice of an account looks at again."""

    account_id: int
    unit: str
    entries: int
    gross: int
    """Taken from the wallet."""


def passed_over(session: Session) -> list[tuple[int, str]]:
    """Accounts and units in which something was; it reads every entry of every wallet that is invoiced."""
    return [(account_id, unit) for account_id, unit in rows_within(session, _WHERE, {})]


def look_back(session: Session, account_id: int, unit: str) -> PassedOver:
    """Have the next draft look at what the ones before it passed over."""
    gathered_to(session, account_id, unit, lock=True)
    values = {"account_id": account_id, "unit": unit}
    ((count, gross, oldest),) = rows_within(session, _OLDEST, values)
    if count:
        session.execute(_SET, values | {"mark": id_before(oldest, 1)})
    return PassedOver(account_id, unit, count, gross or 0)


def look_back_at(
    session: Session, places: Iterable[tuple[int, str]], covers: Callable[[AccountRow], bool]
) -> list[tuple[AccountRow, PassedOver]]:
    """The same for those of passed_over() whose account is covered."""
    accounts = [(session.get_one(AccountRow, account_id), unit) for account_id, unit in places]
    return [(x, look_back(session, x.id, unit)) for x, unit in accounts if covers(x)]
