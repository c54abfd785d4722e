"""Reports about what might have been: calls by other prices, and calls in shadow mode."""

import pytest
from sqlalchemy import select, update

from pbxbill.cli.output import moment
from pbxbill.rating.tariff import TaxMode
from pbxbill.reports.catalogue import REPORTS, made, operator_scope
from pbxbill.reports.making import TooLarge
from pbxbill.reports.report import Asked, ParameterRefused, Table
from pbxbill.store.decks import add_deck_version
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import CdrRow
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import eur
from tests.store.billed_accounts import CLOCK, BilledAccounts, rate, talk_to_germany_and_france

DAYS = {"from": str(moment(CLOCK.now_us() - 86_400_000_000))[:10]}


@pytest.fixture
def talked(accounts: BilledAccounts) -> BilledAccounts:
    """alice (below a reseller, with tax) and bob: two minutes to Germany, one to France, each."""
    database = open_engine(accounts.url)
    with transaction(database) as session:
        rates = [rate("49", "Germany", "0.12")]
        add_deck_version(
            session, deck_name="german", unit="EUR", rates=rates, effective_from_us=0, source="", now_us=1
        )
        add_tariff_version(
            session, NewTariff("german", "german", tax_mode=TaxMode.INCLUSIVE, tax_ppm=190_000), 1
        )
    database.dispose()
    talk_to_germany_and_france(accounts)
    return accounts


def table(accounts: BilledAccounts, name: str, *, timeout_ms: int = 60_000, **values: str) -> Table:
    database = open_engine(accounts.url)
    try:
        with transaction(database) as session:
            asked = Asked(operator_scope(session), DAYS | values, "UTC", CLOCK.now_us())
            return made(session, REPORTS[name], asked, timeout_ms=timeout_ms)
    finally:
        database.dispose()


def test_calls_by_another_deck_by_account_and_destination(talked: BilledAccounts) -> None:
    found = table(talked, "simulation", deck="german")
    assert [(x["code"], x["calls"], x["unrated"]) for x in found.rows] == [("alice", 2, 1), ("bob", 2, 1)]
    by_place = table(talked, "simulation", deck="german", group="destination")
    france, germany = by_place.rows
    assert (france["destination"], france["unrated"], france["unrated_old"]) == ("France", 2, eur("0.70"))
    assert (germany["destination"], germany["calls"], germany["cheaper"] + germany["dearer"]) == (
        "Germany",
        2,
        0,
    )
    (total,) = by_place.totals
    assert total == found.totals[0]
    assert (total["unit"], total["calls"], total["delta"]) == ("EUR", 4, total["new"] - total["old"])
    assert [x["code"] for x in table(talked, "simulation", tariff="german", account="bob").rows] == ["bob"]


def test_what_is_not_named_or_not_there_is_told(talked: BilledAccounts) -> None:
    assert table(talked, "simulation").rows == []
    with pytest.raises(ParameterRefused):
        table(talked, "simulation", tariff="nothing")
    with pytest.raises(ParameterRefused):
        table(talked, "simulation", deck="nothing")
    with pytest.raises(ParameterRefused):
        table(talked, "simulation", tariff="german", deck="german")
    with pytest.raises(TooLarge, match="background"):
        table(talked, "simulation", deck="german", timeout_ms=1)


def test_what_would_have_been_done_with_watched_calls(talked: BilledAccounts) -> None:
    assert table(talked, "shadow").rows == []
    database = open_engine(talked.url)
    with transaction(database) as session:
        ids = session.scalars(select(CdrRow.session_id).order_by(CdrRow.started_us)).all()
        words = ("would have been denied: no_funds: x", "would have been cut after 30 s: x", "", "")
        for session_id, text in zip(ids, words, strict=True):
            session.execute(update(CdrRow).where(CdrRow.session_id == session_id).values(shadow=text))
    database.dispose()
    rows = {x["what"]: x for x in table(talked, "shadow").rows}
    assert {key: x["calls"] for key, x in rows.items()} == {"would_go_on": 2, "no_funds": 1, "would_end": 1}
    assert rows["would_end"]["beyond_s"] in (30, 90)
    by_account = table(talked, "shadow", group="customer")
    assert sum(x["calls"] for x in by_account.rows) == by_account.totals[0]["calls"] == 4
