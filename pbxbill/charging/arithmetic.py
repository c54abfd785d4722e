"""How a duration becomes a charge, line by line, in the order in which the rater reckons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import gcd
from zoneinfo import ZoneInfo

from pbxbill.charging.taken import Piece, step_number
from pbxbill.clock import SECOND_US
from pbxbill.money import PRICE_SCALE, Rounding, format_amount, round_ratio, to_decimal
from pbxbill.rating.bands import BandCalendar
from pbxbill.rating.mark_up import calendar_of
from pbxbill.rating.rater import Charge, Stretch, billable_seconds, charge, price_parts, stretches
from pbxbill.rating.tariff import PPM, Rate, Tariff, TaxMode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Line:
    """One step of the arithmetic."""

    label: str
    value: str


def arithmetic(
    rate: Rate, tariff: Tariff, duration_us: int, start_us: int = 0, pieces: Sequence[Piece] = ()
) -> Iterator[Line]:
    """What a call of this duration costs that was answered at start_us, and why."""
    unit = tariff.unit
    yield Line("charged time", duration_text(duration_us, tariff))
    if duration_us <= 0:
        yield Line("total", f"0 {unit.code}: a call of no duration costs nothing")
        return
    allotments = [piece.allotment for piece in pieces]
    owed = charge(rate, tariff, duration_us, start_us, allotments)
    if rate.terms is None and not pieces:
        yield from _plain(rate, tariff, duration_us)
    else:
        yield from _stretched(rate, tariff, duration_us, start_us, pieces)
    yield from _total(tariff, owed)


def _total(tariff: Tariff, owed: Charge) -> Iterator[Line]:
    unit = tariff.unit
    if tariff.tax_mode is TaxMode.EXCLUSIVE:
        percent = to_decimal(tariff.tax_ppm, 4).normalize()
        yield Line("tax", f"{percent:f} % is added")
    yield Line("total", f"{format_amount(owed.total, unit)} {unit.code}, {_rounded_how(tariff)}")
    if tariff.tax_mode is not TaxMode.NONE and tariff.tax_ppm:
        common = gcd(tariff.tax_ppm, PPM)
        part = f"{tariff.tax_ppm // common} / {(PPM + tariff.tax_ppm) // common}"
        contained = format_amount(owed.tax, unit)
        yield Line("of which tax", f"{contained} {unit.code}: total x {part}, rounded half up")


def _rounded_how(tariff: Tariff) -> str:
    way = tariff.rounding.value.replace("_", " ")
    how = f"rounded {way}"
    if tariff.rounding_step == 1:
        return f"{how} to {tariff.unit.scale} digits"
    step = to_decimal(tariff.rounding_step, tariff.unit.scale).normalize()
    return f"{how} to a multiple of {step:f}"


def _plain(rate: Rate, tariff: Tariff, duration_us: int) -> Iterator[Line]:
    billable_s = billable_seconds(rate, duration_us)
    if rate.free_s:
        yield Line(f"free {_word(tariff)}", f"{rate.free_s} {_short(tariff)}")
    if not billable_s:
        yield Line("billable", f"0 {_short(tariff)}: the call ended within the free {_word(tariff)}")
    else:
        yield Line("billable", _increments(rate, billable_s, tariff))
    exact = rate.connection_fee * tariff.per + rate.price_per_min * billable_s
    if rate.connection_fee:
        yield Line("connection fee", _money(rate.connection_fee, tariff))
    if billable_s:
        with_fee = " with the fee" if rate.connection_fee else ""
        yield Line(
            "price", f"{_priced(billable_s, rate.price_per_min, tariff)} = {_exact(exact, tariff)}{with_fee}"
        )
        if rate.minimum_charge * tariff.per > exact:
            yield Line("minimum charge", _minimum(rate.minimum_charge, tariff))


def _stretched(
    rate: Rate, tariff: Tariff, duration_us: int, start_us: int, pieces: Sequence[Piece]
) -> Iterator[Line]:
    allotments = [piece.allotment for piece in pieces]
    calendar = calendar_of(rate, tariff)
    found = stretches(rate, tariff, duration_us, start_us, allotments)
    if calendar is not None:
        yield Line("times", f"in {calendar.zone}, from {_local(start_us, calendar):%Y-%m-%d} on")
    for stretch in found:
        parts = [_stretch(stretch, tariff, pieces), _step(stretch, rate, tariff, start_us)]
        yield Line(_when(stretch, start_us, calendar), ", ".join(filter(None, parts)))
    price = price_parts(rate, tariff, duration_us, start_us, allotments)
    fee = price.start.connection_fee
    if fee and price.fee_owed:
        yield Line("connection fee", _money(fee, tariff) + _of_band(rate, calendar, start_us))
    elif fee:
        yield Line("connection fee", "none: a bundle pays the whole call")
    yield Line("together", _exact(price.together, tariff))
    if price.at_minimum:
        yield Line("minimum charge", _minimum(price.start.minimum_charge, tariff))
    if price.at_maximum and rate.terms is not None and rate.terms.maximum_charge is not None:
        maximum = _money(rate.terms.maximum_charge, tariff)
        yield Line("maximum charge", f"{maximum}: a call costs no more{_before_tax(tariff)}")


def _of_band(rate: Rate, calendar: BandCalendar | None, start_us: int) -> str:
    if calendar is None or rate.terms is None or not rate.terms.bands:
        return ""
    band = calendar.band_at(start_us)
    where = f"in band {band}" if band in dict(rate.terms.bands) else "outside the bands"
    return f": the call was answered {where}"


def _money(price: int, tariff: Tariff) -> str:
    return f"{price_text(price)} {tariff.unit.code}"


def _minimum(price: int, tariff: Tariff) -> str:
    return f"{_money(price, tariff)}: a call costs no less{_before_tax(tariff)}"


def _before_tax(tariff: Tariff) -> str:
    return " before tax" if tariff.tax_mode is TaxMode.EXCLUSIVE else ""


def _when(stretch: Stretch, start_us: int, calendar: BandCalendar | None) -> str:
    if calendar is None:
        from_s, to_s = ((at_us - start_us) // SECOND_US for at_us in (stretch.from_us, stretch.to_us))
        return f"{_clock(from_s)} to {_clock(to_s)}"
    begins, ends = (_local(at_us, calendar) for at_us in (stretch.from_us, stretch.to_us))
    return f"{begins:%H:%M:%S} to {ends:%H:%M:%S}"


def _local(at_us: int, calendar: BandCalendar) -> datetime:
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZoneInfo(calendar.zone))


def _step(stretch: Stretch, rate: Rate, tariff: Tariff, start_us: int) -> str:
    """Which step of the call sets the price of a stretch, if one does."""
    if rate.terms is None or stretch.price_per_min is None or stretch.allotment is not None:
        return ""
    steps = rate.terms.steps
    if stretch.band is not None:
        own = dict(rate.terms.bands).get(stretch.band)
        steps = steps if own is None else own.steps
    second = (stretch.from_us - start_us) // SECOND_US
    begun = [step.from_s for step in steps if step.from_s <= second]
    return f"step of the call from {begun[-1]} {_short(tariff)} on" if begun else ""


def _stretch(stretch: Stretch, tariff: Tariff, pieces: Sequence[Piece]) -> str:
    if not stretch.increments:
        return f"free {_word(tariff)}"
    billable = f"{stretch.billable_s} {_short(tariff)}"
    piece = None if stretch.allotment is None else pieces[stretch.allotment]
    if piece is not None and piece.bundle is not None:
        taken = "1 call" if piece.allotment.whole_call else billable
        return f"{taken} from bundle {piece.bundle.name}, {_left(piece)}"
    assert stretch.price_per_min is not None
    parts = [
        f"{_priced(stretch.billable_s, stretch.price_per_min, tariff)} = {_exact(stretch.price, tariff)}"
    ]
    if stretch.band is not None:
        parts.append(f"band {stretch.band}")
    if piece is not None and tariff.cycle_steps is not None:
        number = step_number(piece.counter, tariff)
        begins = tariff.cycle_steps.steps[number].from_s
        parts.append(
            f"step {number + 1} of the {tariff.cycle_steps.cycle}, from {begins} {_short(tariff)} on"
        )
    return ", ".join(parts)


def _left(piece: Piece) -> str:
    counter = piece.counter
    until = (_EPOCH + timedelta(microseconds=counter.window_to_us)).strftime("%Y-%m-%d")
    left = counter.allowed - counter.used - counter.reserved
    return f"of which {left} of {counter.allowed} are left now, until {until}"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _increments(rate: Rate, billable: int, tariff: Tariff) -> str:
    short = _short(tariff)
    following = (billable - rate.initial_increment_s) // rate.following_increment_s
    if not following:
        return f"{rate.initial_increment_s} {short} initial increment = {billable} {short}"
    first, further = rate.initial_increment_s, rate.following_increment_s
    return (
        f"{first} {short} initial increment + {following} x {further} {short} following = {billable} {short}"
    )


def _priced(billable: int, price: int, tariff: Tariff) -> str:
    per = "minute" if tariff.measure == "seconds" and tariff.per == 60 else f"{tariff.per} {_word(tariff)}"
    return f"{billable} {_short(tariff)} / {tariff.per} x {price_text(price)} per {per}"


def _word(tariff: Tariff) -> str:
    return tariff.measure


def _short(tariff: Tariff) -> str:
    return "s" if tariff.measure == "seconds" else tariff.measure


def duration_text(duration_us: int, tariff: Tariff) -> str:
    """Charged time, or charged pieces of a service."""
    if tariff.measure == "seconds":
        return seconds_text(duration_us)
    return f"{duration_us // SECOND_US} {tariff.measure}"


def seconds_text(duration_us: int) -> str:
    """A duration to the microsecond, e.g. "61.5 s"."""
    return f"{to_decimal(duration_us, 6).normalize():f} s"


def price_text(price: int) -> str:
    """A compiled price as it was written."""
    return f"{to_decimal(price, PRICE_SCALE).normalize():f}"


def _exact(exact: int, tariff: Tariff) -> str:
    # What prices times pieces come to, in whole units of money where that is exact.
    whole, rest = divmod(exact, tariff.per)
    if not rest:
        return price_text(whole)
    return f"about {price_text(round_ratio(exact, tariff.per, Rounding.HALF_UP))}"
