"""Amounts, dates, quantities and names of countries as a language writes them."""

from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_interval, format_time
from babel.numbers import format_decimal, get_currency_symbol

from pbxbill.billing.charge import QUANTITY_SCALE
from pbxbill.money import Unit, to_decimal

FALLBACK = "en"
MOST_DIGITS = 20
_PPM_SCALE = 4
"""19 % is 190000 ppm."""
_BYTES = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))


@lru_cache(maxsize=64)
def locale_of(language: str) -> Locale:
    """A language's way of writing; English where it is unknown."""
    try:
        return Locale.parse(language.replace("-", "_") or FALLBACK)
    except (UnknownLocaleError, ValueError):
        # British dates and numbers are understood by most.
        return Locale.parse("en_GB")


class Formatting:
    """All formats of one document: its language and unit."""

    def __init__(self, language: str, unit: Unit) -> None:
        self.locale = locale_of("en-GB" if language == "en" else language)
        self.unit = unit
        self._symbol = get_currency_symbol(unit.code, locale=self.locale)
        standard = self.locale.currency_formats["standard"].pattern
        self._symbol_first = standard.startswith("¤")
        self._gap = "" if self._symbol_first and not self._symbol[-1].isalpha() else "\u00a0"

    def number(self, value: Decimal | int, digits: int = 0, most: int | None = None) -> str:
        """A number with so many digits after the point, or up to `most`."""
        if not 0 <= digits <= MOST_DIGITS:
            raise ValueError(f"a number has 0 to {MOST_DIGITS} digits after the point")
        most = digits if most is None else max(most, digits)
        tail = "." + "0" * digits + "#" * (most - digits) if most else ""
        text = format_decimal(value, format=f"#,##0{tail}", locale=self.locale)
        # A minus sign, not a hyphen, stands as wide as the digits.
        return text.replace("-", "\u2212")

    def amount(self, amount: int, digits: int = 0) -> str:
        """An amount in the unit, without its name; more digits than usual only where it has them."""
        return self.number(
            to_decimal(amount, self.unit.scale), max(self.unit.digits, digits), self.unit.scale
        )

    def digits(self, amounts: Collection[int]) -> int:
        """How many digits after the point it takes to write these amounts, all with as many."""
        for digits in range(self.unit.digits, self.unit.scale):
            step = 10 ** (self.unit.scale - digits)
            if all(amount % step == 0 for amount in amounts):
                return digits
        return self.unit.scale

    def money(self, amount: int) -> str:
        """An amount with the sign or code of its currency."""
        text = self.amount(abs(amount))
        sign = "\u2212" if amount < 0 else ""
        if self._symbol_first:
            return f"{sign}{self._symbol}{self._gap}{text}"
        return f"{sign}{text}{self._gap}{self._symbol}"

    def percent(self, ppm: int) -> str:
        """A tax rate."""
        sign = self.locale.percent_formats[None].pattern.rpartition("0")[2]
        return f"{self.number(to_decimal(ppm, _PPM_SCALE), 0, _PPM_SCALE)}{sign}"

    def quantity(self, quantity: int, measure: str = "items") -> str:
        """A quantity of millionths: seconds as h:mm:ss, bytes in what people count them in."""
        exact = to_decimal(quantity, QUANTITY_SCALE)
        if measure == "seconds":
            return duration(int(exact))
        if measure == "bytes":
            for size, name in _BYTES:
                if abs(exact) >= size:
                    return f"{self.number(exact / size, 0, 2)}\u00a0{name}"
        return self.number(exact, 0, QUANTITY_SCALE)

    def day(self, day: date | None) -> str:
        """A day, in figures where the language reads them one way only, else with the month's name."""
        return "" if day is None else format_date(day, format="medium", locale=self.locale)

    def period(self, first: date, last: date) -> str:
        """From a day to a day, saying month and year once where they are the same."""
        return format_interval(first, last, "yMMMd", locale=self.locale).replace("\u2009", "\u00a0")

    def moment(self, text: str) -> str:
        """A call's beginning, short."""
        at = datetime.fromisoformat(text)
        day = format_date(at, format="short", locale=self.locale)
        return f"{day} {format_time(at, format='HH:mm:ss', locale=self.locale)}"

    def country(self, code: str) -> str:
        """A country's name."""
        name: str = self.locale.territories.get(code.upper(), code) if code else ""
        return name


def duration(duration_s: int) -> str:
    """h:mm:ss."""
    sign = "\u2212" if duration_s < 0 else ""
    minutes, seconds = divmod(abs(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}:{minutes:02d}:{seconds:02d}"


def grouped_iban(iban: str) -> str:
    """In groups of four, as banks print it."""
    plain = iban.replace(" ", "")
    return "\u00a0".join(plain[at : at + 4] for at in range(0, len(plain), 4))
