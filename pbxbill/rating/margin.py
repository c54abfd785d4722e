"""What a call costs us at a carrier, and what is left of its charge."""

from typing import NamedTuple

from pbxbill.money import Rounding, Unit, round_ratio
from pbxbill.rating.exchange import ExchangeRate, to_wallet
from pbxbill.rating.rater import charge
from pbxbill.rating.tariff import PPM, Rate, Tariff


class CallCost(NamedTuple):
    """What a carrier asks for a call, in its tariff's unit."""

    cost: int
    """Without tax."""
    billable_s: int


class Margin(NamedTuple):
    """What is left of a charge, in the charge's unit."""

    revenue: int
    """Without tax."""
    cost: int

    @property
    def amount(self) -> int:
        """Below zero: the call is a loss."""
        return self.revenue - self.cost

    @property
    def ppm(self) -> int | None:
        """Millionths of the revenue; None where there is none, as of a free call."""
        if self.revenue <= 0:
            return None
        share = round_ratio(abs(self.amount) * PPM, self.revenue, Rounding.HALF_UP)
        return share if self.amount >= 0 else -share


def call_cost(rate: Rate, tariff: Tariff, billed_us: int, answered_us: int) -> CallCost:
    """What a carrier asks for a call, by its own deck, bands and increments: no bundle of ours counts."""
    owed = charge(rate, tariff, billed_us, answered_us)
    return CallCost(owed.net, owed.billable_s)


def margin(
    revenue_net: int,
    revenue_unit: Unit,
    cost: int,
    cost_unit: Unit,
    exchange: ExchangeRate | None = None,
) -> Margin:
    """What is left of a net charge; a cost in another unit is rounded up, so that no margin is invented.

    `exchange` is the rate between the two units, in either direction; None: they are the same.
    """
    return Margin(revenue_net, to_wallet(cost, exchange, cost_unit, revenue_unit))
