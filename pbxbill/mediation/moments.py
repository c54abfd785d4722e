"""Moments and durations as files write them: epochs, ISO 8601, patterns in a time zone, h:mm:ss.

Local times are read once per minute of the clock. The hour that comes twice in autumn is told apart by
the mapping's rule, or not at all; the hour that does not come in spring is refused.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.mediation.record import Reason
from pbxbill.money import parse_decimal

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US = 946_684_800 * SECOND_US
"""2000-01-01: what is older is a clock that was never set."""
LATEST_US = 4_102_444_800 * SECOND_US
PLAIN = "%Y-%m-%d %H:%M:%S"
AMBIGUOUS_RULES = ("refuse", "earlier", "later")
EPOCH_STEPS_US = {"epoch_s": SECOND_US, "epoch_ms": 1000, "epoch_us": 1}
DURATION_STEPS_US = {"us": 1, "ms": 1000, "s": SECOND_US, "min": 60 * SECOND_US}

Moments = tuple[int, ...]
"""What a text may mean: one moment, or the earlier and the later of a local time that came twice."""


class MomentRefused(InputRefused):
    """A text that is no moment, with the reason it goes to quarantine for."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _malformed(text: str, wanted: str) -> MomentRefused:
    return MomentRefused(Reason.FIELD_MALFORMED, f"{text[:40]!r} is no moment of the form {wanted}")


def moments_reader(form: str, zone: ZoneInfo | None) -> Callable[[str], Moments]:
    """Reads a text of one form: a strptime pattern, iso, epoch_s, epoch_ms or epoch_us."""
    if form in EPOCH_STEPS_US:
        step_us = EPOCH_STEPS_US[form]
        return lambda text: (_bounded(_epoch_us(text, step_us, form), text),)
    minute_us = lru_cache(maxsize=20_000)(lambda text: _local_minute(text, zone))

    def read_plain(text: str) -> Moments:
        if len(text) == 19 and text[16] == ":" and text[17:].isdigit() and text[17:] < "61":
            second_us = int(text[17:]) * SECOND_US
            try:
                minutes_us = minute_us(text[:16])
            except MomentRefused:
                return read_pattern(text)  # which refuses the whole of it
            return tuple([at_us + second_us for at_us in minutes_us])
        return read_pattern(text)

    def read_pattern(text: str) -> Moments:
        try:
            at = datetime.fromisoformat(text) if form == "iso" else datetime.strptime(text, form)  # noqa: DTZ007 the zone follows
        except ValueError:
            raise _malformed(text, form) from None
        return _moments_of(at, zone, text)

    return read_plain if form == PLAIN else read_pattern


def _local_minute(text: str, zone: ZoneInfo | None) -> Moments:
    try:
        at = datetime.strptime(text, "%Y-%m-%d %H:%M")  # noqa: DTZ007 the zone follows
    except ValueError:
        raise _malformed(text, PLAIN) from None
    return _moments_of(at, zone, text)


def _moments_of(at: datetime, zone: ZoneInfo | None, text: str) -> Moments:
    if at.tzinfo is not None:
        return (_bounded(_since_epoch_us(at), text),)
    if zone is None:
        raise MomentRefused(Reason.FIELD_MALFORMED, f"{text[:40]!r} says no time zone, nor does the mapping")
    both = [_since_epoch_us(at.replace(tzinfo=zone, fold=fold)) for fold in (0, 1)]
    back = EPOCH + timedelta(microseconds=both[0])
    if back.astimezone(zone).replace(tzinfo=None) != at:
        message = f"{text[:40]!r} never was in {zone.key}: clocks were put forward over it"
        raise MomentRefused(Reason.TIME_ABSURD, message)
    return tuple(_bounded(at_us, text) for at_us in sorted(set(both)))


def _since_epoch_us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _epoch_us(text: str, step_us: int, form: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text) * step_us
    try:
        value = parse_decimal(text)
    except InputRefused:
        raise _malformed(text, form) from None
    if not 0 <= value <= LATEST_US:
        raise _malformed(text, form)
    return int(value * step_us)


def _bounded(at_us: int, text: str) -> int:
    if not EARLIEST_US <= at_us <= LATEST_US:
        message = f"{text[:40]!r} lies before 2000 or after 2099; is the time's form the right one?"
        raise MomentRefused(Reason.TIME_ABSURD, message)
    return at_us


def duration_us(text: str, unit: str) -> int:
    """A duration of one unit: us, ms, s, min (with a fraction or not), or h:mm:ss."""
    if unit != "h:mm:ss":
        return int(_quantity(text) * DURATION_STEPS_US[unit])
    sign = -1 if text.startswith("-") else 1
    parts = text.lstrip("-").split(":")
    if not 2 <= len(parts) <= 3 or any(len(part) < 2 or part[:2] >= "60" for part in parts[1:]):
        raise InputRefused(f"{text[:40]!r} is no duration of the form h:mm:ss")
    seconds = Decimal(0)
    for part in parts:
        seconds = seconds * 60 + _quantity(part)
    return sign * int(seconds * SECOND_US)


def _quantity(text: str) -> Decimal:
    value = parse_decimal(text)
    if abs(value) > 10**15:
        raise InputRefused(f"{text[:40]!r} is out of range")
    return value
