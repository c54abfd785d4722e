"""A mark-up on the rates that the account above pays: a reseller's prices without a deck of his own."""

from pbxbill.money import ceil_div
from pbxbill.rating.bands import BandCalendar
from pbxbill.rating.tariff import PPM, BandPrice, MarkUp, Rate, Step, Tariff


def calendar_of(rate: Rate, tariff: Tariff) -> BandCalendar | None:
    """The calendar that decides a rate's bands; None where it has none to decide."""
    if rate.terms is None:
        return None
    return tariff.calendar or rate.terms.calendar


def marked_up(rate: Rate, mark_up: MarkUp, above: Tariff) -> Rate:
    """A rate of the tariff above with every price raised, each rounded up to the mark-up's step.

    The percentage counts for all prices, what is added only for those of a minute. None falls below zero.
    Its bands are those of the tariff above, unless the tariff that marks up names a calendar itself.
    """
    terms = rate.terms
    if terms is not None:
        maximum = terms.maximum_charge
        terms = terms._replace(
            steps=_steps(terms.steps, mark_up),
            bands=tuple((name, _band(price, mark_up)) for name, price in terms.bands),
            maximum_charge=None if maximum is None else _of_call(maximum, mark_up),
            calendar=calendar_of(rate, above),
        )
    return rate._replace(
        price_per_min=_per_min(rate.price_per_min, mark_up),
        connection_fee=_of_call(rate.connection_fee, mark_up),
        minimum_charge=_of_call(rate.minimum_charge, mark_up),
        terms=terms,
    )


def _band(price: BandPrice, mark_up: MarkUp) -> BandPrice:
    return price._replace(
        price_per_min=_per_min(price.price_per_min, mark_up),
        connection_fee=_of_call(price.connection_fee, mark_up),
        minimum_charge=_of_call(price.minimum_charge, mark_up),
        steps=_steps(price.steps, mark_up),
    )


def _steps(steps: tuple[Step, ...], mark_up: MarkUp) -> tuple[Step, ...]:
    return tuple(step._replace(price_per_min=_per_min(step.price_per_min, mark_up)) for step in steps)


def _per_min(price: int, mark_up: MarkUp) -> int:
    return _raised(price, mark_up, mark_up.absolute)


def _of_call(price: int, mark_up: MarkUp) -> int:
    return _raised(price, mark_up, 0)


def _raised(price: int, mark_up: MarkUp, absolute: int) -> int:
    raised = price * (PPM + mark_up.ppm) + absolute * PPM
    return max(0, ceil_div(raised, PPM * mark_up.rounding_step) * mark_up.rounding_step)
