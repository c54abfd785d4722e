"""Fills an office with something of everything, so that every page has an object to be looked at.

What people do goes through their pages, by the ways that the pages' own tests know; what switches, jobs and
payment services leave behind is written as they leave it.
"""

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import select

from pbxbill.app import billing
from pbxbill.billing.subscriptions.plan_catalogue import import_plan, offered_version
from pbxbill.billing.subscriptions.subscribing import NewSubscription, subscribe
from pbxbill.clock import SECOND_US
from pbxbill.money import Unit
from pbxbill.store.accounts import ensure_unit
from pbxbill.store.alerts import raise_alert
from pbxbill.store.catalogue_models import HeldCountryRow
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PaymentGatewayRow
from pbxbill.web.background import Background
from tests.store.mediated_calls import MasterLine
from tests.web.offices import Browser, Office
from tests.web.portal_shop import opened_shop
from tests.web.test_catalogue_decks import imported as deck_imported
from tests.web.test_catalogue_numbers import add as add_number
from tests.web.test_catalogue_plans import make as make_plan
from tests.web.test_catalogue_tariffs import make as make_tariff
from tests.web.test_invoice_pages import issued, with_line
from tests.web.test_invoice_pages_issuer import RATE, design
from tests.web.test_invoice_pages_runs import RUN, charged
from tests.web.test_live_calls import Calling
from tests.web.test_money_pages import take
from tests.web.test_money_pages_codes import made_batch
from tests.web.test_money_pages_told import held, message
from tests.web.test_money_pages_unpaid import dun, office_day, overdue, written
from tests.web.test_operations_pages import imported
from tests.web.test_portal import PLAN_TERMS
from tests.web.test_users_pages import new_user

DAY_US = 86_400 * SECOND_US
PARTY = {
    "legal_name": "Nordlicht Telecom GmbH", "street": "Hafenstraße 12", "postal_code": "20457",
    "city": "Hamburg", "country": "DE", "edition": "{}",
}  # fmt: skip


def fill(office: Office, folder: Path) -> Calling:
    """Fill it. What comes back keeps a call alive: end it with `engine.stop()`."""
    calling = Calling(office)
    # What pages begin in the background is done before the next thing is: nobody waits for a lock.
    with patch.object(Background, "start", lambda _self, _name, work: work()):
        for code in ("alice", "olga"):
            calling.end(calling.talking(code, seconds=60))
        admin, reseller = office.seat("admin"), office.seat("reseller")
        _catalogue(office, admin)
        _sold(office, reseller)
        _unpaid(office, reseller)
        _paid(office, reseller, folder)
        _invoices(office, admin)
        _looked_after(office, admin, calling, folder)
        _settings(office, admin)
    # The clock went on with what was imported; who was logged in for long logs in again.
    office.browsers.clear()
    calling.talking("alice")
    return calling


def _sent(browser: Browser, path: str, data: Mapping[str, object] | None = None, *, page: str = "") -> str:
    answer = browser.post(path, data, page=page)
    assert answer.status_code == 303, (path, _errors(answer.text))
    return str(answer.location)


def _errors(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition('role="alert"')[2][:1500]).split())


def _catalogue(office: Office, admin: Browser) -> None:
    for name, kind, prefixes in (
        ("Germany", "international", "49"),
        ("Germany mobile", "mobile", "4915 4916 4917"),
        ("United Kingdom of Great Britain and Northern Ireland mobile", "mobile", "447"),
    ):
        _sent(admin, "/panel/destinations/new", {"name": name, "kind": kind, "prefixes": prefixes})
    _sent(admin, "/panel/dialling-rules/new", {"name": "Berlin", "region": "DE", "area_code": "30"})
    carrier = _sent(admin, "/panel/carriers/new", {"name": "Transatlantic", "tariff": "wholesale"})
    _sent(admin, f"{carrier}/gateways", {"gateway": "ta-1"}, page=carrier)
    _sent(admin, "/panel/bundles/new", {
        "name": "100 minutes", "pieces": "6000", "measure": "seconds", "cycle": "month", "zone": "UTC",
    })  # fmt: skip
    deck_imported(admin)
    assert make_tariff(admin).status_code == 303
    assert make_plan(admin).status_code == 303


def _sold(office: Office, reseller: Browser) -> None:
    _sent(reseller, "/panel/company/address", PARTY | {"legal_name": "Reseller Ltd"})
    alice = office.account_id("alice")
    place = f"/panel/accounts/{alice}"
    _sent(reseller, f"{place}/endpoints", {"kind": "ip", "value": "192.0.2.7"})
    _sent(
        reseller, f"{place}/notes", {"text": "Asks for Bob. Calls back in the afternoon, not before three."}
    )
    number = add_number(reseller)
    _sent(reseller, f"{number}/assign", {"account": "alice", "plan": ""})
    add_number(reseller, "4930555002")
    offer_plans(office)
    id = subscribe_to(office, "alice", "Small")
    wish = {"what": "change", "plan": "Large", "quantity": "", "reason": "more calls"}
    _sent(office.seat("alice"), f"/my/subscriptions/{id}/ask", wish)
    user = new_user("accountant", "customer") | {"account": "alice"}
    assert reseller.post("/panel/users/new", user).status_code == 200  # the page with the one-time link
    report = "/panel/reports/revenue"
    days = "from=2026-01-01&to=2026-01-31"
    _sent(reseller, f"/panel/reports/destinations/make?{days}", {"format": "xlsx"})
    _sent(reseller, f"{report}/schedule?{days}&group=customer", {
        "name": "For the board", "every": "month", "minute": "07:30", "format": "pdf",
        "emails": "board@example.com",
    })  # fmt: skip


def offer_plans(office: Office) -> None:
    """The reseller has a plan Small of 5 and a plan Large of 9 EUR a month."""
    with office.writing() as session:
        issuer = session.get_one(AccountRow, office.account_id("reseller"))
        for name, price in (("Small", "5"), ("Large", "9")):
            import_plan(session, issuer, name, PLAN_TERMS.format(price=price), 1)


def subscribe_to(office: Office, code: str, plan: str) -> int:
    """The number of the subscription."""
    with billing(office.application) as (session, books):
        issuer = session.get_one(AccountRow, office.account_id("reseller"))
        account = session.get_one(AccountRow, office.account_id(code))
        new = NewSubscription(offered_version(session, issuer, plan))
        return subscribe(session, books, account, new, office.clock.now_us()).subscribed.row.id


def _unpaid(office: Office, reseller: Browser) -> None:
    terms = "[validity]\ndays = 30\n\n[stages]\nsuspended = 0\n"
    _sent(reseller, "/panel/life-cycle/new/text", {"name": "thirty", "terms": terms, "standard": "y"})
    _sent(
        office.seat("admin"),
        "/panel/dunning/penalties/new/text",
        {"name": "late", "terms": 'unit = "EUR"\nfixed = "5.00"\n'},
    )
    written(office)
    contested = issued(office, "alice", "reseller")
    file = (BytesIO(b"%PDF-1.4 slip"), "slip.pdf")
    _sent(
        office.seat("alice"),
        f"/my/invoices/{contested}/dispute",
        {"reason": "never called", "amount": "4", "file": file},
    )
    overdue(office)
    dun(office)
    overdue(office)
    promise = {
        "until": office_day(office, 5),
        "amount": "",
        "unit": "EUR",
        "invoice": "",
        "remark": "by bank",
    }
    _sent(reseller, "/panel/promises/new?account=alice", promise)


def _paid(office: Office, reseller: Browser, folder: Path) -> None:
    with opened_shop(office, folder) as shop:
        shop.save_card()
        shop.save_card(last4="1111")
    auto = {"below": "5", "amount": "20", "card": "1", "daily_cap": "40", "monthly_cap": ""}
    _sent(office.seat("alice"), "/my/auto-top-up/EUR", auto)
    take(reseller, "alice")
    take(office.seat("shop"), "alice")
    made_batch(reseller)
    reseller.post("/panel/cards/new?account=alice", {"count": "2", "digits": "10", "name": "Wife"})
    with office.writing() as session:
        ensure_unit(session, Unit("POINTS", scale=0, digits=0))
    rule = {
        "kind": "top_up",
        "amount": "1",
        "unit": "EUR",
        "points": "2",
        "points_unit": "POINTS",
        "worth": "0.01",
    }
    _sent(reseller, "/panel/points/new", rule)
    held(office, 900)
    with office.writing() as session:
        for row in session.scalars(select(PaymentGatewayRow)):
            row.settings = '{"secret_key_file": "/etc/pbxbill/stripe.key"}'
    message(office)
    message(office, "low_balance", "sent")
    reseller.post("/panel/webhook-endpoints/new", {"url": "https://shop.example/hook", "kinds": ["payment"]})


def _invoices(office: Office, admin: Browser) -> None:
    _sent(admin, "/panel/company/address", PARTY)
    _sent(admin, "/panel/taxes/new", RATE)
    exempt = {"account": "other", "tax_name": "VAT", "reason": "an embassy", "certificate": "E-1"}
    _sent(admin, "/panel/taxes/exemptions/new", exempt)
    draft = with_line(office)
    issued(office)
    charged(office)
    _sent(admin, "/panel/templates/new", design(office))
    ticked = {"action": "issue", "which": "chosen", "chosen": [str(draft)]}
    _sent(admin, "/panel/invoices/together", ticked, page="/panel/invoices")
    until = {
        "account": "other",
        "unit": "EUR",
        "until": office_day(office, 20),
        "plan": "",
        "text-0": "Router",
        "price-0": "90",
    }
    _sent(admin, "/panel/quotes/new", until)


def _looked_after(office: Office, admin: Browser, calling: Calling, folder: Path) -> None:
    imported(office, folder, MasterLine(1, "nobody"), MasterLine(2, "alice"))
    office.browsers.clear()
    admin = office.seat("admin")
    _sent(admin, "/panel/runs/new", {**RUN, "accounts": "other"})
    id = office.account_id("alice")
    with office.writing() as session:
        raise_alert(session, "switch_lost", "switch pbx1", "silent for 60 s", at_us=office.clock.now_us())
        session.add(HeldCountryRow(account_id=id, region="FR", released=False, first_us=1))
    _sent(admin, f"/panel/accounts/{id}/limits", {"kind": "simultaneous_calls", "value": "3", "window": ""})
    again = {
        "since": "2020-01-01T00:00:00",
        "until": "2026-01-02T00:00:00",
        "account": "alice",
        "tariff": "",
        "deck": "",
    }
    _sent(admin, "/panel/rerating/new", again)


def _settings(office: Office, admin: Browser) -> None:
    admin = office.seat("admin")
    _sent(admin, "/panel/settings/units/new", {"code": "USD", "kind": "currency", "name": "", "symbol": ""})
    _sent(
        admin,
        "/panel/settings/exchange/new",
        {"from_unit": "EUR", "to_unit": "USD", "rate": "1.09", "since": ""},
    )
    text = 'zone = "Europe/Berlin"\n[[band]]\nname = "day"\nweekdays = "Mon-Fri"\nhours = "08:00-18:00"\n'
    _sent(admin, "/panel/settings/calendars/new/text", {"name": "work", "text": text})
    asked = {"name": "shop", "scopes": "accounts:read", "days": "30", "per_minute": "60"}
    assert admin.post("/panel/api-keys/new", asked).status_code == 200
