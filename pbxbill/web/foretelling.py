"""What something would cost, told before anybody does it: it is tried in a transaction that is undone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from flask_babel import gettext
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.foretelling import Forecast, foretold
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import unit_of
from pbxbill.web.fields import sentence
from pbxbill.web.formatting import count, day_text, plain_amount, short_amount_text
from pbxbill.web.front import Change, Front


class _Undone(Exception):
    """Undoes what was only tried."""


@contextmanager
def trying(front: Front) -> Iterator[Change]:
    """A transaction as Front.changing() gives, that is undone at its end."""
    with front.desks.desk() as desk, suppress(_Undone), desk.writing() as (session, books):
        yield Change(session, books, front.clock.now_us())
        raise _Undone


def told_of(front: Front, work: Callable[[Change], BroughtUp]) -> list[str]:
    """What would be given back and charged, in sentences; InputRefused as the work has it."""
    with trying(front) as tried:
        found = foretold(tried.session, work(tried), tried.now_us)
        return sentences(tried.session, found, tried.now_us)


def told_before(front: Front, work: Callable[[Change], BroughtUp]) -> list[str]:
    """The same, or why it is refused: for a page on which nothing was entered yet."""
    try:
        return told_of(front, work)
    except InputRefused as error:
        return [gettext("It cannot be done now: %(why)s", why=sentence(str(error)))]


def sentences(session: Session, found: Forecast, now_us: int) -> list[str]:
    """A forecast for people."""
    unit = unit_of(session, found.unit)

    def shown(amount: int) -> str:
        is_tiny = 0 < amount < 10 ** (unit.scale - unit.digits)
        return plain_amount(amount, unit) if is_tiny else f"{short_amount_text(amount, unit)} {unit.code}"

    told = []
    if found.at_us > now_us:
        told.append(gettext("It happens on %(day)s.", day=day_text(found.at_us)))
    told.append(_at_once(shown(found.given_back), shown(found.charged), found))
    on_invoice = {"back": shown(found.invoice_given_back), "charged": shown(found.invoice_charged)}
    if found.invoice_given_back and found.invoice_charged:
        text = gettext(
            "The next invoice gives back %(back)s and charges %(charged)s, without tax.", **on_invoice
        )
        told.append(text)
    elif found.invoice_given_back:
        told.append(gettext("The next invoice gives back %(back)s, without tax.", **on_invoice))
    elif found.invoice_charged:
        told.append(gettext("The next invoice charges %(charged)s, without tax.", **on_invoice))
    if found.lacking is not None:
        lacks = shown(found.lacking)
        told.append(gettext("It costs %(amount)s, which the wallet cannot pay.", amount=lacks))
    if found.is_over:
        told.append(gettext("Nothing is charged after that."))
    else:
        told.append(
            gettext(
                "Then it costs %(amount)s each period (%(cycle)s), without tax.",
                amount=shown(found.price),
                cycle=_cycle(found),
            )
        )
    return told


def _at_once(back: str, charged: str, found: Forecast) -> str:
    if found.given_back and found.charged:
        both = gettext(
            "%(back)s are given back and %(charged)s are charged today.", back=back, charged=charged
        )
        return str(both)
    if found.given_back:
        return str(gettext("%(back)s are given back today.", back=back))
    if found.charged:
        return str(gettext("%(charged)s are charged today.", charged=charged))
    return str(gettext("Nothing is charged today."))


def _cycle(found: Forecast) -> str:
    cycle = str(gettext(found.cycle))
    if found.every == 1:
        return cycle
    return str(gettext("every %(count)s × %(cycle)s", count=count(found.every), cycle=cycle))
