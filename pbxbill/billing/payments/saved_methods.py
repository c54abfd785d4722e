"""Ways to pay that gateways keep for accounts, by the gateways' names: listed, preferred, removed."""

from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.notices.noticing import NoticeKind, tell
from pbxbill.billing.period import local_date
from pbxbill.errors import InputRefused
from pbxbill.gateways.gateway import Method
from pbxbill.store.payment_models import PaymentGatewayRow, SavedMethodRow

TOLD_AHEAD_DAYS = 30
"""So long before its last day an account is told that its card expires."""


def keep_method(
    session: Session, account_id: int, gateway_id: int, method: Method, now_us: int
) -> SavedMethodRow:
    """Remember a way to pay; the first one is preferred. What is known already is brought up to date."""
    row = session.scalar(
        select(SavedMethodRow).where(
            SavedMethodRow.account_id == account_id,
            SavedMethodRow.gateway_id == gateway_id,
            SavedMethodRow.method_ref == method.method_ref,
        )
    )
    if row is None:
        row = SavedMethodRow(
            account_id=account_id,
            gateway_id=gateway_id,
            customer_ref=method.customer_ref,
            method_ref=method.method_ref,
            brand="",
            last4="",
            expires="",
            state="active",
            preferred=not methods_of(session, account_id),
            created_us=now_us,
        )
        session.add(row)
    row.brand, row.last4, row.expires = method.brand[:32], method.last4[:4], method.expires[:7]
    session.flush()
    return row


def methods_of(session: Session, account_id: int, *, removed: bool = False) -> list[SavedMethodRow]:
    """What an account can be charged by, the preferred one first."""
    query = select(SavedMethodRow).where(SavedMethodRow.account_id == account_id)
    if not removed:
        query = query.where(SavedMethodRow.state == "active")
    return list(session.scalars(query.order_by(SavedMethodRow.preferred.desc(), SavedMethodRow.id)))


def active_method(session: Session, method_id: int) -> SavedMethodRow:
    """A method that can be charged; InputRefused if there is none of that number."""
    row = session.get(SavedMethodRow, method_id)
    if row is None or row.state != "active":
        raise InputRefused(f"no saved method {method_id}; `pbxbill payments methods list` shows them")
    return row


def preferred_method(session: Session, account_id: int) -> SavedMethodRow:
    """The one to charge where none is named; InputRefused if the account has none."""
    found = methods_of(session, account_id)
    if not found:
        raise InputRefused("the account has no saved method: it saves one when it pays on a gateway's page")
    return found[0]


def prefer_method(session: Session, method_id: int) -> SavedMethodRow:
    """Charge this one where none is named."""
    chosen = active_method(session, method_id)
    for row in methods_of(session, chosen.account_id):
        row.preferred = row.id == chosen.id
    session.flush()
    return chosen


def forget_method(session: Session, row: SavedMethodRow) -> None:
    """It is not charged any more; the next one is preferred instead."""
    row.state, row.preferred = "removed", False
    session.flush()
    left = methods_of(session, row.account_id)
    if left and not any(other.preferred for other in left):
        left[0].preferred = True
        session.flush()


def method_removed(session: Session, gateway_id: int, method_ref: str) -> int:
    """A gateway says that a method is gone; how many were known."""
    rows = session.scalars(
        select(SavedMethodRow).where(
            SavedMethodRow.gateway_id == gateway_id,
            SavedMethodRow.method_ref == method_ref,
            SavedMethodRow.state == "active",
        )
    ).all()
    for row in rows:
        forget_method(session, row)
    return len(rows)


def method_changed(session: Session, gateway_id: int, method: Method) -> int:
    """A gateway says how a method is now; how many were known."""
    rows = session.scalars(
        select(SavedMethodRow).where(
            SavedMethodRow.gateway_id == gateway_id, SavedMethodRow.method_ref == method.method_ref
        )
    ).all()
    for row in rows:
        row.brand, row.last4, row.expires = method.brand[:32], method.last4[:4], method.expires[:7]
    session.flush()
    return len(rows)


def tell_expiring(session: Session, now_us: int) -> int:
    """Tell accounts whose cards expire soon, once per card and month; how many messages were written."""
    today = local_date(now_us, "UTC")
    last_days = {month: _last_day(month) for month in _months(today)}
    rows: Sequence[SavedMethodRow] = session.scalars(
        select(SavedMethodRow)
        .join(PaymentGatewayRow, PaymentGatewayRow.id == SavedMethodRow.gateway_id)
        .where(SavedMethodRow.state == "active", SavedMethodRow.expires.in_(last_days))
        .order_by(SavedMethodRow.id)
    ).all()
    told = 0
    for row in rows:
        day = last_days[row.expires]
        if today <= day <= today + timedelta(days=TOLD_AHEAD_DAYS):
            told += tell(
                session,
                row.account_id,
                NoticeKind.CARD_EXPIRING,
                key=f"card:{row.id}:{row.expires}",
                facts={"method": f"{row.brand} {row.last4}".strip(), "day": day},
                now_us=now_us,
            )
    return told


def _months(today: date) -> list[str]:
    after = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return [f"{day:%Y-%m}" for day in (today, after)]


def _last_day(month: str) -> date:
    first = date.fromisoformat(f"{month}-01")
    return (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
