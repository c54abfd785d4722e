"""In which zone each seller's days are, and which roll-ups of his hold.

The days of a report are those of the seller's invoices. Roll-ups of days and months are made in the zone
that the seller had then; until they are made again, what is asked in a new zone is read from what is finer.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from pbxbill.billing.period import day_start_us, local_date, months_after
from pbxbill.reports.call_facts import HOURLY
from pbxbill.reports.cover import Standing
from pbxbill.store.billing_models import IssuerRow
from pbxbill.store.models import AccountRow, CdrRow
from pbxbill.store.report_models import (
    RollupMarkRow,
    RollupPeriodRow,
    RollupRow,
    RollupSellerRow,
    RollupStateRow,
)
from pbxbill.store.rollup_marks import HOUR_US

DEFAULT_ZONE = "UTC"
MONTH_US = 31 * 24 * HOUR_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def zone_of_books(session: Session, seller_id: int) -> str:
    """The zone of a seller's days."""
    return session.scalar(select(IssuerRow.zone).where(IssuerRow.account_id == seller_id)) or DEFAULT_ZONE


def day_of(at_us: int, zone: str) -> tuple[int, int]:
    """The local day that a moment lies in: its beginning and its end."""
    day = local_date(at_us, zone)
    return day_start_us(day, zone), day_start_us(day + timedelta(days=1), zone)


def month_of(at_us: int, zone: str) -> tuple[int, int]:
    """The local month that a moment lies in: its beginning and its end."""
    first = local_date(at_us, zone).replace(day=1)
    return day_start_us(first, zone), day_start_us(months_after(first, 1), zone)


@dataclass(frozen=True, slots=True)
class Period:
    """Which sums are read: whose, by what, and of which time."""

    seller_id: int
    dimension: str
    from_us: int
    to_us: int


def standing_of(session: Session, period: Period) -> Standing:
    """Which roll-ups hold now."""
    state = session.execute(select(RollupStateRow.until_us, RollupStateRow.kept_us)).one_or_none()
    if state is None:
        return Standing()
    from_us, to_us = period.from_us, period.to_us
    near = RollupMarkRow.hour_us.between(from_us - MONTH_US - HOUR_US, to_us + MONTH_US)
    marked = session.scalars(select(RollupMarkRow.hour_us).where(near).distinct()).all()
    own = select(RollupSellerRow.zone).where(RollupSellerRow.seller_id == period.seller_id)
    within = (RollupPeriodRow.start_us >= from_us, RollupPeriodRow.start_us < to_us)
    zoned = RollupPeriodRow.zone == func.coalesce(own.scalar_subquery(), DEFAULT_ZONE)
    columns = RollupPeriodRow.grain, RollupPeriodRow.start_us, RollupPeriodRow.end_us
    periods: dict[str, dict[int, int]] = {"day": {}, "month": {}}
    for grain, start_us, end_us in session.execute(select(*columns).where(zoned, *within)):
        periods[grain][start_us] = end_us
    kept_us = 0 if period.dimension in HOURLY else state.kept_us
    first_us = session.scalar(select(func.min(CdrRow.started_us)))
    first_us = to_us if first_us is None else first_us // HOUR_US * HOUR_US
    return Standing(state.until_us, kept_us, frozenset(marked), periods["day"], periods["month"], first_us)


def zones_made(session: Session) -> list[str]:
    """The zones in which days are made."""
    zone = func.coalesce(RollupSellerRow.zone, DEFAULT_ZONE)
    query = (
        select(zone).distinct().select_from(AccountRow)
        .outerjoin(RollupSellerRow, RollupSellerRow.seller_id == AccountRow.id)
        .where(AccountRow.kind != "customer").order_by(zone)
    )  # fmt: skip
    return list(session.scalars(query))


SELLERS_IN_ZONE = (
    "(SELECT a.id FROM accounts a LEFT JOIN rollup_sellers z ON z.seller_id = a.id "  # noqa: S608 names are ours
    f"WHERE a.kind <> 'customer' AND COALESCE(z.zone, '{DEFAULT_ZONE}') = :zone)"
)


def changed_zones(session: Session) -> dict[int, str]:
    """Sellers whose zone is another one than that of their roll-ups, and which it is."""
    made = {row.seller_id: row.zone for row in session.scalars(select(RollupSellerRow))}
    query = select(IssuerRow.account_id, IssuerRow.zone)
    now: dict[int, str] = {id: zone or DEFAULT_ZONE for id, zone in session.execute(query)}
    both = sorted({*made, *now})
    return {
        id: now.get(id, DEFAULT_ZONE)
        for id in both
        if made.get(id, DEFAULT_ZONE) != now.get(id, DEFAULT_ZONE)
    }


def change_zone(session: Session, seller_id: int, zone: str) -> None:
    """Drop a seller's days and months; those of the new zone are made again from his first call on."""
    session.execute(delete(RollupSellerRow).where(RollupSellerRow.seller_id == seller_id))
    if zone != DEFAULT_ZONE:
        session.add(RollupSellerRow(seller_id=seller_id, zone=zone))
    of_seller = RollupRow.seller_id == seller_id
    hourly = (RollupRow.dimension == HOURLY[0], RollupRow.grain == "half")
    first_us = session.scalar(select(func.min(RollupRow.start_us)).where(of_seller, *hourly))
    session.execute(delete(RollupRow).where(of_seller, RollupRow.grain != "half"))
    if first_us is not None:
        since = (RollupPeriodRow.zone == zone, RollupPeriodRow.end_us > first_us)
        session.execute(delete(RollupPeriodRow).where(*since))
