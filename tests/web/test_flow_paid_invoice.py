"""An account from its opening to its paid invoice, as the operator does it page by page."""

import email
import email.policy
import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from importlib import import_module
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from pbxbill.charging.verify import verify
from pbxbill.clock import SECOND_US
from pbxbill.notify.sending import send_waiting
from tests.notify.mail_servers import inbox
from tests.web.browsers import Desk, assert_accessible
from tests.web.offices import PASSWORD
from tests.web.test_live_calls import Calling

pytestmark = pytest.mark.timeout(240)
MONTH_US = 31 * 86_400 * SECOND_US
CODE, NAME, ADDRESS = "1007", "Nadia Haddad", "nadia@customer.example"
NUMBER = "INV-2026-00001"


@contextmanager
def runs_that_wait(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A billing run begins its work when this is set: until then it is seen to wait."""
    runs = import_module("pbxbill.web.panel.runs")
    event, work_on = threading.Event(), runs.work_on

    def work_later(*given: Any, **named: Any) -> object:
        assert event.wait(60)
        return work_on(*given, **named)

    monkeypatch.setattr(runs, "work_on", work_later)
    monkeypatch.setattr("pbxbill.web.background.PATIENCE_S", 0.1)
    yield event
    event.set()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    with runs_that_wait(monkeypatch) as event:
        yield event


def menu(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Main menu").get_by_role("link", name=name, exact=True).click()


def heading(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def told(page: Page, text: str) -> None:
    expect(page.get_by_role("status").filter(has_text=text)).to_be_visible()


def log_in(page: Page, desk: Desk) -> None:
    page.goto(desk.url)
    page.get_by_label("Log-in").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    press(page, "Log in")
    expect(page.get_by_role("navigation", name="Main menu")).to_be_visible()


def test_from_its_opening_to_its_paid_invoice(desk: Desk, begun: threading.Event) -> None:
    page = desk.page()
    log_in(page, desk)
    open_account(page)
    make_plan(page)
    subscribe(page)
    call(desk)
    desk.office.clock.step(MONTH_US)
    log_in(page, desk)
    run(page, begun)
    review(page)
    issue(page)
    open_pdf(page)
    send(page, desk)
    take_payment(page)
    desk.office.clock.advance(SECOND_US)
    driver = desk.office.application.connect()
    broken = [x for x in verify(driver, desk.office.clock) if not x.holds]
    driver.close()
    assert broken == []


def open_account(page: Page) -> None:
    menu(page, "Accounts")
    page.get_by_role("link", name="New account").click()
    page.get_by_label("Code").fill(CODE)
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Pays").select_option(label="postpaid")
    page.get_by_label("Tariff", exact=True).select_option(label="retail")
    page.get_by_label("Credit limit").fill("100")
    page.get_by_label("SIP account").fill(CODE)
    press(page, "Open the account")
    told(page, f"Account {CODE} is open.")
    page.get_by_role("link", name="Identification").click()
    expect(page.get_by_role("row").filter(has_text=CODE)).to_contain_text("active")
    page.get_by_role("link", name="Overview").click()
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="Name and address").click()
    address = {"Legal name": NAME, "Street": "Quay 3", "City": "Dublin", "E-mail": ADDRESS}
    for label, text in address.items():
        page.get_by_label(label).fill(text)
    page.get_by_label("Country").select_option(label="Ireland")
    press(page, "Save")
    expect(page.get_by_text(ADDRESS)).to_be_visible()


def make_plan(page: Page) -> None:
    menu(page, "Plans")
    page.get_by_role("link", name="New plan").first.click()
    page.get_by_label("Name", exact=True).fill("Office line")
    row = page.get_by_role("group", name="Charge 1")
    row.get_by_label("Charge").fill("Line")
    row.get_by_label("Price").fill("9.90")
    page.get_by_label("Charges are").select_option(label="asked for on the invoice")
    press(page, "Make the plan")
    heading(page, "Office line")


def subscribe(page: Page) -> None:
    menu(page, "Subscriptions")
    expect(page.get_by_text("Nobody has a plan yet")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("link", name="New subscription").click()
    page.get_by_label("Account", exact=True).fill(CODE)
    press(page, "Continue")
    heading(page, f"New subscription of {CODE}")
    page.get_by_label("Plan", exact=True).select_option(label="Office line")
    page.get_by_label("Quantity").fill("2")
    assert_accessible(page)
    press(page, "Subscribe")
    told(page, "The subscription is active.")
    heading(page, f"Office line of {CODE}")
    expect(page.locator(".card-number").filter(has_text="Price of a period")).to_contain_text("19.80")
    assert_accessible(page)


def call(desk: Desk) -> None:
    """Two calls, rated by the engine as they are told by a switch."""
    calling = Calling(desk.office)
    try:
        for seconds in (90, 60):
            calling.end(calling.talking(CODE, seconds=seconds))
    finally:
        calling.engine.stop()


def run(page: Page, begun: threading.Event) -> None:
    menu(page, "Invoice runs")
    page.get_by_role("link", name="New billing run").first.click()
    page.get_by_text("Only some accounts").click()
    page.get_by_label("Only these accounts").fill(CODE)
    press(page, "Begin the run")
    expect(page.get_by_text("0 of 1 accounts")).to_be_visible()
    expect(page.get_by_role("progressbar", name="How far the run is")).to_be_visible()
    assert_accessible(page)
    begun.set()
    # The page shows by itself that it is over.
    expect(page.get_by_role("heading", name="What it made")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("progressbar")).to_have_count(0)
    page.get_by_role("link", name="invoice", exact=True).click()
    page.get_by_role("link", name=re.compile(r"^Draft \d+$")).click()


def review(page: Page) -> None:
    heading(page, re.compile(r"^Draft \d+"))
    lines = page.get_by_role("region", name="Lines").get_by_role("row")
    expect(lines.filter(has_text="Line").first).to_contain_text("19.80")
    before = total(page)
    page.get_by_role("link", name="Add a line").click()
    for what, price in (("Visit", "40"), ("Router", "25")):
        page.get_by_label("Description").fill(what)
        page.get_by_label("Price for one, without tax").fill(price)
        page.get_by_label("Reason").fill("as ordered by telephone")
        press(page, "Add the line")
        expect(lines.filter(has_text=what)).to_contain_text("Added: as ordered by telephone")
        if what == "Visit":
            page.get_by_role("link", name="Add a line").click()
    assert total(page) == before + 65
    lines.filter(has_text="Router").get_by_role("link", name="Remove").click()
    expect(page.get_by_text("Router, 25.00")).to_be_visible()
    press(page, "Remove the line")
    expect(page.get_by_role("alert").get_by_role("link", name="Reason")).to_be_visible()
    page.get_by_label("Reason").fill("it is rented, not sold")
    press(page, "Remove the line")
    told(page, "The line counts nothing any more.")
    expect(lines.filter(has_text="Router")).to_contain_text("Removed: it is rented, not sold")
    assert total(page) == before + 40
    assert_accessible(page)


def card(page: Page, name: str) -> str:
    return (
        page.locator(".card-number")
        .filter(has=page.get_by_text(name, exact=True))
        .locator("dd")
        .first.inner_text()
    )


def total(page: Page) -> float:
    found = re.search(r"[\d.]+", card(page, "Total"))
    assert found
    return float(found[0])


def issue(page: Page) -> None:
    page.get_by_role("link", name="Issue").click()
    expect(page.get_by_text("An invoice that is issued is never changed")).to_be_visible()
    press(page, "Issue the invoice")
    told(page, f"It is invoice {NUMBER} now.")
    heading(page, re.compile(f"^{NUMBER}"))


def open_pdf(page: Page) -> None:
    link = page.get_by_role("link", name="PDF")
    expect(link).to_be_visible()
    answer = page.context.request.get(page.url.rsplit("/panel", 1)[0] + str(link.get_attribute("href")))
    assert answer.ok
    assert_invoice(answer.body())


def assert_invoice(pdf: bytes) -> None:
    text = "".join(x.extract_text() for x in PdfReader(io.BytesIO(pdf)).pages)
    for word in (NUMBER, NAME, "Dublin", "Visit", "19.80"):
        assert word in text, word
    assert "Router" not in text


def send(page: Page, desk: Desk) -> None:
    page.get_by_role("link", name="Send").click()
    press(page, "Send")
    told(page, f"It is on its way to {ADDRESS}.")
    with inbox() as (kept, settings):
        send_waiting(desk.office.application.database, desk.office.clock, settings)
    ours = [x for x in map(read_mail, kept.contents) if NUMBER in str(x["Subject"])]
    assert [x["To"] for x in ours] == [ADDRESS]
    [attached] = [x for x in ours[0].iter_attachments() if x.get_content_type() == "application/pdf"]
    assert_invoice(attached.get_content())
    page.reload()
    expect(page.get_by_text(f"{ADDRESS} · sent")).to_be_visible()


def read_mail(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def take_payment(page: Page) -> None:
    here, owed = page.url, card(page, "Open").split()[0]
    page.get_by_role("link", name="Take a payment").click()
    expect(page.get_by_text(f"1 invoice is open: {owed}")).to_be_visible()
    page.get_by_label("Amount").fill(owed)
    page.get_by_label("How it was paid").select_option(label="bank transfer")
    page.get_by_label("Reference").fill("bank 77")
    press(page, "Enter the payment")
    told(page, "The payment is entered.")
    page.goto(here)
    expect(page.locator(".card-number").filter(has_text="Status")).to_contain_text("paid")
    assert card(page, "Open").startswith("0.00")
    assert_accessible(page)
