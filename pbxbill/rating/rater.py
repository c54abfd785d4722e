"""charge(): what a duration costs; affordable(): its exact inverse, how long funds last.

The price of a call is computed exactly, as one fraction, and rounded once, on the total with tax:

    0 seconds                     nothing
    up to the free seconds        the connection fee
    beyond                        max(minimum charge, connection fee + price x billable seconds)

Billable seconds start after the free seconds: one initial increment, then following ones.
The tax is the part that the rounded total contains, whether prices exclude or include it.
"""

from dataclasses import dataclass

from pbxbill.clock import SECOND_US
from pbxbill.money import PRICE_SCALE, Rounding, round_ratio, round_ratio_limit
from pbxbill.rating.tariff import PPM, Rate, Tariff, TaxMode

_SIXTIETHS = 60 * 10**PRICE_SCALE


@dataclass(frozen=True, slots=True)
class Charge:
    """What one level owes for a call, in the tariff's unit: total = net + tax."""

    total: int
    tax: int
    billable_s: int
    """Seconds after increments, free seconds not counted."""

    @property
    def net(self) -> int:
        """The charge without tax."""
        return self.total - self.tax


def billable_seconds(rate: Rate, duration_us: int) -> int:
    """The seconds to pay for after free seconds and increments."""
    beyond_us = duration_us - rate.free_s * SECOND_US
    if beyond_us <= 0:
        return 0
    following_us = beyond_us - rate.initial_increment_s * SECOND_US
    if following_us <= 0:
        return rate.initial_increment_s
    increments = -(-following_us // (rate.following_increment_s * SECOND_US))
    return rate.initial_increment_s + increments * rate.following_increment_s


def charge(rate: Rate, tariff: Tariff, duration_us: int) -> Charge:
    """What a call of this duration costs."""
    total = charge_total(rate, tariff, duration_us)
    seconds = billable_seconds(rate, duration_us) if duration_us > 0 else 0
    return Charge(total, _tax_part(total, tariff), seconds)


def charge_total(rate: Rate, tariff: Tariff, duration_us: int) -> int:
    """The total of charge(), for what is reserved: nobody asks for its tax."""
    if duration_us <= 0:
        return 0
    factor, denominator = _gross_ratio(tariff)
    numerator = _sixtieths(rate, billable_seconds(rate, duration_us)) * factor
    return round_ratio(numerator, denominator, tariff.rounding, tariff.rounding_step)


def affordable(rate: Rate, tariff: Tariff, funds: int, limit_s: int) -> int:
    """The longest duration in microseconds, at most limit_s seconds, that funds can pay.

    It lies on the end of an increment unless limit_s cuts it: charge(it) <= funds, and where it is
    below the limit one microsecond more would cost more than funds. 0: not even the first moment.
    """
    factor, denominator = _gross_ratio(tariff)
    numerator = round_ratio_limit(funds, denominator, tariff.rounding, tariff.rounding_step)
    budget = numerator // factor  # in sixtieths, as _sixtieths() counts
    beyond_fee = budget - rate.connection_fee * 60
    if beyond_fee < 0 or limit_s <= 0:
        return 0
    if limit_s <= rate.free_s:
        return limit_s * SECOND_US
    if budget < rate.minimum_charge * 60:
        return rate.free_s * SECOND_US
    if not rate.price_per_min:
        return limit_s * SECOND_US
    payable_s = beyond_fee // rate.price_per_min
    if payable_s < rate.initial_increment_s:
        return rate.free_s * SECOND_US
    payable_s -= (payable_s - rate.initial_increment_s) % rate.following_increment_s
    return min(limit_s, rate.free_s + payable_s) * SECOND_US


def increment_end(rate: Rate, duration_us: int) -> int:
    """The end of the increment that a duration falls in, microseconds: up to there it is paid."""
    if duration_us <= rate.free_s * SECOND_US:
        return duration_us
    return (rate.free_s + billable_seconds(rate, duration_us)) * SECOND_US


def _sixtieths(rate: Rate, seconds: int) -> int:
    # The net price times 60, so that a price per minute stays whole.
    if not seconds:
        return rate.connection_fee * 60
    return max(rate.minimum_charge * 60, rate.connection_fee * 60 + rate.price_per_min * seconds)


def _gross_ratio(tariff: Tariff) -> tuple[int, int]:
    # What sixtieths are multiplied and divided by to become the unit's smallest steps with tax.
    factor = 10**tariff.unit.scale
    if tariff.tax_mode is TaxMode.EXCLUSIVE:
        return factor * (PPM + tariff.tax_ppm), _SIXTIETHS * PPM
    return factor, _SIXTIETHS


def _tax_part(total: int, tariff: Tariff) -> int:
    # The tax that the rounded total contains: tax is owed on what is charged, not on what was computed.
    if tariff.tax_mode is TaxMode.NONE or not tariff.tax_ppm:
        return 0
    return round_ratio(total * tariff.tax_ppm, PPM + tariff.tax_ppm, Rounding.HALF_UP)
