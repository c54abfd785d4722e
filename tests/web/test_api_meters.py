"""Meters and switches by the API, and re-rating."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pbxbill.access.permissions import Role
from pbxbill.clock import SECOND_US
from pbxbill.mediation.meter_tariffs import add_meter_tariff
from pbxbill.store.decks import add_deck_version
from pbxbill.store.engine import transaction
from pbxbill.web.api.fields import moment
from pbxbill.web.installation import Checked, KnownSwitch
from pbxbill.web.installation import Installation as Installed
from pbxbill.web.rules import WebRules
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import CLOCK, rate, talk_to_germany_and_france
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made

TARIFF = 'unit = "EUR"\n[[component]]\nname = "energy"\nkind = "per_piece"\nprice = "0.50"\n'
DAY_US = 86_400 * SECOND_US


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


@pytest.fixture
def talked(database_url: str) -> Iterator[Installation]:
    """On each database: alice and bob called Germany and France."""
    with installation(database_url) as made:
        talk_to_germany_and_france(made.accounts)
        yield made
    assert_books_in_order(database_url)


def metered(installed: Installation, program: Program) -> Any:
    with transaction(installed.invoicing.database) as session:
        add_meter_tariff(session, "power", TARIFF, 0, 0)
    body = {"code": "M-1", "tariff": "power", "measure": "kWh"}
    return made(program.post(f"/accounts/{installed.id('bob')}/meters", body))


def test_a_meter_is_read_and_charged(installed: Installation) -> None:
    program = installed.program()
    meter = metered(installed, program)
    assert (meter["code"], meter["account"], meter["shows"]) == ("M-1", "bob", None)
    address = f"/meters/{meter['id']}/readings"
    first = made(program.post(address, {"value": "100"}))
    assert (first["taken"], first["first"], first["total"]) == (True, True, None)
    before = program.get(f"/accounts/{installed.id('bob')}/wallets/EUR").json["posted"]["amount"]
    installed.invoicing.clock.advance(DAY_US)
    taken = made(program.post(address, {"value": "101.5"}))
    assert (taken["consumed"], taken["total"]) == ("1.5 kWh", {"amount": "0.75", "currency": "EUR"})
    assert taken["entry"]
    after = program.get(f"/accounts/{installed.id('bob')}/wallets/EUR").json["posted"]["amount"]
    assert float(before) - float(after) == pytest.approx(0.75)
    again = made(program.post(address, {"value": "101.5"}))
    assert again["taken"] is False
    problem(program.post(address, {"value": "90", "at": "2020-01-01T00:00:00Z"}), 409)
    assert program.get(f"/meters/{meter['id']}").json["shows"] == "101.5"
    readings = program.get(f"/meter-readings?meter={meter['id']}").json["items"]
    assert [(x["shows"], x["used"]) for x in readings] == [("101.5", "1.5 kWh"), ("100", "0 kWh")]


def test_a_meter_tariff_is_written_and_changed_by_versions(installed: Installation) -> None:
    program = installed.program()
    first = made(program.post("/meter-tariffs", {"name": "power", "toml": TARIFF}))
    assert (first["version"], first["unit"], first["toml"]) == (1, "EUR", TARIFF)
    problem(program.post("/meter-tariffs", {"name": "power", "toml": TARIFF}), 409)
    address = f"/meter-tariffs/{first['id']}"
    dearer = {"toml": TARIFF.replace("0.50", "0.60"), "since": "2040-01-01T00:00:00Z"}
    second = made(program.post(f"{address}/versions", dearer))
    assert (second["version"], second["counts_from"][:10]) == (2, "2040-01-01")
    assert [x["version"] for x in program.get(address).json["versions"]] == [2, 1]
    assert [(x["name"], x["number"]) for x in program.get("/meter-tariffs").json["items"]] == [("power", 2)]
    assert fields(program.post(f"{address}/versions", {"toml": "unit = 5"})) == ["body.toml"]
    assert fields(program.post("/meter-tariffs", {"name": "x", "toml": "price ="})) == ["body.toml"]
    problem(program.get("/meter-tariffs/99"), 404)
    problem(program.post("/meter-tariffs/99/versions", dearer), 404)
    problem(installed.program("reseller", role=Role.RESELLER).get(address), 403)
    meter = {"code": "M-1", "tariff": "power", "measure": "kWh"}
    made(program.post(f"/accounts/{installed.id('bob')}/meters", meter))


def test_wrong_meters_are_told(installed: Installation) -> None:
    program = installed.program()
    meter = metered(installed, program)
    address = f"/accounts/{installed.id('bob')}/meters"
    body = {"code": "M-1", "tariff": "power", "measure": "kWh"}
    problem(program.post(address, body), 409)
    assert fields(program.post(address, body | {"code": "M-2", "tariff": "x"})) == ["body.tariff"]
    assert fields(program.post(f"/meters/{meter['id']}/readings", {"value": "-5"})) == ["body.value"]
    problem(program.post("/meters/99/readings", {"value": "5"}), 404)


def cheaper(talked: Installation) -> None:
    """Germany costs half, and did so all the time."""
    clock = talked.invoicing.clock
    clock.step(CLOCK.now_us() + DAY_US - clock.now_us())  # the calls were just now
    with transaction(talked.invoicing.database) as session:
        add_deck_version(
            session,
            deck_name="retail",
            unit="EUR",
            rates=[rate("49", "Germany", "0.06"), rate("33", "France", "0.30", "0.05", "60/60")],
            effective_from_us=0,
            source="corrected.csv",
            now_us=clock.now_us(),
        )


def test_calls_are_rated_again_once_that_is_agreed_to(talked: Installation) -> None:
    program = talked.program()
    cheaper(talked)
    now_us = talked.invoicing.clock.now_us()
    body = {"from": "2020-01-01T00:00:00Z", "to": moment(now_us), "account": "bob"}
    asked = made(program.post("/re-ratings", body), 202)
    address = f"/re-ratings/{asked['id']}"
    shown = program.get(address).json
    assert (shown["state"], shown["accounts"], shown["preview"]["calls"]) == ("ready", ["bob"], 2)
    (change,) = shown["preview"]["accounts"]
    assert (change["account"], change["changed"]) == ("bob", 1)
    assert (change["old"]["amount"], change["new"]["amount"]) == ("0.59", "0.47")
    made(program.post(f"{address}/agreement", None), 202)
    done = program.get(address).json
    (corrected,) = done["result"]["corrected"]
    assert (done["state"], corrected["account"], done["result"]["notes"]) == ("done", "bob", [])
    assert corrected["delta"] == {"amount": "-0.12", "currency": "EUR"}
    problem(program.post(f"{address}/agreement", None), 409)
    problem(program.post(f"{address}/stop", None), 409)
    assert program.get("/re-ratings?state=done").json["items"][0]["accounts"] == "bob"


def test_one_call_is_rated_again(talked: Installation) -> None:
    program = talked.program()
    cheaper(talked)
    call = program.get("/calls?account=bob").json["items"][0]["id"]
    asked = made(program.post("/re-ratings", {"call": call}), 202)
    assert program.get(f"/re-ratings/{asked['id']}").json["preview"]["calls"] == 1


def test_wrong_re_ratings_are_told_by_their_fields(talked: Installation) -> None:
    program = talked.program()
    now_us = talked.invoicing.clock.now_us()
    period = {"from": moment(now_us - DAY_US), "to": moment(now_us)}
    assert fields(program.post("/re-ratings", {})) == ["body.from"]
    assert fields(program.post("/re-ratings", {"call": "0" * 32})) == ["body.call"]
    assert fields(program.post("/re-ratings", {"call": "0" * 32} | period)) == ["body.call"]
    assert fields(program.post("/re-ratings", period | {"account": "nobody"})) == ["body.account"]
    assert fields(program.post("/re-ratings", period | {"deck": "x"})) == ["body.account"]
    assert fields(program.post("/re-ratings", period | {"account": "bob", "deck": "x"})) == ["body.deck"]
    assert fields(program.post("/re-ratings", period | {"to": moment(now_us + DAY_US)})) == ["body.to"]
    reseller = talked.program("reseller", role=Role.RESELLER)
    problem(reseller.post("/re-ratings", period), 403)


def test_switches_are_shown_and_tried(sqlite_url: str) -> None:
    known = Installed(
        switches=(KnownSwitch("one", "freeswitch", "127.0.0.1:8021"),),
        diagnose=lambda: [Checked("store", "ok", "answers"), Checked("one", "fail", "silent", "start it")],
    )
    with installation(sqlite_url, replace(WebRules(), installation=known)) as installed:
        program = installed.program()
        (switch,) = program.get("/switches").json["items"]
        assert (switch["name"], switch["kind"], switch["state"]) == ("one", "freeswitch", "off")
        found = made(program.post("/switches/check", None), 200)["items"]
        assert [(x["check"], x["verdict"]) for x in found] == [("one", "fail"), ("store", "ok")]
        problem(installed.program("reseller", role=Role.RESELLER).get("/switches"), 403)


def test_a_process_that_cannot_try_switches_says_so(installed: Installation) -> None:
    problem(installed.program().post("/switches/check", None), 404)
