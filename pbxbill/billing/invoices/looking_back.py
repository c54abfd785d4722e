"""Finds what wallets gave for that invoices pass over, and has the next ones take it.

`gathered` says up to which entry all of an account's are on invoices, and ids of entries grow with the
server's clock. If that was put back by more than gathering.MARGIN_MS after a draft was made, entries since
then may lie before the mark: no draft looks at them, `pbxbill verify` finds them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, select, text
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.gathering import CHARGED, gathered_to, id_before
from pbxbill.charging.ledger_promises import Rule, Search
from pbxbill.clock import SECOND_US, Clock
from pbxbill.store.driver import rows_within
from pbxbill.store.invoice_models import GatheredRow
from pbxbill.store.models import AccountRow

PAGE = 200
"""Accounts that one statement looks at."""
LOOKS_FOR_US = 5 * SECOND_US
MOST = 200
"""Places that are dealt with together, in one transaction."""
Among = Callable[[Any], ColumnElement[bool]]
"""The condition that a column with an account's id names one that is looked at."""

_PASSED_OVER = (
    "FROM gathered g JOIN wallets w ON w.account_id = g.account_id AND w.unit = g.unit "
    "JOIN postings p ON p.ledger_account_id = w.ledger_account_id AND p.entry_id <= g.entry_id "
    "JOIN journal_entries e ON e.id = p.entry_id LEFT JOIN invoice_entries i ON i.entry_id = p.entry_id "
    f"WHERE i.entry_id IS NULL AND {CHARGED}"
)
_FOUND = "COUNT(*), CAST(SUM(p.amount) AS BIGINT)"
_PLACES = text(
    f"SELECT g.account_id, g.unit {_PASSED_OVER} AND g.account_id IN :ids "
    "GROUP BY g.account_id, g.unit ORDER BY 1, 2"
).bindparams(bindparam("ids", expanding=True))
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


class Places(NamedTuple):
    """Accounts and units in which something was passed over, as far as was looked."""

    found: list[tuple[int, str]]
    after: int | None
    """The account after which the next ones are looked at; None: all were."""


def passed_over(session: Session, among: Among, clock: Clock, after: int = 0) -> Places:
    """Where something was, among the accounts after one: for LOOKS_FOR_US, or until MOST are found.

    It reads every entry of their wallets, which for all accounts takes minutes.
    """
    begun_us = clock.monotonic_us()
    found: list[tuple[int, str]] = []
    invoiced = select(GatheredRow.account_id).where(among(GatheredRow.account_id)).distinct()
    while True:
        page = invoiced.where(GatheredRow.account_id > after).order_by(GatheredRow.account_id).limit(PAGE)
        ids = session.scalars(page).all()
        found += [(id, unit) for id, unit in session.execute(_PLACES, {"ids": ids})]
        if len(ids) < PAGE:
            return Places(found, None)
        after = ids[-1]
        if len(found) >= MOST or clock.monotonic_us() - begun_us >= LOOKS_FOR_US:
            return Places(found, after)


def look_back(session: Session, account_id: int, unit: str) -> PassedOver:
    """Have the next draft look at what the ones before it passed over."""
    gathered_to(session, account_id, unit, lock=True)
    values = {"account_id": account_id, "unit": unit}
    ((count, gross, oldest),) = rows_within(session, _OLDEST, values)
    if count:
        session.execute(_SET, values | {"mark": id_before(oldest, 1)})
    return PassedOver(account_id, unit, count, gross or 0)


def look_back_at(session: Session, places: Places) -> list[tuple[AccountRow, PassedOver]]:
    """The same for all that passed_over() found."""
    return [
        (session.get_one(AccountRow, account_id), look_back(session, account_id, unit))
        for account_id, unit in places.found
    ]
