"""Reads everything of Offers from the database."""

from pbxbill.charging.offers import Carrier, Offers
from pbxbill.rating.bundle import Bundle, Measure
from pbxbill.rating.destination import rule_from_json
from pbxbill.rating.destination_map import DestinationMap
from pbxbill.rating.exchange import ExchangeRate, ExchangeTable
from pbxbill.store.driver import Driver


def load_offers(driver: Driver) -> Offers:
    """Everything as it stands now."""
    return Offers(
        ExchangeTable(
            ExchangeRate(*row)
            for row in driver.select(
                "SELECT id, from_unit, to_unit, rate, effective_from_us FROM exchange_rates"
            )
        ),
        DestinationMap(
            (prefix, name, kind)
            for prefix, name, kind in driver.select(
                "SELECT p.prefix, d.name, d.kind FROM destination_prefixes p "
                "JOIN destinations d ON d.id = p.destination_id"
            )
        ),
        {
            id: rule_from_json(name, definition)
            for id, name, definition in driver.select("SELECT id, name, definition FROM dialling_rules")
        },
        {
            gateway: Carrier(*carrier)
            for gateway, *carrier in driver.select(
                "SELECT g.name, c.id, c.name, c.tariff_id FROM gateways g "
                "JOIN carriers c ON c.id = g.carrier_id"
            )
        },
        {
            (account_id, service): tariff_id
            for account_id, service, tariff_id in driver.select(
                "SELECT account_id, service, tariff_id FROM service_tariffs"
            )
        },
        {bundle.id: bundle for bundle in _bundles(driver)},
        bool(driver.select("SELECT 1 FROM account_bundles LIMIT 1")),
        bool(driver.select("SELECT 1 FROM limits LIMIT 1")),
        bool(driver.select("SELECT 1 FROM tariff_versions WHERE cycle_steps IS NOT NULL LIMIT 1")),
        bool(driver.select("SELECT 1 FROM counters LIMIT 1")),
    )


def _bundles(driver: Driver) -> list[Bundle]:
    rows = driver.select(
        "SELECT id, name, measure, pieces, destinations, cycle, zone, shared, rollover_cycles, priority, "
        "initial_increment_s, following_increment_s, fee_owed FROM bundles"
    )
    return [
        Bundle(
            *(id, name, Measure(measure), pieces),
            *(tuple(destinations.split("\n")) if destinations else (), cycle, zone, bool(shared)),
            *(*rest, bool(fee_owed)),
        )
        for id, name, measure, pieces, destinations, cycle, zone, shared, *rest, fee_owed in rows
    ]
