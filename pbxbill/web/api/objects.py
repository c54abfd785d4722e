"""What paths and bodies name: accounts by code, own things by id; and how fields are told to be wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, WithJsonSchema
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.billing.invoices.standing import whole_coins
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, parse_amount
from pbxbill.store.models import AccountRow
from pbxbill.web.api.problems import FieldError, Refused, said
from pbxbill.web.front import Front

Row = TypeVar("Row")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(1971, 2200)


def wrong(field: str, detail: str) -> Refused:
    """The problem of one field of the body."""
    return Refused(422, errors=[FieldError(field=f"body.{field}", detail=detail)])


@contextmanager
def field(name: str) -> Iterator[None]:
    """What is refused within is said of this field of the body."""
    try:
        yield
    except InputRefused as error:
        raise wrong(name, said(error)) from None


def sent_amount(text: str, unit: Unit) -> int:
    """The field `amount`, which says how much of an invoice is meant, in its unit."""
    with field("amount"):
        return whole_coins(parse_amount(text, unit), unit, "the amount")


@contextmanager
def conflicts() -> Iterator[None]:
    """What is refused within cannot be done as things stand: 409."""
    try:
        yield
    except InputRefused as error:
        raise Refused(409, said(error)) from None


def account_named(session: Session, scope: Scope, code: str, field: str = "account") -> AccountRow:
    """An account of the scope, by its code; what is not there and what is another's look alike."""
    account = session.scalar(select(AccountRow).where(AccountRow.code == code))
    if account is None or not scope.covers(account):
        raise wrong(field, "there is no such account")
    return account


def billed_account(front: Front, session: Session, id: int) -> AccountRow:
    """An account that who asks bills himself; 404 where it is not seen."""
    account = front.account(session, id)
    if not front.scope.bills(account):
        raise Refused(403, "The account is billed by the reseller above it.")
    return account


def issuer(session: Session, scope: Scope) -> AccountRow:
    """Who asks, as the one who sells."""
    return session.get_one(AccountRow, scope.account_id)


def found(session: Session, model: type[Row], id: int, condition: ColumnElement[bool]) -> Row:
    """A row by its id where a condition holds; 404 for any other."""
    key: Any = model.id  # type: ignore[attr-defined]  # each has one
    row = session.scalar(select(model).where(key == id, condition).execution_options(populate_existing=True))
    if row is None:
        raise Refused(404)
    return row


def _moment_us(text: str) -> str:
    if moment_us(text) is None:
        raise ValueError("write a moment as 2026-01-31T10:00:00Z")
    return text


def moment_us(text: str) -> int | None:
    """Microseconds of a moment in RFC 3339; None where it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None or len(text) < len("2026-01-31T10:00:00Z") or at.year not in _YEARS:
        return None
    return (at.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def at_us(text: str | None, otherwise: int | None = None) -> int | None:
    """A sent moment; otherwise where it was left out."""
    return otherwise if text is None else moment_us(text)


def _day(text: str) -> str:
    try:
        is_day = len(text) == 10 and date.fromisoformat(text).year in _YEARS
    except ValueError:
        is_day = False
    if not is_day:
        raise ValueError("write a day as 2026-01-31")
    return text


SentMoment = Annotated[
    str, AfterValidator(_moment_us), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""RFC 3339, in any zone."""
SentDay = Annotated[str, AfterValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
DAY_US = 86_400 * SECOND_US
