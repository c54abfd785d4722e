"""The trial balance of an issuer in a unit: every account of the chart at the beginning and end of a time.

An entry counts at its own moment, not when it was written: what is posted for a month that is over changes
the balance of that month. Wallets are one account here, and told apart as a balance sheet wants it: what
holders have left is theirs (customers' funds); what they owe and no invoice asks for yet is unbilled usage.
For that a wallet is taken together with what of its debt is on invoices (INVOICED), holder by holder.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from pbxbill.errors import check
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit
from pbxbill.store.driver import Driver


class Balance(NamedTuple):
    """An account of the chart over a time; debit above zero, credit below."""

    code: LedgerCode
    opening: int
    debit: int
    credit: int
    """Above zero, too."""

    @property
    def closing(self) -> int:
        """At the end of the time."""
        return self.opening + self.debit - self.credit


class Wallets(NamedTuple):
    """Wallets with what of them is on invoices, at a moment; as balances are, below zero is credit."""

    funds: int
    """What holders have: a liability."""
    unbilled: int
    """What they owe and no invoice asks for: an asset."""


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """An issuer's books in a unit."""

    issuer: str
    """Account code."""
    unit: Unit
    accounts: tuple[Balance, ...]
    """Every account of the chart, in its order."""
    opening: Wallets
    closing: Wallets


FOREVER_US = 2**62
"""After every moment."""
_SUMS = (
    "SELECT a.code, u.code, u.scale, u.digits, l.code, l.holder_id, COALESCE(h.code, ''), "
    "CAST(COALESCE(s.opening, 0) AS BIGINT), CAST(COALESCE(s.debit, 0) AS BIGINT), "
    "CAST(COALESCE(s.credit, 0) AS BIGINT) FROM ledger_accounts l "
    "JOIN accounts a ON a.id = l.issuer_id JOIN units u ON u.code = l.unit "
    "LEFT JOIN accounts h ON h.id = l.holder_id LEFT JOIN ("
    "SELECT p.ledger_account_id, SUM(CASE WHEN e.at_us < {from_us} THEN p.amount ELSE 0 END) AS opening, "
    "SUM(CASE WHEN e.at_us >= {from_us} AND p.amount > 0 THEN p.amount ELSE 0 END) AS debit, "
    "SUM(CASE WHEN e.at_us >= {from_us} AND p.amount < 0 THEN -p.amount ELSE 0 END) AS credit "
    "FROM postings p JOIN journal_entries e ON e.id = p.entry_id WHERE e.at_us < {to_us} {mine} "
    "GROUP BY p.ledger_account_id) s ON s.ledger_account_id = l.id {whose} "
    "ORDER BY a.path, a.id, l.unit, l.holder_id"
)
_MINE = "AND p.ledger_account_id IN (SELECT id FROM ledger_accounts WHERE issuer_id = {issuer_id})"
_INVOICED = (
    # What an invoice still asks for of a wallet now, and what it no longer asked for since the moment.
    "SELECT i.account_id, i.unit, CAST(SUM(i.open_wallet + COALESCE(x.since, 0)) AS BIGINT) FROM invoices i "
    "LEFT JOIN (SELECT invoice_id, SUM(wallet_amount) AS since FROM allocations WHERE at_us >= {at_us} "
    "GROUP BY invoice_id) x ON x.invoice_id = i.id WHERE i.issued_us < {at_us} "
    "AND i.kind IN ('invoice', 'debit_note') {whose} GROUP BY i.account_id, i.unit"
)


def trial_balances(
    driver: Driver, *, from_us: int = 0, to_us: int = FOREVER_US, issuer_id: int | None = None
) -> list[TrialBalance]:
    """Of one issuer, or of all, in each unit; within a snapshot of the caller's (driver.begin_snapshot).

    Every posting until then is read once: ten to sixteen seconds for ten millions of them.
    """
    asked = {at_us: _invoiced(driver, at_us, issuer_id) for at_us in (from_us, to_us)}
    found = []
    for (issuer, unit), own in groupby(
        ledger_sums(driver, from_us=from_us, to_us=to_us, issuer_id=issuer_id),
        key=lambda x: (x.issuer, x.unit),
    ):
        sums = list(own)
        opening = _wallets(sums, asked[from_us], at_end=False)
        closing = _wallets(sums, asked[to_us], at_end=True)
        found.append(checked(TrialBalance(issuer, unit, tuple(_accounts(sums)), opening, closing)))
    return found


class LedgerSum(NamedTuple):
    """One account of the ledger over a time."""

    issuer: str
    unit: Unit
    code: LedgerCode
    holder_id: int
    """Whose wallet it is; 0: it is none."""
    holder: str
    opening: int
    debit: int
    credit: int

    def at(self, *, end: bool) -> int:
        """At the beginning or end."""
        return self.opening + self.debit - self.credit if end else self.opening


def ledger_sums(
    driver: Driver, *, from_us: int = 0, to_us: int = FOREVER_US, issuer_id: int | None = None
) -> Iterator[LedgerSum]:
    """Every account of the ledger, each wallet for itself; by issuer and unit."""
    mine = whose = ""
    if issuer_id is not None:
        mine = _MINE.format(issuer_id=int(issuer_id))
        whose = f"WHERE l.issuer_id = {int(issuer_id)}"
    statement = _SUMS.format(from_us=int(from_us), to_us=int(to_us), mine=mine, whose=whose)
    for issuer, code, scale, digits, ledger_code, *rest in driver.stream(statement):
        yield LedgerSum(issuer, Unit(code, scale, digits), LedgerCode(ledger_code), *rest)


def _accounts(sums: Sequence[LedgerSum]) -> Iterable[Balance]:
    for code in LedgerCode:
        own = [x for x in sums if x.code is code]
        yield Balance(
            code, sum(x.opening for x in own), sum(x.debit for x in own), sum(x.credit for x in own)
        )


def _invoiced(driver: Driver, at_us: int, issuer_id: int | None) -> dict[tuple[int, str], int]:
    """What invoices asked of wallets at a moment, by holder and unit."""
    whose = "" if issuer_id is None else f"AND i.issuer_id = {int(issuer_id)}"
    rows = driver.stream(_INVOICED.format(at_us=at_us, whose=whose))
    return {(account_id, unit): amount for account_id, unit, amount in rows}


def _wallets(sums: Sequence[LedgerSum], invoiced: dict[tuple[int, str], int], *, at_end: bool) -> Wallets:
    owed = [
        x.at(end=at_end) - invoiced.get((x.holder_id, x.unit.code), 0)
        for x in sums
        if x.code is LedgerCode.WALLET
    ]
    return Wallets(sum(x for x in owed if x < 0), sum(x for x in owed if x > 0))


def checked(balance: TrialBalance) -> TrialBalance:
    """The balance, if it balances."""
    off = sum(x.closing for x in balance.accounts)
    check(not off, "the books of {} in {} are off by {}", balance.issuer, balance.unit.code, off)
    return balance
