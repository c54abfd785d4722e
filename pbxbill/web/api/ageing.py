"""Who owes what since when, now or on a past day; and how an account pays."""

from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, Field

from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning.ageing import (
    BEHAVIOUR_DAYS,
    BUCKETS,
    Aged,
    ageing,
    behaviour,
    open_invoices,
    who_owes,
)
from pbxbill.billing.period import day_start_us
from pbxbill.money import Unit
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Api
from pbxbill.web.api.dunning import TAG
from pbxbill.web.api.fields import Moment, Money, Sent, left_out, moment_or_none, money
from pbxbill.web.api.objects import SentDay, issuer
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Front, needs

MOST_SHOWN = 500


class AgeingQuery(Sent):
    """As of which day."""

    at: SentDay = left_out("As of the end of this day in UTC. Default: now.")


class Bucket(BaseModel):
    """What is open by how late it is."""

    days: str
    money: Money


class Owed(BaseModel):
    """What is owed in one currency, by days late."""

    invoices: int
    open: Money
    buckets: list[Bucket]
    oldest_due: Moment | None


class AgedAccount(Owed):
    """What an account owes."""

    account: str
    name: str


class Ageing(BaseModel):
    """Who owes what, the most first."""

    items: list[AgedAccount]
    total: int = Field(description="How many accounts there are; the first are shown.")
    sums: list[Owed] = Field(description="What all of them owe, in each currency.")


class OpenInvoiceShown(BaseModel):
    """An invoice that something is open of."""

    number: str
    open: Money
    due: Moment | None
    days_late: int


class Behaviour(BaseModel):
    """How an account has paid."""

    days: int = Field(description="In so many days before.")
    paid: int = Field(description="Invoices that were settled by payments.")
    late: int = Field(description="Of them, after their due day.")
    average_days_late: int = Field(description="Of all that were paid.")
    bounced: int = Field(description="Payments that were taken back.")
    promises: int
    broken_promises: int


class AccountAgeing(BaseModel):
    """What an account owes, and how it has paid."""

    owed: list[Owed] = Field(description="In each currency.")
    invoices: list[OpenInvoiceShown] = Field(
        description=f"What was due first first; up to {MOST_SHOWN}: `/invoices` has all."
    )
    behaviour: Behaviour


def ageings(api: Api) -> None:
    """Of all accounts in scope, and of one."""
    front = api.front

    @api.get("/ageing", Ageing, TAG)
    @needs(Permission.DUNNING_READ)
    def get_ageing(query: AgeingQuery) -> Ageing:
        """Who owes what, by days late; the first 500 accounts."""
        at_us = _as_of(front, query)
        with front.reading() as session:
            below = None if front.scope.is_everything else issuer(session, front.scope)
            owed = who_owes(session, at_us, below=below, limit=MOST_SHOWN)
            units = units_by_code(session)
        items = [AgedAccount(account=x.code, name=x.name, **_facts(x, units[x.unit])) for x in owed.rows]
        sums = [Owed(**_facts(x, units[x.unit])) for x in owed.totals]
        return Ageing(items=items, total=owed.many, sums=sums)

    @api.get("/accounts/<int:account_id>/ageing", AccountAgeing, TAG)
    @needs(Permission.DUNNING_READ)
    def get_account_ageing(path: AccountPath, query: AgeingQuery) -> AccountAgeing:
        """What an account owes, by days late, each open invoice, and how it has paid in a year."""
        at_us = _as_of(front, query)
        with front.reading() as session:
            account = front.account(session, path.account_id)
            owed = ageing(session, at_us, account=account)
            invoices = open_invoices(session, account, at_us, MOST_SHOWN)
            paid = behaviour(session, account, at_us)
            units = units_by_code(session)
        return AccountAgeing(
            owed=[Owed(**_facts(x, units[x.unit])) for x in owed],
            invoices=[
                OpenInvoiceShown(
                    number=x.number,
                    open=money(x.open, units[x.unit]),
                    due=moment_or_none(x.due_us),
                    days_late=x.days_late,
                )
                for x in invoices
            ],
            behaviour=Behaviour(
                days=BEHAVIOUR_DAYS,
                paid=paid.paid,
                late=paid.late,
                average_days_late=paid.average_days_late,
                bounced=paid.bounced,
                promises=paid.promises,
                broken_promises=paid.broken,
            ),
        )


def _as_of(front: Front, query: AgeingQuery) -> int:
    now_us = front.clock.now_us()
    sent: Any = query
    if sent.at is None:
        return now_us
    return min(now_us, day_start_us(date.fromisoformat(sent.at) + timedelta(days=1), "UTC") - 1)


def _facts(found: Aged, unit: Unit) -> dict[str, Any]:
    return {
        "invoices": found.invoices,
        "open": money(found.open, unit),
        "buckets": [
            Bucket(days=days, money=money(amount, unit))
            for days, amount in zip(BUCKETS, found.buckets, strict=True)
        ],
        "oldest_due": moment_or_none(found.oldest_due_us),
    }
