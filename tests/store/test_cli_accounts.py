"""What `pbxbill accounts` says, and what it leaves to its defaults, on each database."""

import json
from pathlib import Path

import pytest

from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.engine import open_engine, transaction
from tests.store.command_line import Ok, Run, by_commands


def begin(ok: Ok) -> None:
    Path("rates.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.12\n")
    ok("init")
    ok("rates", "import", "rates.csv", "--deck", "retail", "--yes")
    ok("tariffs", "add", "retail", "--deck", "retail")
    ok("accounts", "add", "alice", "--tariff", "retail")
    ok("accounts", "add", "acme", "--tariff", "retail", "--mode", "postpaid", "--limit", "50")


BEGUN = {"operator": by_commands("accounts", begin)}


@pytest.fixture
def operator(tmp_path: Path) -> None:
    """A prepaid and a postpaid account."""
    (tmp_path / "rates.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.12\n")


@pytest.mark.usefixtures("operator")
def test_an_open_account_may_call_offline_unless_it_is_said_otherwise(ok: Ok, pbxbill: Run) -> None:
    def shown(code: str) -> tuple[str, str]:
        account = json.loads(ok("accounts", "show", code, "--json"))
        return account["failure_policy"], account["offline_allowance"]

    warning = "with an offline allowance of 0 no new call passes"
    assert shown("alice") == ("closed", "0.00")
    assert shown("acme") == ("open", "10.00")
    assert warning not in pbxbill("accounts", "add", "bob", "--mode", "hybrid").stderr
    assert shown("bob") == ("open", "10.00")
    ok("accounts", "add", "carol", "--failure-policy", "open")
    assert shown("carol") == ("open", "10.00")
    assert (
        warning in pbxbill("accounts", "add", "dave", "--mode", "postpaid", "--offline-allowance", "0").stderr
    )
    assert shown("dave") == ("open", "0.00")
    assert warning in pbxbill("accounts", "set", "alice", "--failure-policy", "open").stderr
    assert warning not in pbxbill("accounts", "set", "alice", "--offline-allowance", "3").stderr
    assert shown("alice") == ("open", "3.00")


@pytest.mark.usefixtures("operator")
def test_the_allowance_is_in_the_wallets_unit(ok: Ok) -> None:
    ok("init", "--unit", "JPY", "--scale", "0", "--digits", "0")
    ok("accounts", "add", "yuki", "--mode", "postpaid", "--unit", "JPY")
    assert json.loads(ok("accounts", "show", "yuki", "--json"))["offline_allowance"] == "10"
    ok("accounts", "set", "yuki", "--offline-allowance", "700")
    ok("accounts", "set", "acme", "--offline-allowance", "7", "--unit", "EUR")
    assert json.loads(ok("accounts", "show", "yuki", "--json"))["offline_allowance"] == "700"
    assert json.loads(ok("accounts", "show", "acme", "--json"))["offline_allowance"] == "7.00"


@pytest.mark.usefixtures("operator")
def test_what_was_changed_is_named_as_it_was_asked_for(ok: Ok, pbxbill: Run) -> None:
    told = ok("accounts", "set", "alice", "--tariff", "retail", "--inbound-tariff", "none")
    assert told == "changed tariff, inbound tariff of account alice\n"
    assert "it cannot call yet" in pbxbill("accounts", "add", "bob").stderr
    assert pbxbill("accounts", "add", "carol", "--tariff", "retail").stderr == ""


@pytest.mark.usefixtures("operator")
def test_an_account_with_several_wallets(ok: Ok, pbxbill: Run) -> None:
    ok("units", "add", "POINTS", "--kind", "items")
    ok("units", "add", "USD")
    ok("exchange", "set", "EUR", "POINTS", "100")
    order = ("--wallet-order", "points, usd,EUR")
    told = pbxbill("accounts", "add", "zoe", "--tariff", "retail", *order, "--limit", "5")
    assert told.stdout == "opened prepaid account zoe with POINTS, USD, EUR wallets\n"
    assert "USD wallet of zoe pays nothing yet" in told.stderr
    assert "POINTS wallet" not in told.stderr
    ok("topup", "zoe", "70", "--unit", "points")
    shown = json.loads(ok("accounts", "show", "zoe", "--json"))
    assert shown["wallet_order"] == "POINTS,USD,EUR"
    assert {x["unit"]: x["available"] for x in shown["wallets"]} == {
        "EUR": "5.00",
        "POINTS": "70",
        "USD": "0.00",
    }


@pytest.mark.usefixtures("operator")
def test_another_wallet_is_opened_and_put_into_the_order(ok: Ok, pbxbill: Run) -> None:
    ok("units", "add", "USD")
    refused = pbxbill("accounts", "set", "alice", "--wallet-order", "USD,EUR")
    assert refused.exit_code == 2
    assert "`pbxbill accounts wallet alice USD` opens it" in refused.stderr
    assert ok("accounts", "wallet", "alice", "usd", "--limit", "3") == "account alice has a USD wallet\n"
    assert pbxbill("accounts", "wallet", "alice", "USD").exit_code == 2
    told = pbxbill("accounts", "set", "alice", "--wallet-order", "USD,EUR")
    assert told.exit_code == 0
    assert "`pbxbill exchange set EUR USD RATE`" in told.stderr
    ok("accounts", "set", "alice", "--wallet-order", "none")
    assert json.loads(ok("accounts", "show", "alice", "--json"))["wallet_order"] is None


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "order,reason", [("EUR,EUR", "names a unit twice"), ("EUR,XXX", "no unit 'XXX'"), ("EUR,", "no unit ''")]
)
def test_orders_of_wallets_that_cannot_be(pbxbill: Run, order: str, reason: str) -> None:
    for words in (("set", "alice"), ("add", "new")):
        result = pbxbill("accounts", *words, "--wallet-order", order)
        assert result.exit_code == 2
        assert reason in result.stderr


@pytest.mark.usefixtures("operator")
def test_shadow_mode_and_dialling_rules(ok: Ok, pbxbill: Run, database_url: str) -> None:
    def shown(code: str) -> tuple[bool, str | None]:
        account = json.loads(ok("accounts", "show", code, "--json"))
        return account["shadow"], account["dialling_rule"]

    database = open_engine(database_url)
    with transaction(database) as session:
        session.add(DiallingRuleRow(name="germany", definition='{"region": "DE"}'))
    database.dispose()
    assert shown("alice") == (False, None)
    ok("accounts", "set", "alice", "--shadow", "--dialling-rule", "germany")
    assert shown("alice") == (True, "germany")
    ok("accounts", "set", "alice", "--no-shadow")
    ok("accounts", "set", "alice", "--dialling-rule", "none")
    assert shown("alice") == (False, None)
    ok("accounts", "add", "carol", "--shadow", "--dialling-rule", "germany")
    assert shown("carol") == (True, "germany")
    unknown = pbxbill("accounts", "set", "alice", "--dialling-rule", "france")
    assert unknown.exit_code == 2
    assert "no dialling rule 'france'; known are: germany" in unknown.stderr


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("name", ["a\x01b", "a\nb", " ", "x" * 201, "\ufffe"])
def test_a_name_that_no_document_can_say_is_refused(pbxbill: Run, name: str) -> None:
    refused = pbxbill("accounts", "add", "new", "--name", name)
    assert refused.exit_code == 2
    assert "an account's name has 1 to 200 printable characters" in refused.stderr
    assert "no account 'new'" in pbxbill("accounts", "show", "new").stderr
