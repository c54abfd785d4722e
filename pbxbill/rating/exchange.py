"""Charges in one unit, paid from wallets in others: exact in integers, what is taken covers what is owed.

An exchange rate says how much of one unit another is. Amounts go from a tariff's unit into a wallet's
rounded up, and from a wallet's into a tariff's rounded down, so that

    worth(to_wallet(owed)) >= owed      what is taken pays what it is taken for
    to_wallet(worth(funds)) <= funds    what funds are said to be worth can be taken from them

Each wallet gives at most one of its smallest steps more than an exact fraction would be: it stays with
who is paid. Wallets keep more digits than people are shown so that this is never felt.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pbxbill.errors import check
from pbxbill.money import MAX_AMOUNT, Unit, ceil_div

EXCHANGE_SCALE = 9
"""Digits after the point that an exchange rate keeps.

Rates from 0.000000001 to 4.6 thousand million fit into 64 bits: enough for a bitcoin in any currency.
The small direction of such a pair keeps few digits; entered the large way round it is exact.
"""

MAX_UNIT_SCALE = 12
"""Digits that a unit's amounts may keep: 2**62 of them are still 4.6 million of the unit.

A coin of 18 digits is kept in its thousand-millionth (scale 9): wallets are no chain's accounts.
"""

_ONE = 10**EXCHANGE_SCALE
_POWERS = tuple(10**n for n in range(MAX_UNIT_SCALE + 1))


class ExchangeRate(NamedTuple):
    """One unit in another from a moment on; never changed once a charge may have used it."""

    id: int
    from_unit: str
    to_unit: str
    rate: int
    """How much of to_unit one from_unit is, in EXCHANGE_SCALE digits; above zero."""
    effective_from_us: int


class Source(NamedTuple):
    """One wallet that may pay, in the order in which a charge takes."""

    unit: Unit
    funds: int
    """What may be taken from it now, in its unit; nothing is taken from less than zero."""
    rate: ExchangeRate | None = None
    """Between the tariff's unit and the wallet's, in either direction; None: they are the same."""


class Taken(NamedTuple):
    """What one wallet gives."""

    amount: int
    """In the wallet's unit."""
    worth: int
    """What it pays of what is owed, in the tariff's unit."""


class Allocation(NamedTuple):
    """Who pays what is owed: sum of worths + uncollected == owed."""

    taken: tuple[Taken, ...]
    """One for each source, in their order."""
    uncollected: int
    """In the tariff's unit."""


class ExchangeTable:
    """All exchange rates, in memory."""

    def __init__(self, rates: Iterable[ExchangeRate] = ()) -> None:
        self._by_id = {rate.id: rate for rate in rates}
        self._by_pair: dict[tuple[str, str], list[ExchangeRate]] = {}
        for rate in sorted(self._by_id.values(), key=lambda x: (-x.effective_from_us, -x.id)):
            check(rate.rate > 0, "exchange rate {} is not above zero", rate.id)
            self._by_pair.setdefault((rate.from_unit, rate.to_unit), []).append(rate)

    def find(self, from_unit: str, to_unit: str, at_us: int) -> ExchangeRate | None:
        """The newest rate in force at a moment; one of the other direction only where this has none.

        No rate is made from two others: what a unit is worth in another must have been said.
        """
        for pair in ((from_unit, to_unit), (to_unit, from_unit)):
            for rate in self._by_pair.get(pair, ()):
                if rate.effective_from_us <= at_us:
                    return rate
        return None

    def rate(self, id: int) -> ExchangeRate:
        """A rate that a charge or a reservation names."""
        return self._by_id[id]


def wallet_order(order: str | None, tariff_unit: str) -> tuple[str, ...]:
    """Units of the wallets that pay, in their order; an account without an order pays in the tariff's."""
    return tuple(order.split(",")) if order else (tariff_unit,)


def to_wallet(amount: int, rate: ExchangeRate | None, tariff_unit: Unit, wallet_unit: Unit) -> int:
    """What must be taken from a wallet so that it covers an amount >= 0 of the tariff's unit."""
    if rate is None:
        return amount
    factor, divisor = _ratio(rate, tariff_unit, wallet_unit)
    return ceil_div(amount * factor, divisor)


def worth(amount: int, rate: ExchangeRate | None, tariff_unit: Unit, wallet_unit: Unit) -> int:
    """What an amount >= 0 in a wallet covers, in the tariff's unit; never said to be above MAX_AMOUNT."""
    if rate is None:
        return amount
    factor, divisor = _ratio(rate, tariff_unit, wallet_unit)
    return min(amount * divisor // factor, MAX_AMOUNT)


def allocate(owed: int, tariff_unit: Unit, sources: Sequence[Source]) -> Allocation:
    """Take what is owed from wallets in their order, each as far as its funds go.

    A wallet that cannot pay the rest gives what is worth a whole number of the tariff's smallest steps;
    the fraction beyond stays in it. More owed takes no less from any wallet, so a reservation only grows.
    """
    left = owed
    taken: list[Taken] = []
    for unit, funds, rate in sources:
        amount = to_wallet(left, rate, tariff_unit, unit)
        paid = left
        if amount > funds:
            paid = worth(max(0, funds), rate, tariff_unit, unit)
            amount = to_wallet(paid, rate, tariff_unit, unit)
        taken.append(Taken(amount, paid))
        left -= paid
    return Allocation(tuple(taken), left)


def total_worth(tariff_unit: Unit, sources: Sequence[Source]) -> int:
    """What wallets together can pay, in the tariff's unit: allocate() leaves nothing of it uncollected."""
    found = sum([worth(max(0, funds), rate, tariff_unit, unit) for unit, funds, rate in sources])
    return min(found, MAX_AMOUNT)


def _ratio(rate: ExchangeRate, tariff_unit: Unit, wallet_unit: Unit) -> tuple[int, int]:
    # What an amount of the tariff's unit is multiplied and divided by to become one of the wallet's.
    if (rate.from_unit, rate.to_unit) == (tariff_unit.code, wallet_unit.code):
        return rate.rate * _POWERS[wallet_unit.scale], _ONE * _POWERS[tariff_unit.scale]
    check(
        (rate.from_unit, rate.to_unit) == (wallet_unit.code, tariff_unit.code),
        "exchange rate {} is not between {} and {}",
        rate.id,
        tariff_unit.code,
        wallet_unit.code,
    )
    return _ONE * _POWERS[wallet_unit.scale], rate.rate * _POWERS[tariff_unit.scale]
