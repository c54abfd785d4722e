"""Reckons again, from frozen rate rows, tariff versions and the switch's times, what the records say."""

from collections.abc import Iterator

from pbxbill.charging.chain import FREE
from pbxbill.charging.settling import billed_duration
from pbxbill.clock import SECOND_US
from pbxbill.money import Rounding, Unit, round_ratio
from pbxbill.rating.rater import Charge, charge
from pbxbill.rating.tariff import Rate, Tariff, TaxMode
from pbxbill.store.driver import Driver, Row

MAX_SHOWN = 20
MAX_KEPT = 50_000
"""Rates and tariffs kept in memory while records are reckoned again."""

_PRICED = (
    "r.id, r.prefix, r.destination, r.price_per_min, r.connection_fee, r.minimum_charge, "
    "r.initial_increment_s, r.following_increment_s, r.free_s, r.effective_from_us, r.effective_to_us, "
    "t.id, t.deck_id, t.unit, u.scale, t.tax_mode, t.tax_ppm, t.rounding, t.rounding_step, d.deck_id"
)
_PRICE_JOINS = (
    "JOIN rates r ON r.id = x.rate_id JOIN deck_versions d ON d.id = r.deck_version_id "
    "JOIN tariff_versions t ON t.id = x.tariff_version_id JOIN units u ON u.code = t.unit"
)
_PRICE_COLUMNS = 20

CHARGES = (
    "SELECT x.session_id, x.level, c.called, c.started_us, c.billed_us, x.billable_s, x.total, x.tax, "  # noqa: S608
    f"x.uncollected, {_PRICED} FROM call_charges x JOIN cdrs c ON c.session_id = x.session_id {_PRICE_JOINS}"
)
OPEN_LEVELS = (
    f"SELECT x.session_id, x.level, o.granted_us, x.reserved, {_PRICED} "  # noqa: S608 names are ours
    f"FROM reservations o JOIN reservation_levels x ON x.session_id = o.session_id {_PRICE_JOINS} "
    "WHERE o.state IN ('reserved', 'answered')"
)
DURATIONS = (
    "SELECT c.session_id, c.answered_us, c.ended_us, c.billed_us, c.granted_us, o.max_call_s, "
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


class _Terms:
    """Makes rates and tariffs of joined columns; most calls share a few."""

    def __init__(self) -> None:
        self._rates: dict[int, Rate] = {}
        self._tariffs: dict[int, Tariff] = {}

    def of(self, row: Row) -> tuple[Rate, Tariff]:
        rate = self._rates.get(row[0])
        if rate is None:
            if len(self._rates) >= MAX_KEPT:
                self._rates.clear()
            rate = self._rates[row[0]] = Rate(*row[:11])
        tariff = self._tariffs.get(row[11])
        if tariff is None:
            if len(self._tariffs) >= MAX_KEPT:
                self._tariffs.clear()
            tariff = self._tariffs[row[11]] = Tariff(
                version_id=row[11],
                name="",
                deck_id=row[12],
                unit=Unit(row[13], row[14]),
                tax_mode=TaxMode(row[15]),
                tax_ppm=row[16],
                rounding=Rounding(row[17]),
                rounding_step=row[18],
            )
        return rate, tariff


def tax_taken(owed: Charge, taken: int) -> int:
    """The tax in what was taken of a charge: all of it, or its share if not everything could be taken."""
    return owed.tax if taken == owed.total else round_ratio(taken * owed.tax, owed.total, Rounding.HALF_UP)


def check_prices(driver: Driver) -> Iterator[str | None]:
    """For each charge what is wrong with it."""
    terms = _Terms()
    for row in driver.stream(CHARGES):
        session_id, level, called, started_us, billed_us, billable_s, total, tax, uncollected = row[:9]
        priced = row[9:]
        rate, tariff = terms.of(priced)
        owed = charge(rate, tariff, billed_us)
        what = f"level {level} of call {session_id}"
        if total + uncollected != owed.total or billable_s != owed.billable_s:
            yield (
                f"{what}: {billed_us} microseconds at rate {rate.id} cost {owed.total} "
                f"for {owed.billable_s} s, charged are {total} + {uncollected} uncollected for {billable_s} s"
            )
        elif total <= owed.total and tax != tax_taken(owed, total):
            yield f"{what}: {total} contains {tax_taken(owed, total)} tax, recorded is {tax}"
        elif priced[_PRICE_COLUMNS - 1] != tariff.deck_id or not called.startswith(rate.prefix):
            yield f"{what}: rate {rate.id} is none of the tariff's for {called}"
        elif not rate.effective_at(started_us):
            yield f"{what}: rate {rate.id} was not in force when the call began"
        else:
            yield None


def check_reserved(driver: Driver) -> Iterator[str | None]:
    """For each level of an open call whether it reserves what its granted time costs."""
    terms = _Terms()
    for session_id, level, granted_us, reserved, *priced in driver.stream(OPEN_LEVELS):
        costs = charge(*terms.of(tuple(priced)), granted_us).total
        problem = f"level {level} of call {session_id} reserves {reserved} for time that costs {costs}"
        yield None if costs == reserved else problem


def check_durations(driver: Driver) -> Iterator[str | None]:
    """For each answered call whether the charged time follows from its times and what was granted."""
    for session_id, answered_us, ended_us, billed_us, granted_us, max_call_s, offline_s in driver.stream(
        DURATIONS
    ):
        if max_call_s is None:
            longest_us = (offline_s or FREE.max_call_s) * SECOND_US
            expected_us = max(0, min(ended_us - answered_us, longest_us))
        else:
            expected_us = billed_duration(answered_us, ended_us, granted_us, max_call_s * SECOND_US)
        if billed_us == expected_us:
            yield None
        else:
            yield (
                f"call {session_id} from {answered_us} to {ended_us} is charged for {billed_us} microseconds "
                f"instead of {expected_us}"
            )
