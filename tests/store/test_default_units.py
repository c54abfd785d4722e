"""With several units, what is not said follows from the tariff, on each database."""

import json
from pathlib import Path

import pytest

from tests.store.command_line import Ok, Run


@pytest.fixture
def operator(ok: Ok, tmp_path: Path) -> None:
    """Prices in euros; points are a second unit."""
    (tmp_path / "rates.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.12\n")
    ok("init")
    ok("rates", "import", "rates.csv", "--deck", "retail", "--yes")
    ok("tariffs", "add", "retail", "--deck", "retail")


def add_points(ok: Ok) -> None:
    ok("units", "add", "points", "--scale", "0", "--digits", "0")


@pytest.mark.usefixtures("operator")
def test_an_account_has_a_wallet_in_its_tariffs_unit(ok: Ok, pbxbill: Run) -> None:
    add_points(ok)
    assert "with a EUR wallet" in ok("accounts", "add", "acme", "--tariff", "retail")
    assert "choose a --unit" in pbxbill("accounts", "add", "bob").stderr


@pytest.mark.usefixtures("operator")
def test_a_limit_counts_in_the_tariffs_unit(ok: Ok, pbxbill: Run) -> None:
    add_points(ok)
    ok("accounts", "add", "alice", "--tariff", "retail", "--wallet-order", "points,EUR")
    assert "spend: 50.00 EUR per day" in ok("limits", "set", "alice", "spend", "50", "--window", "day")
    assert "call_cost: 10.00 EUR per call" in ok("limits", "set", "alice", "call_cost", "10")
    told = ok("limits", "set", "alice", "call_cost", "10", "--unit", "points")
    assert "call_cost: 10 POINTS per call" in told
    ok("accounts", "add", "bob", "--wallet-order", "points,EUR")
    assert "choose by --unit" in pbxbill("limits", "set", "bob", "call_cost", "10").stderr


@pytest.mark.usefixtures("operator")
def test_a_mark_up_is_in_the_only_unit(ok: Ok, pbxbill: Run) -> None:
    ok("tariffs", "add", "mark", "--mark-up", "10")
    assert json.loads(ok("tariffs", "show", "mark", "--json"))[-1]["unit"] == "EUR"
    add_points(ok)
    refused = pbxbill("tariffs", "add", "other", "--mark-up", "10")
    assert (refused.exit_code, "needs its unit: --unit EUR or --unit POINTS" in refused.stderr) == (2, True)
    ok("tariffs", "set", "mark", "--mark-up", "20")  # it has its unit already
    assert json.loads(ok("tariffs", "show", "mark", "--json"))[-1]["unit"] == "EUR"
