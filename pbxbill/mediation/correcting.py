"""From what wallets gave for a level of a call to what they should give, as far as their funds go. Pure.

A level that owes less forgives first what was never collected, then gives back from its last wallet. One that
owes more takes from its wallets in their order what is free in them; the rest is left uncollected.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pbxbill.charging.rerating import tax_taken
from pbxbill.charging.state import Catalogue
from pbxbill.mediation.past_calls import PastLine
from pbxbill.mediation.pricing import PricedLevel
from pbxbill.money import Unit
from pbxbill.rating.exchange import ExchangeRate, to_wallet, worth


class LineChange(NamedTuple):
    """What one line of a level's charge changes by."""

    level: PricedLevel
    line: PastLine
    billable_s: int
    delta: int
    """Taken from the wallet; below zero: given back."""
    tax: int
    uncollected: int
    """In the tariff's unit."""


class _Paying(NamedTuple):
    """A line with the unit of its wallet and the rate that it paid at."""

    line: PastLine
    unit: Unit
    exchange: ExchangeRate | None


def differs(level: PricedLevel) -> bool:
    """Whether a level should be charged otherwise."""
    owed = level.owed
    if owed is None:
        return False
    return level.owed_before != owed.total or any(x.tax != tax_taken(owed, x.total) for x in level.lines)


def corrected(level: PricedLevel, catalogue: Catalogue, funds: Mapping[int, int]) -> Iterator[LineChange]:
    """The change of every line of a level, of those too that stay; funds: what is free in wallets."""
    owed = level.owed
    if owed is None or not differs(level):
        return
    paying = [_paying(line, level, catalogue) for line in level.lines]
    uncollected = sum(line.uncollected for line in level.lines)
    unit = level.tariff.unit
    paid = _paid(level.owed_before - uncollected, unit, paying)
    increase = owed.total - level.owed_before
    if increase <= 0:
        forgiven = min(uncollected, -increase)
        wanted = _given_back(paid, -increase - forgiven)
        left = uncollected - forgiven
    else:
        wanted = _taken(paid, increase, unit, paying, funds)
        left = uncollected + increase - (sum(wanted) - sum(paid))
    amounts = _amounts(wanted, owed.total - left, unit, paying)
    last = len(paying) - 1
    for number, (own, amount) in enumerate(zip(paying, amounts, strict=True)):
        change = left - uncollected if number == last else 0
        tax = tax_taken(owed, amount) - own.line.tax
        yield LineChange(level, own.line, owed.billable_s, amount - own.line.total, tax, change)


def _paying(line: PastLine, level: PricedLevel, catalogue: Catalogue) -> _Paying:
    if line.exchange_id is None:
        return _Paying(line, level.tariff.unit, None)
    exchange = catalogue.offers.exchange.rate(line.exchange_id)
    own = {exchange.from_unit, exchange.to_unit} - {level.tariff.unit.code}
    return _Paying(line, catalogue.units[own.pop()], exchange)


def _paid(total: int, unit: Unit, paying: Sequence[_Paying]) -> list[int]:
    """What each line paid of what was collected, in the tariff's unit: as allocate() shared it."""
    left = total
    paid = []
    for line, own_unit, exchange in paying:
        if line.total == to_wallet(left, exchange, unit, own_unit):
            paid.append(left)
        else:
            paid.append(worth(line.total, exchange, unit, own_unit))
        left -= paid[-1]
    return paid


def _given_back(paid: Sequence[int], amount: int) -> list[int]:
    wanted = list(paid)
    for number in reversed(range(len(wanted))):
        back = min(wanted[number], amount)
        wanted[number] -= back
        amount -= back
    return wanted


def _taken(
    paid: Sequence[int], amount: int, unit: Unit, paying: Sequence[_Paying], funds: Mapping[int, int]
) -> list[int]:
    wanted = []
    for own, (line, own_unit, exchange) in zip(paid, paying, strict=True):
        free = line.total + max(0, funds[line.wallet_id])
        more = own + amount
        if to_wallet(more, exchange, unit, own_unit) > free:
            more = max(own, worth(free, exchange, unit, own_unit))
        amount -= more - own
        wanted.append(more)
    return wanted


def _amounts(wanted: Sequence[int], total: int, unit: Unit, paying: Sequence[_Paying]) -> list[int]:
    """What wallets give so that together they pay the total, to its last step."""
    left = total
    amounts = []
    for number, (share, (_, own_unit, exchange)) in enumerate(zip(wanted, paying, strict=True)):
        if share < left and any(wanted[number + 1 :]):
            amount = to_wallet(share, exchange, unit, own_unit)
            if worth(amount, exchange, unit, own_unit) < left:
                amounts.append(amount)
                left -= worth(amount, exchange, unit, own_unit)
                continue
        amounts.append(to_wallet(left, exchange, unit, own_unit))
        left = 0
    return amounts
