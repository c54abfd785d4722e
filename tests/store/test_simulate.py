"""simulate: last period's calls by another tariff, from the database and from the command line."""

import csv
import io
import json

import pytest

from pbxbill.cli.output import moment
from pbxbill.errors import InputRefused
from pbxbill.mediation.simulate import Outcome, Scenario, simulate
from pbxbill.rating.tariff import TaxMode
from pbxbill.store.decks import add_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import eur
from tests.store.billed_accounts import (
    CLOCK,
    FRANCE,
    GERMANY,
    BilledAccounts,
    rate,
    talk_to_germany_and_france,
)
from tests.store.command_line import Ok, Run

EVER = (0, 2**60)


@pytest.fixture
def accounts(accounts: BilledAccounts) -> BilledAccounts:
    """alice (below a reseller, with tax) and bob: two minutes to Germany, one to France, each."""
    database = open_engine(accounts.url)
    with transaction(database) as session:
        for name, rates in {
            "flat": [rate("", "Everywhere", "0.15")],
            "german": [rate("49", "Germany", "0.12")],
        }.items():
            add_deck_version(
                session, deck_name=name, unit="EUR", rates=rates, effective_from_us=0, source="", now_us=1
            )
            taxed = NewTariff(name, name, tax_mode=TaxMode.INCLUSIVE, tax_ppm=190_000)
            add_tariff_version(session, taxed, 1)
    database.dispose()
    talk_to_germany_and_france(accounts)
    return accounts


def told(_calls: int, _of: int) -> None:
    pass


def tried(
    accounts: BilledAccounts, *codes: str, tariff: str | None = None, deck: str | None = None
) -> Outcome:
    scenario = Scenario(*EVER, codes, tariff, deck, 2)
    return simulate(lambda: connect(accounts.url), CLOCK, scenario, told)


def test_what_another_deck_brings_by_account_and_destination(accounts: BilledAccounts) -> None:
    before = accounts.wallet("alice")
    found = tried(accounts, deck="flat")
    assert found.calls == 4
    # Germany 2 x 0.12 would be 2 x 0.15, France 0.35 with its fee would be 0.15; no tax counts.
    for code in ("alice", "bob"):
        sums = found.by_account["EUR", accounts.ids[code]]
        assert (sums.calls, sums.old, sums.new) == (2, eur("0.59"), eur("0.45"))
        assert (sums.dearer, sums.cheaper) == (1, 1)
    assert found.by_destination["EUR", "France"].new == eur("0.30")
    # alice's calls cost her reseller 2 x 0.06 and 0.15; of bob's no carrier is known.
    alice, bob = (found.by_account["EUR", accounts.ids[code]] for code in ("alice", "bob"))
    assert (alice.cost, alice.without_cost) == (eur("0.27"), 0)
    assert (bob.cost, bob.without_cost) == (0, 2)
    assert [x.called for x in found.dearest] == [GERMANY, GERMANY]
    assert [(x.called, x.by) for x in found.cheapest] == [(FRANCE, eur("0.238")), (FRANCE, eur("0.20"))]
    assert accounts.wallet("alice") == before


def test_a_tariff_brings_its_own_tax(accounts: BilledAccounts) -> None:
    sums = tried(accounts, tariff="flat").by_account["EUR", accounts.ids["bob"]]
    assert sums.old == eur("0.59")
    assert sums.new == eur("0.30") - eur("0.047899") + eur("0.15") - eur("0.023950")


def test_numbers_without_a_rate_are_named(accounts: BilledAccounts) -> None:
    found = tried(accounts, tariff="german")
    assert found.numbers == {FRANCE: 2}
    sums = found.by_destination["EUR", "France"]
    assert (sums.calls, sums.unrated, sums.unrated_old, sums.new) == (2, 2, eur("0.70"), 0)


def test_a_resellers_own_charges(accounts: BilledAccounts) -> None:
    found = tried(accounts, "reseller", tariff="german")
    assert list(found.by_account) == [("EUR", accounts.ids["reseller"])]
    assert found.calls == 2


def test_calls_with_a_carriers_cost(accounts: BilledAccounts) -> None:
    database = open_engine(accounts.url)
    with database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO call_costs (session_id, gateway, carrier_id, tariff_version_id, rate_id, unit, "
            "billable_s, cost) SELECT session_id, 'gw', 1, 1, 1, 'EUR', 60, 10000 FROM cdrs"
        )
    database.dispose()
    bob = tried(accounts, deck="flat").by_account["EUR", accounts.ids["bob"]]
    assert (bob.cost, bob.without_cost) == (eur("0.02"), 0)


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(*EVER),
        Scenario(*EVER, (), "flat", "flat"),
        Scenario(*EVER, (), "nothing"),
        Scenario(*EVER, (), None, "nothing"),
        Scenario(*EVER, ("nobody",), "flat"),
        Scenario(5, 5, (), "flat"),
    ],
)
def test_what_cannot_be_tried_is_refused(accounts: BilledAccounts, scenario: Scenario) -> None:
    with pytest.raises(InputRefused):
        simulate(lambda: connect(accounts.url), CLOCK, scenario, told)


def test_from_the_command_line(accounts: BilledAccounts, ok: Ok) -> None:
    words = ("simulate", "--deck", "german", "--from", "2020-01-01", "--to", moment(CLOCK.now_us()))
    shown = ok(*words)
    assert "Calls that get" not in shown
    assert FRANCE in shown
    answer = json.loads(ok(*words, "--json"))
    assert answer["numbers_without_rate"] == {FRANCE: 2}
    rows = list(csv.DictReader(io.StringIO(ok(*words, "--csv"))))
    assert [(x["group"], x["name"], x["delta"]) for x in rows] == [
        ("account", "alice", "0.00"),
        ("account", "bob", "0.00"),
        ("destination", "France", "0.00"),
        ("destination", "Germany", "0.00"),
    ]


def test_a_tariff_that_is_not_there(accounts: BilledAccounts, pbxbill: Run) -> None:
    result = pbxbill("simulate", "--tariff", "nothing", "--from", "2020-01-01", "--to", "2030-01-01")
    assert result.exit_code == 2
    assert "no tariff 'nothing'" in result.stderr
