"""Statements of accounts: what a wallet had when a time began, what moved it, and what it had at the end."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.reports.making import takes_long
from pbxbill.reports.report import (
    ACCOUNT,
    FROM,
    RESELLER,
    TO,
    Asked,
    Chart,
    Parameter,
    ParameterRefused,
    Report,
    Table,
    account_of,
    choice_of,
    period_of,
    seller_of,
)

OPENING, CLOSING = "opening", "closing"
_KINDS = (("reseller", N_("Resellers")), ("customer", N_("Customers")))
# From what is in the wallet now, backwards: nothing before the time is read. One statement sees one moment.
_MOVED = (
    "SELECT a.code, a.name, a.id, w.unit, w.posted, m.kind, m.is_later, m.entries, m.amount "
    "FROM wallets w JOIN accounts a ON a.id = w.account_id LEFT JOIN ("
    "SELECT p.ledger_account_id, e.kind, CASE WHEN e.at_us >= :to_us THEN 1 ELSE 0 END AS is_later, "
    "COUNT(*) AS entries, CAST(-SUM(p.amount) AS BIGINT) AS amount "
    "FROM wallets v JOIN accounts b ON b.id = v.account_id "
    "JOIN postings p ON p.ledger_account_id = v.ledger_account_id "
    "JOIN journal_entries e ON e.id = p.entry_id AND e.at_us >= :from_us "
    "WHERE {inner} GROUP BY 1, 2, 3"
    ") m ON m.ledger_account_id = w.ledger_account_id "
    "WHERE {outer} ORDER BY a.code, w.unit, m.kind"
)
MOST_READ = 100_000
"""Movements of the wallets, all that there are, that a page reads: a fifth of a second."""
_READ = (
    "SELECT COUNT(*) FROM (SELECT 1 FROM wallets v JOIN accounts b ON b.id = v.account_id "
    "JOIN postings p ON p.ledger_account_id = v.ledger_account_id WHERE {inner} LIMIT {most}) s"
)


def _statement(session: Session, asked: Asked) -> Table:
    """Of one account, or of each right below who sells."""
    seller = seller_of(session, asked)
    account = account_of(session, asked)
    from_us, to_us = period_of(asked)
    values: dict[str, Any] = {"from_us": from_us, "to_us": to_us}
    if account is not None:
        if not account.path.startswith(seller.path):
            raise ParameterRefused("account", f"{account.code} is not below {seller.code}")
        chosen, values["account_id"] = "{}.id = :account_id", account.id
    else:
        kind = choice_of(asked, "group", _KINDS)
        chosen = "{0}.parent_id = :seller_id AND {0}.kind = :kind"
        values |= {"seller_id": seller.id, "kind": kind}
    if asked.is_page:
        read = session.scalar(text(_READ.format(inner=chosen.format("b"), most=MOST_READ + 1)), values)
        if (read or 0) > MOST_READ:
            raise takes_long()
    statement = _MOVED.format(inner=chosen.format("b"), outer=chosen.format("a"))
    rows = _rows(session.execute(text(statement), values).all())
    columns = (
        Column("code", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name"), wide=True),
        Column("what", N_("What"), ColumnKind.STATE),
        Column("entries", N_("Entries"), ColumnKind.COUNT),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
    )
    # Balances and movements are no sum together.
    is_cut = len(rows) > asked.limit
    return Table(columns, rows[: asked.limit], [], Chart("bar", "what", ("amount",)), (), is_cut)


def _rows(found: Sequence[Any]) -> list[dict[str, Any]]:
    wallets: dict[tuple[str, str], list[Any]] = {}
    for one in found:
        wallets.setdefault((one.code, one.unit), []).append(one)
    rows: list[dict[str, Any]] = []
    for (code, unit), lines in wallets.items():
        cells = {"code": code, "name": lines[0].name, "account_id": lines[0].id, "unit": unit}
        moves = [x for x in lines if x.kind is not None and not x.is_later]
        closing = lines[0].posted - sum(x.amount for x in lines if x.kind is not None and x.is_later)
        opening = closing - sum(x.amount for x in moves)
        rows.append(cells | {"what": OPENING, "entries": None, "amount": opening})
        rows += [cells | {"what": x.kind, "entries": x.entries, "amount": x.amount} for x in moves]
        rows.append(cells | {"what": CLOSING, "entries": None, "amount": closing})
    return rows


STATEMENT = Report(
    "statement",
    N_("Statement of account"),
    N_("What accounts had when a time began, what moved it by kind, and what they had at its end."),
    (FROM, TO, Parameter("group", N_("Of"), choices=_KINDS), RESELLER, ACCOUNT),
    _statement,
)
