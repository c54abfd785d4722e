"""Lists of limits, with what is used of them now, and of countries that were called for the first time."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import String, case, cast, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    contains,
    equals,
)
from pbxbill.listing.one_account import of_one_account
from pbxbill.store.catalogue_models import CounterRow, HeldCountryRow, LimitRow
from pbxbill.store.limits import NEEDS
from pbxbill.store.models import AccountRow, EndpointRow

AMOUNTS = ("spend", "call_cost")
OF_SOME_KINDS = (
    *("number", "amount", "used", "window", "zone", "seconds", "shorter"),
    *("listed", "endpoint", "suspends"),
)
"""Columns that limits of some kinds alone have."""


def _rows(_session: Session, scope: Scope) -> Rows:
    limit = LimitRow
    names = ("id", "account_id", "kind", "value", "unit", "window", "window_s", "shorter_s", "zone")
    return (
        select(
            *(getattr(limit, x).label(x) for x in (*names, "destinations", "suspends")),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            EndpointRow.kind.label("endpoint_kind"),
            EndpointRow.value.label("endpoint_value"),
        )
        .join(AccountRow, AccountRow.id == limit.account_id)
        .outerjoin(EndpointRow, EndpointRow.id == limit.endpoint_id)
        .where(scope.among(limit.account_id))
    )


def limits_listing(now_us: Callable[[], int]) -> Listing:
    """The list of limits. now_us: whose window counts."""

    def finish(session: Session, rows: list[dict[str, Any]]) -> None:
        at_us = now_us()
        spending = [x["id"] for x in rows if x["kind"] == "spend"]
        counted = session.scalars(
            select(CounterRow).where(
                CounterRow.kind == "spend",
                CounterRow.ref_id.in_(spending),
                CounterRow.window_from_us <= at_us,
                CounterRow.window_to_us > at_us,
            )
        )
        used = {x.ref_id: x.used + x.reserved for x in counted}
        for row in rows:
            _show(row, used)

    return Listing(
        name="limits",
        title=N_("Limits"),
        permission=Permission.ACCOUNTS_READ,
        columns=(
            Column("account", N_("Account"), ColumnKind.CODE),
            Column("name", N_("Name"), wide=True),
            Column("kind", N_("Limit"), ColumnKind.STATE),
            Column("number", N_("At most"), ColumnKind.COUNT),
            Column("amount", N_("Amount"), ColumnKind.MONEY),
            Column("used", N_("Spent and held"), ColumnKind.MONEY),
            Column("window", N_("Per"), ColumnKind.STATE),
            Column("zone", N_("Time zone"), wide=True),
            Column("seconds", N_("Within"), ColumnKind.SECONDS, wide=True),
            Column("shorter", N_("Shorter than"), ColumnKind.SECONDS, wide=True),
            Column("listed", N_("Destinations")),
            Column("endpoint", N_("Only from"), ColumnKind.CODE, wide=True),
            Column("suspends", N_("Suspends"), ColumnKind.YES_NO, wide=True),
        ),
        rows=_rows,
        orders=(
            Order("account", N_("Account"), AccountRow.code, LimitRow.id),
            Order("newest", N_("Newest first"), LimitRow.id, LimitRow.id, descending=True),
        ),
        filters=(
            Filter("q", N_("Code or name"), contains(AccountRow.code, AccountRow.name)),
            Filter(
                "kind",
                N_("Limit"),
                equals(LimitRow.kind),
                FilterKind.CHOICE,
                tuple((x, x.replace("_", " ").capitalize()) for x in NEEDS),
            ),
            Filter("destination", N_("Destinations"), contains(LimitRow.destinations)),
        ),
        finish=finish,
    )


def account_limits(now_us: Callable[[], int]) -> Listing:
    """Those of one account."""
    orders = (
        Order("kind", N_("Limit"), LimitRow.kind, LimitRow.id),
        Order("newest", N_("Newest first"), LimitRow.id, LimitRow.id, descending=True),
    )
    return of_one_account(limits_listing(now_us), LimitRow.account_id, without=("q",), orders=orders)


def _show(row: dict[str, Any], used: dict[int, int]) -> None:
    is_amount = row["kind"] in AMOUNTS
    value = row.pop("value")
    has_number = "value" in NEEDS.get(row["kind"], ()) and not is_amount
    row["number"] = value if has_number else None
    row["amount"] = value if is_amount else None
    row["used"] = used.get(row["id"], 0) if row["kind"] == "spend" else None
    row["unit"] = row["unit"] or None
    row["zone"] = row["zone"] if row["window"] else ""
    row["seconds"] = row.pop("window_s") or None
    row["shorter"] = row.pop("shorter_s") or None
    row["listed"] = row.pop("destinations").replace("\n", ", ")
    kind, known = row.pop("endpoint_kind"), row.pop("endpoint_value")
    row["endpoint"] = f"{kind} {known}" if kind else ""


_PLACE = cast(HeldCountryRow.account_id, String) + ":" + HeldCountryRow.region
_STATE = case((HeldCountryRow.released, "released"), else_="held")


def _countries(_session: Session, scope: Scope) -> Rows:
    country = HeldCountryRow
    return (
        select(
            _PLACE.label("id"),
            country.account_id.label("account_id"),
            country.region.label("region"),
            country.first_us.label("first_us"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            _STATE.label("state"),
        )
        .join(AccountRow, AccountRow.id == country.account_id)
        .where(scope.among(country.account_id))
    )


HELD_COUNTRIES = Listing(
    name="held-countries",
    title=N_("Countries held back"),
    permission=Permission.ACCOUNTS_READ,
    columns=(
        Column("first_us", N_("First call"), ColumnKind.MOMENT),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name"), wide=True),
        Column("region", N_("Country"), ColumnKind.CODE),
        Column("state", N_("State"), ColumnKind.STATE),
    ),
    rows=_countries,
    orders=(Order("newest", N_("Newest first"), HeldCountryRow.first_us, _PLACE, descending=True),),
    filters=(
        Filter("q", N_("Code or name"), contains(AccountRow.code, AccountRow.name)),
        Filter("region", N_("Country"), equals(HeldCountryRow.region)),
        Filter(
            "state",
            N_("State"),
            lambda query, state: query.where(state == _STATE),
            FilterKind.CHOICE,
            (("held", "Held back"), ("released", "Released")),
        ),
    ),
)

ACCOUNT_COUNTRIES = of_one_account(HELD_COUNTRIES, HeldCountryRow.account_id, without=("q",))
