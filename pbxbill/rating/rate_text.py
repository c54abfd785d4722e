"""Rates as people read them: all of their prices in one line."""

from pbxbill.money import PRICE_SCALE, to_decimal
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms


def price_text(rate: Rate) -> str:
    """The prices of a rate: its own, those of its bands, its steps, its fee and its limits."""
    terms = rate.terms or RateTerms()
    own = BandPrice(*rate[3:9], terms.steps)
    said = [] if terms.banded_only else _band_texts("", own)
    for name, price in terms.bands:
        said += _band_texts(f"{name} ", price)
    if terms.maximum_charge is not None:
        said.append(f"at most {plain_price(terms.maximum_charge)}")
    return ", ".join(said)


def plain_price(price: int) -> str:
    """A price without digits that say nothing."""
    return f"{to_decimal(price, PRICE_SCALE).normalize():f}"


def _band_texts(band: str, price: BandPrice) -> list[str]:
    said = [f"{band}{plain_price(price.price_per_min)}"]
    said += [f"{band}from {step.from_s} s {plain_price(step.price_per_min)}" for step in price.steps]
    if price.connection_fee:
        said.append(f"{band}fee {plain_price(price.connection_fee)}")
    if price.minimum_charge:
        said.append(f"{band}at least {plain_price(price.minimum_charge)}")
    return said
