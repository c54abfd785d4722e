"""The list of calls: records with what the account of each was charged, the newest first.

Ten million of them are turned over by the index on when they began; what other tables say of a page is asked
for its rows alone.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.clock import SECOND_US
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    at_least,
    begins,
    below,
    equals,
)
from pbxbill.money import format_amount
from pbxbill.store.models import AccountRow, CallChargeRow, CdrRow, WalletRow
from pbxbill.store.units import units_by_code

DIRECTIONS = ("outbound", "inbound", "usage")
_STATE = case(
    (CdrRow.denial.is_not(None), "denied"), (CdrRow.answered_us.is_(None), "unanswered"), else_="answered"
)
_STATES = {
    "answered": CdrRow.answered_us.is_not(None),
    "unanswered": CdrRow.denial.is_(None) & CdrRow.answered_us.is_(None),
    "denied": CdrRow.denial.is_not(None),
}


def _rows(_session: Session, scope: Scope) -> Rows:
    return select(
        CdrRow.session_id.label("id"),
        CdrRow.started_us.label("started_us"),
        CdrRow.ringing_us.label("ringing_us"),
        CdrRow.answered_us.label("answered_us"),
        CdrRow.ended_us.label("ended_us"),
        CdrRow.account_id.label("account_id"),
        CdrRow.direction.label("direction"),
        CdrRow.caller.label("caller"),
        CdrRow.dialled.label("dialled"),
        CdrRow.called.label("called"),
        CdrRow.destination.label("destination"),
        _STATE.label("state"),
        CdrRow.denial.label("denial"),
        CdrRow.hangup_cause.label("hangup_cause"),
        CdrRow.billed_us.label("billed_us"),
        CdrRow.switch.label("switch"),
        CdrRow.call_id.label("call_id"),
    ).where(scope.among(CdrRow.account_id))


def _of_account(query: Rows, code: str) -> Rows:
    return query.where(
        CdrRow.account_id == select(AccountRow.id).where(AccountRow.code == code).scalar_subquery()
    )


def _below_reseller(query: Rows, code: str) -> Rows:
    """Of all below a reseller, at any depth: what he sells. His own calls are sold to him."""
    top = aliased(AccountRow)
    path = select(top.path).where(top.code == code, top.kind == "reseller").scalar_subquery()
    inside = select(AccountRow.id).where(
        func.substr(AccountRow.path, 1, func.length(path)) == path, AccountRow.code != code
    )
    return query.where(CdrRow.account_id.in_(inside))


def charges_of(session: Session, session_ids: Sequence[str]) -> dict[str, list[tuple[CallChargeRow, str]]]:
    """By call what its own account was charged: of each wallet that paid a row, with its unit."""
    query = (
        select(CallChargeRow, WalletRow.unit)
        .join(WalletRow, WalletRow.id == CallChargeRow.wallet_id)
        .where(CallChargeRow.session_id.in_(session_ids), CallChargeRow.level == 0)
        .order_by(CallChargeRow.session_id, CallChargeRow.line)
    )
    found: dict[str, list[tuple[CallChargeRow, str]]] = {}
    for charge, unit in session.execute(query):
        found.setdefault(charge.session_id, []).append((charge, unit))
    return found


def _finish(session: Session, rows: list[dict[str, Any]]) -> None:
    charges = charges_of(session, [x["id"] for x in rows])
    account_ids = {x["account_id"] for x in rows if x["account_id"] is not None}
    named = select(AccountRow.id, AccountRow.code).where(AccountRow.id.in_(account_ids))
    codes = {id: code for id, code in session.execute(named)}  # noqa: C416 # rows are no pairs to dict()
    units = units_by_code(session)
    for row in rows:
        row["account"] = codes.get(row["account_id"])
        answered_us, billed_us = row["answered_us"], row.pop("billed_us")
        row["duration_s"] = (
            None if answered_us is None else max(0, row["ended_us"] - answered_us) // SECOND_US
        )
        ringing_us = row.pop("ringing_us")
        row["pdd_ms"] = None if ringing_us is None else ringing_us // 1000
        row["charged_s"] = None if answered_us is None else -(-billed_us // SECOND_US)
        row |= {"total": None, "tax": None, "unit": None}
        # As a rule one wallet pays. Else the last is that of the account's currency, after points and gifts.
        charged = charges.get(row["id"], [])
        for charge, unit in charged[-1:]:
            row |= {"total": charge.total, "tax": charge.tax, "unit": unit}
        before = [f"{format_amount(charge.total, units[unit])} {unit}" for charge, unit in charged[:-1]]
        row["besides"] = " + ".join(before) or None


SELLERS_FILTERS = ("reseller",)
"""Filters of those who sell: an account itself does not learn who is above it."""

CALLS = Listing(
    name="calls",
    title=N_("Call records"),
    permission=Permission.CALLS_READ,
    columns=(
        Column("started_us", N_("Started"), ColumnKind.MOMENT, exact=True),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("direction", N_("Direction"), ColumnKind.STATE, wide=True),
        Column("caller", N_("Caller"), ColumnKind.CODE, wide=True),
        Column("called", N_("Called"), ColumnKind.CODE),
        Column("destination", N_("Destination")),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("denial", N_("Why not"), ColumnKind.STATE, wide=True),
        Column("duration_s", N_("Duration"), ColumnKind.SECONDS),
        Column("charged_s", N_("Charged time"), ColumnKind.SECONDS, wide=True),
        Column("total", N_("Charge"), ColumnKind.MONEY),
        Column("tax", N_("Tax in it"), ColumnKind.MONEY, wide=True),
        Column("besides", N_("Paid besides"), wide=True),
        Column("dialled", N_("Dialled"), ColumnKind.CODE, wide=True),
        Column("pdd_ms", N_("PDD (ms)"), ColumnKind.COUNT, wide=True),
        Column("answered_us", N_("Answered"), ColumnKind.MOMENT, wide=True),
        Column("ended_us", N_("Ended"), ColumnKind.MOMENT, wide=True),
        Column("hangup_cause", N_("Cause"), ColumnKind.COUNT, wide=True),
        Column("switch", N_("Switch"), ColumnKind.CODE, wide=True),
        Column("call_id", N_("Call id"), ColumnKind.CODE, wide=True),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), CdrRow.started_us, CdrRow.session_id, descending=True),
        Order("oldest", N_("Oldest first"), CdrRow.started_us, CdrRow.session_id),
    ),
    filters=(
        Filter("from", N_("From"), at_least(CdrRow.started_us), FilterKind.DAY),
        Filter("to", N_("To"), below(CdrRow.started_us), FilterKind.DAY, next_day=True),
        Filter("account", N_("Account's code"), _of_account),
        Filter("called", N_("Called number begins"), begins(CdrRow.called)),
        Filter("caller", N_("Caller begins"), begins(CdrRow.caller)),
        Filter("destination", N_("Destination begins"), begins(CdrRow.destination)),
        Filter(
            "direction",
            N_("Direction"),
            equals(CdrRow.direction),
            FilterKind.CHOICE,
            tuple((x, x.capitalize()) for x in DIRECTIONS),
        ),
        Filter(
            "state",
            N_("State"),
            lambda query, state: query.where(_STATES[state]),
            FilterKind.CHOICE,
            tuple((x, x.capitalize()) for x in _STATES),
        ),
        Filter("switch", N_("Switch"), equals(CdrRow.switch)),
        Filter("cause", N_("Cause"), equals(CdrRow.hangup_cause), FilterKind.NUMBER),
        Filter("reseller", N_("Below reseller"), _below_reseller),
    ),
    finish=_finish,
    # Indexes on these would make settling every call dearer by a seventh.
    looked_through=("called", "caller", "destination", "direction", "switch", "cause", "reseller"),
)
