"""Reckons again, from frozen rate rows, tariff versions and the switch's times, what the records say.

Most charges are one rate and one wallet: they are streamed in no order. What has more to it (bundles, cycle
steps, mark-ups, several wallets, limits of spending, corrections) is in rerating_levels.py.
"""

from collections.abc import Iterator

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.chain import FREE
from pbxbill.charging.settling import billed_duration
from pbxbill.clock import SECOND_US
from pbxbill.money import Rounding, round_ratio
from pbxbill.rating.rate_terms import terms_from_json
from pbxbill.rating.rater import Charge, charge
from pbxbill.rating.tariff import Rate, Tariff
from pbxbill.store.driver import Driver, Row

MAX_SHOWN = 20
MAX_KEPT = 50_000
"""Rates kept in memory while records are reckoned again."""

RATE_FIELDS = (
    "r.id, r.prefix, r.destination, r.price_per_min, r.connection_fee, r.minimum_charge, "
    "r.initial_increment_s, r.following_increment_s, r.free_s, r.effective_from_us, "
    "r.effective_to_us, r.terms"
)
_SIMPLE = (
    "SELECT x.session_id, x.level, c.called, c.started_us, c.answered_us, c.billed_us, x.billable_s, "  # noqa: S608
    f"x.total, x.tax, x.uncollected, x.tariff_version_id, d.deck_id, {RATE_FIELDS} FROM call_charges x "
    "JOIN cdrs c ON c.session_id = x.session_id JOIN rates r ON r.id = x.rate_id "
    "JOIN deck_versions d ON d.id = r.deck_version_id"
)
_UNHELD = (
    "NOT EXISTS (SELECT 1 FROM reserved_counts h WHERE h.session_id = x.session_id AND h.level = x.level)"
)
_ONE_WALLET = (
    "NOT EXISTS (SELECT 1 FROM call_charges y WHERE y.session_id = x.session_id AND y.level = x.level "
    "AND (y.line > 0 OR y.exchange_id IS NOT NULL))"
)
_ANY_HELD = "SELECT 1 FROM reserved_counts LIMIT 1"
_ANY_LINES = "SELECT 1 FROM call_charges WHERE line > 0 OR exchange_id IS NOT NULL LIMIT 1"
_DURATIONS = (
    "SELECT c.session_id, c.answered_us, c.ended_us, c.billed_us, c.granted_us, c.direction, c.evidence, "
    "o.max_call_s, o.shadow, "
    "CASE WHEN o.session_id IS NULL THEN (SELECT MIN(t.max_call_s) FROM call_charges x "
    "JOIN tariff_versions t ON t.id = x.tariff_version_id WHERE x.session_id = c.session_id) END "
    "FROM cdrs c LEFT JOIN reservations o ON o.session_id = c.session_id "
    "WHERE c.answered_us IS NOT NULL"
)


class Problems:
    """The first of what was found, and how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, sentence: str) -> None:
        self.count += 1
        if len(self.first) < MAX_SHOWN:
            self.first.append(sentence)


class Rates:
    """Makes rates of joined columns; most calls share a few."""

    def __init__(self) -> None:
        self._rates: dict[int, Rate] = {}

    def of(self, row: Row) -> Rate:
        """The rate of RATE_FIELDS."""
        rate = self._rates.get(row[0])
        if rate is None:
            if len(self._rates) >= MAX_KEPT:
                self._rates.clear()
            rate = self._rates[row[0]] = Rate(*(*row[:11], terms_from_json(row[11])))
        return rate


def tax_taken(owed: Charge, taken: int) -> int:
    """The tax in what was taken of a charge: all of it, or its share if not everything could be taken."""
    if taken == owed.total:
        return owed.tax
    return round_ratio(taken * owed.tax, owed.total, Rounding.HALF_UP) if owed.total else 0


def known_tariff(catalogue: LoadedCatalogue, version_id: int) -> Tariff | None:
    """A version; None if there is none, which is found where what rows name must exist."""
    try:
        return catalogue.tariff(version_id)
    except KeyError:
        return None


def check_simple_prices(driver: Driver, catalogue: LoadedCatalogue) -> Iterator[str | None]:
    """For each charge of one wallet by a rate of its own deck what is wrong with it."""
    conditions = [
        condition
        for exists, condition in ((_ANY_HELD, _UNHELD), (_ANY_LINES, _ONE_WALLET))
        if driver.select(exists)
    ]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rates = Rates()
    for row in driver.stream(_SIMPLE + where):
        session_id, level, called, started_us, answered_us, billed_us, billable_s = row[:7]
        total, tax, uncollected, version_id, deck_id = row[7:12]
        tariff = known_tariff(catalogue, version_id)
        if tariff is None or tariff.mark_up is not None:
            continue
        rate = rates.of(row[12:])
        owed = charge(rate, tariff, billed_us, answered_us)
        if total + uncollected != owed.total or billable_s != owed.billable_s:
            yield (
                f"level {level} of call {session_id}: {billed_us} microseconds at rate {rate.id} cost "
                f"{owed.total} for {owed.billable_s} s, charged are {total} + {uncollected} uncollected "
                f"for {billable_s} s"
            )
        elif total <= owed.total and tax != tax_taken(owed, total):
            yield (
                f"level {level} of call {session_id}: {total} contains {tax_taken(owed, total)} tax, "
                f"recorded is {tax}"
            )
        elif deck_id != tariff.deck_id or not called.startswith(rate.prefix):
            yield f"level {level} of call {session_id}: rate {rate.id} is none of the tariff's for {called}"
        elif not rate.effective_at(started_us):
            yield f"level {level} of call {session_id}: rate {rate.id} was not in force when the call began"
        else:
            yield None


def check_durations(driver: Driver) -> Iterator[str | None]:
    """For each answered call whether the charged time follows from its times and what was granted."""
    for row in driver.stream(_DURATIONS):
        session_id, answered_us, ended_us, billed_us, granted_us, direction, evidence = row[:7]
        max_call_s, shadow, offline_s = row[7:]
        if direction == "usage":  # pieces of a service, which take no time
            expected_us = billed_us if billed_us >= 0 and not billed_us % SECOND_US else -1
        elif max_call_s is None and evidence == "import":
            expected_us = max(0, ended_us - answered_us)
        elif max_call_s is None:
            longest_us = (offline_s or FREE.max_call_s) * SECOND_US
            expected_us = max(0, min(ended_us - answered_us, longest_us))
        elif shadow is not None:
            expected_us = max(0, ended_us - answered_us)
        else:
            expected_us = billed_duration(answered_us, ended_us, granted_us, max_call_s * SECOND_US)
        if billed_us == expected_us:
            yield None
        else:
            yield (
                f"call {session_id} from {answered_us} to {ended_us} is charged for {billed_us} microseconds "
                f"instead of {expected_us}"
            )
