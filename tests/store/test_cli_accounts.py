"""What `pbxbill accounts` says, and what it leaves to its defaults, on each database."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., str]


@pytest.fixture
def operator(ok: Run, tmp_path: Path) -> None:
    """A prepaid and a postpaid account."""
    (tmp_path / "rates.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.12\n")
    ok("init")
    ok("rates", "import", "rates.csv", "--deck", "retail")
    ok("tariffs", "add", "retail", "--deck", "retail")
    ok("accounts", "add", "alice", "--tariff", "retail")
    ok("accounts", "add", "acme", "--tariff", "retail", "--mode", "postpaid", "--limit", "50")


@pytest.mark.usefixtures("operator")
def test_an_open_account_may_call_offline_unless_it_is_said_otherwise(
    ok: Run, pbxbill: Callable[..., Result]
) -> None:
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
def test_the_allowance_is_in_the_wallets_unit(ok: Run) -> None:
    ok("init", "--unit", "JPY", "--scale", "0", "--digits", "0")
    ok("accounts", "add", "yuki", "--mode", "postpaid", "--unit", "JPY")
    assert json.loads(ok("accounts", "show", "yuki", "--json"))["offline_allowance"] == "10"
    ok("accounts", "set", "yuki", "--offline-allowance", "700")
    ok("accounts", "set", "acme", "--offline-allowance", "7", "--unit", "EUR")
    assert json.loads(ok("accounts", "show", "yuki", "--json"))["offline_allowance"] == "700"
    assert json.loads(ok("accounts", "show", "acme", "--json"))["offline_allowance"] == "7.00"


@pytest.mark.usefixtures("operator")
def test_what_was_changed_is_named_as_it_was_asked_for(ok: Run, pbxbill: Callable[..., Result]) -> None:
    told = ok("accounts", "set", "alice", "--tariff", "retail", "--inbound-tariff", "none")
    assert told == "changed tariff, inbound tariff of account alice\n"
    assert "it cannot call yet" in pbxbill("accounts", "add", "bob").stderr
    assert pbxbill("accounts", "add", "carol", "--tariff", "retail").stderr == ""
