"""Reads everything of Offers from the database."""

from pbxbill.charging.offers import Carrier, Offers
from pbxbill.rating.destination import rule_from_json
from pbxbill.rating.destination_map import DestinationMap
from pbxbill.rating.exchange import ExchangeRate, ExchangeTable
from pbxbill.store.bundles import BUNDLE_COLUMNS, bundle_from_columns
from pbxbill.store.carriers import CARRIERS
from pbxbill.store.destinations import DESTINATION_ROWS
from pbxbill.store.driver import Driver
from pbxbill.store.exchange import EXCHANGE_COLUMNS

EXCHANGE_RATES = f"SELECT {EXCHANGE_COLUMNS} FROM exchange_rates"  # noqa: S608 names are ours
BUNDLES = f"SELECT {BUNDLE_COLUMNS} FROM bundles"  # noqa: S608 names are ours
SERVICE_TARIFFS = "SELECT account_id, service, tariff_id FROM service_tariffs"

SUPPORT_NUMBERS = "SELECT account_id, support_numbers FROM issuers WHERE support_numbers <> ''"


def load_offers(driver: Driver, destinations_version: int, before: Offers) -> Offers:
    """Everything as it stands now. Destinations may be a million: they are read only if they have changed."""
    destinations = before.destinations
    if destinations_version != before.destinations_version:
        destinations = DestinationMap(driver.stream(DESTINATION_ROWS))
    return Offers(
        ExchangeTable(ExchangeRate(*row) for row in driver.select(EXCHANGE_RATES)),
        destinations,
        destinations_version,
        {
            id: rule_from_json(name, definition)
            for id, name, definition in driver.select("SELECT id, name, definition FROM dialling_rules")
        },
        {gateway: Carrier(*carrier) for gateway, *carrier in driver.select(CARRIERS)},
        _service_tariffs(driver),
        {row[0]: bundle_from_columns(row) for row in driver.select(BUNDLES)},
        {issuer_id: frozenset(numbers.split()) for issuer_id, numbers in driver.select(SUPPORT_NUMBERS)},
        bool(driver.select("SELECT 1 FROM account_bundles LIMIT 1")),
        bool(driver.select("SELECT 1 FROM limits LIMIT 1")),
        bool(driver.select("SELECT 1 FROM tariff_versions WHERE cycle_steps IS NOT NULL LIMIT 1")),
        bool(driver.select("SELECT 1 FROM counters LIMIT 1")),
    )


def _service_tariffs(driver: Driver) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for account_id, service, tariff_id in driver.select(SERVICE_TARIFFS):
        found.setdefault(account_id, {})[service] = tariff_id
    return found
