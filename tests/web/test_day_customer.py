"""A customer's day in a browser: let in by a link, he reads, pays, asks, contests, and lets others in."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pbxbill.clock import SECOND_US
from pbxbill.store.payment_models import PaymentGatewayRow
from tests.gateways.stripe_server import StripeServer
from tests.web.browsers import PATIENCE_MS, Desk
from tests.web.full_offices import offer_plans, subscribe_to
from tests.web.offices import Office
from tests.web.test_invoice_pages import issued
from tests.web.test_live_calls import Calling
from tests.web.test_money_pages_codes import codes_of, made_batch
from tests.web.test_users_pages import new_user

PASSWORD = "eight green bottles"
expect.set_options(timeout=PATIENCE_MS)
LINK = re.compile(r'value="[^"]*(/link/[^"]+)"')


@pytest.fixture
def calling(office: Office) -> Iterator[Calling]:
    made = Calling(office)
    yield made
    made.engine.stop()


@pytest.fixture
def stripe(desk: Desk, tmp_path: Path) -> Iterator[StripeServer]:
    """The reseller's gateway is a Stripe of our own, whose webhooks come to the desk."""
    office = desk.office
    with StripeServer(now_s=lambda: office.clock.now_us() / SECOND_US) as server:
        server.webhooks_to(f"{desk.url}/webhooks/cards")
        settings = server.settings(tmp_path)
        with office.writing() as session:
            row = PaymentGatewayRow(
                issuer_id=office.account_id("reseller"), name="cards", kind="stripe",
                settings=json.dumps(settings), units="EUR", enabled=True, created_us=0,
            )  # fmt: skip
            session.add(row)
        yield server


def let_in(page: Page, desk: Desk, link: str) -> None:
    """Whoever has a link chooses a password and is in."""
    page.goto(desk.url + link)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same once more").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("navigation", name="Main menu")).to_be_visible()


def downloaded(page: Page, name: str) -> bytes:
    """What a link is to a file of; papers take their time where much else is done."""
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("link", name=name).click(timeout=60_000)
    return Path(download.value.path()).read_bytes()


def go(page: Page, title: str) -> None:
    page.get_by_role("navigation", name="Main menu").get_by_role("link", name=title, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_a_customers_day(desk: Desk, calling: Calling, stripe: StripeServer, tmp_path: Path) -> None:
    office = desk.office
    reseller = office.seat("reseller")
    to_pay, to_contest = (issued(office, "alice", "reseller") for _ in range(2))
    offer_plans(office)
    subscribe_to(office, "alice", "Small")
    code = codes_of(reseller, made_batch(reseller))[0]["code"]
    made = reseller.post("/panel/users/new?account=alice", new_user("ada", "customer"))
    found = LINK.search(made.text)
    assert found, made.text

    page = desk.page()
    let_in(page, desk, found[1])
    looks_at_his_balance(page, calling)
    pays_an_invoice(page, desk, stripe, to_pay)
    redeems(page, code)
    fills_by_itself(page)
    asks_for_a_plan(page)
    contests(page, to_contest, office, tmp_path)
    chooses_notices(page)
    lets_in_somebody(page, desk)


def looks_at_his_balance(page: Page, calling: Calling) -> None:
    """It runs while somebody talks, and the page is never loaded again."""
    go(page, "Overview")
    balance = page.locator("#live-balance")
    expect(balance).to_contain_text("10.00")
    page.evaluate("document.body.dataset.stays = 'yes'")
    session_id = calling.talking("alice", seconds=30)
    expect(balance).to_contain_text("9.64")
    calling.office.clock.advance(10 * SECOND_US)
    expect(balance).to_contain_text("9.52")
    calling.end(session_id)  # the switch says that it were 30 seconds
    expect(balance).to_contain_text("9.64")
    assert page.evaluate("document.body.dataset.stays") == "yes"
    go(page, "Calls")
    page.locator("tbody tr").get_by_role("link").first.click()
    expect(page.get_by_text("You talked for 0:30.")).to_be_visible()
    expect(page.get_by_text("It cost 0.36 EUR, of which 0.06 EUR is tax.")).to_be_visible()


def pays_an_invoice(page: Page, desk: Desk, stripe: StripeServer, id: int) -> None:
    go(page, "Invoices")
    page.locator(f'tbody a[href="/my/invoices/{id}"]').click()
    expect(page.get_by_text("Router")).to_be_visible()
    assert downloaded(page, "PDF").startswith(b"%PDF-")
    page.get_by_role("link", name="Pay now").click()
    page.get_by_label("Keep this way to pay").check()
    page.get_by_role("button", name="Pay", exact=True).click()
    page.get_by_role("button", name="Pay by card").click()  # on the service's page
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    expect(page.get_by_text("20.00 EUR to Reseller is paid.")).to_be_visible()
    stripe.settled()
    page.get_by_role("link", name="Back to your account").click()
    go(page, "Invoices")
    page.locator(f'tbody a[href="/my/invoices/{id}"]').click()
    expect(page.get_by_text("nothing is open")).to_be_visible()
    assert stripe.received("EUR") == 2000


def redeems(page: Page, code: str) -> None:
    go(page, "Payments")
    page.get_by_role("link", name="Redeem a voucher").click()
    page.get_by_label("Code of the voucher").fill("1234")
    page.get_by_role("button", name="Redeem").click()
    expect(page.get_by_role("alert")).to_contain_text("A digit of the code is wrong")
    page.get_by_label("Code of the voucher").fill(code)
    page.get_by_role("button", name="Redeem").click()
    expect(page.locator(".messages")).to_contain_text("You can spend 19.64 EUR now.")


def fills_by_itself(page: Page) -> None:
    page.get_by_role("link", name="automatic top-up").click()
    page.get_by_role("link", name="Set it up").click()
    page.get_by_label("When the balance falls below").fill("5")
    page.get_by_label("Add", exact=True).fill("20")
    page.get_by_label("At most in a day").fill("10")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("daily cap is less")
    page.get_by_label("At most in a day").fill("40")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("40.00")).to_be_visible()
    expect(page.get_by_text("Visa •••• 4242")).to_be_visible()


def asks_for_a_plan(page: Page) -> None:
    go(page, "Plans")
    page.get_by_role("link", name="Small").click()
    page.get_by_role("link", name="Ask for a change").click()
    page.get_by_label("Plan", exact=True).select_option("Large")
    page.get_by_label("What you want to say about it").fill("more calls")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_text("You asked for another plan: Large")).to_be_visible()


def contests(page: Page, id: int, office: Office, folder: Path) -> None:
    slip = folder / "slip.pdf"
    slip.write_bytes(b"%PDF-1.4 slip")
    go(page, "Invoices")
    page.locator(f'tbody a[href="/my/invoices/{id}"]').click()
    page.get_by_role("link", name="Something on it is wrong").click()
    page.get_by_label("What is wrong").fill("It never came.")
    page.get_by_label("Amount that you contest").fill("99")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("What is wrong")).to_have_value("It never came.")
    page.get_by_label("Amount that you contest").fill("10")
    page.get_by_label("File").set_input_files(slip)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("You contest 10.00 EUR")).to_be_visible()
    assert downloaded(page, "slip.pdf") == b"%PDF-1.4 slip"


def chooses_notices(page: Page) -> None:
    go(page, "Notices")
    row = page.get_by_role("row").filter(has_text="top-up").first
    row.get_by_role("link", name="Change").click()
    page.get_by_label("To these addresses").fill("ada@example.com, books@example.com")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("ada@example.com, books@example.com")).to_be_visible()


def lets_in_somebody(page: Page, desk: Desk) -> None:
    go(page, "Users")
    page.get_by_role("link", name="New user").click()
    page.get_by_label("Log-in").fill("bob")
    page.get_by_label("Name").fill("Bob")
    page.get_by_role("button", name="Let in").click()
    link = page.get_by_label("Link").input_value()
    assert link.startswith(desk.url)
    other = desk.page()
    let_in(other, desk, link.removeprefix(desk.url))
    expect(other.get_by_role("heading", level=1)).to_have_text("Alice")
    other.goto(f"{desk.url}/panel/accounts")
    expect(other.get_by_role("heading", level=1)).to_have_text("You may not do this")
