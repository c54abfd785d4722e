"""What something would give back and charge, told before it is done; nothing is kept of it."""

from collections.abc import Callable

from pydantic import BaseModel, Field

from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.foretelling import foretold
from pbxbill.store.accounts import unit_of
from pbxbill.web.api.fields import Moment, Money, moment, money
from pbxbill.web.foretelling import trying
from pbxbill.web.front import Change, Front


class Forecast(BaseModel):
    """What something done with a subscription would give back and charge. Nothing is kept of it."""

    happens: Moment
    given_back: Money = Field(description="To the wallet at once, with tax.")
    charged: Money = Field(description="From the wallet at once, with tax.")
    invoice_given_back: Money = Field(description="On the next invoice, without tax.")
    invoice_charged: Money = Field(description="On the next invoice, without tax.")
    lacking: Money | None = Field(description="What it costs, where the wallet cannot pay it.")
    price: Money = Field(description="Of each whole period from then on, without tax.")
    cycle: str = Field(description="A period: so many (every) of these.")
    every: int
    ends: bool = Field(description="The subscription ends with it: no period follows.")


def forecast_of(front: Front, work: Callable[[Change], BroughtUp]) -> Forecast:
    """What the work would do."""
    with trying(front) as tried:
        found = foretold(tried.session, work(tried), tried.now_us)
        unit = unit_of(tried.session, found.unit)
        return Forecast(
            happens=moment(found.at_us),
            given_back=money(found.given_back, unit),
            charged=money(found.charged, unit),
            invoice_given_back=money(found.invoice_given_back, unit),
            invoice_charged=money(found.invoice_charged, unit),
            lacking=None if found.lacking is None else money(found.lacking, unit),
            price=money(found.price, unit),
            cycle=found.cycle,
            every=found.every,
            ends=found.is_over,
        )
