"""Rules by which customers of an issuer earn points, and what points are: whole pieces that are no currency.

A wallet in a unit of points is moved by points.py and points_earning.py alone, lot by lot. So no tariff
charges in it, no wallet order names it, and nobody tops it up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.money import minor_step
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow, TariffVersionRow, WalletRow
from pbxbill.store.payment_models import PointsLotRow, PointsRuleRow, VoucherBatchRow
from pbxbill.store.points_units import is_points_unit

TOP_UP, USAGE, REFERRAL = "top_up", "usage", "referral"
KINDS = (TOP_UP, USAGE, REFERRAL)
MOST_POINTS = 1_000_000
MOST_VALID_DAYS = 3_660


@dataclass(frozen=True, slots=True)
class NewRule:
    """How points are earned."""

    kind: str
    points_unit: str
    unit: str
    per: int
    """For each such amount; of a referral: from such a top-up on."""
    points: int
    valid_days: int | None = None
    worth: int = 0
    """What one is worth when it is spent, in the unit's steps."""


def add_rule(session: Session, issuer: AccountRow, new: NewRule, now_us: int) -> PointsRuleRow:
    """Let customers of an issuer earn points from now on."""
    if issuer.kind == "customer":
        raise InputRefused(f"{issuer.code} is a customer; rules belong to the operator or a reseller")
    if new.kind not in KINDS:
        raise InputRefused(f"a rule is for one of {', '.join(KINDS)}")
    unit = unit_of(session, new.unit)
    if new.per < minor_step(unit):
        raise InputRefused("say for which amount points are earned: at least the smallest coin")
    if not 1 <= new.points <= MOST_POINTS:
        raise InputRefused(f"a rule gives 1 to {MOST_POINTS} points")
    if new.valid_days is not None and not 1 <= new.valid_days <= MOST_VALID_DAYS:
        raise InputRefused(f"points are valid for 1 to {MOST_VALID_DAYS} days, or without end")
    if not 0 <= new.worth <= new.per:
        raise InputRefused("a point is worth no more than what earns points")
    if unit_of(session, new.points_unit).scale != 0 or new.points_unit == new.unit:
        raise InputRefused(
            f"{new.points_unit} is no unit of points; "
            "`pbxbill units add POINTS --kind items` makes one of whole pieces"
        )
    if is_points_unit(session, new.unit):
        raise InputRefused(f"{new.unit} are points themselves")
    _refuse_used_otherwise(session, new.points_unit)
    same = select(PointsRuleRow.id).where(
        PointsRuleRow.issuer_id == issuer.id,
        PointsRuleRow.kind == new.kind,
        PointsRuleRow.unit == new.unit,
        PointsRuleRow.points_unit == new.points_unit,
        PointsRuleRow.state == "active",
    )
    known = session.scalar(same)
    if known is not None:
        raise InputRefused(f"rule {known} says so already; `pbxbill points rules end {known}` ends it first")
    row = PointsRuleRow(
        issuer_id=issuer.id,
        kind=new.kind,
        points_unit=new.points_unit,
        unit=new.unit,
        per=new.per,
        points=new.points,
        valid_days=new.valid_days,
        worth=new.worth,
        state="active",
        from_us=now_us,
    )
    session.add(row)
    session.flush()
    return row


def _refuse_used_otherwise(session: Session, code: str) -> None:
    """What is charged or paid in is no unit of points, else lots and wallets would say different things."""
    if is_points_unit(session, code):
        return
    orders = select(AccountRow.wallet_order).where(AccountRow.wallet_order.contains(code, autoescape=True))
    held = select(WalletRow.id).where(WalletRow.unit == code)
    held = held.where(or_(WalletRow.posted != 0, WalletRow.credit_limit != 0))
    used = (
        session.scalar(select(TariffVersionRow.id).where(TariffVersionRow.unit == code).limit(1)) is not None
        or any(code in str(order).split(",") for order in session.scalars(orders))
        or session.scalar(held.limit(1)) is not None
        or session.scalar(select(VoucherBatchRow.id).where(VoucherBatchRow.unit == code).limit(1)) is not None
    )
    if used:
        raise InputRefused(f"{code} is paid, charged or held in wallets: points need a unit of their own")


def end_rule(session: Session, rule_id: int) -> PointsRuleRow:
    """Nothing is earned by it any more; what was earned keeps its worth."""
    row = session.get(PointsRuleRow, rule_id)
    if row is None:
        raise InputRefused(f"there is no rule {rule_id}; `pbxbill points rules list` shows them")
    row.state = "ended"
    session.flush()
    return row


def rules_of(
    session: Session, issuer_id: int | None, kind: str, unit: str | None = None
) -> Sequence[PointsRuleRow]:
    """The active rules of an issuer."""
    query = select(PointsRuleRow).where(
        PointsRuleRow.issuer_id == issuer_id, PointsRuleRow.kind == kind, PointsRuleRow.state == "active"
    )
    if unit is not None:
        query = query.where(PointsRuleRow.unit == unit)
    return session.scalars(query.order_by(PointsRuleRow.id)).all()


def lots_by_expiry(session: Session, account_id: int, unit: str) -> list[PointsLotRow]:
    """What is left of an account's points, the first to expire first; its wallets are locked."""
    query = select(PointsLotRow).where(
        PointsLotRow.account_id == account_id, PointsLotRow.unit == unit, PointsLotRow.left > 0
    )
    lots = list(session.scalars(query.execution_options(populate_existing=True)))
    return sorted(lots, key=lambda lot: (lot.expires_us is None, lot.expires_us or 0, lot.id))
