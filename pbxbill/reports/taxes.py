"""Taxes of issued invoices and notes: by tax, by month, by customer."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.reports.report import (
    BY_MONTH,
    FROM,
    PERIOD_COLUMN,
    RESELLER,
    TO,
    Asked,
    Chart,
    Parameter,
    Report,
    Table,
    buckets_of,
    choice_of,
    period_cells,
    period_of,
)
from pbxbill.reports.unit_totals import asked_values, by_unit

_TAXES = (
    "WITH spans(bucket, from_us, to_us) AS (VALUES {spans}) "
    "SELECT {group}, t.name, t.ppm, t.category, i.unit, COUNT(DISTINCT i.id), "
    "CAST(SUM(CASE WHEN i.kind = 'credit_note' THEN -t.base ELSE t.base END) AS BIGINT), "
    "CAST(SUM(CASE WHEN i.kind = 'credit_note' THEN -t.tax ELSE t.tax END) AS BIGINT) "
    "FROM invoices i JOIN invoice_taxes t ON t.invoice_id = i.id {joined}"
    "JOIN spans s ON i.issued_us >= s.from_us AND i.issued_us < s.to_us "
    "WHERE i.issuer_id = :seller_id AND i.kind IN ('invoice', 'debit_note', 'credit_note') "
    "AND i.number IS NOT NULL AND i.issued_us >= :from_us AND i.issued_us < :to_us "
    "GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY {order} LIMIT :limit"
)
_BY = {
    "tax": ("s.bucket, ''", "", "6, 3, 4"),
    "month": ("s.bucket, ''", "", "1, 6, 3, 4"),
    "customer": ("a.code, a.name", "JOIN accounts a ON a.id = i.account_id ", "6, 9 DESC, 1, 3, 4"),
}
"""By what rows are told apart, what that needs, and their order."""
_GROUPS = (("tax", N_("Tax")), BY_MONTH, ("customer", N_("Customer")))
_FIRST: dict[str, tuple[Column, ...]] = {
    "tax": (),
    "month": (PERIOD_COLUMN["month"],),
    "customer": (Column("code", N_("Account"), ColumnKind.CODE), Column("name", N_("Name"))),
}
NOT_IN_CALLS = N_(
    "These are the taxes of issued invoices, less credit notes; the revenue report shows what was taken "
    "with calls."
)


def _taxes(session: Session, asked: Asked) -> Table:
    by = choice_of(asked, "group", _GROUPS)
    rows = _rows(session, asked, by, asked.limit + 1)
    if by == "month":
        buckets = buckets_of(asked, "month")
        rows = [row | period_cells("month", buckets[row["code"]][0], asked) for row in rows]
    columns = (
        *_FIRST[by],
        Column("tax_name", N_("Tax")),
        Column("ppm", N_("Rate"), ColumnKind.PPM),
        Column("category", N_("Category"), ColumnKind.CODE, wide=True),
        Column("documents", N_("Documents"), ColumnKind.COUNT),
        Column("base", N_("Taxed"), ColumnKind.MONEY),
        Column("tax", N_("Tax"), ColumnKind.MONEY),
    )
    is_cut = len(rows) > asked.limit
    totals = by_unit(_rows(session, asked, "tax", asked.limit) if is_cut else rows, ("base", "tax"))
    # Of a month with several taxes there is no one figure to draw.
    chart = None if by == "month" else Chart("bar", "code" if by == "customer" else "tax_name", ("tax",))
    return Table(columns, rows[: asked.limit], totals, chart, (NOT_IN_CALLS,), is_cut)


def _rows(session: Session, asked: Asked, by: str, limit: int) -> list[dict[str, Any]]:
    buckets = buckets_of(asked, "month") if by == "month" else [period_of(asked)]
    spans = ", ".join(f"({number}, {from_us}, {to_us})" for number, (from_us, to_us) in enumerate(buckets))
    group, joined, order = _BY[by]
    statement = text(_TAXES.format(spans=spans, group=group, joined=joined, order=order))
    keys = ("code", "name", "tax_name", "ppm", "category", "unit", "documents", "base", "tax")
    values = asked_values(session, asked) | {"limit": limit}
    return [dict(zip(keys, x, strict=True)) for x in session.execute(statement, values)]


TAXES = Report(
    "taxes",
    N_("Taxes"),
    N_("Taxes of issued invoices and notes."),
    (FROM, TO, Parameter("group", N_("By"), choices=_GROUPS), RESELLER),
    _taxes,
)
