"""Meter tariffs as people write them, in TOML, and as they are kept."""

from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.mediation.written_faults import Written, sentences
from pbxbill.money import Rounding, Unit, compile_price, parse_decimal
from pbxbill.rating.consumption import READING_SCALE, Component, ComponentKind, MeterTariff, Range
from pbxbill.rating.tariff import PPM, TaxMode
from pbxbill.store.accounts import unit_of
from pbxbill.store.mediation_models import MeterRow, MeterTariffRow
from pbxbill.written_toml import TOMLDecodeError, read_toml


def _number(value: Any) -> Decimal:
    # A float of TOML is a binary fraction already: numbers with a point are written as texts.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('write it in quotes, like "0.15"')  # noqa: TRY004 what pydantic turns into a sentence
    try:
        return parse_decimal(str(value))
    except InputRefused as refused:
        raise ValueError(str(refused)) from None


Number = Annotated[Decimal, BeforeValidator(_number)]
MAX_TERMS_LENGTH = 60_000
"""Of a text, as pages and programs send it."""


class _RangeForm(Written):
    start: Number = Field(alias="from")
    price: Number


class _ComponentForm(Written):
    name: str = Field(min_length=1, max_length=60)
    kind: ComponentKind
    price: Number = Decimal(0)
    ranges: tuple[_RangeForm, ...] = ()
    minimum: Number = Decimal(0)


class _TariffForm(Written):
    unit: str
    component: tuple[_ComponentForm, ...]
    minimum: Number = Decimal(0)
    tax_mode: TaxMode = TaxMode.NONE
    tax: Number = Decimal(0)
    rounding: Rounding = Rounding.HALF_UP
    rounding_step: int = Field(1, ge=1, le=10**9)


class NewMeter(NamedTuple):
    """A meter to be made."""

    code: str
    tariff: str
    measure: str
    rolls_over_at: str | None = None
    """As a person writes it."""


def add_meter(session: Session, account_id: int, new: NewMeter, now_us: int) -> MeterRow:
    """Give an account a meter; its first reading starts it."""
    code, measure = new.code, new.measure
    if not code or len(code) > 64 or not code.isprintable():
        raise InputRefused(f"meter {code[:40]!r}: use 1 to 64 printable characters")
    if not measure or len(measure) > 20 or not measure.isprintable():
        raise InputRefused(f"measure {measure[:40]!r}: use 1 to 20 printable characters")
    if session.scalar(select(MeterRow.id).where(MeterRow.code == code)) is not None:
        raise InputRefused(f"there is a meter {code!r} already")
    known = select(MeterTariffRow.id).where(MeterTariffRow.name == new.tariff)
    if session.scalar(known.limit(1)) is None:
        raise InputRefused(f"no meter tariff {new.tariff!r}; `pbxbill meters tariff set` makes one")
    row = MeterRow(
        code=code,
        account_id=account_id,
        measure=measure,
        tariff=new.tariff,
        rolls_over_at=None if new.rolls_over_at is None else parse_quantity(new.rolls_over_at),
        created_us=now_us,
    )
    session.add(row)
    session.flush()
    return row


def parse_quantity(text: str) -> int:
    """A reading as people write it, with READING_SCALE digits kept."""
    value = parse_decimal(text).scaleb(READING_SCALE)
    if value != int(value) or not 0 <= value <= 10**18:
        raise InputRefused(f"{text[:40]!r} is no reading: 0 or more, with up to six digits after the point")
    return int(value)


def _form(name: str, text: str) -> _TariffForm:
    try:
        return _TariffForm.model_validate(read_toml(text))
    except TOMLDecodeError as error:
        raise InputRefused(f"meter tariff {name}: is no TOML: {error}") from None
    except ValidationError as error:
        lines = [f"meter tariff {name}: {sentence}" for sentence in sentences(error, _TariffForm)]
        raise InputRefused("\n".join(lines)) from None


def parse_meter_tariff(name: str, text: str, unit: Unit) -> MeterTariff:
    """The tariff that a TOML text describes."""
    form = _form(name, text)
    ppm = form.tax * (PPM // 100)
    if ppm != int(ppm):
        raise InputRefused(f"meter tariff {name}: a tax rate has up to four digits after the point")
    components = tuple(
        Component(
            x.name,
            x.kind,
            compile_price(x.price),
            tuple(Range(parse_quantity(str(r.start)), compile_price(r.price)) for r in x.ranges),
            compile_price(x.minimum),
        )
        for x in form.component
    )
    return MeterTariff(
        name,
        unit,
        components,
        compile_price(form.minimum),
        form.tax_mode,
        int(ppm),
        form.rounding,
        form.rounding_step,
    )


def add_meter_tariff(
    session: Session, name: str, text: str, effective_from_us: int, now_us: int
) -> MeterTariffRow:
    """Write the next version of a meter tariff."""
    if not name or len(name) > 64 or not name.isprintable():
        raise InputRefused(f"meter tariff {name[:40]!r}: use 1 to 64 printable characters")
    unit = unit_of(session, _form(name, text).unit)
    parse_meter_tariff(name, text, unit)
    row = MeterTariffRow(
        name=name,
        number=newest_number(session, name) + 1,
        unit=unit.code,
        terms=text,
        effective_from_us=effective_from_us,
        created_us=now_us,
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        raise InputRefused(
            f"somebody else is writing meter tariff {name} at this moment; look what is there now"
        ) from None
    return row


def newest_number(session: Session, name: str) -> int:
    """Of the newest version of a meter tariff; 0: there is none of this name."""
    newest = select(func.max(MeterTariffRow.number)).where(MeterTariffRow.name == name)
    return session.scalar(newest) or 0


def versions_of(session: Session, name: str) -> list[MeterTariffRow]:
    """Of a meter tariff, the newest first."""
    query = select(MeterTariffRow).where(MeterTariffRow.name == name)
    return list(session.scalars(query.order_by(MeterTariffRow.number.desc())))
