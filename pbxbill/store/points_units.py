"""Which units are of points: they are earned and spent lot by lot, and nothing else moves wallets in them."""

from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.store.payment_models import PointsRuleRow


def is_points_unit(session: Session, code: str) -> bool:
    """Whether rules give points in a unit, or once did."""
    rule = select(PointsRuleRow.id).where(PointsRuleRow.points_unit == code).limit(1)
    return session.scalar(rule) is not None


def is_of_money(unit: Any) -> ColumnElement[bool]:
    """The condition that a column with a unit's code names one of money."""
    found: ColumnElement[bool] = unit.not_in(select(PointsRuleRow.points_unit))
    return found


def refuse_points(session: Session, code: str) -> None:
    """InputRefused where a unit is of points."""
    if is_points_unit(session, code):
        raise InputRefused(f"{code} are points: `pbxbill points give` gives some, `points spend` takes them")
