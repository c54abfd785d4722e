"""Time bands: which band of a calendar a moment belongs to, and where the next one begins.

Bands are half-open, [from, to), in the calendar's time zone. Of the rules that cover a moment the one
with the highest priority wins; at equal priority the most specific (a date over a holiday, a holiday
over a weekday). Two rules of different bands that tie are refused when the calendar is made.
"""

from dataclasses import dataclass
from typing import NamedTuple


class BandRule(NamedTuple):
    """Days and hours that belong to a band."""

    band: str
    weekdays: frozenset[int] = frozenset()
    """0 is Monday; empty where dates or holidays choose the days, or every day."""
    from_s: int = 0
    """Seconds of the local day."""
    to_s: int = 86_400
    dates: tuple[str, ...] = ()
    """ISO dates "2026-12-24", yearly ones "--12-24", or ranges of either "A/B", both ends included."""
    holidays: bool = False
    """The calendar's public holidays."""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class BandCalendar:
    """One immutable version of a named calendar of bands."""

    id: int
    name: str
    zone: str
    """IANA name, e.g. Europe/Berlin."""
    rules: tuple[BandRule, ...]
    holidays: frozenset[str] = frozenset()
    """ISO dates, frozen when the calendar was made, so that old calls can be explained for ever."""
