"""From an empty database to the first charged call, as the first administrator sees it, step by step."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from lab.sipp import Call, place
from tests.web.browsers import assert_accessible
from tests.web.running import PASSWORD, PHONE_CODE, Served, opened_product, opened_switch

pytestmark = pytest.mark.timeout(180)
A_CALL_IS_SEEN_MS = 30_000


@pytest.fixture
def served(asterisk_install: Path, tmp_path: Path, chromium_browser: Browser) -> Iterator[Served]:
    with (
        opened_switch(asterisk_install) as switch,
        opened_product(tmp_path, switch, chromium_browser) as opened,
    ):
        yield opened


def step(page: Page, title: str) -> None:
    """The step is shown, marked among all steps, and nothing is wrong with it."""
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    steps = page.get_by_role("navigation", name="All steps")
    expect(steps.locator("[aria-current=page]")).to_contain_text(title)
    assert_accessible(page)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def fill(page: Page, fields: dict[str, str]) -> None:
    for label, text in fields.items():
        page.get_by_label(label).fill(text)


def test_from_an_empty_database_to_the_first_charged_call(served: Served) -> None:
    page = served.desk.page()
    choose_password(page, served)
    expect(page.get_by_role("heading", level=1)).to_have_text("First steps")
    page.get_by_role("link", name="Go on with: Your company").click()
    tell_company(page)
    tell_tax(page)
    try_switch(page, served)
    take_rates(page)
    make_tariff(page)
    open_account(page)
    ask_price(page)
    first_call(page, served)
    come_back(page, served)


def choose_password(page: Page, served: Served) -> None:
    page.goto(served.link)
    expect(page.get_by_text("Your log-in is admin.")).to_be_visible()
    assert_accessible(page)
    for password, again in (("short", "short"), (PASSWORD, PASSWORD + "x")):
        page.get_by_label("New password").fill(password)
        page.get_by_label("The same once more").fill(again)
        press(page, "Set the password")
        expect(page.get_by_role("alert")).to_contain_text("This could not be done yet")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same once more").fill(PASSWORD)
    press(page, "Set the password")
    # The link has opened the door for its holder; nobody else finds it open.
    page.wait_for_url("**/panel/first-steps")
    other = served.desk.page()
    other.goto(served.link)
    expect(other.get_by_role("heading", level=1)).to_have_text("This link opens nothing")
    other.get_by_role("link", name="Log in").click()
    fill(other, {"Log-in": "admin", "Password": PASSWORD})
    press(other, "Log in")
    expect(other.get_by_role("heading", level=1)).to_have_text("First steps")


def tell_company(page: Page) -> None:
    step(page, "Your company")
    fill(page, {"Name of the company": "Blue Phone Ltd", "Street": "High Street 1", "Postal code": "N1 1AA"})
    press(page, "Save and go on")
    # What is missing is named, and what was entered stays.
    alert = page.get_by_role("alert")
    alert.get_by_role("link", name="City").click()
    page.keyboard.type("London")
    page.get_by_label("Country").select_option(label="United Kingdom")
    expect(page.get_by_label("Street")).to_have_value("High Street 1")
    press(page, "Save and go on")
    expect(page.get_by_text("Your company is known.")).to_be_visible()


def tell_tax(page: Page) -> None:
    step(page, "Time zone and tax")
    expect(page.get_by_role("link", name="Blue Phone Ltd").first).to_be_visible()
    fill(page, {"Time zone": "Europe/London", "Days to pay an invoice": "14", "Tax rate in percent": "20"})
    press(page, "Save and go on")
    expect(page.get_by_text("Time zone and tax are set.")).to_be_visible()


def try_switch(page: Page, served: Served) -> None:
    step(page, "Your switch")
    expect(page.get_by_text(str(served.product.config))).to_be_visible()
    press(page, "Try the connection")
    found = page.get_by_role("region", name="What was tried out")
    expect(found.get_by_role("row", name="pbx1").first).to_be_visible()
    assert_accessible(page)
    page.get_by_role("link", name="Go on", exact=True).click()


def take_rates(page: Page) -> None:
    step(page, "First rates")
    expect(page.get_by_text("Germany 0.02")).to_be_visible()
    press(page, "Take the sample rates")
    expect(page.get_by_text("The sample rates are there.")).to_be_visible()


def make_tariff(page: Page) -> None:
    step(page, "A tariff")
    page.get_by_label("Tax", exact=True).select_option(label="added to the prices")
    fill(page, {"Tax rate in percent": "20"})
    press(page, "Make the tariff")
    expect(page.get_by_text("Tariff standard is there.")).to_be_visible()


def open_account(page: Page) -> None:
    step(page, "First account")
    fill(page, {"Customer number": "1001", "SIP account on the switch": PHONE_CODE, "First funds": "10"})
    page.get_by_label("Name", exact=True).fill("First Customer")
    press(page, "Open the account")
    expect(page.get_by_text("Account 1001 can call.")).to_be_visible()


def ask_price(page: Page) -> None:
    step(page, "What a call costs")
    expect(page.get_by_label("Customer number")).to_have_value("1001")
    fill(page, {"Number as it is dialled": "004930123456", "Minutes": "2"})
    press(page, "What would it cost?")
    expect(page.get_by_text("Germany, by tariff standard")).to_be_visible()
    expect(page.get_by_text("0.048")).to_be_visible()  # 2 minutes at 0.02, and 20 % of it
    expect(page.get_by_text("The call would be let out")).to_be_visible()
    page.get_by_role("link", name="Go on", exact=True).click()


def first_call(page: Page, served: Served) -> None:
    step(page, "First call")
    expect(page.get_by_text(f"accountcode = {PHONE_CODE}")).to_be_visible()
    expect(page.get_by_text("Now call somebody from it.")).to_be_visible()
    talk = place(Call("4930123456", caller="ann", hold_ms=1200), served.switch.sip_port)
    assert talk.successful == 1
    # The page looks by itself.
    done = page.get_by_text("The first call is charged. Everything works.")
    expect(done).to_be_visible(timeout=A_CALL_IS_SEEN_MS)
    assert_accessible(page)
    page.get_by_role("link", name="See what it cost and why").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Call to 4930123456")
    expect(page.get_by_role("heading", name="Why First Customer pays this")).to_be_visible()
    expect(page.get_by_text("standard, version 1")).to_be_visible()


def come_back(page: Page, served: Served) -> None:
    """The line of the menu is gone, the person is not locked in, and the books are in order."""
    menu = page.get_by_role("navigation", name="Main menu")
    expect(menu.get_by_role("link", name="First steps")).to_have_count(0)
    menu.get_by_role("link", name="Accounts").click()
    page.get_by_role("link", name="1001", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("First Customer 1001")
    served.assert_in_order()
