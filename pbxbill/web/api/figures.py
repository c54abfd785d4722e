"""The figures of the panel's first page: calls now and today, what they brought, what is owed and waits."""

from pydantic import BaseModel, Field

from pbxbill.access.permissions import Permission
from pbxbill.money import Unit
from pbxbill.reports.dashboard import Earned, at_risk, first_page, overdue, waiting
from pbxbill.store.models import AccountRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Api
from pbxbill.web.api.fields import Moment, Money, moment, money
from pbxbill.web.front import needs

TAG = "Reports"


class EarnedToday(BaseModel):
    """What calls of today brought in one unit, without tax."""

    net: Money
    cost: Money
    margin: Money
    net_a_week_ago: Money = Field(description="Until the same time of that day.")


class Overdue(BaseModel):
    """Invoices in one unit that should have been paid."""

    invoices: int
    open: Money


class WaitingFor(BaseModel):
    """What somebody should look at."""

    alerts: int
    held_countries: int
    quarantined: int
    failing_jobs: int
    lost_switches: int


class Figures(BaseModel):
    """As things stand."""

    at: Moment
    live_calls: int | None = Field(description="Null: the key may not read calls.")
    calls: int = Field(description="Today.")
    answered: int
    calls_a_week_ago: int = Field(description="Until the same time of that day.")
    earned: list[EarnedToday]
    overdue: list[Overdue] | None = Field(description="Null: the key may not read invoices.")
    wallets_at_risk: int = Field(description="Whose credit is nearly used up.")
    waiting: WaitingFor | None = Field(description="Null: the key may read neither operations nor accounts.")


def figures(api: Api) -> None:
    """All at once."""
    front = api.front

    @api.get("/figures", Figures, TAG)
    @needs(Permission.REPORTS_READ)
    def get_figures() -> Figures:
        """The figures of the first page. Days are days in UTC."""
        actor, scope, now_us = front.actor, front.scope, front.clock.now_us()
        sees_alerts = actor.may(Permission.OPERATIONS_READ) or actor.may(Permission.ACCOUNTS_READ)
        with front.reading() as session:
            seller = session.get_one(AccountRow, scope.account_id)
            sums, _ = first_page(session, seller, now_us, "UTC")
            owed = overdue(session, scope, now_us) if actor.may(Permission.INVOICES_READ) else None
            risks, _ = at_risk(session, scope)
            waits = waiting(session, scope, now_us) if sees_alerts else None
            units = units_by_code(session)
        live = front.desks.live.totals(scope).calls if actor.may(Permission.CALLS_READ) else None
        return Figures(
            at=moment(now_us),
            live_calls=live,
            calls=sums.calls[-1],
            answered=sums.answered[-1],
            calls_a_week_ago=sums.calls_then,
            earned=[_earned(sums, code, units[code]) for code in sums.by_unit],
            overdue=None
            if owed is None
            else [Overdue(invoices=x.invoices, open=money(x.open, units[x.unit])) for x in owed],
            wallets_at_risk=risks,
            waiting=None
            if waits is None
            else WaitingFor(
                alerts=waits.alerts,
                held_countries=waits.held_countries,
                quarantined=waits.quarantined,
                failing_jobs=waits.failing_jobs,
                lost_switches=waits.lost_switches,
            ),
        )


def _earned(sums: Earned, code: str, unit: Unit) -> EarnedToday:
    today = sums.by_unit[code][-1]
    return EarnedToday(
        net=money(today.net, unit),
        cost=money(today.cost, unit),
        margin=money(today.margin, unit),
        net_a_week_ago=money(sums.then[code].net, unit),
    )
