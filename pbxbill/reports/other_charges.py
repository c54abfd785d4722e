"""What customers were charged beside calls (subscriptions, fees, by hand), and what credit and debit notes
changed, put into rows of revenue."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.reports.report import PERIOD_NAMES, Asked, buckets_of, period_cells, period_of, seller_of
from pbxbill.store.models import AccountRow

Rows = list[dict[str, Any]]

_OTHER = (
    "WITH spans(bucket, from_us, to_us) AS (VALUES {spans}) "
    "SELECT {group}, c.unit, MAX(a.name), CAST(SUM(c.net) AS BIGINT) "
    "FROM charges c JOIN accounts a ON a.id = c.account_id "
    "JOIN spans s ON c.at_us >= s.from_us AND c.at_us < s.to_us "
    "WHERE a.parent_id = :seller_id {chosen} GROUP BY 1, 2"
)
# What notes posted, not what they say: of calls rated again, the corrected charge is in the net of calls.
_NOTES = (
    "WITH spans(bucket, from_us, to_us) AS (VALUES {spans}) "
    "SELECT {group}, i.unit, MAX(a.name), CAST(-SUM(p.amount) AS BIGINT) "
    "FROM invoices i JOIN accounts a ON a.id = i.account_id "
    "JOIN spans s ON i.issued_us >= s.from_us AND i.issued_us < s.to_us "
    "JOIN postings p ON p.entry_id = i.entry_id JOIN ledger_accounts l ON l.id = p.ledger_account_id "
    "WHERE i.issuer_id = :seller_id AND i.kind IN ('credit_note', 'debit_note') "
    "AND (l.code LIKE 'revenue:%' OR l.code = 'deferred:revenue') {chosen} GROUP BY 1, 2"
)
_SOURCES = (("other", _OTHER), ("notes", _NOTES))
"""Keys of columns, and where their amounts come from."""


def add_other(
    session: Session, asked: Asked, by: str, into: tuple[Rows, Rows], *, is_cut: bool = False
) -> None:
    """Add "other", "notes" and "income" to rows of periods or customers and to totals, and rows that lack.

    is_cut: the rows are not all there are: who is not among them gets none.
    """
    rows, totals = into
    periods = by in PERIOD_NAMES
    buckets = buckets_of(asked, by) if periods else [period_of(asked)]
    place: dict[tuple[Any, str | None], dict[str, Any]] = {}
    for row in rows:
        key = row["period_us"] if periods else row.get("code")
        place[key, row["unit"]] = row
    codes = [str(row["code"]) for row in rows if row.get("code")] if is_cut and by == "customer" else None
    for source, statement in _SOURCES:
        sums: dict[str, int] = {}
        for found, unit, name, net in _charged(session, asked, statement, by, buckets, codes):
            sums[unit] = sums.get(unit, 0) + net
            cells = period_cells(by, buckets[found][0], asked) if periods else {"code": found, "name": name}
            held = _held(place, cells["period_us"] if periods else found, unit)
            if held is None:
                if is_cut:
                    continue
                held = cells | {"unit": unit}
                place[cells["period_us"] if periods else found, unit] = held
                rows.append(held)
            held[source] = net
        if codes is not None:
            whole = _charged(session, asked, statement, "", buckets)
            sums = {unit: net for _, unit, _, net in whole}
        _add_totals(totals, source, sums)
    if periods:
        rows.sort(key=lambda row: (row["period_us"], row["unit"] or ""))
    for row in (*rows, *totals):
        if row["unit"] is not None:
            row["income"] = row.get("net", 0) + row.get("other", 0) + row.get("notes", 0)


def _held(place: dict[tuple[Any, str | None], dict[str, Any]], key: Any, unit: str) -> dict[str, Any] | None:
    """The row of a period or customer in a unit; the one in which nothing was charged becomes it."""
    bare = None if (key, unit) in place else place.pop((key, None), None)
    if bare is not None:
        bare["unit"] = unit
        place[key, unit] = bare
    return place.get((key, unit))


def charged_in(
    session: Session, seller: AccountRow, spans: Sequence[tuple[int, int]]
) -> list[tuple[int, str, int]]:
    """What a seller's accounts were charged beside calls, and what notes changed: the span's place, the unit,
    and the net in it."""
    found: list[tuple[int, str, int]] = []
    for _, statement in _SOURCES:
        rows = _charged_between(session, spans, "s.bucket", {"seller_id": seller.id}, statement=statement)
        found += [(bucket, unit, net) for bucket, unit, _, net in rows]
    return found


def _add_totals(totals: Rows, source: str, sums: dict[str, int]) -> None:
    known = {total["unit"]: total for total in totals}
    for unit, net in sums.items():
        if unit not in known:
            bare = known.pop(None, None)
            if bare is not None:
                bare["unit"] = unit
            else:
                totals.append({"unit": unit})
            known[unit] = bare if bare is not None else totals[-1]
        known[unit][source] = net


def _charged(
    session: Session,
    asked: Asked,
    statement: str,
    by: str,
    buckets: Sequence[tuple[int, int]],
    codes: Sequence[str] | None = None,
) -> Sequence[Any]:
    """By period or account's code, and by unit; by nothing: by unit alone. codes: of these accounts only."""
    seller = seller_of(session, asked)
    values: dict[str, Any] = {"seller_id": seller.id}
    chosen = "AND a.kind = 'reseller'" if by == "reseller" else ""
    if asked.value("account"):
        chosen += " AND a.code = :code"
        values["code"] = asked.value("account")
    if codes is not None:
        names = [f"code_{number}" for number in range(len(codes))]
        values |= dict(zip(names, codes, strict=True))
        chosen += f" AND a.code IN ({', '.join(f':{x}' for x in names) or 'NULL'})"
    group = "s.bucket" if by in PERIOD_NAMES else "a.code" if by else "0"
    return _charged_between(session, buckets, group, values, chosen, statement)


def _charged_between(
    session: Session,
    buckets: Sequence[tuple[int, int]],
    group: str,
    values: dict[str, Any],
    chosen: str = "",
    statement: str = _OTHER,
) -> Sequence[Any]:
    spans = ", ".join(f"({number}, {from_us}, {to_us})" for number, (from_us, to_us) in enumerate(buckets))
    return session.execute(text(statement.format(spans=spans, group=group, chosen=chosen)), values).all()
