"""What fields of requests and answers are made of: amounts, moments, texts, ids."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import unit_of

MAX_ID = 2**63 - 1
AMOUNT_PATTERN = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"


class Sent(BaseModel):
    """Of requests: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("only printable characters, on one line")
    return text


def _no_default(schema: dict[str, Any]) -> None:
    # Left out is what it means: null would be another value.
    schema.pop("default", None)


Line = Annotated[str, AfterValidator(_printable)]
"""A text on one line."""
Code = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
"""Of an account: what people know it by."""
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Amount = Annotated[str, StringConstraints(pattern=AMOUNT_PATTERN, max_length=40)]
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339, in UTC."""


class Money(BaseModel):
    """An amount, exact, with its currency."""

    amount: str = Field(examples=["12.50"], pattern=r"^-?[0-9]+(\.[0-9]+)?$")
    currency: str = Field(examples=["EUR"], description="Or another unit that wallets count in.")


class SentMoney(Sent):
    """An amount, exact, with its currency."""

    amount: Amount = Field(examples=["12.50"])
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,12}$")] = Field(examples=["EUR"])

    def of(self, session: Session) -> tuple[int, Unit]:
        """The amount in the unit's steps, and the unit; InputRefused if there is none, or it is finer."""
        unit = unit_of(session, self.currency)
        return parse_amount(self.amount, unit), unit


def money(amount: int, unit: Unit) -> Money:
    """An amount of a known unit."""
    return Money(amount=format_amount(amount, unit), currency=unit.code)


def shown_money(amount: int | None, code: str | None, units: Mapping[str, Unit]) -> dict[str, str] | None:
    """An amount of a row; None where there is none."""
    if amount is None or code is None or code not in units:
        return None
    return {"amount": format_amount(amount, units[code]), "currency": code}


def moment(at_us: int) -> str:
    """2026-01-31T10:00:00.000000Z."""
    whole, part = divmod(at_us, SECOND_US)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{part:06d}Z"


def moment_or_none(at_us: int | None) -> str | None:
    """The same; None where nothing happened yet."""
    return None if at_us is None else moment(at_us)


def optional(kind: Any, description: str = "", **more: Any) -> tuple[Any, Any]:
    """A field that may be left out, for create_model."""
    return kind, left_out(description, **more)


def left_out(description: str = "", **more: Any) -> Any:
    """The default of a field that may be left out, `name: X = left_out()`: None then, and never sent so.

    A union with None would take null, and say of what is wrong in which part of the union it is.
    """
    return Field(default=None, description=description or None, json_schema_extra=_no_default, **more)
