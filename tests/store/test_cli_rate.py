"""`pbxbill rate` says what the engine would say, on each database."""

import json
from pathlib import Path
from typing import Any

import pytest

from pbxbill.app import open_application, open_charging
from pbxbill.charging.events import Authorize, DenialReason, Denied, Direction, Granted
from pbxbill.clock import SystemClock
from pbxbill.ids import new_id
from pbxbill.store.driver import connect
from tests.store.command_line import Ok

BERLIN = "+493012345"
LOSS = "loss_making: a minute brings account acme 0.05 EUR and costs it 0.08 EUR"


@pytest.fixture
def operator(ok: Ok, tmp_path: Path) -> None:
    """lou pays less than its reseller does."""
    (tmp_path / "dear.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.08\n33,France,0.01\n")
    (tmp_path / "cheap.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.05\n33,France,0.05\n")
    (tmp_path / "names.csv").write_text("name;class;prefixes\nBerlin;local;4930\n")
    ok("init")
    for deck in ("dear", "cheap"):
        ok("rates", "import", f"{deck}.csv", "--deck", deck, "--yes")
        ok("tariffs", "add", deck, "--deck", deck)
    ok("destinations", "import", "names.csv")
    ok("accounts", "add", "acme", "--kind", "reseller", "--tariff", "dear", "--limit", "100")
    ok("accounts", "add", "lou", "--parent", "acme", "--tariff", "cheap", "--sip", "3001", "--sip", "3002")
    ok("topup", "lou", "3")


def quoted(ok: Ok, number: str = BERLIN) -> Any:
    return json.loads(ok("rate", number, "--account", "lou", "--json"))


def decided(url: str, number: str = BERLIN) -> Granted | Denied:
    now_us = SystemClock().now_us()
    request = Authorize(new_id(), "s1", new_id(), Direction.OUTBOUND, number, "", now_us, "3001")
    with open_application(url) as application, open_charging(application) as charging:
        outcome = charging.engine.execute(request)
    assert isinstance(outcome, Granted | Denied)
    return outcome


@pytest.mark.usefixtures("operator")
def test_a_call_at_a_loss_is_said_to_be_refused(ok: Ok, database_url: str) -> None:
    assert "the call could last 1:00:00" in ok("rate", BERLIN, "--account", "lou")
    assert quoted(ok)["refused"] is None
    ok("tariffs", "set", "cheap", "--refuse-loss")
    told = ok("rate", BERLIN, "--account", "lou")
    assert f"the call would be refused as {LOSS}" in told
    assert "could last" not in told
    assert (quoted(ok)["refused"], quoted(ok)["longest_s"]) == (LOSS, 0)
    assert quoted(ok, "+33140000000")["refused"] is None
    outcome = decided(database_url)
    assert isinstance(outcome, Denied)
    assert (outcome.reason, f"{outcome.reason}: {outcome.detail}") == (DenialReason.LOSS_MAKING, LOSS)
    assert isinstance(decided(database_url, "+33140000000"), Granted)
    ok("tariffs", "set", "cheap", "--allow-loss")
    assert isinstance(decided(database_url), Granted)


@pytest.mark.usefixtures("operator")
def test_limits_and_suspensions_are_said(ok: Ok) -> None:
    ok("limits", "set", "lou", "call_length", "90")
    assert quoted(ok)["longest_s"] == 90
    ok("limits", "set", "acme", "blocked", "--destination", "Berlin")
    assert "would be refused as destination_barred: limit" in ok("rate", BERLIN, "--account", "lou")
    ok("limits", "remove", "acme", "2")
    ok("endpoints", "suspend", "sip", "3002")
    told = ok("rate", BERLIN, "--account", "lou")
    suspended = "end_user_service_denied: the endpoint is suspended"
    assert f"from sip 3002 the call would be refused as {suspended}" in told
    assert "the call could last 0:01:30" in told
    ok("endpoints", "suspend", "sip", "3001")
    assert quoted(ok)["refused"] == suspended
    ok("endpoints", "resume", "sip", "3001")
    ok("accounts", "suspend", "acme")
    assert quoted(ok)["refused"] == "end_user_service_denied: account acme is suspended"
    ok("accounts", "activate", "acme")
    ok("adjust", "lou", "-3", "--memo", "spent")
    assert quoted(ok)["endpoints"][0]["refused"] == "credit_limit_reached: account lou has no funds"


@pytest.mark.usefixtures("operator")
def test_a_question_does_not_wait_for_who_holds_the_wallets(ok: Ok, database_url: str) -> None:
    calling = connect(database_url)
    calling.begin()
    assert calling.select("SELECT w.id FROM wallets w {lock:w}")
    try:
        assert quoted(ok)["longest_s"] == 3600
        assert json.loads(ok("calls", "--json")) == []
    finally:
        calling.rollback()
        calling.close()


@pytest.mark.usefixtures("operator")
def test_what_shadow_mode_lets_pass_is_said(ok: Ok) -> None:
    ok("tariffs", "set", "cheap", "--refuse-loss")
    ok("accounts", "set", "lou", "--shadow")
    told = ok("rate", BERLIN, "--account", "lou")
    assert f"shadow mode lets the call pass from sip 3001; it would have been refused as {LOSS}" in told
    assert "the call could last" in told


@pytest.mark.usefixtures("operator")
def test_the_destination_and_the_rate_have_their_own_names(ok: Ok) -> None:
    assert f"{BERLIN} is 493012345, Berlin (local), by the rate Germany\n" in ok(
        "rate", BERLIN, "--account", "lou"
    )
    found = quoted(ok)
    assert (found["destination"], found["class"]) == ("Berlin", "local")
    assert [level["rate"] for level in found["levels"]] == ["Germany", "Germany"]
    assert quoted(ok, "+33140000000")["destination"] == "France"


@pytest.mark.usefixtures("operator")
def test_the_price_is_that_of_the_band_in_force(ok: Ok, tmp_path: Path) -> None:
    (tmp_path / "calendar.toml").write_text('zone = "UTC"\n[[band]]\nname = "always"\n')
    (tmp_path / "banded.csv").write_text(
        "prefix,destination,band,price_per_min\n49,Germany,,0.90\n49,Germany,always,0.20\n"
    )
    ok("calendars", "set", "daily", "--file", "calendar.toml")
    ok("tariffs", "set", "cheap", "--calendar", "daily")
    ok("rates", "import", "banded.csv", "--deck", "cheap", "--yes")
    level = quoted(ok)["levels"][0]
    assert (level["price_per_min"], level["total"]) == ("0.2", "0.20")
