"""Decks, tariffs and bundles belong to an issuer: names are his own, and so are they."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from pbxbill.billing.subscriptions.plan_catalogue import add_plan, issuer_by_code
from pbxbill.billing.subscriptions.plan_terms import PlanTerms
from pbxbill.clock import ManualClock
from pbxbill.errors import InputRefused
from pbxbill.money import compile_price, parse_decimal
from pbxbill.store.accounts import NewAccount, open_account, tariff_by_name, tariff_of_issuer
from pbxbill.store.bundles import NewBundle, add_bundle, bundle_by_name, bundle_of_issuer
from pbxbill.store.deck_lookup import deck_by_name
from pbxbill.store.decks import NewDeckVersion, NewRate, import_deck_version
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow, RateDeckRow, TariffRow
from pbxbill.store.tariff_trial import try_tariff
from pbxbill.store.tariffs import NewTariff, add_tariff_version, newest_terms
from tests.database_operator import open_database_operator
from tests.store.command_line import Ok, Run

CLOCK = ManualClock()


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    open_database_operator(database_url)
    engine = open_engine(database_url)
    with transaction(engine) as session:
        id = session.scalars(select(AccountRow.id).where(AccountRow.code == "reseller")).one()
    rates = [NewRate("49", "Germany", compile_price(parse_decimal("0.90")))]
    new = NewDeckVersion("retail", "EUR", effective_from_us=0, issuer_id=id)
    import_deck_version(engine, new, rates, CLOCK)
    with transaction(engine) as session:
        add_tariff_version(session, NewTariff("retail", "retail", issuer_id=id), 0)
    yield engine
    engine.dispose()


def test_names_are_an_issuers_own(database: Engine) -> None:
    with transaction(database) as session:
        reseller = issuer_by_code(session, "reseller")
        assert len(session.scalars(select(RateDeckRow).where(RateDeckRow.name == "retail")).all()) == 2
        assert deck_by_name(session, "retail").issuer_id != reseller.id
        assert deck_by_name(session, "retail", reseller.id).issuer_id == reseller.id
        own, operators = tariff_by_name(session, "retail", reseller.id), tariff_by_name(session, "retail")
        assert (own.issuer_id, operators.issuer_id) == (reseller.id, issuer_by_code(session, None).id)
        assert newest_terms(session, own).tax_ppm == 0
        assert newest_terms(session, operators).tax_ppm == 200_000
        with pytest.raises(InputRefused, match="no rate deck 'wholesale'"):
            add_tariff_version(session, NewTariff("cheap", "wholesale", issuer_id=reseller.id), 0)
        with pytest.raises(InputRefused, match="no tariff 'wholesale'"):
            tariff_by_name(session, "wholesale", reseller.id)


def test_an_account_is_charged_by_who_bills_it_or_by_the_operator(database: Engine) -> None:
    with transaction(database) as session:
        reseller = issuer_by_code(session, "reseller")
        below = open_account(session, NewAccount("new", "New", parent="reseller", tariff="retail"), 0)
        own = open_account(session, NewAccount("own", "Own", tariff="retail"), 0)
        theirs = open_account(session, NewAccount("cheap", "Cheap", parent="reseller", tariff="wholesale"), 0)
        tariffs = {x.id: x.issuer_id for x in session.scalars(select(TariffRow))}
        operator_id = issuer_by_code(session, None).id
        assert tariffs[below.tariff_id or 0] == reseller.id
        assert tariffs[own.tariff_id or 0] == operator_id
        assert tariffs[theirs.tariff_id or 0] == operator_id


def test_a_reseller_writes_plans_with_tariffs_of_his_own(database: Engine) -> None:
    with transaction(database) as session:
        reseller = issuer_by_code(session, "reseller")
        add_plan(session, reseller, "own", PlanTerms("EUR", tariff="retail"), 0, own=True)
        with pytest.raises(InputRefused, match="no tariff 'wholesale'"):
            add_plan(session, reseller, "cheap", PlanTerms("EUR", tariff="wholesale"), 0, own=True)
        # The operator writes one for him by what is the operator's.
        add_plan(session, reseller, "cheap", PlanTerms("EUR", tariff="wholesale"), 0)


def test_bundles_are_an_issuers_own(database: Engine) -> None:
    with transaction(database) as session:
        reseller = issuer_by_code(session, "reseller")
        operators = add_bundle(session, NewBundle("100", "seconds", 6_000))
        assert bundle_of_issuer(session, reseller.id, "100").id == operators.id
        own = add_bundle(session, NewBundle("100", "seconds", 60, issuer_id=reseller.id))
        assert bundle_of_issuer(session, reseller.id, "100").id == own.id
        assert bundle_by_name(session, "100").id == operators.id
        with pytest.raises(InputRefused, match="exists already"):
            add_bundle(session, NewBundle("100", "seconds", 60, issuer_id=reseller.id))


def test_a_tariff_is_tried_without_an_account(database: Engine) -> None:
    with transaction(database) as session:
        reseller = issuer_by_code(session, "reseller")
        own = tariff_of_issuer(session, reseller.id, "retail")
        trial = try_tariff(session, own, "+49 30 123456", 90, 10**15)
        assert (trial.called, trial.charge.total, trial.charge.billable_s) == ("4930123456", 1_350_000, 90)
        with_tax = try_tariff(session, tariff_by_name(session, "retail"), "4930123456", 60, 10**15)
        assert with_tax.charge.total == 720_000
        with pytest.raises(InputRefused, match="has no rate for 331"):
            try_tariff(session, own, "331", 60, 10**15)


def test_the_command_line_means_the_operators_unless_told(ok: Ok, pbxbill: Run, database: Engine) -> None:
    assert "retail" in ok("rates", "list", "--reseller", "reseller")
    assert "wholesale" not in ok("rates", "list", "--reseller", "reseller")
    assert "0.9" in ok("rates", "show", "retail", "--reseller", "reseller")
    assert "0.6" in ok("rates", "show", "retail")
    assert "version 2" in ok("tariffs", "set", "retail", "--max-call-s", "600", "--reseller", "reseller")
    with transaction(database) as session:
        reseller = issuer_by_code(session, "reseller")
        assert newest_terms(session, tariff_by_name(session, "retail", reseller.id)).max_call_s == 600
        assert newest_terms(session, tariff_by_name(session, "retail")).max_call_s == 14_400
    refused = pbxbill("tariffs", "add", "x", "--deck", "wholesale", "--reseller", "reseller")
    assert refused.exit_code == 2
    assert "no rate deck 'wholesale'" in refused.output
