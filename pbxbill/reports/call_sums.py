"""Rows of reports about calls: sums by period, customer, destination, carrier or rate, with their names.

A row's money is in its unit. What has money in several units has a row for each with the calls that were
charged in it; calls for which nothing was charged stand in the first one, so that a column may be summed up.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.money import PRICE_SCALE, to_decimal
from pbxbill.reports.call_facts import EVERY, Members
from pbxbill.reports.report import (
    PERIOD_COLUMN,
    PERIOD_NAMES,
    Asked,
    ParameterRefused,
    account_of,
    buckets_of,
    period_cells,
    period_of,
    seller_of,
)
from pbxbill.reports.sums import Summed, Sums, Wanted, add, read, read_greatest
from pbxbill.store.catalogue_models import CarrierRow
from pbxbill.store.models import AccountRow, DeckVersionRow, RateDeckRow, RateRow

NAMES_AT_ONCE = 500
DIMENSION_OF = {
    "customer": "account",
    "reseller": "account",
    "destination": "destination",
    "carrier": "carrier",
    "rate": "rate",
    "direction": "direction",
}
GROUP_COLUMNS: dict[str, tuple[Column, ...]] = {
    **{name: (column,) for name, column in PERIOD_COLUMN.items()},
    "customer": (Column("code", N_("Account"), ColumnKind.CODE), Column("name", N_("Name"))),
    "reseller": (Column("code", N_("Reseller"), ColumnKind.CODE), Column("name", N_("Name"))),
    "destination": (Column("destination", N_("Destination")),),
    "carrier": (Column("carrier", N_("Carrier")),),
    "direction": (Column("direction", N_("Direction"), ColumnKind.STATE),),
    "rate": (
        Column("deck", N_("Deck")),
        Column("prefix", N_("Prefix"), ColumnKind.CODE),
        Column("destination", N_("Destination")),
        Column("price", N_("Price per minute"), ColumnKind.CODE),
    ),
}
X_OF = {**{name: PERIOD_COLUMN[name].key for name in PERIOD_NAMES}, "customer": "code", "reseller": "code"}


def call_rows(
    session: Session, asked: Asked, by: str, order: str = "total"
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bool]:
    """Rows of a grouping, totals by unit, and whether there are more rows."""
    seller = seller_of(session, asked)
    if by == "carrier" and seller.kind != "operator":
        raise ParameterRefused("group", "carriers are the operator's")
    only, dimension, members = narrowed(session, asked, seller, by)
    period = period_of(asked)
    if by in PERIOD_NAMES:
        buckets = buckets_of(asked, by)
        wanted = Wanted(
            seller, dimension, buckets, only, members,
            by_member=False, is_page=asked.is_page, making=asked.making,
        )  # fmt: skip
        summed = read(session, wanted)
        by_period = _paired(summed)
        rows = [
            _row(period_cells(by, from_us, asked), *each)
            for number, (from_us, _) in enumerate(buckets)
            for each in by_period.get((number, ""), [(None, Sums())])
        ]
        return rows, _total_rows(_together(summed)), False
    of = DIMENSION_OF[by]
    if by == "reseller":
        below = select(AccountRow.id).where(AccountRow.parent_id == seller.id, AccountRow.kind == "reseller")
        members = tuple(map(str, session.scalars(below)))
    greatest = Wanted(seller, of, [period], only, members, is_page=asked.is_page, making=asked.making)
    found = read_greatest(session, greatest, order, asked.limit)
    paired = _paired(found.rows)
    names = _names(session, of, [member for _, member in paired])
    rows = [_row(names.get(member, {}), *each) for (_, member), pairs in paired.items() for each in pairs]
    return rows, _total_rows(found.totals), found.is_cut


def narrowed(
    session: Session, asked: Asked, seller: AccountRow, by: str
) -> tuple[Members, str, tuple[str, ...] | None]:
    """What filters leave: one of them alone is read from roll-ups where it is by period."""
    account = account_of(session, asked)
    if account is not None and not account.path.startswith(seller.path):
        raise ParameterRefused("account", f"{account.code} is not below {seller.code}")
    named: dict[str, Any] = {}
    if account is not None:
        named["account_id"] = account.id
    if asked.value("destination"):
        named["destination"] = asked.value("destination")
    if asked.value("carrier"):
        named["carrier_id"] = _carrier(session, asked.value("carrier"), seller)
    if not named:
        return EVERY, "direction", None
    ((key, value), *more) = named.items()
    direct = account is None or account.parent_id == seller.id
    if not more and by in PERIOD_NAMES and direct:
        dimension = {"account_id": "account", "destination": "destination", "carrier_id": "carrier"}[key]
        return EVERY, dimension, (str(value),)
    return Members(**named), "direction", None


def _carrier(session: Session, name: str, seller: AccountRow) -> int:
    id = session.scalar(select(CarrierRow.id).where(CarrierRow.name == name))
    if id is None or seller.kind != "operator":
        raise ParameterRefused("carrier", f"there is no carrier {name[:40]!r}")
    return id


Paired = Mapping[tuple[int, str], list[tuple[str | None, Sums]]]
"""By bucket and member: unit and its sums; None: nothing was charged at all."""


def _together(summed: Sequence[Summed]) -> list[Summed]:
    """Periods as the one that they make up."""
    found: dict[str, Sums] = {}
    for one in summed:
        found[one.unit] = add(found[one.unit], one.sums) if one.unit in found else one.sums
    return [Summed(0, "", unit, sums) for unit, sums in found.items()]


def _total_rows(whole: Sequence[Summed]) -> list[dict[str, Any]]:
    return [_row({}, unit, sums) for unit, sums in _paired(whole).get((0, ""), [])]


def _paired(summed: Sequence[Summed]) -> Paired:
    free: dict[tuple[int, str], Sums] = {}
    charged: dict[tuple[int, str], list[tuple[str, Sums]]] = {}
    for bucket, member, unit, sums in summed:
        units = charged.setdefault((bucket, member), [])
        if unit:
            units.append((unit, sums))
        else:
            free[bucket, member] = sums
    found: dict[tuple[int, str], list[tuple[str | None, Sums]]] = {}
    for key, units in charged.items():
        units.sort()
        if key in free and units:
            units[0] = (units[0][0], add(units[0][1], free[key]))
        found[key] = [*units] or [(None, free[key])]
    return found


def _row(cells: dict[str, Any], unit: str | None, sums: Sums) -> dict[str, Any]:
    row = dict(cells) | {"unit": unit} | counted(sums)
    if unit is not None:
        row |= {
            "charges": sums.charges, "billable_s": sums.billable_s, "net": sums.net, "tax": sums.tax,
            "total": sums.total, "cost": sums.cost, "margin": sums.net - sums.cost,
            "margin_ppm": ratio_ppm(sums.net - sums.cost, sums.net) if sums.net > 0 else None,
        }  # fmt: skip
    return row


def counted(calls: Sums) -> dict[str, Any]:
    """What is counted and follows from it."""
    return {
        "calls": calls.calls,
        "denied": calls.denied,
        "answered": calls.answered,
        "billed_s": calls.billed_us // SECOND_US,
        "asr_ppm": ratio_ppm(calls.answered, calls.calls) if calls.calls else None,
        "acd_s": calls.billed_us // calls.answered // SECOND_US if calls.answered else None,
        "wait_s": calls.wait_us // calls.answered // SECOND_US if calls.answered else None,
        "wait_ms": calls.wait_us // calls.answered // 1000 if calls.answered else None,
        "rung": calls.rung,
        "pdd_ms": calls.ringing_us // calls.rung // 1000 if calls.rung else None,
        "unknown": calls.unknown,
    }


def ratio_ppm(part: int, whole: int) -> int:
    """Millionths, rounded towards zero."""
    sign = -1 if part < 0 else 1
    return sign * (abs(part) * 1_000_000 // whole)


def _names(session: Session, dimension: str, members: Sequence[str]) -> dict[str, dict[str, Any]]:
    match dimension:
        case "destination":
            return {x: {"destination": x} for x in members}
        case "direction":
            return {x: {"direction": x} for x in members}
        case "carrier":
            known = {str(id): name for id, name in session.execute(select(CarrierRow.id, CarrierRow.name))}
            return {x: {"carrier": known.get(x, "")} for x in members}
        case "account":
            return account_names(session, members)
        case _:
            return _rate_names(session, members)


def account_names(session: Session, members: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Codes and names of accounts, by their ids as members are."""
    found: dict[str, dict[str, Any]] = {"0": {"code": "", "name": ""}}
    ids = [int(x) for x in members]
    for start in range(0, len(ids), NAMES_AT_ONCE):
        some = AccountRow.id.in_(ids[start : start + NAMES_AT_ONCE])
        for id, code, name in session.execute(
            select(AccountRow.id, AccountRow.code, AccountRow.name).where(some)
        ):
            found[str(id)] = {"code": code, "name": name, "account_id": id}
    return found


def _rate_names(session: Session, members: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    ids = [int(x) for x in members]
    for start in range(0, len(ids), NAMES_AT_ONCE):
        query = (
            select(RateRow.id, RateDeckRow.name, RateRow.prefix, RateRow.destination, RateRow.price_per_min)
            .join(DeckVersionRow, DeckVersionRow.id == RateRow.deck_version_id)
            .join(RateDeckRow, RateDeckRow.id == DeckVersionRow.deck_id)
            .where(RateRow.id.in_(ids[start : start + NAMES_AT_ONCE]))
        )
        for id, deck, prefix, place, price in session.execute(query):
            text = f"{to_decimal(price, PRICE_SCALE):f}"
            text = text.rstrip("0").rstrip(".") if "." in text else text
            found[str(id)] = {"deck": deck, "prefix": prefix, "destination": place, "price": text}
    return found


__all__ = ["GROUP_COLUMNS", "X_OF", "add", "call_rows", "counted", "narrowed", "ratio_ppm"]
