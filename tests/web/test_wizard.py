"""The first steps: from a database that `pbxbill init` made to the first call that is charged."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select

from pbxbill.access.passwords import hashed
from pbxbill.access.permissions import Role
from pbxbill.access.users import NewUser, add_user
from pbxbill.app import open_application
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Answer, Authorize, Direction, Granted, Settle, Settled
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.ids import new_id
from pbxbill.store.access_models import AuditRow
from pbxbill.store.accounts import ensure_unit, open_operator
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.web.desks import Desks
from pbxbill.web.installation import Checked, Installation
from pbxbill.web.rules import WebRules
from tests.database_operator import EUR
from tests.web.applications import made_app
from tests.web.offices import PASSWORD, Browser, Office

COMPANY = {
    "legal_name": "Blue Phone Ltd",
    "street": "High Street 1",
    "postal_code": "N1",
    "city": "London",
    "country": "GB",
}


@pytest.fixture
def fresh(database_url: str) -> Iterator[Office]:
    """As init leaves it: an operator, his currency, and an administrator."""
    clock = ManualClock()
    database = open_engine(database_url)
    with transaction(database) as session:
        ensure_unit(session, EUR)
        operator = open_operator(session, "Operator", clock.now_us())
        new = NewUser("admin", "Admin", Role.ADMIN)
        add_user(session, operator, new, clock.now_us()).password_hash = hashed(PASSWORD)
    database.dispose()
    found = (Checked("fs1", "fail", "no event socket at 127.0.0.1:8021", "load mod_event_socket"),)
    rules = replace(WebRules(), requests_per_min=1_000_000, installation=Installation(diagnose=lambda: found))
    with open_application(database_url, clock=clock) as application:
        desks = Desks(application)
        yield Office(made_app(desks, rules), application, clock, database_url)
        desks.close()


def call(office: Office) -> str:
    """The telephone calls, as the switch tells it."""
    engine = ChargingEngine(lambda: connect(office.url), office.clock)
    engine.start()
    try:
        session_id, now_us = new_id(), office.clock.now_us()
        asked = Authorize(
            session_id, "fs1", "call-1", Direction.OUTBOUND, "004930123456", "1001", now_us, "tel1"
        )
        granted = engine.execute(asked)
        assert isinstance(granted, Granted), granted
        engine.execute(Answer(session_id, now_us, "leg"))
        office.clock.advance(60 * SECOND_US)
        settled = engine.execute(Settle(session_id, now_us, office.clock.now_us(), 16))
        assert isinstance(settled, Settled), settled
        return session_id
    finally:
        engine.stop()


def test_from_an_empty_database_to_the_first_charged_call(fresh: Office) -> None:
    admin = fresh.seat("admin")
    assert admin.get("/").location == "/panel/first-steps"
    page = admin.get("/panel/first-steps").text
    assert "Go on with: Your company" in page
    bad = admin.post("/panel/first-steps/company", COMPANY | {"city": ""})
    assert 'href="#city"' in bad.text
    assert "High Street 1" in bad.text
    steps = "/panel/first-steps"
    assert admin.post(f"{steps}/company", COMPANY).location == f"{steps}/tax"
    assert "Blue Phone Ltd" in admin.get(f"{steps}/tax").text
    tax = {"zone": "Europe/London", "payment_days": "14", "tax": "VAT", "percent": "20"}
    assert 'href="#percent"' in admin.post(f"{steps}/tax", tax | {"percent": "much"}).text
    assert admin.post(f"{steps}/tax", tax).location == f"{steps}/switch"
    assert "[[switch]]" in admin.get(f"{steps}/switch").text
    assert "load mod_event_socket" in admin.post(f"{steps}/switch").text
    assert "There are no rates yet" in admin.get(f"{steps}/tariff").text
    assert admin.post(f"{steps}/rates", {"name": "sample", "unit": "EUR"}).status_code == 303
    assert "already" in admin.post(f"{steps}/rates", {"name": "sample", "unit": "EUR"}).text
    assert "There is no tariff yet" in admin.get(f"{steps}/account").text
    tariff = {"name": "standard", "deck": "sample", "tax_mode": "exclusive", "tax": "20"}
    assert admin.post(f"{steps}/tariff", tariff).status_code == 303
    account = {
        "code": "1001",
        "name": "First Customer",
        "sip": "tel1",
        "mode": "prepaid",
        "tariff": "standard",
        "unit": "EUR",
        "amount": "10",
    }
    opened = admin.post(f"{steps}/account", account)
    assert opened.status_code == 303, opened.text
    assert admin.get("/").location == "/panel/"
    tried = admin.post(opened.location, {"account": "1001", "number": "004930123456", "minutes": "2"}).text
    assert "0.048" in tried
    assert "The call would be let out" in tried
    wrong = admin.post(f"{steps}/try", {"account": "nobody", "number": "1", "minutes": "2"}).text
    assert 'role="alert"' in wrong
    waiting = admin.get(f"{steps}/call").text
    assert "accountcode = tel1" in waiting
    assert 'http-equiv="refresh"' in waiting
    session_id = call(fresh)
    done = admin.get(f"{steps}/call").text
    assert "The first call is charged" in done
    assert f"/panel/calls/{session_id}" in done
    assert "First steps" not in re.findall(r'<nav class="side".*?</nav>', admin.get("/panel/").text, re.S)[0]
    with fresh.reading() as session:
        actions = set(session.scalars(select(AuditRow.action)))
    assert {"operator.change", "operator.tax", "deck.sample", "tariff.make", "account.open"} <= actions


def test_all_that_is_wrong_in_a_step_is_told_at_once_and_at_its_field(fresh: Office) -> None:
    admin = fresh.seat("admin")
    wrong = {"email": "nonsense", "vat_id": "XX12", "iban": "DE00", "currency": "D G"}
    page = admin.post("/panel/first-steps/company", COMPANY | wrong).text
    for field in wrong:
        assert f'href="#{field}"' in page, field
    assert 'href="#legal_name"' not in page


def test_the_tax_that_was_entered_is_known_in_later_steps(fresh: Office) -> None:
    admin, steps = fresh.seat("admin"), "/panel/first-steps"
    tax = {"zone": "Europe/Berlin", "payment_days": "14", "tax": "VAT", "percent": "19", "own_zone": "y"}
    assert admin.post(f"{steps}/tax", tax).status_code == 303
    again = admin.get(f"{steps}/tax").text
    assert 'value="19"' in again
    assert "/panel/taxes" in again
    assert admin.post(f"{steps}/tax", tax).status_code == 303
    assert 'value="Europe/Berlin"' in admin.get("/me").text
    assert 'value="Europe/Berlin"' in admin.get("/panel/users/new").text
    admin.post(f"{steps}/rates", {"name": "sample", "unit": "EUR"})
    assert 'value="19"' in admin.get(f"{steps}/tariff").text
    assert "Your invoices have VAT 19 %" in admin.get("/panel/tariffs/new").text
    tariff = {"name": "standard", "deck": "sample", "tax_mode": "exclusive", "tax": ""}
    refused = admin.post(f"{steps}/tariff", tariff).text
    assert 'href="#tax"' in refused
    assert "needs its percent" in refused
    assert admin.post(f"{steps}/tariff", tariff | {"tax": "19"}).status_code == 303
    account = {
        "code": "my res", "name": "Later", "sip": "tel2", "mode": "postpaid", "tariff": "standard",
        "unit": "EUR",
    }  # fmt: skip
    assert 'href="#limit"' in admin.post(f"{steps}/account", account).text
    assert 'href="#code"' in admin.post(f"{steps}/account", account | {"limit": "20"}).text
    opened = admin.post(f"{steps}/account", account | {"code": "2001", "limit": "20"})
    tried = admin.post(opened.location, {"account": "2001", "number": "004930123456", "minutes": "2"}).text
    assert "The call would be let out" in tried
    poor = account | {"code": "2002", "sip": "tel3", "mode": "prepaid"}
    opened = admin.post(f"{steps}/account", poor)
    assert "It can call once it has funds" in admin.get(opened.location).text
    tried = admin.post(opened.location, {"account": "2002", "number": "004930123456", "minutes": "2"}).text
    assert "The call would be refused: account 2002 has no funds" in tried
    assert "credit_limit_reached" not in tried


def test_every_step_can_be_left_out_and_come_back_to(fresh: Office) -> None:
    admin: Browser = fresh.seat("admin")
    for step in ("company", "tax", "switch", "rates", "tariff", "account", "try"):
        page = admin.get(f"/panel/first-steps/{step}").text
        assert "Leave it for later" in page, step
    assert "Nobody can call yet" in admin.get("/panel/first-steps/call").text


def test_it_is_the_administrators_alone(office: Office) -> None:
    for login in ("finance", "reseller", "alice"):
        assert office.seat(login).get("/panel/first-steps").status_code == 403
        assert "First steps" not in office.seat(login).get("/").text
    assert office.seat("admin").get("/panel/first-steps").status_code == 200
