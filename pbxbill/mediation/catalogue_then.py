"""The catalogue as it stood at a record's time: the tariff version that was the newest one then."""

from bisect import bisect_right
from collections.abc import Mapping

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.offers import Offers
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit
from pbxbill.rating.tariff import Rate, Tariff
from pbxbill.store.driver import Driver

VERSIONS = "SELECT tariff_id, created_us, id FROM tariff_versions ORDER BY tariff_id, number"


class CatalogueThen:
    """Answers for the moment at_us; rates are found by their own dates already."""

    def __init__(self, loaded: LoadedCatalogue) -> None:
        self.loaded = loaded
        self.at_us = 0
        self._versions: dict[int, tuple[list[int], list[int]]] = {}

    def refresh(self, driver: Driver, now_us: int) -> None:
        """Load what changed since the last time."""
        if not self.loaded.refresh(driver, now_us):
            return
        self._versions = {}
        for tariff_id, created_us, version_id in driver.select(VERSIONS):
            moments, ids = self._versions.setdefault(tariff_id, ([], []))
            # A clock that was set back must not hide a version from those after it.
            moments.append(max(created_us, moments[-1]) if moments else created_us)
            ids.append(version_id)

    @property
    def units(self) -> Mapping[str, Unit]:
        """By code."""
        return self.loaded.units

    @property
    def offers(self) -> Offers:
        """As they stand now."""
        return self.loaded.offers

    def current_tariff(self, tariff_id: int) -> Tariff | None:
        """The newest version that there was at at_us; of a tariff that is younger, its first one."""
        moments, ids = self._versions.get(tariff_id, ((), ()))
        if not ids:
            return self.loaded.current_tariff(tariff_id)
        return self.loaded.tariff(ids[max(0, bisect_right(moments, self.at_us) - 1)])

    def tariff(self, tariff_version_id: int) -> Tariff:
        """A version, current or old."""
        return self.loaded.tariff(tariff_version_id)

    def rate(self, rate_id: int) -> Rate:
        """A rate row of any deck version."""
        return self.loaded.rate(rate_id)

    def find_rate(self, deck_id: int, number: str, at_us: int) -> Rate | None:
        """The rate for a number in the deck version in force at a moment."""
        return self.loaded.find_rate(deck_id, number, at_us)

    def ledger_account(self, issuer_id: int, code: LedgerCode, unit: str) -> int:
        """The id of an issuer's account."""
        return self.loaded.ledger_account(issuer_id, code, unit)
