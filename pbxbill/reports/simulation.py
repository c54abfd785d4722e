"""What calls of the past would have brought by another tariff or rate deck. Nothing is changed."""

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.clock import ManualClock
from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.mediation.simulate import Comparison, Outcome, Scenario, simulate
from pbxbill.reports.call_facts import Span
from pbxbill.reports.call_sums import account_names
from pbxbill.reports.making import Stage, takes_long
from pbxbill.reports.record_count import are_many
from pbxbill.reports.report import (
    ACCOUNT,
    FROM,
    TO,
    Asked,
    Chart,
    Parameter,
    ParameterKind,
    ParameterRefused,
    Report,
    Table,
    account_of,
    choice_of,
    period_of,
    seller_of,
)
from pbxbill.store.driver import Driver, connect
from pbxbill.store.models import RateDeckRow, TariffRow

_GROUPS = (("account", N_("Account")), ("destination", N_("Destination")))
_SUMMED = (
    *("calls", "billed_us", "old", "new", "cost", "without_cost", "dearer", "cheaper", "unrated"),
    *("unrated_old", "left_out"),
)
TARIFF = Parameter("tariff", N_("By this tariff"), ParameterKind.TARIFF)
DECK = Parameter("deck", N_("By this rate deck"), ParameterKind.DECK)
WITHOUT_TAX = N_(
    "Amounts are without tax. The cost is what carriers ask, or what the account above was charged."
)
NO_RATE = N_("Calls without a rate would bring nothing: what they brought stands in a column of its own.")


def _simulation(session: Session, asked: Asked) -> Table:
    group = choice_of(asked, "group", _GROUPS)
    first = (
        (Column("code", N_("Account"), ColumnKind.CODE), Column("name", N_("Name"), wide=True))
        if group == "account"
        else (Column("destination", N_("Destination")),)
    )
    columns = (*first, *_COLUMNS)
    scenario = _scenario(session, asked)
    if scenario is None:
        return Table(columns, [])
    span = Span(0, scenario.from_us, scenario.to_us)
    account = account_of(session, asked) or seller_of(session, asked)
    if asked.is_page and are_many(session, [span], account):
        raise takes_long()  # before they are counted
    outcome = _outcome(session, asked, scenario)
    found = list(_rows(session, outcome, group))
    rows = [cells | _cells(unit, sums) for cells, unit, sums in found]
    totals = [_cells(unit, sums) for unit, sums in sorted(_totals(found).items())]
    chart = Chart("bar", first[0].key, ("old", "new"))
    is_cut = len(rows) > asked.limit
    return Table(columns, rows[: asked.limit], totals, chart, (WITHOUT_TAX, NO_RATE), is_cut)


_COLUMNS = (
    Column("calls", N_("Charges"), ColumnKind.COUNT),
    Column("billed_s", N_("Talked"), ColumnKind.SECONDS, wide=True),
    Column("old", N_("Brought"), ColumnKind.MONEY),
    Column("new", N_("Would bring"), ColumnKind.MONEY),
    Column("delta", N_("Difference"), ColumnKind.MONEY),
    Column("cost", N_("Cost"), ColumnKind.MONEY, wide=True),
    Column("margin", N_("Margin then"), ColumnKind.MONEY),
    Column("dearer", N_("Dearer"), ColumnKind.COUNT),
    Column("cheaper", N_("Cheaper"), ColumnKind.COUNT),
    Column("unrated", N_("Without a rate"), ColumnKind.COUNT),
    Column("unrated_old", N_("Brought by these"), ColumnKind.MONEY, wide=True),
    Column("without_cost", N_("Cost not known"), ColumnKind.COUNT, wide=True),
    Column("left_out", N_("Left out"), ColumnKind.COUNT, wide=True),
)


def _scenario(session: Session, asked: Asked) -> Scenario | None:
    """What is tried; None: nothing was named yet."""
    tariff, deck = asked.value("tariff"), asked.value("deck")
    account = account_of(session, asked)
    period = period_of(asked)
    if tariff and deck:
        raise ParameterRefused("deck", "name a tariff or a rate deck, not both")
    for key, name, model in (("tariff", tariff, TariffRow), ("deck", deck, RateDeckRow)):
        known = select(model.id).where(model.name == name, model.issuer_id == asked.scope.account_id)
        if name and session.scalar(known) is None:
            raise ParameterRefused(key, f"there is no {name[:40]!r}")
    if not tariff and not deck:
        return None
    accounts = () if account is None else (account.code,)
    return Scenario(*period, accounts, tariff or None, deck or None, top=0)


def _outcome(session: Session, asked: Asked, scenario: Scenario) -> Outcome:
    """By connections of its own, whose statements have no more time than the session's."""
    url = session.get_bind().engine.url.render_as_string(hide_password=False)
    making = asked.making
    with ExitStack() as limits:

        def connected() -> Driver:
            driver = connect(url)
            limits.enter_context(making.reading_by(driver.connection, making.patience_ms))
            return driver

        tell = partial(making.tell, Stage.CALLS)
        return simulate(connected, ManualClock(asked.now_us), scenario, tell)


_Found = tuple[dict[str, Any], str, Comparison]


def _rows(session: Session, outcome: Outcome, group: str) -> Iterable[_Found]:
    if group == "destination":
        for (unit, destination), sums in sorted(outcome.by_destination.items()):
            yield {"destination": destination}, unit, sums
        return
    names = account_names(session, [str(id) for _, id in outcome.by_account])
    found = [(names[str(id)], unit, sums) for (unit, id), sums in outcome.by_account.items()]
    yield from sorted(found, key=lambda x: (x[0]["code"], x[1]))


def _totals(found: Iterable[_Found]) -> dict[str, Comparison]:
    totals: dict[str, Comparison] = {}
    for _, unit, sums in found:
        total = totals.setdefault(unit, Comparison())
        for name in _SUMMED:
            setattr(total, name, getattr(total, name) + getattr(sums, name))
    return totals


def _cells(unit: str, sums: Comparison) -> dict[str, Any]:
    return {
        "unit": unit,
        "calls": sums.calls,
        "billed_s": sums.billed_us // 1_000_000,
        "old": sums.old,
        "new": sums.new,
        "delta": sums.new - sums.old,
        "cost": sums.cost,
        "margin": sums.new - sums.cost,
        "dearer": sums.dearer,
        "cheaper": sums.cheaper,
        "unrated": sums.unrated,
        "unrated_old": sums.unrated_old,
        "without_cost": sums.without_cost,
        "left_out": sums.left_out,
    }


SIMULATION = Report(
    "simulation",
    N_("Calls by other prices"),
    N_("What the calls of some days would have brought by another tariff or rate deck. Nothing is changed."),
    (FROM, TO, Parameter("group", N_("By"), choices=_GROUPS), TARIFF, DECK, ACCOUNT),
    _simulation,
    operators=True,
)
