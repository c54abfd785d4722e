"""rater.charge() for columns of plain rates, in 64-bit integers, and up to where these are enough.

All comes from one fraction: an exact price times _factor, divided by _divisor, is a whole number of the
tariff's rounding steps, tax included. Both are reduced, so that the product of any ordinary call stays
far below 2**63; which product may not is known beforehand, from the rate and the billable seconds.
"""

from math import gcd

import polars as pl

from pbxbill.clock import SECOND_US
from pbxbill.money import PRICE_SCALE, Rounding
from pbxbill.rating.tariff import PPM, Tariff, TaxMode

_MOST = 2**63 - 1
_ZERO = pl.lit(0, dtype=pl.Int64)


class ColumnArithmetic:
    """The arithmetic of one tariff, on columns named as the fields of Rate."""

    def __init__(self, tariff: Tariff) -> None:
        self._per = tariff.per
        self._rounding = tariff.rounding
        self._step = tariff.rounding_step
        factor: int = 10**tariff.unit.scale
        divisor: int = tariff.per * 10**PRICE_SCALE * tariff.rounding_step
        if tariff.tax_mode is TaxMode.EXCLUSIVE:
            factor *= PPM + tariff.tax_ppm
            divisor *= PPM
        common = gcd(factor, divisor)
        self._factor, self._divisor = factor // common, divisor // common
        tax_ppm = 0 if tariff.tax_mode is TaxMode.NONE else tariff.tax_ppm
        common = gcd(tax_ppm, PPM + tax_ppm)
        self._tax_factor, self._tax_divisor = tax_ppm // common, (PPM + tax_ppm) // common
        self._largest = self._largest_exact()

    def billable_s(self, duration_us: str) -> pl.Expr:
        """As rater.billable_seconds(): increments are whole seconds, so durations may be rounded up first."""
        lasted_s = (pl.col(duration_us) + (SECOND_US - 1)) // SECOND_US
        beyond_s = lasted_s - pl.col("free_s")
        following_s = pl.col("following_increment_s")
        after_s = beyond_s - pl.col("initial_increment_s")
        increments = pl.when(after_s > 0).then((after_s + following_s - 1) // following_s).otherwise(0)
        billable_s = pl.col("initial_increment_s") + increments * following_s
        return pl.when((beyond_s > 0) & (lasted_s > 0)).then(billable_s).otherwise(0).cast(pl.Int64)

    def fits(self, billable_s: str) -> pl.Expr:
        """Whether charge() is exact: a plain rate, and no product of it or its tax leaves 64 bits."""
        if self._largest < 0:
            return pl.lit(False)
        largest, whole = self._largest, self._largest // self._per
        in_range = (pl.col("connection_fee") <= whole) & (pl.col("minimum_charge") <= whole)
        left = largest - pl.col("connection_fee") * self._per
        longest_s = left // pl.max_horizontal("price_per_min", pl.lit(1, dtype=pl.Int64))
        return pl.col("plain") & in_range & (pl.col(billable_s) <= longest_s)

    def charge(self, billable_s: str) -> list[pl.Expr]:
        """Columns billable_s, total and tax, as rater.charge() says, where fits(); 0 without a rate."""
        seconds = pl.col(billable_s)
        if self._largest < 0:
            return [seconds.fill_null(0), _ZERO.alias("total"), _ZERO.alias("tax")]
        fee = pl.col("connection_fee") * self._per
        minimum = pl.col("minimum_charge") * self._per
        paid = pl.max_horizontal(minimum, fee + pl.col("price_per_min") * seconds)
        exact = pl.when(seconds > 0).then(paid).otherwise(fee)
        owed = pl.when(pl.col("billed_us") > 0).then(self._rounded(exact)).otherwise(0)
        total = owed.fill_null(0).alias("total")
        return [seconds.fill_null(0), total, self._tax_part(owed.fill_null(0)).alias("tax")]

    def _rounded(self, exact: pl.Expr) -> pl.Expr:
        numerator, divisor = exact * self._factor, self._divisor
        match self._rounding:
            case Rounding.HALF_UP:
                return (2 * numerator + divisor) // (2 * divisor) * self._step
            case Rounding.UP:
                return (numerator + (divisor - 1)) // divisor * self._step
            case Rounding.DOWN:
                return numerator // divisor * self._step

    def _tax_part(self, total: pl.Expr) -> pl.Expr:
        if not self._tax_factor:
            return _ZERO
        return (2 * self._tax_factor * total + self._tax_divisor) // (2 * self._tax_divisor)

    def _largest_exact(self) -> int:
        """The largest exact price whose rounding and tax stay in 64 bits; below 0: there is none."""
        if 2 * self._divisor > _MOST:
            return -1
        largest = (_MOST - self._divisor) // (2 * self._factor)
        if self._tax_factor:
            # Rounding brings a price to at most one step more than its exact worth.
            steps = (_MOST - self._tax_divisor) // (2 * self._tax_factor) // self._step - 1
            largest = min(largest, steps * self._divisor // self._factor)
        steps = _MOST // self._step - 1
        return min(largest, steps * self._divisor // self._factor)
