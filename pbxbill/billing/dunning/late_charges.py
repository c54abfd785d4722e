"""Makes charges of penalty classes: fees of levels, and what each period costs that an invoice is overdue.

They are charges of kind late_fee, with the taxes that the issuer's rules put on them, asked for by the next
invoice. Each has a key of what it is for: the same period, or level, charges once. Fees that
are overdue cost no fees: of what is overdue only the share of other lines counts.

A clock that jumps ahead must not charge years at once: of many periods some are charged a day, the first of
them with an alert, so that a person can stop it. After weeks in which nothing ran it takes days as well.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from pbxbill.billing.charge import ONE, ChargeKind, Collection
from pbxbill.billing.dunning.dunning_catalogue import PenaltyClass
from pbxbill.billing.dunning.dunning_facts import Dunned
from pbxbill.billing.dunning.penalties import (
    LatePeriods,
    Per,
    first_day,
    late_periods,
    next_period_end,
    penalty,
)
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.billing.subscriptions.charges_by_hand import VOID
from pbxbill.billing.subscriptions.making_charges import NewCharge, make_charges
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.store.accounts import unit_of
from pbxbill.store.alerts import raise_alert
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.invoice_models import InvoiceLineRow
from pbxbill.store.models import AccountRow

MOST_A_DAY = 3
"""Periods that are charged on one day of an invoice, or of a customer where all is charged together."""


def charge_fee(  # noqa: PLR0913, PLR0917 what a fee is for
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    fee: PenaltyClass,
    invoice: Dunned,
    level: int,
    now_us: int,
) -> ChargeRow | None:
    """The fee of a level; None where nothing is charged: in another unit, or to the customer today before."""
    if fee.terms.unit != invoice.unit:
        return None
    unit = unit_of(session, invoice.unit)
    amount = penalty(fee.terms, _without_fees(session, invoice), 1, unit=unit)
    if fee.terms.per is Per.CUSTOMER:
        key = f"fee:a{account.id}:{fee.id}:{local_date(now_us, invoice.zone)}"
    else:
        key = f"fee:{invoice.invoice_id}:{level}"
    return _charge(session, books, account, fee, key, amount, _told("Late payment fee", [invoice]), now_us)


def charge_late(
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    late: PenaltyClass,
    invoices: Sequence[Dunned],
    now_us: int,
) -> tuple[int, dict[int, int]]:
    """Charge the periods that are over, of invoices of one account and of the class's unit.

    How many charges that makes, and up to when each of these invoices is charged now.
    """
    if late.terms.per is Per.ITEM:
        groups = [[invoice] for invoice in invoices]
    else:
        groups = [list(invoices)] if invoices else []
    count, charged_to = 0, dict[int, int]()
    for group in groups:
        counted_to = _counted_to(group)
        if counted_to is None:
            counted_to = _charged_to(session, account, _prefix(account, late, group))
        found = _late_of(late, group, counted_to, now_us)
        if found is not None and not _charged_today(session, account, late, group, now_us):
            row = _charge_group(session, books, account, late, group, found, now_us)
            count += row is not None
            to_us = day_start_us(found.to_day, group[0].zone)
            charged_to |= dict.fromkeys((invoice.invoice_id for invoice in group), to_us)
            if row is not None and _late_of(late, group, found.to_day, now_us) is not None:
                _alert_held(session, account, late, group, now_us)
    return count, charged_to


def is_late(late: PenaltyClass, invoices: Sequence[Dunned], now_us: int) -> bool:
    """Whether there may be something to charge: what is asked before anything is read for it."""
    return any(_late_of(late, [x], _counted_to([x]), now_us) is not None for x in invoices)


def _late_of(
    late: PenaltyClass, group: Sequence[Dunned], counted_to: date | None, now_us: int
) -> LatePeriods | None:
    today = local_date(now_us, group[0].zone)
    return late_periods(late.terms, _begins(late, group), counted_to, today, MOST_A_DAY)


def _charge_group(  # noqa: PLR0913, PLR0917 what is charged, and when
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    late: PenaltyClass,
    group: list[Dunned],
    found: LatePeriods,
    now_us: int,
) -> ChargeRow | None:
    prefix = _prefix(account, late, group)
    per_item = late.terms.per is Per.ITEM
    amount = penalty(
        late.terms,
        sum(_without_fees(session, invoice) for invoice in group),
        found.count,
        charged=_charged(session, account, prefix) if per_item else 0,
        unit=unit_of(session, late.terms.unit),
    )
    key = f"{prefix}{found.to_day}"
    return _charge(session, books, account, late, key, amount, _told("Late payment", group), now_us)


def next_penalty_us(late: PenaltyClass | None, invoice: Dunned, now_us: int) -> int | None:
    """When an invoice may cost something next; None: never again."""
    if late is None or late.terms.unit != invoice.unit:
        return None
    today = local_date(now_us, invoice.zone)
    if _late_of(late, [invoice], _counted_to([invoice]), now_us) is not None:
        return day_start_us(today + timedelta(days=1), invoice.zone)  # what is more than a day's share
    day = next_period_end(late.terms, _begins(late, [invoice]), today)
    return day_start_us(day, invoice.zone) if day > today else None


def _without_fees(session: Session, invoice: Dunned) -> int:
    """What is overdue of an invoice, but for the share in it of fees for paying late."""
    late = InvoiceLineRow.kind == ChargeKind.LATE_FEE.value
    left = InvoiceLineRow.net - InvoiceLineRow.credited
    total, fees = session.execute(
        select(
            func.coalesce(func.sum(left), 0), func.coalesce(func.sum(case((late, left), else_=0)), 0)
        ).where(InvoiceLineRow.invoice_id == invoice.invoice_id, InvoiceLineRow.origin != "removed")
    ).one()
    if fees <= 0:
        return invoice.overdue
    return invoice.overdue * int(total - fees) // int(total) if total > fees else 0


def _begins(late: PenaltyClass, group: Sequence[Dunned]) -> date:
    return min(first_day(late.terms, local_date(invoice.due_us, invoice.zone)) for invoice in group)


def _counted_to(group: Sequence[Dunned]) -> date | None:
    known = [invoice.penalty_to_us for invoice in group if invoice.penalty_to_us is not None]
    return local_date(max(known), group[0].zone) if known else None


def _prefix(account: AccountRow, late: PenaltyClass, group: Sequence[Dunned]) -> str:
    """What keys of these penalties begin with; the day follows up to which they are charged."""
    if late.terms.per is Per.ITEM:
        return f"penalty:{group[0].invoice_id}:"
    return f"penalty:a{account.id}:{late.id}:"


def _charged_to(session: Session, account: AccountRow, prefix: str) -> date | None:
    """Of an invoice that was paid and is open again, say: what it was charged for before stays charged."""
    last = select(func.max(ChargeRow.key)).where(*_of(account, prefix))
    key = session.scalar(last)
    return None if key is None else date.fromisoformat(key.removeprefix(prefix))


def _charged_today(
    session: Session, account: AccountRow, late: PenaltyClass, group: Sequence[Dunned], now_us: int
) -> bool:
    """Whether a day's share was charged already."""
    zone, today = group[0].zone, local_date(now_us, group[0].zone)
    from_us, to_us = day_start_us(today, zone), day_start_us(today + timedelta(days=1), zone)
    query = select(ChargeRow.id).where(
        *_of(account, _prefix(account, late, group)), ChargeRow.at_us >= from_us, ChargeRow.at_us < to_us
    )
    return session.scalar(query.limit(1)) is not None


def _alert_held(
    session: Session, account: AccountRow, late: PenaltyClass, group: Sequence[Dunned], now_us: int
) -> None:
    what = f"invoice {group[0].number}" if late.terms.per is Per.ITEM else "its overdue invoices"
    detail = (
        f"{what}: more than {MOST_A_DAY} periods of penalty class {late.name} were not charged; "
        f"{MOST_A_DAY} a day are, from today. If the clock was wrong: `pbxbill dunning pause` stops it, "
        f"`pbxbill charges withdraw` takes charges back"
    )
    raise_alert(session, "late_charges_held", f"account {account.code}", detail, account.id, at_us=now_us)


def _charged(session: Session, account: AccountRow, prefix: str) -> int:
    """What penalties of an invoice come to so far."""
    amounts = select(func.coalesce(func.sum(ChargeRow.net), 0))
    return int(session.scalar(amounts.where(*_of(account, prefix), ChargeRow.collection != VOID)) or 0)


def _of(account: AccountRow, prefix: str) -> tuple[ColumnElement[bool], ...]:
    return (
        ChargeRow.account_id == account.id,
        ChargeRow.kind == ChargeKind.LATE_FEE.value,
        ChargeRow.key.startswith(prefix, autoescape=True),
    )


def _told(what: str, group: Sequence[Dunned]) -> str:
    if len(group) == 1:
        return f"{what}: invoice {group[0].number}"
    return f"{what}: {len(group)} invoices"


def _charge(  # noqa: PLR0913, PLR0917 one parameter per fact
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    by: PenaltyClass,
    key: str,
    amount: int,
    description: str,
    now_us: int,
) -> ChargeRow | None:
    if not amount:
        return None
    charge = NewCharge(
        key=key,
        kind=ChargeKind.LATE_FEE,
        description=description,
        product_class=by.terms.product_class,
        unit=by.terms.unit,
        quantity=ONE,
        unit_price=amount,
        amount=amount,
        at_us=now_us,
        collection=Collection.INVOICE,
        explanation={"reason": f"penalty class {by.name}", "by": "dunning"},
    )
    made = make_charges(session, books, account, [charge], now_us)
    return made[0] if isinstance(made, list) and made else None
