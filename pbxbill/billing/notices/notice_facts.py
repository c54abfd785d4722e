"""What a notice tells: facts by name, as a program and as a person of some language reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from pbxbill.billing.render.formatting import Formatting
from pbxbill.money import Unit, to_decimal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the smallest parts of a unit."""

    amount: int
    unit: str
    """Its code."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of time."""

    us: int


Fact = str | int | Money | date | Moment
Facts = Mapping[str, Fact]


@dataclass(frozen=True, slots=True)
class Reader:
    """How somebody reads: his language, his clock, and the units that amounts are in."""

    language: str
    zone: ZoneInfo
    units: Mapping[str, Unit]

    def written(self, facts: Facts) -> dict[str, str | int]:
        """The facts as texts; numbers stay numbers, so that words can depend on them."""
        return {name: self._written(fact) for name, fact in facts.items()}

    def _written(self, fact: Fact) -> str | int:
        if isinstance(fact, Money):
            return Formatting(self.language, self.units[fact.unit]).money(fact.amount)
        if isinstance(fact, Moment):
            locale = Formatting(self.language, _ANY).locale
            local = (_EPOCH + timedelta(microseconds=fact.us)).astimezone(self.zone)
            return format_datetime(local, "medium", locale=locale)
        if isinstance(fact, date):
            return Formatting(self.language, _ANY).day(fact)
        return fact


def in_json(facts: Facts, units: Mapping[str, Unit]) -> dict[str, object]:
    """The facts as a program reads them: amounts as decimal texts with their unit, moments in UTC."""
    return {name: _in_json(fact, units) for name, fact in facts.items()}


def _in_json(fact: Fact, units: Mapping[str, Unit]) -> object:
    if isinstance(fact, Money):
        unit = units[fact.unit]
        exact = to_decimal(fact.amount, unit.scale)
        return {"amount": f"{exact:f}", "unit": fact.unit}
    if isinstance(fact, Moment):
        return timestamp(fact.us)
    return fact.isoformat() if isinstance(fact, date) else fact


def timestamp(at_us: int) -> str:
    """A moment in UTC, as ISO 8601 writes it."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")


_ANY = Unit("EUR")
"""Of formats that no amount is written with."""
