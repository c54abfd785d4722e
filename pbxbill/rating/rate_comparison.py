"""Compares the prices of two rates: whether some call becomes dearer or cheaper, whichever band it is in."""

from pbxbill.rating.tariff import BandPrice, Rate, RateTerms


def compared(before: Rate, after: Rate) -> tuple[bool, bool]:
    """Whether some call is dearer after, and whether some call is cheaper."""
    if before[3:9] == after[3:9] and before.terms == after.terms:
        return False, False
    pairs: list[tuple[int, int]] = []
    for band in _bands(before, after):
        one, other = _in_band(before, band), _in_band(after, band)
        pairs += zip(one[:5], other[:5], strict=True)
        pairs.append((-one.free_s, -other.free_s))
        pairs += [
            (_price_at(one, s), _price_at(other, s)) for s in {x.from_s for x in one.steps + other.steps}
        ]
    one_terms, other_terms = before.terms or RateTerms(), after.terms or RateTerms()
    pairs.append((_cap(one_terms), _cap(other_terms)))
    dearer = any(one < other for one, other in pairs)
    cheaper = any(one > other for one, other in pairs)
    return dearer, cheaper


def _bands(one: Rate, other: Rate) -> list[str]:
    names = {name for rate in (one, other) if rate.terms for name, _ in rate.terms.bands}
    base = not (one.terms and one.terms.banded_only and other.terms and other.terms.banded_only)
    return [*([""] if base or not names else []), *sorted(names)]


def _in_band(rate: Rate, band: str) -> BandPrice:
    terms = rate.terms
    if terms is not None:
        for name, price in terms.bands:
            if name == band:
                return price
    return BandPrice(*rate[3:9], terms.steps if terms else ())


def _price_at(price: BandPrice, second: int) -> int:
    found = price.price_per_min
    for step in price.steps:
        if step.from_s <= second:
            found = step.price_per_min
    return found


_NO_CAP = 2**63


def _cap(terms: RateTerms) -> int:
    return _NO_CAP if terms.maximum_charge is None else terms.maximum_charge


def dearest_price(rate: Rate) -> int:
    """The highest price per minute of a rate, in any band or step."""
    if rate.terms is None:
        return rate.price_per_min
    prices = [_in_band(rate, band) for band in _bands(rate, rate)]
    return max([x.price_per_min for x in prices] + [s.price_per_min for x in prices for s in x.steps])


def sold_below(sale: Rate, cost: Rate) -> bool:
    """Whether a call may cost more than it brings: the dearest cost against the cheapest sale of a band."""
    for band in _bands(sale, cost):
        asked, paid = _in_band(cost, band), _in_band(sale, band)
        dearest = max(asked.price_per_min, *(step.price_per_min for step in asked.steps), 0)
        cheapest = min([paid.price_per_min, *(step.price_per_min for step in paid.steps)])
        if cheapest < dearest:
            return True
    return False
