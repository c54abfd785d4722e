"""An invoice that nobody pays, on a clock that is moved from day to day, until a payment lifts the bar."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from demo import site
from demo.product import Product
from demo.promise import Promise
from demo.script import EMERGENCY, PARIS
from pbxbill.app import Application, billing, open_application, open_charging
from pbxbill.billing.payments.payments import NewPayment, record_payment
from pbxbill.charging.events import Authorize, Denied, Direction, Granted, Void
from pbxbill.clock import SECOND_US, ManualClock, SystemClock
from pbxbill.ids import new_id
from pbxbill.jobs.dunning import dunning
from pbxbill.jobs.job import JobWork
from pbxbill.settings import load_settings
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import InvoiceRow

POLICY = "standard"
DAYS = 70
"""The invoices of today are due in thirty."""
DAY_US = 86_400 * SECOND_US
LEVELS = ("remind", "bar outgoing", "suspend")


@dataclass(slots=True)
class DunningSeen:
    """What came of it."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    before: str = ""
    barred: str = ""
    """Why a call to the outside was denied; empty: it was not."""
    help_passes: bool = False
    paid_again: bool = False
    """After the payment the same call is granted."""


def offer_patience(product: Product) -> None:
    """The policy that holds for all."""
    product.command("dunning", "import", POLICY, str(site.DATA / "dunning.toml"), "--standard")


def dun(product: Product) -> DunningSeen:
    """Live through the days after today; the daemon has ended, so that nobody else's clock is asked."""
    seen = DunningSeen()
    settings = load_settings(product.config)
    now_us = SystemClock().now_us()
    # From the next noon on: nobody is reminded at night, and a day's only run would always find it night.
    clock = ManualClock(now_us + (DAY_US // 2 - now_us) % DAY_US)
    with open_application(settings.database_url, clock=clock) as application:
        seen.before = _denial(application, PARIS)
        work = JobWork(application, settings)
        for _ in range(DAYS):
            clock.advance(DAY_US)
            dunning(work)
        work.close()
        seen.barred = _denial(application, PARIS)
        seen.help_passes = not _denial(application, EMERGENCY)
        _pay(application)
        seen.paid_again = not _denial(application, PARIS)
    seen.steps = product.json("dunning", "steps", site.BRUNO.code)
    return seen


def _denial(application: Application, number: str) -> str:
    """Why Bruno may not call a number now; empty: he may."""
    now_us, session_id = application.clock.now_us(), new_id()
    request = Authorize(
        session_id, "demo", session_id, Direction.OUTBOUND, number, "2002", now_us, site.BRUNO.code
    )
    with open_charging(application) as charging:
        outcome = charging.engine.execute(request)
        if isinstance(outcome, Granted):
            charging.engine.execute(Void(session_id, now_us, 16))
            return ""
    assert isinstance(outcome, Denied)
    return outcome.detail


def _pay(application: Application) -> None:
    """All that Bruno owes on invoices."""
    with transaction(application.database) as session:
        account = account_by_code(session, site.BRUNO.code)
        rows = session.query(InvoiceRow).filter_by(account_id=account.id)
        owed = sum(row.open for row in rows if row.kind == "invoice")
    with billing(application) as (session, books):
        account = account_by_code(session, site.BRUNO.code)
        payment = NewPayment(owed, "EUR", "bank", "transfer at last")
        record_payment(session, books, account, payment, application.clock.now_us())


def examine_dunning(seen: DunningSeen) -> Iterator[Promise]:
    """The levels, the bar, and its end."""
    levels = [step["action"] for step in seen.steps]
    yield Promise(
        "an overdue invoice goes through its levels, each once",
        levels == list(LEVELS) and not seen.before,
        ", ".join(f"{step['action']} {str(step['at'])[:10]}" for step in seen.steps),
    )
    yield Promise(
        "the bar denies calls, and not for help",
        bool(seen.barred) and seen.help_passes,
        seen.barred or "no bar",
    )
    yield Promise("a payment lifts it at once", seen.paid_again, "the next call is granted")
