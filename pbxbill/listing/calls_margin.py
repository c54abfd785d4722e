"""The list of calls as whoever sells sees them: what each brought him, what it cost him, and what is left."""

from dataclasses import replace
from typing import Any

from sqlalchemy import and_, literal, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.calls import CALLS
from pbxbill.listing.listing import N_, Column, ColumnKind, Filter, Rows
from pbxbill.listing.operators import operators
from pbxbill.store.catalogue_models import CallCostRow, CarrierRow
from pbxbill.store.models import AccountRow, CallChargeRow, CdrRow, WalletRow


def _rows(session: Session, scope: Scope) -> Rows:
    # Carriers and what they ask are the operator's alone.
    cost = and_(CallCostRow.session_id == CdrRow.session_id, operators(scope))
    return (
        CALLS.rows(session, scope)
        .add_columns(
            literal(scope.account_id).label("seller_id"),
            CallCostRow.carrier_id.label("carrier_id"),
            CallCostRow.unit.label("cost_unit"),
            CallCostRow.cost.label("cost"),
        )
        .outerjoin(CallCostRow, cost)
    )


def _of_carrier(query: Rows, name: str) -> Rows:
    carrier = select(CarrierRow.id).where(CarrierRow.name == name).scalar_subquery()
    return query.where(CallCostRow.carrier_id == carrier)


def _finish(session: Session, rows: list[dict[str, Any]]) -> None:
    CALLS.finish(session, rows)
    carriers = {x.id: x.name for x in session.scalars(select(CarrierRow))}
    earned, paid = _sold(session, rows)
    for row in rows:
        row["carrier"] = carriers.get(row.pop("carrier_id"))
        row.pop("seller_id")
        row["income"], row["income_unit"] = earned.get(row["id"], (None, None))
        if row["id"] in paid:
            row["cost"], row["cost_unit"] = paid[row["id"]]
        is_known = row["income"] is not None and row["cost"] is not None
        is_one_unit = row["income_unit"] == row["cost_unit"]
        row["margin"] = row["income"] - row["cost"] if is_known and is_one_unit else None


def _sold(
    session: Session, rows: list[dict[str, Any]]
) -> tuple[dict[str, tuple[int, str]], dict[str, tuple[int, str]]]:
    """By call what the seller's own customer was charged, and what the seller himself was, without tax."""
    sellers = {row["id"]: row["seller_id"] for row in rows}
    query = (
        select(CallChargeRow, WalletRow.unit, AccountRow.parent_id)
        .join(WalletRow, WalletRow.id == CallChargeRow.wallet_id)
        .join(AccountRow, AccountRow.id == CallChargeRow.account_id)
        .where(CallChargeRow.session_id.in_(sellers))
        .order_by(CallChargeRow.session_id, CallChargeRow.level, CallChargeRow.line)
    )
    earned: dict[str, tuple[int, str]] = {}
    paid: dict[str, tuple[int, str]] = {}
    for charge, unit, parent_id in session.execute(query):
        seller_id = sellers[charge.session_id]
        into = earned if parent_id == seller_id else paid if charge.account_id == seller_id else None
        if into is None:
            continue
        # Wallets of several units: the last is that of the account's currency, after points and gifts.
        before = into.get(charge.session_id, (0, unit))
        into[charge.session_id] = (charge.total - charge.tax + (before[0] if before[1] == unit else 0), unit)
    return earned, paid


MARGINS = replace(
    CALLS,
    name="calls-margin",
    title=N_("Calls with cost and margin"),
    permission=Permission.REPORTS_READ,
    columns=(
        *(x for x in CALLS.columns if x.key not in ("total", "tax")),
        Column("carrier", N_("Carrier")),
        Column("income", N_("Revenue"), ColumnKind.MONEY, unit="income_unit"),
        Column("cost", N_("Cost"), ColumnKind.MONEY, unit="cost_unit"),
        Column("margin", N_("Margin"), ColumnKind.MONEY, unit="income_unit"),
    ),
    rows=_rows,
    filters=(*CALLS.filters, Filter("carrier", N_("Carrier"), _of_carrier)),
    finish=_finish,
    looked_through=(*CALLS.looked_through, "carrier"),
)
