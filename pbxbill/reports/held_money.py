"""Money of customers that is not earned: what is deferred, and what wallets hold; of the end of any day."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.reports.report import (
    MAX_ROWS,
    RESELLER,
    TO,
    Asked,
    Chart,
    Parameter,
    Report,
    Table,
    choice_of,
    period_of,
    seller_of,
)
from pbxbill.reports.unit_totals import by_unit

_AS_OF = TO
# As of a moment: from what is there now, without what was posted from then on.
_DEFERRED = (
    "WITH since AS (SELECT x.charge_id, CAST(SUM(x.amount) AS BIGINT) AS amount FROM journal_entries e "
    "JOIN earnings x ON x.entry_id = e.id WHERE e.kind <> 'usage' AND e.at_us >= :to_us GROUP BY 1), "
    "chosen AS (SELECT id FROM charges WHERE deferred <> earned UNION SELECT charge_id FROM since), "
    "parts AS (SELECT c.kind, c.unit, c.to_us, c.account_id, c.earned - COALESCE(s.amount, 0) AS earned, "
    "CASE WHEN e.at_us < :to_us THEN c.deferred ELSE 0 END AS deferred "
    "FROM chosen o JOIN charges c ON c.id = o.id JOIN journal_entries e ON e.id = c.entry_id "
    "LEFT JOIN since s ON s.charge_id = c.id) "
    "SELECT {group}, c.unit, COUNT(*), CAST(SUM(c.deferred) AS BIGINT), CAST(SUM(c.earned) AS BIGINT), "
    "CAST(MAX(c.to_us) AS BIGINT) FROM parts c JOIN accounts a ON a.id = c.account_id "
    "{joined} WHERE c.deferred <> c.earned AND {whose} GROUP BY 1, 2, 3 ORDER BY 3, 1 LIMIT :limit"
)
_DEFERRED_IN_BOOKS = (
    "SELECT o.code, o.name, s.unit, CAST(SUM(s.amount) AS BIGINT) FROM ("
    "SELECT a.parent_id AS issuer_id, c.unit, c.deferred - c.earned AS amount FROM charges c "
    "JOIN accounts a ON a.id = c.account_id WHERE c.deferred <> c.earned UNION ALL "
    "SELECT l.issuer_id, e.unit, p.amount FROM journal_entries e JOIN postings p ON p.entry_id = e.id "
    "JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = 'deferred:revenue' "
    "WHERE e.kind <> 'usage' AND e.at_us >= :to_us) s JOIN accounts o ON o.id = s.issuer_id "
    "WHERE {issuers} GROUP BY 1, 2, 3"
)
_PREPAID = (
    "SELECT {group}, w.unit, COUNT(*), "
    "CAST(SUM(CASE WHEN w.had > 0 THEN w.had ELSE 0 END) AS BIGINT) AS held, "
    "CAST(SUM(CASE WHEN w.had < 0 THEN -w.had ELSE 0 END) AS BIGINT), "
    "CAST(SUM(w.reserved) AS BIGINT) FROM ({wallets}) w JOIN accounts a ON a.id = w.account_id "
    "{joined} WHERE {whose} GROUP BY 1, 2, 3 ORDER BY {order} LIMIT :limit"
)
_WALLETS_NOW = "SELECT account_id, unit, posted AS had, reserved FROM wallets"
_WALLETS_THEN = (
    "SELECT v.account_id, v.unit, v.posted + COALESCE(m.amount, 0) AS had, 0 AS reserved FROM wallets v "
    "LEFT JOIN (SELECT p.ledger_account_id, SUM(p.amount) AS amount FROM journal_entries e "
    "JOIN postings p ON p.entry_id = e.id WHERE e.at_us >= :to_us GROUP BY 1) m "
    "ON m.ledger_account_id = v.ledger_account_id"
)
GIVEN_BACK = N_("What was given back later of charges in advance stands in a row of its own.")
LESS_GIVEN_BACK = N_("What was given back later of charges in advance lessens what was charged in advance.")
OF_EACH_SELLER = N_("A row is what one seller has with those whom he bills himself.")
_BY_SELLER = ("reseller", N_("Reseller"))
_DEFERRED_GROUPS = (("kind", N_("Kind of charge")), ("customer", N_("Customer")), _BY_SELLER)
_PREPAID_GROUPS = (("mode", N_("How they pay")), ("customer", N_("Customer")), _BY_SELLER)
_ACCOUNT_COLUMNS = (Column("code", N_("Account"), ColumnKind.CODE), Column("name", N_("Name")))
_SELLER_COLUMNS = (Column("code", N_("Reseller"), ColumnKind.CODE), Column("name", N_("Name")))


@dataclass(frozen=True, slots=True)
class _Whose:
    """Whose money is told: of the seller's own customers, or of each seller at and below him."""

    seller_id: int
    path: str
    is_everybody: bool

    @property
    def values(self) -> dict[str, Any]:
        """What statements name."""
        return {"seller_id": self.seller_id} | ({"below": f"{self.path}%"} if self.is_everybody else {})

    @property
    def parts(self) -> dict[str, str]:
        """Of statements about accounts."""
        if not self.is_everybody:
            return {"joined": "", "whose": "a.parent_id = :seller_id"}
        return {
            "joined": "JOIN accounts p ON p.id = a.parent_id",
            "whose": "a.path LIKE :below AND a.id <> :seller_id",
        }

    @property
    def issuers(self) -> str:
        """Of a statement about sellers."""
        return "o.path LIKE :below" if self.is_everybody else "o.id = :seller_id"


def _whose(session: Session, asked: Asked, by: str) -> _Whose:
    seller = seller_of(session, asked)
    return _Whose(seller.id, seller.path, by == "reseller")


def _deferred(session: Session, asked: Asked) -> Table:
    by = choice_of(asked, "group", _DEFERRED_GROUPS)
    whose = _whose(session, asked, by)
    values = whose.values | {"to_us": period_of(asked)[1]}
    keys = ("code", "name", "unit", "charges", "deferred", "earned", "until_us")

    def found(group: str, limit: int) -> list[dict[str, Any]]:
        statement = text(_DEFERRED.format(group=group, **whose.parts))
        rows = session.execute(statement, values | {"limit": limit})
        return [dict(zip(keys, x, strict=True)) for x in rows]

    books = session.execute(text(_DEFERRED_IN_BOOKS.format(issuers=whose.issuers)), values).all()
    notes: tuple[str, ...] = ()
    if by == "reseller":
        rows = found("p.code, p.name", MAX_ROWS)
        known = {(row["code"], row["unit"]): row for row in rows}
        for code, name, unit, amount in books:
            row = known.get((code, unit))
            if row is None and amount:
                row = {"code": code, "name": name, "unit": unit, "charges": 0, "deferred": 0, "earned": 0}
                rows.append(row)
            if row is not None:  # charges say what is left of them, not what they were
                row["deferred"] = amount + row["earned"]
        _left(rows)
        totals, notes = by_unit(rows, _DEFERRED_SUMS), (OF_EACH_SELLER, LESS_GIVEN_BACK)
        shown = rows[: asked.limit]
    else:
        by_kind = _left(found("c.kind, ''", asked.limit))
        rows = by_kind if by == "kind" else _left(found("a.code, a.name", asked.limit + 1))
        told = {x["unit"]: x["left"] for x in by_unit(by_kind, ("left",))}
        back = []
        for _, _, unit, amount in books:
            if amount != told.get(unit, 0):
                row = {"code": "taken_back" if by == "kind" else "", "name": "", "unit": unit, "charges": 0}
                back.append(row | {"deferred": amount - told.get(unit, 0), "earned": 0})
        totals = by_unit((*by_kind, *_left(back)), _DEFERRED_SUMS)
        shown, notes = [*rows[: asked.limit], *back], (GIVEN_BACK,) if back else ()
    columns = (
        *{"kind": (Column("code", N_("Kind"), ColumnKind.STATE),), "customer": _ACCOUNT_COLUMNS}.get(
            by, _SELLER_COLUMNS
        ),
        Column("charges", N_("Charges"), ColumnKind.COUNT),
        Column("deferred", N_("Charged in advance"), ColumnKind.MONEY),
        Column("earned", N_("Earned since"), ColumnKind.MONEY),
        Column("left", N_("Deferred"), ColumnKind.MONEY),
        Column("until_us", N_("Earned by"), ColumnKind.DAY, wide=True),
    )
    return Table(columns, shown, totals, Chart("bar", "code", ("left",)), notes, len(rows) > asked.limit)


_DEFERRED_SUMS = ("charges", "deferred", "earned", "left")


def _left(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        row["left"] = row["deferred"] - row["earned"]
    return rows


def _prepaid(session: Session, asked: Asked) -> Table:
    by = choice_of(asked, "group", _PREPAID_GROUPS)
    whose = _whose(session, asked, by)
    to_us = period_of(asked)[1]
    is_now = to_us > asked.now_us
    values = whose.values | ({} if is_now else {"to_us": to_us})
    keys = ("code", "name", "unit", "wallets", "held", "owed", "reserved")

    def found(group: str, order: str, limit: int) -> list[dict[str, Any]]:
        wallets = _WALLETS_NOW if is_now else _WALLETS_THEN
        statement = text(_PREPAID.format(group=group, order=order, wallets=wallets, **whose.parts))
        rows = session.execute(statement, values | {"limit": limit})
        return [dict(zip(keys, x, strict=True)) for x in rows]

    by_mode = found("a.mode, ''", "3, 1", asked.limit)
    first: tuple[Column, ...]
    match by:
        case "mode":
            rows, first = by_mode, (Column("code", N_("Pays"), ColumnKind.STATE),)
        case "customer":
            rows, first = found("a.code, a.name", "held DESC, 1", asked.limit + 1), _ACCOUNT_COLUMNS
        case _:
            rows, first = found("p.code, p.name", "held DESC, 1", asked.limit + 1), _SELLER_COLUMNS
    columns: tuple[Column, ...] = (
        *first,
        Column("wallets", N_("Wallets"), ColumnKind.COUNT),
        Column("held", N_("Owed to customers"), ColumnKind.MONEY),
        Column("owed", N_("Owed by customers"), ColumnKind.MONEY),
    )
    if is_now:
        columns = (*columns, Column("reserved", N_("Reserved by live calls"), ColumnKind.MONEY, wide=True))
    totals = by_unit(by_mode, ("wallets", "held", "owed", "reserved"))
    notes = (OF_EACH_SELLER,) if by == "reseller" else ()
    chart = Chart("bar", "code", ("held",))
    return Table(columns, rows[: asked.limit], totals, chart, notes, len(rows) > asked.limit)


DEFERRED = Report(
    "deferred",
    N_("Deferred revenue"),
    N_("What was charged in advance and is not earned yet, at the end of a day."),
    (_AS_OF, Parameter("group", N_("By"), choices=_DEFERRED_GROUPS), RESELLER),
    _deferred,
)
PREPAID = Report(
    "prepaid",
    N_("Prepaid liabilities"),
    N_("What wallets hold of customers, and what they are below zero, at the end of a day."),
    (_AS_OF, Parameter("group", N_("By"), choices=_PREPAID_GROUPS), RESELLER),
    _prepaid,
)
