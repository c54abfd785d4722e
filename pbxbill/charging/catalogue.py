"""The catalogue in memory: units, tariffs and compiled decks, refreshed when its version grows.

Versions and rates never change once written, so what is loaded stays right for ever; only which
version counts now can change. A large new deck is compiled in the background while the version
before it goes on serving.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from pbxbill.charging.offers import NEVER_LOADED, Offers
from pbxbill.charging.offers_reading import load_offers
from pbxbill.errors import InvariantBroken, PbxbillError
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Rounding, Unit
from pbxbill.rating.bands import BandCalendar
from pbxbill.rating.calendar_text import calendar_from_json
from pbxbill.rating.deck import CompiledDeck
from pbxbill.rating.rate_terms import terms_from_json
from pbxbill.rating.tariff import SECONDS_PER_PRICE, Rate, Tariff, TaxMode
from pbxbill.rating.tariff_terms import cycle_steps_from_json, mark_up_from_json
from pbxbill.store.accounts import DESTINATIONS, WHOLE_CATALOGUE
from pbxbill.store.driver import Driver, Row

BACKGROUND_RATES = 20_000
"""Decks with more rates than this are compiled beside the charging, except when it starts."""

RATE_CACHE = 100_000

TRY_AGAIN = -2
"""A catalogue version that no database has."""

RATE_COLUMNS = (
    "id, prefix, destination, price_per_min, connection_fee, minimum_charge, "
    "initial_increment_s, following_increment_s, free_s, effective_from_us, effective_to_us, terms"
)
TARIFF_COLUMNS = (
    "v.id, t.name, v.deck_id, v.unit, v.tax_mode, v.tax_ppm, v.rounding, v.rounding_step, v.slice_s, "
    "v.renew_before_s, v.max_call_s, v.announce_balance, v.announce_minutes, v.announce_warning, "
    "v.announce_denial, v.calendar_id, d.measure, d.per, v.mark_up, v.refuse_loss, v.cycle_steps, v.tariff_id"
)

_log = structlog.get_logger()


class LoadedCatalogue:
    """What the charging engine rates by."""

    def __init__(self, connect: Callable[[], Driver], *, serving: bool) -> None:
        self._connect = connect
        self._serving = serving  # whoever serves calls compiles decks before the first one needs them
        self._version = NEVER_LOADED
        self.units: dict[str, Unit] = {}
        self._current: dict[int, Tariff] = {}
        self._tariffs: dict[int, Tariff] = {}
        self._rates: dict[int, Rate] = {}
        self._deck_versions: dict[int, list[tuple[int, int]]] = {}
        """Deck -> [(effective from, version)], the newest first."""
        self._decks: dict[int, CompiledDeck] = {}
        self._compiling: set[int] = set()
        self._books: dict[tuple[int, str, str], int] = {}
        self._calendars: dict[int, BandCalendar] = {}
        self.offers = Offers()

    def refresh(self, driver: Driver, now_us: int) -> bool:
        """Load what changed since the last time; whether anything had."""
        versions: dict[int, int] = dict(driver.select("SELECT id, version FROM catalogue"))
        version = versions.get(WHOLE_CATALOGUE, 0)  # 0: nothing was ever set up
        if version == self._version:
            return False
        self.units = {
            code: Unit(code, scale, digits)
            for code, scale, digits in driver.select("SELECT code, scale, digits FROM units")
        }
        rows = driver.select(
            f"SELECT v.tariff_id, {TARIFF_COLUMNS} FROM tariff_versions v "  # noqa: S608 names are ours
            "JOIN tariffs t ON t.id = v.tariff_id LEFT JOIN rate_decks d ON d.id = v.deck_id "
            "ORDER BY v.tariff_id, v.number"
        )
        self._load_calendars(driver)
        tariffs = {row[1]: self._tariff(row[1:]) for row in rows}
        self._current = {row[0]: tariffs[row[1]] for row in rows}
        self._tariffs = tariffs
        self._load_decks(driver, now_us)
        self._books = {
            (issuer, code, unit): account_id
            for account_id, issuer, code, unit in driver.select(
                "SELECT id, issuer_id, code, unit FROM ledger_accounts WHERE holder_id = 0"
            )
        }
        self.offers = load_offers(driver, versions.get(DESTINATIONS, 0), self.offers)
        self._version = version
        return True

    def _load_calendars(self, driver: Driver) -> None:
        # A version never changes, and remembers the days that it has been asked for: it is kept.
        for id, definition in driver.select("SELECT id, definition FROM band_calendars"):
            if id not in self._calendars:
                self._calendars[id] = calendar_from_json(definition, id)

    def ensure(self, driver: Driver, rate_ids: Iterable[int]) -> None:
        """Load rates that open reservations have frozen and that are not in memory yet."""
        wanted = set(rate_ids)
        if len(self._rates) + len(wanted) > RATE_CACHE:
            self._rates.clear()
        missing = [rate_id for rate_id in wanted if rate_id not in self._rates]
        if not missing:
            return
        rows = driver.select(f"SELECT {RATE_COLUMNS} FROM rates WHERE id {{any_int}}", missing)  # noqa: S608
        self._rates.update((row[0], Rate(*(*row[:-1], terms_from_json(row[-1])))) for row in rows)

    def current_tariff(self, tariff_id: int) -> Tariff | None:
        """The version that counts for new calls."""
        return self._current.get(tariff_id)

    def tariff(self, tariff_version_id: int) -> Tariff:
        """A version, current or old."""
        return self._tariffs[tariff_version_id]

    def rate(self, rate_id: int) -> Rate:
        """A rate that find_rate() or ensure() brought into memory."""
        return self._rates[rate_id]

    def find_rate(self, deck_id: int, number: str, at_us: int) -> Rate | None:
        """The rate for a number in the deck version in force at a moment."""
        in_force = None
        for effective_from_us, version_id in self._deck_versions.get(deck_id, ()):
            if effective_from_us > at_us:
                continue
            if version_id in self._decks or version_id not in self._compiling:
                in_force = version_id
                break
            # While the newest is being compiled the one before it serves, if it is in memory.
            in_force = in_force or version_id
        if in_force is None:
            return None
        deck = self._decks.get(in_force)
        if deck is None:
            deck = self._load_deck(in_force)
        found = deck.locate(number, at_us)
        if found is None:
            return None
        row, rate_id = found
        rate = self._rates.get(rate_id)
        if rate is None:
            rate = self._rates[rate_id] = deck.rate(row, number)
        return rate

    def ledger_account(self, issuer_id: int, code: LedgerCode, unit: str) -> int:
        """The id of an issuer's account."""
        account_id = self._books.get((issuer_id, code, unit))
        if account_id is None:
            raise InvariantBroken(f"issuer {issuer_id} has no {code} account in {unit}")
        return account_id

    def _tariff(self, row: Row) -> Tariff:
        version_id, name, deck_id, unit, tax_mode, tax_ppm, rounding, *rest = row
        terms = (TaxMode(tax_mode), tax_ppm, Rounding(rounding), *rest[:4])
        spoken = [bool(value) for value in rest[4:8]]
        calendar_id, measure, per, mark_up, refuse_loss, cycle_steps, tariff_id = rest[8:]
        tariff = Tariff(version_id, name, deck_id or 0, self.units[unit], *terms, *spoken)
        return replace(
            tariff,
            calendar=None if calendar_id is None else self._calendars[calendar_id],
            measure=measure or "seconds",
            per=per or SECONDS_PER_PRICE,
            mark_up=None if mark_up is None else mark_up_from_json(mark_up),
            refuse_loss=bool(refuse_loss),
            cycle_steps=None if cycle_steps is None else cycle_steps_from_json(cycle_steps),
            tariff_id=tariff_id,
        )

    def _load_decks(self, driver: Driver, now_us: int) -> None:
        versions: dict[int, list[tuple[int, int]]] = {}
        sizes: dict[int, int] = {}
        for deck_id, effective_from_us, version_id, rate_count in driver.select(
            "SELECT deck_id, effective_from_us, id, rate_count FROM deck_versions "
            "WHERE rate_count > 0 "  # 0: an import is still writing it
            "ORDER BY deck_id, effective_from_us DESC, number DESC"
        ):
            versions.setdefault(deck_id, []).append((effective_from_us, version_id))
            sizes[version_id] = rate_count
        self._deck_versions = versions
        for deck_versions in versions.values() if self._serving else ():
            for effective_from_us, version_id in deck_versions:
                if version_id in self._decks:
                    pass
                elif self._version != NEVER_LOADED and sizes[version_id] > BACKGROUND_RATES:
                    self._compile_in_background(version_id)
                else:
                    self._decks[version_id] = self._compile(driver, version_id)
                if effective_from_us <= now_us:
                    break  # what was in force before it counts for no new call

    def _load_deck(self, version_id: int) -> CompiledDeck:
        # An old version, or a short command that loads only what it needs.
        driver = self._connect()
        try:
            deck = self._decks[version_id] = self._compile(driver, version_id)
        finally:
            driver.close()
        return deck

    def _compile(self, driver: Driver, version_id: int) -> CompiledDeck:
        rows = driver.stream(
            f"SELECT {RATE_COLUMNS} FROM rates WHERE deck_version_id {{any_int}}",  # noqa: S608
            [version_id],
        )
        return CompiledDeck.from_rows(version_id, rows)

    def _compile_in_background(self, version_id: int) -> None:
        if version_id in self._compiling:
            return
        self._compiling.add(version_id)

        def compile_it() -> None:
            try:
                driver = self._connect()
                try:
                    self._decks[version_id] = self._compile(driver, version_id)
                finally:
                    driver.close()
            except PbxbillError as error:
                self._version = TRY_AGAIN  # tried again with the next refresh
                _log.error("deck_not_loaded", deck_version=version_id, error=str(error))
            finally:
                self._compiling.discard(version_id)

        threading.Thread(target=compile_it, name=f"deck-{version_id}", daemon=True).start()
