"""Reports about money that is owed, lost or paid late; vouchers, resellers; and what stands beside them."""

from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pbxbill.billing.codes.voucher_batches import statistics
from pbxbill.billing.dunning.ageing import BEHAVIOUR_DAYS, BUCKETS, DAY_US, Aged, who_owes
from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.reports.call_reports import NET, TAX
from pbxbill.reports.call_sums import call_rows, ratio_ppm
from pbxbill.reports.held_money import DEFERRED, PREPAID
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
from pbxbill.reports.taxes import TAXES
from pbxbill.reports.unit_totals import asked_values, by_unit
from pbxbill.store.payment_models import VoucherBatchRow

_AS_OF = TO

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
    totals = by_unit(rows, summed)
    chart = Chart("bar", "batch", ("redeemed_value", "outstanding"))
    return Table(columns, rows[: asked.limit], totals, chart, (), len(rows) > asked.limit)


def _dunning(session: Session, asked: Asked) -> Table:
    keys = ("policy", "level", "action", "unit", "steps", "accounts", "overdue", "left")
    rows = [dict(zip(keys, x, strict=True)) for x in session.execute(_DUNNING, asked_values(session, asked))]
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
    owed = who_owes(session, at_us, below=below, by_reseller=by == "reseller", limit=asked.limit)

    def sums(x: Aged) -> dict[str, Any]:
        found = {"unit": x.unit, "invoices": x.invoices, "open": x.open}
        return found | {f"late_{n}": amount for n, amount in enumerate(x.buckets)}

    rows = [{"code": x.code, "name": x.name, **sums(x)} for x in owed.rows]
    totals = [sums(x) for x in owed.totals]
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
    return Table(columns, rows, totals, Chart("bar", "code", tuple(late)), (), owed.many > len(rows))


def _behaviour(session: Session, asked: Asked) -> Table:
    values = asked_values(session, asked)
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
    values = asked_values(session, asked)
    used, _, _ = call_rows(session, asked, "reseller")
    calls = {(row.get("code"), row["unit"]): row for row in used}
    paid = {(code, unit): amount for code, unit, amount in session.execute(_PAID, values)}
    still = {(code, unit): amount for code, unit, amount in session.execute(_OPEN, values)}
    rows = []
    for code, unit, posted, name, id in session.execute(_BALANCES, values):
        usage = calls.get((code, unit), {})
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
    totals = by_unit(rows, ("charges", "net", "tax", "paid", "open", "balance"))
    return Table(
        columns, rows[: asked.limit], totals, Chart("bar", "code", ("net",)), (), len(rows) > asked.limit
    )


MONEY_REPORTS = (
    TAXES,
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
    DEFERRED,
    PREPAID,
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
