"""What engines remember of the catalogue, and what they notice, on each database."""

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.engine import REFRESH_US
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.rating.destination_sheet import DestinationLine
from pbxbill.store.accounts import WHOLE_CATALOGUE, account_by_code, bump_catalogue
from pbxbill.store.bundles import NewBundle, bundle_by_name, give_bundle, take_bundle
from pbxbill.store.destinations import import_destinations
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.store.billed_accounts import CLOCK, open_accounts
from tests.store.offers_written import ended, engine_of, give, written


def test_destinations_are_compiled_anew_when_they_have_changed(database_url: str) -> None:
    accounts = open_accounts(database_url)
    database = open_engine(database_url)
    import_destinations(database, [DestinationLine(1, "Berlin", "local", ("4930",))])
    driver = connect(database_url)
    catalogue = LoadedCatalogue(lambda: connect(database_url), serving=True)
    catalogue.refresh(driver, 0)
    first = catalogue.offers.destinations
    assert first.classify("493012345").name == "Berlin"

    with written(accounts) as session:
        bump_catalogue(session)
    assert catalogue.refresh(driver, 0)
    assert catalogue.offers.destinations is first

    import_destinations(database, [DestinationLine(1, "Berlin city", "local", ("4930",))])
    assert catalogue.refresh(driver, 0)
    assert catalogue.offers.destinations.classify("493012345").name == "Berlin city"
    driver.close()
    database.dispose()


def test_a_bundle_more_serves_the_next_call_and_no_catalogue_is_loaded_for_it(database_url: str) -> None:
    accounts = open_accounts(database_url)
    give(accounts, "bob", NewBundle("gift", "seconds", 600))  # the first of all: engines must hear of it
    [(before,)] = accounts.select(f"SELECT version FROM catalogue WHERE id = {WHOLE_CATALOGUE}")
    with engine_of(accounts) as engine:
        with written(accounts) as session:
            hot, gift = account_by_code(session, "hot"), bundle_by_name(session, "gift")
            give_bundle(session, hot, gift, 0)
        call = accounts.call(engine, "hot")
        assert ended(engine, call, CLOCK.now_us(), 60).total == 0
        with written(accounts) as session:
            take_bundle(session, account_by_code(session, "bob"), bundle_by_name(session, "gift"), 0)
    assert accounts.select(f"SELECT version FROM catalogue WHERE id = {WHOLE_CATALOGUE}") == [(before,)]
    assert accounts.problems() == []


def test_the_first_bundle_of_all_is_noticed_by_engines_that_run(database_url: str) -> None:
    accounts = open_accounts(database_url)
    clock = ManualClock(CLOCK.now_us())
    with engine_of(accounts, clock) as engine:
        give(accounts, "hot", NewBundle("gift", "seconds", 600))
        clock.advance(REFRESH_US)
        call = accounts.call(engine, "hot")
        assert ended(engine, call, CLOCK.now_us(), 60).total == 0


def test_a_tariff_changes_for_an_account_that_an_engine_remembers(database_url: str) -> None:
    """The account's last call came when its new tariff was written already and not loaded yet."""
    accounts = open_accounts(database_url)
    accounts.top_up("bob", "100")
    clock = ManualClock(CLOCK.now_us())
    with engine_of(accounts, clock) as engine:
        before = accounts.call(engine, "bob").max_call_us
        with written(accounts) as session:
            add_tariff_version(session, NewTariff("plain", "retail", max_call_s=600), 0)
        assert accounts.call(engine, "bob").max_call_us == before
        clock.advance(REFRESH_US)
        assert accounts.call(engine, "bob").max_call_us == 600 * SECOND_US
    assert accounts.problems() == []
