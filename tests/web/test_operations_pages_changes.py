"""What operations change: re-rating, limits, held countries, meters, settings; and the first page."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import select

from pbxbill.cli.context import Context
from pbxbill.cli.web_installation import installation_of
from pbxbill.clock import SECOND_US
from pbxbill.mediation.meter_tariffs import add_meter_tariff
from pbxbill.money import compile_price, parse_amount, parse_decimal
from pbxbill.store.access_models import AuditRow
from pbxbill.store.accounts import account_by_code
from pbxbill.store.catalogue_models import BandCalendarRow, ExchangeRateRow, HeldCountryRow
from pbxbill.store.decks import NewRate, add_deck_version
from pbxbill.store.limits import NewLimit, set_limit
from pbxbill.store.models import UnitRow, WalletRow
from pbxbill.store.rerating_models import ReratingPlanRow
from pbxbill.web.rules import WebRules
from tests.database_operator import EUR
from tests.store.test_mediation_meters import POWER
from tests.web.offices import Office, opened_office
from tests.web.test_live_calls import Calling


@pytest.fixture
def calling(office_on_each: Office) -> Iterator[Calling]:
    made = Calling(office_on_each)
    yield made
    made.engine.stop()


def ended_call(calling: Calling) -> str:
    session_id = calling.talking("alice", seconds=30)
    calling.end(session_id)
    calling.office.clock.advance(SECOND_US)
    return session_id


def cheaper(office: Office) -> None:
    """Germany costs 0.06 in the deck of alice's tariff, and did so all the time."""
    with office.writing() as session:
        add_deck_version(
            session,
            deck_name="retail",
            unit="EUR",
            rates=[NewRate("49", "Germany", compile_price(parse_decimal("0.06")))],
            effective_from_us=0,
            source="corrected.csv",
            now_us=office.clock.now_us(),
        )


def posted(office: Office, code: str) -> int:
    with office.reading() as session:
        wallet = select(WalletRow.posted).where(WalletRow.account_id == office.account_id(code))
        return session.scalars(wallet).one()


# --- re-rating --------------------------------------------------------------------------------


def test_one_call_is_re_rated_from_its_page(calling: Calling) -> None:
    session_id = ended_call(calling)
    office = calling.office
    admin = office.seat("admin")
    assert "Re-rate this call" in admin.get(f"/panel/calls/{session_id}").text
    cheaper(office)
    planned = admin.post(f"/panel/rerating/of-call/{session_id}", page=f"/panel/calls/{session_id}")
    page = admin.get(planned.location).text
    assert "What would change" in page
    assert "0.36" in page
    assert "−0.324" in page
    before = posted(office, "alice")
    assert admin.post(f"{planned.location}/begin", page=planned.location).status_code == 303
    page = admin.get(planned.location).text
    assert "The charges are corrected, by run 1." in page
    assert posted(office, "alice") - before == parse_amount("0.324", EUR)
    assert "Corrected by re-rating run 1" in admin.get(f"/panel/calls/{session_id}").text
    assert "not waiting to be agreed to" in _again(calling, planned.location)
    with office.reading() as session:
        actions = list(session.scalars(select(AuditRow.action).order_by(AuditRow.id)))
    assert actions[-2:] == ["rerating.plan", "rerating.begin"]


def _again(calling: Calling, path: str) -> str:
    admin = calling.office.seat("admin")
    admin.post(f"{path}/begin", page="/me")
    return admin.get(path).text


def test_a_period_that_changes_nothing_says_so(calling: Calling) -> None:
    ended_call(calling)
    admin = calling.office.seat("admin")
    form = {"since": "2020-01-01T00:00:00", "until": "2030-01-01T00:00:00", "account": "alice"}
    form |= {"tariff": "", "deck": ""}
    refused = admin.post("/panel/rerating/new", form)
    assert "The period is not over" in refused.text
    assert 'value="alice"' in refused.text
    now = calling.office.clock.now_us() // SECOND_US
    made = admin.post("/panel/rerating/new", form | {"until": _moment(now)})
    assert made.status_code == 303, made.text
    assert "Nothing would change" in admin.get(made.location).text
    assert "alice" in admin.get("/panel/rerating").text
    backwards = form | {"until": "2019-01-01T00:00:00"}
    assert "The period ends before it begins" in admin.post("/panel/rerating/new", backwards).text
    unknown = form | {"until": _moment(now), "account": "nobody"}
    assert "nobody" in admin.post("/panel/rerating/new", unknown).text


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def test_a_plan_whose_worker_died_goes_on(calling: Calling) -> None:
    session_id = ended_call(calling)
    cheaper(calling.office)
    admin = calling.office.seat("admin")
    path = admin.post(f"/panel/rerating/of-call/{session_id}", page=f"/panel/calls/{session_id}").location
    with calling.office.writing() as session:
        session.scalars(select(ReratingPlanRow)).one().state = "running"
    assert "Charges are being corrected" in admin.get(path).text
    calling.office.clock.advance(301 * SECOND_US)
    page = admin.get(path).text
    assert "It stopped." in page
    assert "Go on" in page
    admin.post(f"{path}/begin", page=path)
    assert "The charges are corrected" in admin.get(path).text


def test_only_who_operates_re_rates(calling: Calling) -> None:
    session_id = ended_call(calling)
    office = calling.office
    assert office.seat("support").post(f"/panel/rerating/of-call/{session_id}", page="/me").status_code == 403
    assert office.seat("reseller").get("/panel/rerating").status_code == 403
    assert office.seat("admin").get("/panel/rerating/999").status_code == 404


# --- limits -----------------------------------------------------------------------------------


def test_limits_show_what_is_spent_of_them(calling: Calling) -> None:
    office = calling.office
    with office.writing() as session:
        new = NewLimit("spend", parse_amount("5", EUR), unit="EUR", window="day")
        set_limit(session, account_by_code(session, "alice"), new)
        set_limit(session, account_by_code(session, "olga"), NewLimit("simultaneous_calls", 3))
    ended_call(calling)
    page = office.seat("admin").get("/panel/limits").text
    assert "spending" in page
    assert "5.00" in page
    assert "0.36" in page
    own = office.seat("reseller").get("/panel/limits").text
    assert "alice" in own
    assert "olga" not in own
    assert "olga" not in office.seat("reseller").get("/panel/limits.csv").text


def test_a_held_country_is_released_and_held_again(office_on_each: Office) -> None:
    office = office_on_each
    with office.writing() as session:
        for code in ("alice", "olga"):
            account = account_by_code(session, code)
            set_limit(session, account, NewLimit("new_country"))
            session.add(HeldCountryRow(account_id=account.id, region="FR", released=False, first_us=1))
    reseller, id = office.seat("reseller"), office.account_id("alice")
    page = reseller.get("/panel/limits/held").text
    assert "Countries held back (1)" in page
    assert "olga" not in page
    assert "1 country held back" in reseller.get("/panel/").text
    reseller.post(f"/panel/limits/held/{id}/FR/release", page="/panel/limits/held")
    page = reseller.get("/panel/limits/held").text
    assert "alice may call FR." in page
    assert "Hold back" in page
    reseller.post(f"/panel/limits/held/{id}/FR/hold", page="/panel/limits/held")
    assert "Release" in reseller.get("/panel/limits/held").text
    theirs = office.account_id("olga")
    answer = reseller.post(f"/panel/limits/held/{theirs}/FR/release", page="/panel/limits/held")
    assert answer.status_code == 404
    reseller.post(f"/panel/limits/held/{id}/nowhere/release", page="/panel/limits/held")
    assert "is no country" in reseller.get("/panel/limits/held").text


# --- meters -----------------------------------------------------------------------------------


def test_a_meter_is_made_and_read(calling: Calling) -> None:
    office = calling.office
    admin = office.seat("admin")
    assert "There is no meter tariff yet" in admin.get("/panel/meters/new").text
    with office.writing() as session:
        add_meter_tariff(session, "power", POWER, 0, office.clock.now_us())
    form = {"account": "alice", "code": "M1", "tariff": "power", "measure": "kWh", "rolls_over_at": ""}
    assert "nobody" in admin.post("/panel/meters/new", form | {"account": "nobody"}).text
    made = admin.post("/panel/meters/new", form)
    assert made.status_code == 303, made.text
    read = {"value": "1000", "at": "", "restarts_at": ""}
    admin.post(f"{made.location}/read", read)
    assert "The meter begins with 1000. Nothing is charged." in admin.get(made.location).text
    office.clock.advance(86_400 * SECOND_US)
    admin = office.browser("admin")
    assert "is less than 1000" in admin.post(f"{made.location}/read", read | {"value": "900"}).text
    before = posted(office, "alice")
    # 10 x 0.20 and 0.30 for the day, 19 % on it.
    admin.post(f"{made.location}/read", read | {"value": "1010"})
    assert "10 kWh cost 2.737 EUR." in admin.get(made.location).text
    assert before - posted(office, "alice") == parse_amount("2.737", EUR)
    assert "1010" in admin.get("/panel/meters").text
    assert admin.get("/panel/meters/999").status_code == 404


# --- settings ---------------------------------------------------------------------------------


def test_the_configuration_is_shown_without_its_secrets(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "pbxbill.toml"
    path.write_text(
        f'[database]\nurl = "{sqlite_url}"\n[redis]\nurl = "redis://:hidden@127.0.0.1:6379/0"\n'
        '[[switch]]\ntype = "asterisk"\nname = "pbx1"\nsecret = "very hidden"\n'
    )
    installation = installation_of(Context(path))
    with opened_office(sqlite_url, replace(WebRules(), installation=installation)) as office:
        page = office.seat("admin").get("/panel/settings").text
        assert str(path) in page
        assert "[[switch]] pbx1" in page
        assert "redis://:***@127.0.0.1:6379/0" in page
        assert "hidden@" not in page
        assert "very hidden" not in page
        answer = office.seat("reseller").get("/panel/settings")
        assert answer.location == "/panel/settings/units"


def test_a_unit_is_added_and_shown_otherwise(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    form = {"code": "xbt", "kind": "crypto", "name": "Bitcoin", "symbol": ""}
    assert admin.post("/panel/settings/units/new", form).status_code == 303
    assert "Bitcoin" in admin.get("/panel/settings/units").text
    again = admin.post("/panel/settings/units/new", form)
    assert "exists already" in again.text
    assert 'value="xbt"' in again.text
    path = "/panel/settings/units/XBT"
    edition = admin.get(path).text.split('name="edition" type="hidden" value="')[1].split('"')[0]
    with office_on_each.writing() as session:
        session.get_one(UnitRow, "XBT").name = "Bitcoins"
    changed = {"name": "B", "symbol": "", "digits": "4", "edition": edition.replace("&#34;", '"')}
    assert "Somebody else changed this" in admin.post(path, changed).text
    changed["edition"] = json.dumps({"name": "Bitcoins", "symbol": "", "digits": "8"})
    assert admin.post(path, changed).status_code == 303
    with office_on_each.reading() as session:
        assert session.get_one(UnitRow, "XBT").digits == 4
    assert admin.get("/panel/settings/units/NONE").status_code == 404
    assert office_on_each.seat("reseller").get(path).status_code == 403


def test_an_exchange_rate_is_set_once(office: Office) -> None:
    admin = office.seat("admin")
    assert "There is one unit alone" in admin.get("/panel/settings/exchange/new").text
    admin.post("/panel/settings/units/new", {"code": "USD", "kind": "currency", "name": "", "symbol": ""})
    form = {"from_unit": "EUR", "to_unit": "USD", "rate": "1.09", "since": ""}
    assert admin.post("/panel/settings/exchange/new", form).status_code == 303
    assert "1.09" in admin.get("/panel/settings/exchange").text
    assert "has a rate from this moment already" in admin.post("/panel/settings/exchange/new", form).text
    assert "above zero" in admin.post("/panel/settings/exchange/new", form | {"rate": "0"}).text
    with office.reading() as session:
        assert session.scalars(select(ExchangeRateRow.source)).one() == "admin"


def test_a_calendar_gets_a_new_version(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    text = 'zone = "Europe/Berlin"\n[[band]]\nname = "day"\nweekdays = "Mon-Fri"\nhours = "08:00-18:00"\n'
    made = admin.post("/panel/settings/calendars/new/text", {"name": "work", "text": text})
    assert made.status_code == 303, made.text
    assert "Europe/Berlin" in admin.get(made.location).text
    edit = f"{made.location}/edit/text"
    assert "hours = &#34;08:00-18:00&#34;" in admin.get(edit).text
    changed = {"name": "work", "text": text.replace("18:00", "20:00")}
    changed["edition"] = json.dumps({"version": "1"})
    newer = admin.post(edit, changed)
    assert newer.status_code == 303, newer.text
    assert "20:00" in admin.get(newer.location).text
    assert "This is version 1." in admin.get(made.location).text
    broken = admin.post(edit, {"name": "work", "text": "zone = ", "edition": json.dumps({"version": "2"})})
    assert "is not TOML" in broken.text
    assert "zone = </textarea>" in broken.text
    assert "20:00" in office_on_each.seat("reseller").get(newer.location).text
    with office_on_each.reading() as session:
        assert len(session.scalars(select(BandCalendarRow)).all()) == 2


# --- the first page ---------------------------------------------------------------------------


def test_the_first_page_compares_hours_with_a_week_ago(calling: Calling) -> None:
    office = calling.office
    ended_call(calling)
    page = office.seat("admin").get("/panel/").text
    assert "Revenue of calls today by hour, EUR without tax" in page
    assert "a week ago" in page
    assert "Revenue of calls today by hour" in office.seat("reseller").get("/panel/").text
    assert "Revenue of calls today by hour" not in office.seat("other").get("/panel/").text


def test_exchange_rates_of_a_file_are_looked_at_and_then_set(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    admin.post("/panel/settings/units/new", {"code": "GBP", "kind": "currency", "name": "", "symbol": ""})
    path = "/panel/settings/exchange/import"
    sheet = b"from;to;rate;effective_from\nEUR;GBP;0,8517;2026-01-31\nEUR;XXX;1;\nEUR;GBP;0,86;2026-01-31\n"
    page = admin.post(path, {"file": (BytesIO(sheet), "ecb.csv"), "since": ""}).text
    assert "0.8517" in page
    assert "Nothing has been set yet" in page
    assert 'role="rowheader">3</th>' in page
    assert 'role="rowheader">4</th>' in page
    assert "0.8517" not in admin.get("/panel/settings/exchange").text
    sent = {
        name: html.unescape(found[1])
        for name in ("text", "name", "since")
        if (found := re.search(rf'name="{name}"[^>]*value="([^"]*)"', page))
    }
    assert admin.post(f"{path}/agree", sent, page=path).status_code == 303
    listed = admin.get("/panel/settings/exchange").text
    assert "Exchange rates that are set: 1. Rows that could not be used: 2." in listed
    assert "0.8517" in listed
    assert "ecb.csv" in listed
    assert "must be there once" in admin.post(path, {"file": (BytesIO(b"a,b\n"), "x.csv")}).text
    assert office_on_each.seat("reseller").get(path).status_code == 403


def test_a_meter_tariff_is_set_by_text_or_file_and_has_versions(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    assert "New meter tariff" in admin.get("/panel/meters/new").text
    path = "/panel/meter-tariffs/new"
    assert "base price" in admin.get(path).text
    made = admin.post(path, {"name": "power", "since": "", "text": POWER})
    assert made.status_code == 303, made.text
    page = admin.get(str(made.location)).text
    assert "from 100: 0.15" in page
    assert "19 %, on top" in page
    assert "There is a meter tariff of this name" in admin.post(path, {"name": "power", "text": POWER}).text
    wrong = admin.post(path, {"name": "gas", "text": POWER.replace("per_day", "per_year")}).text
    assert "per_year" in wrong
    assert "kind" in wrong
    cheaper_file = (BytesIO(POWER.replace("0.15", "0.10").encode()), "power.toml")
    sent = {"text": "", "file": cheaper_file, "since": "2026-12-01T00:00"}
    second = admin.post(f"{made.location}/edit", sent)
    assert second.status_code == 303, second.text
    assert "from 100: 0.1<" in admin.get(str(second.location)).text
    assert "power" in admin.get("/panel/meter-tariffs").text
    assert "power" in admin.get("/panel/meters/new").text
    support = office_on_each.seat("support")
    assert support.get(f"{made.location}/edit").status_code == 403
    assert office_on_each.seat("reseller").get("/panel/meter-tariffs").status_code == 403
