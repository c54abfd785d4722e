"""For whom a report is written, and how figures look to him."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.numbers import format_decimal

from pbxbill.money import Unit, to_decimal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a report is written."""

    translate: Callable[[str], str] = lambda text: text
    """From English; what it does not know stays."""
    language: str = "en"
    zone: str = "UTC"
    units: Mapping[str, Unit] = field(default_factory=dict)
    now_us: int = 0

    @property
    def locale(self) -> Locale:
        """Whose figures and dates: days before months in English too."""
        try:
            found = Locale.parse(self.language, sep="-" if "-" in self.language else "_")
        except (ValueError, LookupError):
            found = Locale.parse("en_GB")
        return Locale.parse("en_GB") if str(found) == "en" else found

    def at(self, at_us: int) -> datetime:
        """A moment in the reader's zone."""
        return (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZoneInfo(self.zone))


def count_text(value: int, locale: Locale) -> str:
    """A whole number."""
    return str(format_decimal(value, "#,##0", locale))


def percent_text(ppm: int, locale: Locale) -> str:
    """Millionths as per cent."""
    return f"{format_decimal(Decimal(ppm).scaleb(-4), '#,##0.0', locale)}\u00a0%"


def short_amount_text(amount: int, unit: Unit, locale: Locale) -> str:
    """An amount rounded to the digits that people are shown."""
    value = to_decimal(amount, unit.scale).quantize(Decimal(1).scaleb(-unit.digits))
    text = format_decimal(value, f"#,##0.{'0' * unit.digits}".rstrip("."), locale)
    # A hyphen is not a minus: it is short, and lines break after it.
    return str(text).replace("-", "\u2212")
