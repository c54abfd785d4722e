"""verify(): proves the promises on the whole database, at one moment of a live system, in bounded memory.

Most invariants are searches for rows that break them: ledger_promises.py, call_promises.py. Prices and times
are reckoned again in rerating.py and rerating_levels.py. A problem is a sentence that names the row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from pbxbill.charging.call_promises import CALL_RULES
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.ledger_promises import LEDGER_RULES, Rule, Search
from pbxbill.charging.rerating import Problems, check_durations, check_simple_prices
from pbxbill.charging.rerating_levels import check_corrections, check_level_prices, check_reserved
from pbxbill.clock import SECOND_US, Clock
from pbxbill.store.driver import Driver

LONGEST_RINGING_S = 3_600
GRACE_S = 86_400
"""How long after its last possible moment a reservation may stay open before it counts as forgotten."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """One promise, how many rows it was checked on, and what breaks it."""

    name: str
    checked: int
    problem_count: int
    problems: tuple[str, ...]
    """The first of them."""

    @property
    def holds(self) -> bool:
        """Whether nothing breaks it."""
        return not self.problem_count


def verify(driver: Driver, clock: Clock, more: Iterable[Rule] = ()) -> list[Invariant]:
    """Check every promise; the database may be in use meanwhile and is seen as of one moment.

    more: what others promise, who stand above charging.
    """
    driver.begin_snapshot()
    try:
        return list(chain(invariants(driver, clock.now_us()), (checked(driver, rule) for rule in more)))
    finally:
        driver.rollback()


def invariants(driver: Driver, now_us: int) -> Iterator[Invariant]:
    """The same inside a transaction of the caller's."""
    for rule in (*LEDGER_RULES, *CALL_RULES, _forgotten(now_us)):
        yield checked(driver, rule)
    catalogue = LoadedCatalogue(lambda: driver, serving=False)
    catalogue.refresh(driver, now_us)
    yield _reckoned("charged time follows from the switch's times", check_durations(driver))
    prices = chain(check_simple_prices(driver, catalogue), check_level_prices(driver, catalogue))
    yield _reckoned("every charge follows from its rate", prices)
    yield _reckoned("corrections lead to what their rate says", check_corrections(driver, catalogue))
    yield _reckoned("open calls hold what their granted time costs", check_reserved(driver, catalogue))


def _forgotten(now_us: int) -> Rule:
    ringing_us = now_us - (LONGEST_RINGING_S + GRACE_S) * SECOND_US
    talking_us = now_us - GRACE_S * SECOND_US
    longest_us = f"CASE WHEN failure_policy = 'open' THEN max_call_s * {SECOND_US} ELSE granted_us END"
    return Rule(
        "no open call is long past its end",
        "reservations WHERE state IN ('reserved', 'answered')",
        (
            Search(
                "SELECT session_id, switch FROM reservations WHERE state IN ('reserved', 'answered') "  # noqa: S608
                f"AND ((answered_us IS NULL AND requested_us < {ringing_us}) "
                f"OR answered_us + {longest_us} < {talking_us})",
                "call {0} on {1} is over for more than a day and still open",
            ),
        ),
    )


def checked(driver: Driver, rule: Rule) -> Invariant:
    """What breaks a rule, inside a transaction of the caller's."""
    ((count,),) = driver.select(f"SELECT COUNT(*) FROM {rule.counted}")  # noqa: S608 names are ours
    problems = Problems()
    for search in rule.searches:
        for row in driver.stream(search.statement):
            problems.add(search.sentence.format(*row))
    return Invariant(rule.name, count, problems.count, tuple(problems.first))


def _reckoned(name: str, sentences: Iterable[str | None]) -> Invariant:
    problems = Problems()
    count = 0
    for sentence in sentences:
        count += 1
        if sentence is not None:
            problems.add(sentence)
    return Invariant(name, count, problems.count, tuple(problems.first))
