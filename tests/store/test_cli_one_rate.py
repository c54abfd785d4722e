"""One rate of a deck on the command line; a wallet corrected there leaves its event with the account."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from pbxbill.store.dunning_models import AccountEventRow
from pbxbill.store.engine import open_engine, transaction
from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Ok, Run

SHEET = """\
prefix,destination,price_per_min,initial_increment,following_increment
49,Germany,0.10,60,60
4915,Germany mobile,0.20,60,60
33,France,0.12,60,60
"""


@pytest.fixture
def deck(ok: Ok, tmp_path: Path) -> str:
    ok("init")
    sheet = tmp_path / "first.csv"
    sheet.write_text(SHEET)
    ok("rates", "import", sheet, "--deck", "mine", "--yes")
    return "mine"


def prices(ok: Ok, deck: str) -> dict[str, tuple[str, str]]:
    shown = json.loads(ok("rates", "show", deck, "--json"))["rates"]
    return {x["prefix"]: (x["price_per_min"], x["increments"]) for x in shown}


def test_one_rate_is_set_and_ended_and_the_others_stay(ok: Ok, pbxbill: Run, deck: str) -> None:
    previewed = json.loads(ok("rates", "set", deck, "4915", "--price", "0.25", "--preview", "--json"))
    assert previewed["preview"]["counts"]["raised"] == 1
    assert prices(ok, deck)["4915"] == ("0.2", "60/60")
    assert "has version 2: 3 rates" in ok("rates", "set", deck, "+49 15", "--price", "0.25", "--yes")
    assert prices(ok, deck) == {"49": ("0.1", "60/60"), "4915": ("0.25", "60/60"), "33": ("0.12", "60/60")}
    nameless = pbxbill("rates", "set", deck, "34", "--price", "0.05", "--yes")
    assert nameless.exit_code == 2
    assert "--destination" in nameless.stderr
    added = ("--destination", "Spain", "--price", "0.05", "--increments", "1/1")
    ok("rates", "set", deck, "34", *added, "--yes")
    assert prices(ok, deck)["34"] == ("0.05", "1/1")
    assert "ended" in ok("rates", "end", deck, "4915", "--yes")
    assert set(prices(ok, deck)) == {"49", "33", "34"}
    again = pbxbill("rates", "end", deck, "4915", "--yes")
    assert again.exit_code == 2
    assert "no rate of its own" in again.stderr
    odd = pbxbill("rates", "end", deck, "49x", "--yes")
    assert "up to 15 digits" in odd.stderr


def test_the_last_rate_of_a_deck_stays(ok: Ok, pbxbill: Run, deck: str) -> None:
    ok("rates", "end", deck, "4915", "--yes")
    ok("rates", "end", deck, "33", "--yes")
    refused = pbxbill("rates", "end", deck, "49", "--yes")
    assert refused.exit_code == 2
    assert "no rate left" in refused.stderr


def test_a_corrected_wallet_is_told_among_the_accounts_events(accounts: BilledAccounts, ok: Ok) -> None:
    ok("adjust", "bob", "5", "--memo", "sorry", "--key", "k1", "--by", "eve")
    ok("adjust", "bob", "5", "--memo", "sorry", "--key", "k1", "--by", "eve")
    database = open_engine(accounts.url)
    with transaction(database) as session:
        events = session.scalars(select(AccountEventRow).where(AccountEventRow.kind == "adjustment")).all()
        assert [(x.by, "5.00 EUR" in x.detail, "sorry" in x.detail) for x in events] == [("eve", True, True)]
    database.dispose()
