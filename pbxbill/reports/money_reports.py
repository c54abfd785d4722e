"""Reports about money that is owed, held, deferred, lost or paid late; taxes, vouchers, resellers."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pbxbill.billing.codes.voucher_batches import statistics
from pbxbill.billing.dunning.ageing import BEHAVIOUR_DAYS, BUCKETS, DAY_US, ageing
from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.reports.call_reports import NET, TAX
from pbxbill.reports.call_sums import call_rows, ratio_ppm
from pbxbill.reports.report import (
    FROM,
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
from pbxbill.store.payment_models import VoucherBatchRow

_AS_OF = TO

_TAXES = text(
    "SELECT t.name, t.ppm, t.category, i.unit, COUNT(DISTINCT i.id), "
    "CAST(SUM(CASE WHEN i.kind = 'credit_note' THEN -t.base ELSE t.base END) AS BIGINT), "
    "CAST(SUM(CASE WHEN i.kind = 'credit_note' THEN -t.tax ELSE t.tax END) AS BIGINT) "
    "FROM invoices i JOIN invoice_taxes t ON t.invoice_id = i.id "
    "WHERE i.issuer_id = :seller_id AND i.kind IN ('invoice', 'debit_note', 'credit_note') "
    "AND i.number IS NOT NULL AND i.issued_us >= :from_us AND i.issued_us < :to_us "
    "GROUP BY t.name, t.ppm, t.category, i.unit ORDER BY i.unit, t.name, t.ppm"
)
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
    "WHERE c.deferred <> c.earned AND a.parent_id = :seller_id GROUP BY 1, 2, 3 ORDER BY 3, 1 LIMIT :limit"
)
_DEFERRED_IN_BOOKS = text(
    "SELECT unit, CAST(SUM(amount) AS BIGINT) FROM ("
    "SELECT c.unit, c.deferred - c.earned AS amount FROM charges c JOIN accounts a ON a.id = c.account_id "
    "WHERE c.deferred <> c.earned AND a.parent_id = :seller_id UNION ALL "
    "SELECT e.unit, p.amount FROM journal_entries e JOIN postings p ON p.entry_id = e.id "
    "JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = 'deferred:revenue' "
    "WHERE e.kind <> 'usage' AND e.at_us >= :to_us AND l.issuer_id = :seller_id) s GROUP BY unit"
)
_PREPAID = (
    "SELECT {group}, w.unit, COUNT(*), "
    "CAST(SUM(CASE WHEN w.had > 0 THEN w.had ELSE 0 END) AS BIGINT) AS held, "
    "CAST(SUM(CASE WHEN w.had < 0 THEN -w.had ELSE 0 END) AS BIGINT), "
    "CAST(SUM(w.reserved) AS BIGINT) FROM ({wallets}) w JOIN accounts a ON a.id = w.account_id "
    "WHERE a.parent_id = :seller_id GROUP BY 1, 2, 3 ORDER BY {order} LIMIT :limit"
)
_WALLETS_NOW = "SELECT account_id, unit, posted AS had, reserved FROM wallets"
_WALLETS_THEN = (
    "SELECT v.account_id, v.unit, v.posted + COALESCE(m.amount, 0) AS had, 0 AS reserved FROM wallets v "
    "LEFT JOIN (SELECT p.ledger_account_id, SUM(p.amount) AS amount FROM journal_entries e "
    "JOIN postings p ON p.entry_id = e.id WHERE e.at_us >= :to_us GROUP BY 1) m "
    "ON m.ledger_account_id = v.ledger_account_id"
)
_DUNNING = text(
    "SELECT p.name, s.level, s.action, i.unit, COUNT(*), COUNT(DISTINCT i.account_id), "
    "CAST(SUM(s.open) AS BIGINT), CAST(SUM(CASE WHEN i.open < s.open THEN i.open ELSE s.open END) AS BIGINT) "
    "FROM dunning_steps s JOIN invoices i ON i.id = s.invoice_id "
    "JOIN dunning_policies p ON p.id = s.policy_id "
    "WHERE i.issuer_id = :seller_id AND s.at_us >= :from_us AND s.at_us < :to_us "
    "GROUP BY p.name, s.level, s.action, i.unit ORDER BY i.unit, p.name, s.level"
)
_BEHAVIOUR = text(
    "SELECT a.code, a.name, a.id, COUNT(*), CAST(SUM(CASE WHEN late > 0 THEN 1 ELSE 0 END) AS BIGINT), "
    "CAST(SUM(CASE WHEN late > 0 THEN late ELSE 0 END) AS BIGINT) AS days FROM ("
    "SELECT i.account_id, i.id, (MAX(x.at_us) - i.due_us + :day_us - 1) / :day_us AS late FROM invoices i "
    "JOIN allocations x ON x.invoice_id = i.id AND x.kind = 'payment' AND x.amount > 0 "
    "WHERE i.issuer_id = :seller_id AND i.state = 'paid' AND i.due_us IS NOT NULL "
    "GROUP BY i.id, i.account_id, i.due_us HAVING MAX(x.at_us) > :from_us AND MAX(x.at_us) < :to_us"
    ") s JOIN accounts a ON a.id = s.account_id GROUP BY a.code, a.name, a.id "
    "ORDER BY days DESC, a.code LIMIT :limit"
)
_BOUNCED = text(
    "SELECT i.account_id, COUNT(DISTINCT x.entry_id) FROM allocations x "
    "JOIN invoices i ON i.id = x.invoice_id "
    "WHERE i.issuer_id = :seller_id AND x.kind = 'payment' AND x.amount < 0 AND x.at_us > :from_us "
    "AND x.at_us < :to_us GROUP BY i.account_id"
)
_PAID = text(
    "SELECT a.code, i.unit, CAST(SUM(x.amount) AS BIGINT) FROM allocations x "
    "JOIN invoices i ON i.id = x.invoice_id JOIN accounts a ON a.id = i.account_id "
    "WHERE i.issuer_id = :seller_id AND a.kind = 'reseller' AND x.kind = 'payment' "
    "AND x.at_us >= :from_us AND x.at_us < :to_us GROUP BY a.code, i.unit"
)
_OPEN = text(
    "SELECT a.code, i.unit, CAST(SUM(i.open) AS BIGINT) FROM invoices i "
    "JOIN accounts a ON a.id = i.account_id WHERE i.issuer_id = :seller_id AND a.kind = 'reseller' "
    "AND i.open > 0 "
    "AND i.kind IN ('invoice', 'debit_note') AND i.number IS NOT NULL GROUP BY a.code, i.unit"
)
_BALANCES = text(
    "SELECT a.code, w.unit, w.posted, a.name, a.id FROM wallets w JOIN accounts a ON a.id = w.account_id "
    "WHERE a.parent_id = :seller_id AND a.kind = 'reseller' ORDER BY a.code, w.unit"
)

_ACCOUNT_COLUMNS = (Column("code", N_("Account"), ColumnKind.CODE), Column("name", N_("Name")))
NOT_IN_CALLS = N_(
    "These are the taxes of issued invoices, less credit notes; the revenue report shows what was taken "
    "with calls."
)


def _by_unit(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        total = found.setdefault(row["unit"], {"unit": row["unit"]})
        for key in keys:
            total[key] = total.get(key, 0) + (row.get(key) or 0)
    return [found[unit] for unit in sorted(found)]


def _asked_values(session: Session, asked: Asked) -> dict[str, Any]:
    from_us, to_us = period_of(asked)
    return {"seller_id": seller_of(session, asked).id, "from_us": from_us, "to_us": to_us}


def _taxes(session: Session, asked: Asked) -> Table:
    keys = ("tax_name", "ppm", "category", "unit", "documents", "base", "tax")
    rows = [dict(zip(keys, x, strict=True)) for x in session.execute(_TAXES, _asked_values(session, asked))]
    columns = (
        Column("tax_name", N_("Tax")),
        Column("ppm", N_("Rate"), ColumnKind.PPM),
        Column("category", N_("Category"), ColumnKind.CODE, wide=True),
        Column("documents", N_("Documents"), ColumnKind.COUNT),
        Column("base", N_("Taxed"), ColumnKind.MONEY),
        Column("tax", N_("Tax"), ColumnKind.MONEY),
    )
    chart = Chart("bar", "tax_name", ("tax",))
    return Table(columns, rows, _by_unit(rows, ("base", "tax")), chart, (NOT_IN_CALLS,))


GIVEN_BACK = N_("What was given back later of charges in advance stands in a row of its own.")
_DEFERRED_GROUPS = (("kind", N_("Kind of charge")), ("customer", N_("Customer")))


def _deferred(session: Session, asked: Asked) -> Table:
    by = choice_of(asked, "group", _DEFERRED_GROUPS)
    values = {"seller_id": seller_of(session, asked).id, "to_us": period_of(asked)[1]}
    keys = ("code", "name", "unit", "charges", "deferred", "earned", "until_us")

    def found(group: str, limit: int) -> list[dict[str, Any]]:
        statement = text(_DEFERRED.format(group=group))
        return [
            dict(zip(keys, x, strict=True)) for x in session.execute(statement, values | {"limit": limit})
        ]

    by_kind = found("c.kind, ''", asked.limit)
    rows = by_kind if by == "kind" else found("a.code, a.name", asked.limit + 1)
    for row in (*rows, *by_kind):
        row["left"] = row["deferred"] - row["earned"]
    known = {x["unit"]: x["left"] for x in _by_unit(by_kind, ("left",))}
    back = []
    for unit, amount in session.execute(_DEFERRED_IN_BOOKS, values):
        if amount != known.get(unit, 0):  # charges say what is left of them, not what they were
            back.append({"code": "taken_back" if by == "kind" else "", "name": "", "unit": unit})
            back[-1] |= {"charges": 0, "deferred": amount - known.get(unit, 0), "earned": 0}
            back[-1]["left"] = back[-1]["deferred"]
    first = (Column("code", N_("Kind"), ColumnKind.STATE),) if by == "kind" else _ACCOUNT_COLUMNS
    columns = (
        *first,
        Column("charges", N_("Charges"), ColumnKind.COUNT),
        Column("deferred", N_("Charged in advance"), ColumnKind.MONEY),
        Column("earned", N_("Earned since"), ColumnKind.MONEY),
        Column("left", N_("Deferred"), ColumnKind.MONEY),
        Column("until_us", N_("Earned by"), ColumnKind.DAY, wide=True),
    )
    totals = _by_unit((*by_kind, *back), ("charges", "deferred", "earned", "left"))
    shown = [*rows[: asked.limit], *back]
    notes = (GIVEN_BACK,) if back else ()
    return Table(columns, shown, totals, Chart("bar", "code", ("left",)), notes, len(rows) > asked.limit)


_PREPAID_GROUPS = (("mode", N_("How they pay")), ("customer", N_("Customer")))


def _prepaid(session: Session, asked: Asked) -> Table:
    by = choice_of(asked, "group", _PREPAID_GROUPS)
    keys = ("code", "name", "unit", "wallets", "held", "owed", "reserved")

    to_us = period_of(asked)[1]
    is_now = to_us > asked.now_us
    wallets = _WALLETS_NOW if is_now else _WALLETS_THEN

    def found(group: str, order: str, limit: int) -> list[dict[str, Any]]:
        values = {"seller_id": seller_of(session, asked).id, "limit": limit}
        values |= {} if is_now else {"to_us": to_us}
        statement = text(_PREPAID.format(group=group, order=order, wallets=wallets))
        return [dict(zip(keys, x, strict=True)) for x in session.execute(statement, values)]

    by_mode = found("a.mode, ''", "3, 1", asked.limit)
    rows = by_mode if by == "mode" else found("a.code, a.name", "held DESC, 1", asked.limit + 1)
    first = (Column("code", N_("Pays"), ColumnKind.STATE),) if by == "mode" else _ACCOUNT_COLUMNS
    columns = (
        *first,
        Column("wallets", N_("Wallets"), ColumnKind.COUNT),
        Column("held", N_("Owed to customers"), ColumnKind.MONEY),
        Column("owed", N_("Owed by customers"), ColumnKind.MONEY),
    )
    if is_now:
        columns = (*columns, Column("reserved", N_("Reserved by live calls"), ColumnKind.MONEY, wide=True))
    totals = _by_unit(by_mode, ("wallets", "held", "owed", "reserved"))
    return Table(
        columns, rows[: asked.limit], totals, Chart("bar", "code", ("held",)), (), len(rows) > asked.limit
    )


def _vouchers(session: Session, asked: Asked) -> Table:
    seller = seller_of(session, asked)
    at_us = min(period_of(asked)[1] - 1, asked.now_us)
    batches = session.scalars(
        select(VoucherBatchRow)
        .where(VoucherBatchRow.issuer_id == seller.id, VoucherBatchRow.created_us <= at_us)
        .order_by(VoucherBatchRow.id.desc())
        .limit(asked.limit + 1)
    ).all()
    known = statistics(session, batches, at_us)
    rows = [
        {
            "batch": batch.name, "state": batch.state, "unit": batch.unit, "value": batch.value,
            "count": batch.count, "open": known[batch.id].new, "redeemed": known[batch.id].redeemed,
            "expired": known[batch.id].expired, "blocked": known[batch.id].blocked,
            "redeemed_value": known[batch.id].redeemed_value, "outstanding": known[batch.id].outstanding,
        }
        for batch in batches
    ]  # fmt: skip
    columns = (
        Column("batch", N_("Batch")),
        Column("state", N_("State"), ColumnKind.STATE, wide=True),
        Column("value", N_("Value"), ColumnKind.MONEY),
        Column("count", N_("Made"), ColumnKind.COUNT),
        Column("open", N_("Open"), ColumnKind.COUNT),
        Column("redeemed", N_("Redeemed"), ColumnKind.COUNT),
        Column("expired", N_("Expired"), ColumnKind.COUNT),
        Column("blocked", N_("Blocked"), ColumnKind.COUNT, wide=True),
        Column("redeemed_value", N_("Redeemed value"), ColumnKind.MONEY),
        Column("outstanding", N_("May be redeemed"), ColumnKind.MONEY),
    )
    summed = ("count", "open", "redeemed", "expired", "blocked", "redeemed_value", "outstanding")
    totals = _by_unit(rows, summed)
    chart = Chart("bar", "batch", ("redeemed_value", "outstanding"))
    return Table(columns, rows[: asked.limit], totals, chart, (), len(rows) > asked.limit)


def _dunning(session: Session, asked: Asked) -> Table:
    keys = ("policy", "level", "action", "unit", "steps", "accounts", "overdue", "left")
    rows = [dict(zip(keys, x, strict=True)) for x in session.execute(_DUNNING, _asked_values(session, asked))]
    for row in rows:
        row["settled"] = row["overdue"] - row["left"]
        row["settled_ppm"] = ratio_ppm(row["settled"], row["overdue"]) if row["overdue"] else None
    columns = (
        Column("policy", N_("Policy")),
        Column("level", N_("Level"), ColumnKind.COUNT),
        Column("action", N_("What was done"), ColumnKind.STATE),
        Column("steps", N_("Invoices"), ColumnKind.COUNT),
        Column("accounts", N_("Accounts"), ColumnKind.COUNT),
        Column("overdue", N_("Overdue then"), ColumnKind.MONEY),
        Column("settled", N_("Settled since"), ColumnKind.MONEY),
        Column("left", N_("Still open"), ColumnKind.MONEY),
        Column("settled_ppm", N_("Settled"), ColumnKind.PPM),
    )
    # An invoice stands at each level that it reached: sums over levels would count it several times.
    return Table(columns, rows, [], Chart("bar", "level", ("settled", "left")))


_AGEING_GROUPS = (("customer", N_("Customer")), ("reseller", N_("Reseller")))


def _ageing(session: Session, asked: Asked) -> Table:
    seller = seller_of(session, asked)
    by = choice_of(asked, "group", _AGEING_GROUPS)
    _, to_us = period_of(asked)
    below = None if seller.kind == "operator" else seller
    at_us = min(to_us - 1, asked.now_us)
    rows = []
    for x in ageing(session, at_us, below=below, by_reseller=by == "reseller"):
        row: dict[str, Any] = {"code": x.code, "name": x.name, "unit": x.unit, "invoices": x.invoices}
        row |= {"open": x.open} | {f"late_{n}": late for n, late in enumerate(x.buckets)}
        rows.append(row)
    late = [f"late_{n}" for n in range(len(BUCKETS))]
    headings = (
        N_("Not due"), N_("1 to 30 days"), N_("31 to 60"), N_("61 to 90"), N_("91 to 120"), N_("Longer"),
    )  # fmt: skip
    columns = (
        *_ACCOUNT_COLUMNS,
        Column("invoices", N_("Invoices"), ColumnKind.COUNT, wide=True),
        Column("open", N_("Open"), ColumnKind.MONEY),
        *(Column(key, heading, ColumnKind.MONEY) for key, heading in zip(late, headings, strict=True)),
    )
    totals = _by_unit(rows, ("invoices", "open", *late))
    return Table(
        columns, rows[: asked.limit], totals, Chart("bar", "code", tuple(late)), (), len(rows) > asked.limit
    )


def _behaviour(session: Session, asked: Asked) -> Table:
    values = _asked_values(session, asked)
    if not asked.value("from"):
        values["from_us"] = values["to_us"] - BEHAVIOUR_DAYS * DAY_US
    bounced: dict[int, int] = {x[0]: x[1] for x in session.execute(_BOUNCED, values)}
    rows = []
    for code, name, id, paid, late, days in session.execute(
        _BEHAVIOUR, values | {"day_us": DAY_US, "limit": asked.limit + 1}
    ):
        rows.append(
            {
                "code": code, "name": name, "unit": None, "paid": paid, "late": late,
                "late_ppm": ratio_ppm(late, paid), "average_days": (2 * days + paid) // (2 * paid),
                "bounced": bounced.get(id, 0), "account_id": id,
            }
        )  # fmt: skip
    columns = (
        *_ACCOUNT_COLUMNS,
        Column("paid", N_("Invoices paid"), ColumnKind.COUNT),
        Column("late", N_("Of them late"), ColumnKind.COUNT),
        Column("late_ppm", N_("Late"), ColumnKind.PPM),
        Column("average_days", N_("Mean days late"), ColumnKind.COUNT),
        Column("bounced", N_("Payments taken back"), ColumnKind.COUNT),
    )
    return Table(
        columns, rows[: asked.limit], [], Chart("bar", "code", ("average_days",)), (), len(rows) > asked.limit
    )


def _resellers(session: Session, asked: Asked) -> Table:
    """What each reseller right below was charged, paid, owes and has."""
    values = _asked_values(session, asked)
    used, _, _ = call_rows(session, asked, "reseller")
    by_unit = {(row.get("code"), row["unit"]): row for row in used}
    paid = {(code, unit): amount for code, unit, amount in session.execute(_PAID, values)}
    still = {(code, unit): amount for code, unit, amount in session.execute(_OPEN, values)}
    rows = []
    for code, unit, posted, name, id in session.execute(_BALANCES, values):
        usage = by_unit.get((code, unit), {})
        rows.append(
            {
                "code": code, "name": name, "unit": unit, "account_id": id, "balance": posted,
                "charges": usage.get("charges", 0), "net": usage.get("net", 0), "tax": usage.get("tax", 0),
                "paid": paid.get((code, unit), 0), "open": still.get((code, unit), 0),
            }
        )  # fmt: skip
    columns = (
        Column("code", N_("Reseller"), ColumnKind.CODE),
        Column("name", N_("Name")),
        Column("charges", N_("Charged calls"), ColumnKind.COUNT),
        NET,
        TAX,
        Column("paid", N_("Invoices paid"), ColumnKind.MONEY),
        Column("open", N_("Open invoices now"), ColumnKind.MONEY),
        Column("balance", N_("Balance now"), ColumnKind.MONEY),
    )
    totals = _by_unit(rows, ("charges", "net", "tax", "paid", "open", "balance"))
    return Table(
        columns, rows[: asked.limit], totals, Chart("bar", "code", ("net",)), (), len(rows) > asked.limit
    )


MONEY_REPORTS = (
    Report("taxes", N_("Taxes"), N_("Taxes of issued invoices and notes."), (FROM, TO, RESELLER), _taxes),
    Report(
        "ageing",
        N_("Ageing"),
        N_("What is open of invoices, by days late."),
        (_AS_OF, Parameter("group", N_("By"), choices=_AGEING_GROUPS), RESELLER),
        _ageing,
    ),
    Report(
        "payment-behaviour",
        N_("Payment behaviour"),
        N_("How customers paid their invoices; the last 365 days unless a first day is given."),
        (FROM, TO, RESELLER),
        _behaviour,
    ),
    Report(
        "dunning",
        N_("Dunning results"),
        N_("What dunning did, and what was settled afterwards."),
        (FROM, TO, RESELLER),
        _dunning,
    ),
    Report(
        "deferred",
        N_("Deferred revenue"),
        N_("What was charged in advance and is not earned yet, at the end of a day."),
        (_AS_OF, Parameter("group", N_("By"), choices=_DEFERRED_GROUPS), RESELLER),
        _deferred,
    ),
    Report(
        "prepaid",
        N_("Prepaid liabilities"),
        N_("What wallets hold of customers, and what they are below zero, at the end of a day."),
        (_AS_OF, Parameter("group", N_("By"), choices=_PREPAID_GROUPS), RESELLER),
        _prepaid,
    ),
    Report(
        "vouchers",
        N_("Vouchers"),
        N_("What became of vouchers until the end of a day, by batch; blocked ones as of now."),
        (_AS_OF, RESELLER),
        _vouchers,
    ),
    Report(
        "resellers",
        N_("Reseller statements"),
        N_("What resellers were charged and paid, what they owe and have."),
        (FROM, TO, RESELLER),
        _resellers,
    ),
)
