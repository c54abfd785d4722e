"""Meters and their readings: each reading closes a period, which is charged in the same transaction.

Readings are taken in their order. One that shows less than the one before, lies before it, or in the
future is refused with a sentence; the same one again changes nothing.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.events import Moved, PostCharge
from pbxbill.charging.session import decide
from pbxbill.charging.writing import write
from pbxbill.errors import InputRefused
from pbxbill.mediation.meter_tariffs import parse_meter_tariff
from pbxbill.mediation.parsing import FUTURE_US
from pbxbill.money import PRICE_SCALE, format_amount, to_decimal
from pbxbill.rating.consumption import (
    READING_SCALE,
    ComponentKind,
    MeterTariff,
    PeriodCharge,
    charge_period,
    consumed_between,
)
from pbxbill.store.driver import Driver, driver_within
from pbxbill.store.mediation_models import MeterReadingRow

METER = (
    "SELECT m.id, m.code, m.account_id, m.measure, m.tariff, m.rolls_over_at FROM meters m "
    "WHERE m.code {any_text} {lock:m}"
)
READINGS = (
    "SELECT at_us, value, restarts_at FROM meter_readings WHERE meter_id {any_int} "
    "ORDER BY at_us DESC LIMIT 1"
)
READING_AT = "SELECT value FROM meter_readings WHERE meter_id {any_int} AND at_us {any_int}"
VERSIONS = (
    "SELECT number, unit, terms, effective_from_us FROM meter_tariffs WHERE name {any_text} ORDER BY number"
)


class Meter(NamedTuple):
    """A meter as its readings are charged by."""

    id: int
    code: str
    account_id: int
    measure: str
    tariff: str
    rolls_over_at: int | None


class Reading(NamedTuple):
    """What a meter shows; restarts_at: it was the last one of a meter, and the next began with this."""

    meter: str
    value: int
    at_us: int
    restarts_at: int | None = None


class PeriodPosted(NamedTuple):
    """What a reading brought; entry_id None: nothing was owed."""

    account_id: int
    unit: str
    consumed: int
    total: int
    tax: int
    entry_id: str | None
    explanation: dict[str, Any]


class ReadingKnown(NamedTuple):
    """The same reading was taken before."""


class UnknownMeter(InputRefused):
    """No meter has this code."""


def quantity_text(value: int) -> str:
    """A reading for people."""
    return f"{to_decimal(value, READING_SCALE).normalize():f}"


def take_reading(
    driver: Driver, catalogue: LoadedCatalogue, reading: Reading, now_us: int
) -> PeriodPosted | ReadingKnown:
    """Write a reading and charge its period, within the driver's transaction; InputRefused says why not."""
    meter = _meter(driver, reading.meter)
    if reading.at_us > now_us + FUTURE_US:
        raise InputRefused(f"meter {meter.code}: the reading lies in the future; correct its date")
    same = driver.select(READING_AT, [meter.id], [reading.at_us])
    if same and same[0][0] == reading.value:
        return ReadingKnown()
    if same:
        shown = quantity_text(same[0][0])
        raise InputRefused(f"meter {meter.code}: its reading of that moment is {shown} already")
    before = driver.select(READINGS, [meter.id])
    if not before:
        found = PeriodPosted(meter.account_id, "", 0, 0, 0, None, {"first": quantity_text(reading.value)})
    else:
        found = _charge(driver, catalogue, meter, reading, _period(meter, reading, before[0]), now_us)
    _insert(driver, meter, reading, found, now_us)
    return found


def take_reading_within(
    session: Session, connect: Callable[[], Driver], reading: Reading, now_us: int
) -> PeriodPosted | ReadingKnown:
    """The same within a session's transaction, by the tariffs as they stand there."""
    catalogue = LoadedCatalogue(connect, serving=False)
    driver = driver_within(session)
    catalogue.refresh(driver, now_us)
    return take_reading(driver, catalogue, reading, now_us)


class _Period(NamedTuple):
    from_us: int
    before: int
    consumed: int


def _meter(driver: Driver, code: str) -> Meter:
    rows = driver.select(METER, [code])
    if not rows:
        raise UnknownMeter(f"no meter {code[:64]!r}; `pbxbill meters list` shows them")
    return Meter(*rows[0])


def _period(meter: Meter, reading: Reading, last: Sequence[Any]) -> _Period:
    last_us, value, restarts_at = last
    if reading.at_us < last_us:
        raise InputRefused(
            f"meter {meter.code}: a later reading is charged already ({quantity_text(value)}); "
            "readings are taken in their order"
        )
    before = value if restarts_at is None else restarts_at
    if meter.rolls_over_at is not None and reading.value >= meter.rolls_over_at:
        highest = quantity_text(meter.rolls_over_at)
        raise InputRefused(f"meter {meter.code}: it rolls over at {highest} and cannot show more")
    consumed = consumed_between(before, reading.value, meter.rolls_over_at)
    if consumed is None:
        raise InputRefused(
            f"meter {meter.code}: {quantity_text(reading.value)} is less than {quantity_text(before)}, "
            "which it showed before; correct it. If the meter was replaced, give the old one's last reading "
            "with what the new one began with"
        )
    return _Period(last_us, before, consumed)


def _tariff(driver: Driver, catalogue: LoadedCatalogue, name: str, at_us: int) -> tuple[MeterTariff, int]:
    """The version in force when the period ended, and its number."""
    versions = driver.select(VERSIONS, [name])
    in_force = [row for row in versions if row[3] <= at_us]
    if not in_force:
        raise InputRefused(
            f"no meter tariff {name!r} is in force then; `pbxbill meters tariff set` makes one"
        )
    number, unit, terms, _ = max(in_force, key=lambda row: (row[3], row[0]))
    return parse_meter_tariff(name, terms, catalogue.units[unit]), number


def _charge(
    driver: Driver,
    catalogue: LoadedCatalogue,
    meter: Meter,
    reading: Reading,
    period: _Period,
    now_us: int,
) -> PeriodPosted:
    tariff, number = _tariff(driver, catalogue, meter.tariff, reading.at_us)
    charged = charge_period(tariff, period.consumed, reading.at_us - period.from_us)
    explanation = _explained(meter, reading, period, tariff, charged) | {"version": number}
    entry_id = None
    if charged.total:
        memo = f"meter {meter.code}: {quantity_text(period.consumed)} {meter.measure}"
        command = PostCharge(
            f"reading:{meter.id}:{reading.at_us}",
            meter.account_id,
            tariff.unit.code,
            charged.total,
            charged.tax,
            reading.at_us,
            memo,
        )
        state = load(driver, [command], catalogue, now_us)
        outcome, effects = decide(command, state)
        if not isinstance(outcome, Moved):
            reason = getattr(outcome, "reason", "it cannot be charged")
            raise InputRefused(f"meter {meter.code}: {reason}")
        state.apply(effects)
        write(driver, state, now_us)
        entry_id = outcome.entry_id
    return PeriodPosted(
        meter.account_id,
        tariff.unit.code,
        period.consumed,
        charged.total,
        charged.tax,
        entry_id,
        explanation,
    )


def _explained(
    meter: Meter, reading: Reading, period: _Period, tariff: MeterTariff, charged: PeriodCharge
) -> dict[str, Any]:
    """Line by line, in words and numbers that stay right when the tariff changes."""
    lines = []
    for line in charged.lines:
        for quantity, price in line.parts:
            if line.kind is ComponentKind.PER_DAY:
                many = days_text(quantity)
            else:
                many = "once" if line.kind is ComponentKind.FIXED else quantity_text(quantity)
            lines.append(f"{line.name}: {many} x {to_decimal(price, PRICE_SCALE).normalize():f}")
        if line.raised:
            lines.append(f"{line.name}: raised to its minimum")
    if charged.raised:
        lines.append("raised to the minimum of the period")
    return {
        "tariff": tariff.name,
        "from_us": period.from_us,
        "to_us": reading.at_us,
        "before": quantity_text(period.before),
        "after": quantity_text(reading.value),
        "consumed": f"{quantity_text(period.consumed)} {meter.measure}",
        "lines": lines,
        "total": f"{format_amount(charged.total, tariff.unit)} {tariff.unit.code}",
        "tax": format_amount(charged.tax, tariff.unit),
    }


def days_text(duration_us: int) -> str:
    """How long a period was, e.g. "30 days"."""
    days, rest_us = divmod(duration_us, 86_400_000_000)
    counted = "1 day" if days == 1 else f"{days} days"
    rest = f"{to_decimal(rest_us, 6).normalize():f} s"
    if not rest_us:
        return counted
    return f"{counted} and {rest}" if days else rest


def _insert(driver: Driver, meter: Meter, reading: Reading, found: PeriodPosted, now_us: int) -> None:
    columns = ("meter_id", "at_us", "value", "restarts_at", "consumed", "total", "tax", "uncollected")
    more = ("entry_id", "explanation", "created_us")
    values = (meter.id, reading.at_us, reading.value, reading.restarts_at)
    sums = (found.consumed, found.total, found.tax, 0)
    row = (*values, *sums, found.entry_id, json.dumps(found.explanation, ensure_ascii=False), now_us)
    driver.insert(MeterReadingRow.__table__, (*columns, *more), [row])  # type: ignore[arg-type]
