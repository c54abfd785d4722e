"""Who may call while the database is away, from the copy that was made of it, and how long altogether."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.events import Authorize, DenialReason, Denied, Direction, Granted
from pbxbill.charging.offline import OfflineDirectory
from pbxbill.rating.tariff import MarkUp
from pbxbill.store.accounts import NewAccount, add_endpoint, open_account, tariff_by_name
from pbxbill.store.driver import Driver, connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import eur, minutes, seconds
from tests.store.billed_accounts import CLOCK, GERMANY, BilledAccounts, opened_accounts

ALLOWANCE = eur("0.30")
"""Two and a half minutes to Germany."""


@pytest.fixture
def accounts(database_url: str) -> BilledAccounts:
    """Of big > small > dave and big > erna all are open; no call of them lasts more than a minute."""
    accounts = opened_accounts(database_url)
    database = open_engine(database_url)
    with transaction(database) as session:
        add_tariff_version(session, NewTariff("short", "retail", max_call_s=60), 0)
        for code, kind, parent in (
            ("big", "reseller", None),
            ("small", "reseller", "big"),
            ("dave", "customer", "small"),
            ("erna", "customer", "big"),
        ):
            new = NewAccount(code, code, kind, "postpaid", parent, "short", None, "en", "open", ALLOWANCE)
            account = open_account(session, new, 0)
            add_endpoint(session, account, "sip", code)
            accounts.ids[code] = account.id
    database.dispose()
    return accounts


@pytest.fixture
def driver(accounts: BilledAccounts) -> Iterator[Driver]:
    driver = connect(accounts.url)
    yield driver
    driver.close()


def copied(accounts: BilledAccounts, driver: Driver) -> OfflineDirectory:
    """The directory as it stands when the database goes away."""
    catalogue = LoadedCatalogue(lambda: connect(accounts.url), serving=True)
    catalogue.refresh(driver, CLOCK.now_us())
    directory = OfflineDirectory(catalogue, lambda: connect(accounts.url))
    directory.refresh(driver)
    return directory


def change(accounts: BilledAccounts, code: str, **columns: object) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        session.execute(update(AccountRow).where(AccountRow.code == code).values(columns))
    database.dispose()


def granted_us(outcome: Granted | Denied) -> int:
    if isinstance(outcome, Granted):
        assert outcome.offline
        return outcome.granted_us
    assert outcome.reason is DenialReason.SERVICE_UNAVAILABLE
    return 0


def test_the_allowance_is_for_all_calls_of_an_account_together(
    accounts: BilledAccounts, driver: Driver
) -> None:
    directory = copied(accounts, driver)
    times = [granted_us(directory.authorize(accounts.request("dave"))) for _ in range(4)]
    assert times == [minutes(1), minutes(1), seconds(30), 0]
    assert granted_us(directory.authorize(accounts.request("erna"))) == minutes(1), "another has its own"


def test_an_outage_that_is_over_leaves_the_next_one_the_whole_allowance(
    accounts: BilledAccounts, driver: Driver
) -> None:
    directory = copied(accounts, driver)
    while granted_us(directory.authorize(accounts.request("dave"))):
        pass
    directory.refresh(driver)
    assert granted_us(directory.authorize(accounts.request("dave"))) == 0, "a copy alone gives nothing back"
    directory.database_answers()
    assert granted_us(directory.authorize(accounts.request("dave"))) == minutes(1)


def test_where_calls_out_are_barred_calls_to_its_dids_still_come_in(
    accounts: BilledAccounts, driver: Driver
) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        add_endpoint(session, session.get_one(AccountRow, accounts.ids["dave"]), "did", "4930888")
    database.dispose()
    change(accounts, "dave", status="no_outgoing")
    directory = copied(accounts, driver)
    outbound = accounts.request("dave")
    assert granted_us(directory.authorize(outbound)) == 0
    assert granted_us(directory.authorize(replace(outbound, dialled="112"))) > 0
    inbound = replace(outbound, direction=Direction.INBOUND, did="4930888", account_code="")
    assert granted_us(directory.authorize(inbound)) > 0


@pytest.mark.parametrize("columns", [{"failure_policy": "closed"}, {"status": "suspended"}])
@pytest.mark.parametrize("code", ["dave", "small", "big"])
def test_nobody_passes_below_an_account_that_is_closed(
    accounts: BilledAccounts, driver: Driver, code: str, columns: dict[str, str]
) -> None:
    change(accounts, code, **columns)
    directory = copied(accounts, driver)
    assert granted_us(directory.authorize(accounts.request("dave"))) == 0
    below = code == "big"
    assert granted_us(directory.authorize(accounts.request("erna"))) == (0 if below else minutes(1))


def test_the_technical_prefix_says_who_calls_and_is_not_dialled(
    accounts: BilledAccounts, driver: Driver
) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        for code, prefix in (("erna", ""), ("dave", "77")):
            account = session.get_one(AccountRow, accounts.ids[code])
            add_endpoint(session, account, "ip", "192.0.2.7", prefix)
    database.dispose()
    directory = copied(accounts, driver)

    def ask(dialled: str) -> tuple[str, str]:
        request: Authorize = replace(accounts.request("", dialled), source_ip="192.0.2.7")
        outcome = directory.authorize(request)
        assert isinstance(outcome, Granted), outcome
        return outcome.account_code, outcome.called

    assert ask("77" + GERMANY) == ("dave", GERMANY)
    assert ask(GERMANY) == ("erna", GERMANY)


def test_what_cannot_be_rated_or_names_nobody_does_not_pass(accounts: BilledAccounts, driver: Driver) -> None:
    directory = copied(accounts, driver)
    for request in (accounts.request("dave", "999"), accounts.request("dave", "x"), accounts.request("bob")):
        assert granted_us(directory.authorize(request)) == 0


def test_a_mark_up_is_reckoned_from_the_prices_above(accounts: BilledAccounts, driver: Driver) -> None:
    database = open_engine(accounts.url)
    with transaction(database) as session:
        new = NewTariff("half-more", None, unit="EUR", mark_up=MarkUp(ppm=500_000), max_call_s=14_400)
        add_tariff_version(session, new, 0)
        tariff_id = tariff_by_name(session, "half-more").id
        session.execute(update(AccountRow).where(AccountRow.code == "erna").values(tariff_id=tariff_id))
    database.dispose()
    # Germany is 0.12 a minute for the reseller, so 0.18 below it: 0.30 last 100 seconds.
    assert granted_us(copied(accounts, driver).authorize(accounts.request("erna"))) == seconds(100)


def test_help_can_be_called_without_an_allowance(accounts: BilledAccounts, driver: Driver) -> None:
    change(accounts, "erna", offline_allowance=0)
    directory = copied(accounts, driver)
    assert granted_us(directory.authorize(accounts.request("erna"))) == 0
    assert granted_us(directory.authorize(accounts.request("erna", "112"))) == seconds(14_400)
