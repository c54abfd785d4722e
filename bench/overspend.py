"""200 callers at once on money for 20 of them: is a micro-unit overspent, and how much stays unused?

Two engines on one database compete for the same wallets, as two daemons would, and every call is steered
by LiveCall on a simulated switch. The money is an odd sum, so that it never divides into whole slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from bench.figures import Figures, Value, progress, run
from bench.many_calls import Habit, ManyCalls, NewsBox
from bench.postgres import measured_postgres
from bench.site import CENT_PER_MIN, UNIT, Increments, OpenedWallet, open_site, temporary_sqlite
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Moved, TopUp
from pbxbill.charging.verify import verify
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.errors import check
from pbxbill.rating.rater import charge
from pbxbill.rating.tariff import Rate, Tariff, TaxMode
from pbxbill.store.decks import NewRate
from pbxbill.store.driver import connect
from pbxbill.store.engine import migrate

ABOUT = "200 simultaneous calls on one account with money for 20: overspent and unused money"
CALLERS = 200
PAID_FOR = 20
CALL_US = 180 * SECOND_US
ODD_SUM = 7_777
PREFIX, NUMBER = "49", "49301234567"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One tariff, one behaviour of the callers, and where the money is short."""

    increments: Increments
    restless: bool
    """Calls of different lengths, and who is denied dials again; else all talk equally long and dial once."""
    reseller: bool
    """The reseller above the account has the money for 20 calls, the account itself has plenty."""

    @property
    def name(self) -> str:
        habit = "restless" if self.restless else "steady"
        short = "reseller" if self.reseller else "account"
        return f"{self.increments}.{habit}.{short}"


SCENARIOS = tuple(
    Scenario(increments, restless, reseller)
    for increments in (Increments(1, 1), Increments(60, 60), Increments(30, 6))
    for restless in (False, True)
    for reseller in (False, True)
)


def habits(restless: bool) -> Iterator[Habit]:
    """How the 200 callers behave; the same ones in every run."""
    random = Random(20)
    for _ in range(CALLERS):
        rings_us = random.randrange(8 * SECOND_US)
        talks_us = random.randrange(SECOND_US, CALL_US) if restless else CALL_US
        yield Habit(0, rings_us, talks_us, redials=restless)


def measure_scenario(figures: Figures, database: str, url: str, scenario: Scenario) -> None:
    """Let the calls run on a new database, then count the money."""
    price = 13 * CENT_PER_MIN
    step = scenario.increments
    rates = [NewRate(PREFIX, "Germany", price, 0, 0, step.initial_s, step.following_s)]
    *above, account = open_site(url, rates, ["account"], reseller=scenario.reseller)
    short = above[0] if above else account
    rate = Rate(0, PREFIX, "Germany", price, 0, 0, step.initial_s, step.following_s)
    tariff = Tariff(0, "short", 0, UNIT)
    if not scenario.reseller:
        tariff = Tariff(0, "short", 0, UNIT, TaxMode.EXCLUSIVE, 190_000)
    funds = PAID_FOR * charge(rate, tariff, CALL_US).total + ODD_SUM
    increment = charge(rate, tariff, SECOND_US).total

    clock, news = ManualClock(), NewsBox()
    engines = [ChargingEngine(lambda: connect(url), clock, news.put) for _ in range(2)]
    for engine in engines:
        engine.start()
    try:
        _top_up(engines[0], short, funds, clock)
        if short is not account:
            _top_up(engines[0], account, 1000 * funds, clock)
        calls = ManyCalls(clock, engines, news)
        for habit in habits(scenario.restless):
            calls.add(account.code, NUMBER, habit)
        calls.run()
    finally:
        for engine in engines:
            engine.stop()
    figures.add(f"{database}.{scenario.name}", **_counted(url, short, funds, increment, calls))


def _top_up(engine: ChargingEngine, wallet: OpenedWallet, amount: int, clock: ManualClock) -> None:
    paid = engine.execute(TopUp(f"funds:{wallet.code}", wallet.account_id, UNIT.code, amount, clock.now_us()))
    check(isinstance(paid, Moved), f"the top-up is refused: {paid}")


def _counted(url: str, short: OpenedWallet, funds: int, increment: int, calls: ManyCalls) -> dict[str, Value]:
    driver = connect(url)
    try:
        ((posted, reserved),) = driver.select(
            "SELECT posted, reserved FROM wallets WHERE id {any_int}", [short.wallet_id]
        )
        ((spent, uncollected),) = driver.select(
            "SELECT CAST(SUM(total) AS BIGINT), CAST(SUM(uncollected) AS BIGINT) FROM call_charges "
            "WHERE wallet_id {any_int}",
            [short.wallet_id],
        )
        broken = sum(not invariant.holds for invariant in verify(driver, calls.clock))
    finally:
        driver.close()
    unused = funds - spent
    return {
        "calls": calls.granted,
        "at_once": calls.most_at_once,
        "funds": funds,
        "spent": spent,
        "overspent": max(0, -unused),
        "unused": unused,
        "increments_per_call": unused / (increment * calls.granted),
        # The wallet, the charges and the promises must tell the same.
        "off": abs(posted - unused) + reserved + uncollected,
        "broken": broken,
    }


def measure(figures: Figures, quick: bool) -> None:
    """Every scenario on SQLite, and on PostgreSQL where it is installed; --quick: the restless ones there."""
    for scenario in SCENARIOS:
        progress(f"sqlite {scenario.name}")
        with temporary_sqlite() as url:
            measure_scenario(figures, "sqlite", url, scenario)
    with measured_postgres(figures) as server:
        if server is not None:
            server.template("pbxbill_template", migrate)
            for scenario in SCENARIOS:
                if quick and not scenario.restless:
                    continue
                progress(f"postgresql {scenario.name}")
                url = server.url(server.create_database("pbxbill_template"))
                measure_scenario(figures, "postgresql", url, scenario)
    figures.at_most("most_overspent", figures.highest("overspent"), 0)
    figures.at_most("most_unused_increments_per_call", figures.highest("increments_per_call"), 1)
    figures.at_most("wallet_differs_from_charges", figures.highest("off"), 0)
    figures.at_most("broken_promises", figures.highest("broken"), 0)


if __name__ == "__main__":
    run("overspend", ABOUT, measure)
