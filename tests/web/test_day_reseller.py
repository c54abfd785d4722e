"""A reseller's day in a browser, from his prices to the money; and a distributor's at the till."""

import re
from io import BytesIO
from pathlib import Path

from openpyxl import load_workbook
from playwright.sync_api import Page, expect

from pbxbill.clock import SECOND_US
from tests.web.browsers import Desk
from tests.web.test_catalogue_decks import SHEET
from tests.web.test_day_customer import downloaded, go, let_in
from tests.web.test_live_calls import Calling

ALIEN = re.compile(r"\b(Olga|Operator|wholesale deck)\b")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def prints_the_receipt(page: Page) -> None:
    """The browser shows it, or keeps it where it shows no PDF; then the page is looked at again."""
    at = page.url
    with page.expect_response("**/receipt.pdf", timeout=60_000) as answered:
        page.get_by_role("link", name="Print the receipt").click(timeout=60_000)
    assert answered.value.headers["content-type"] == "application/pdf"
    page.goto(at)


def test_a_resellers_day(desk: Desk, tmp_path: Path) -> None:
    page = desk.page("reseller")
    page.goto(desk.url)
    brands(page)
    sees_his_own_alone(page, desk)
    makes_prices(page, desk, tmp_path)
    link = opens_a_customer(page)
    customer = desk.page()
    let_in(customer, desk, link.removeprefix(desk.url))
    expect(customer.get_by_role("banner").get_by_text("Green Phone")).to_be_visible()
    invoices(page)
    takes_the_money(page)
    calling = Calling(desk.office)
    calling.end(calling.talking("alice", seconds=30))
    calling.engine.stop()
    reads_a_report(page)
    customer.reload()
    expect(customer.get_by_role("heading", level=1)).to_have_text("Carla")
    expect(customer.locator("#live-balance")).to_contain_text("25.00")


def brands(page: Page) -> None:
    go(page, "Brand")
    page.get_by_label("Name (optional)", exact=True).fill("Green Phone")
    page.get_by_label("Colour").fill("#1f7a4a")
    press(page, "Save")
    expect(page.get_by_role("banner").get_by_text("Green Phone")).to_be_visible()


def sees_his_own_alone(page: Page, desk: Desk) -> None:
    go(page, "Accounts")
    assert page.locator("tbody th").all_inner_texts() == ["alice"]
    menu = page.get_by_role("navigation", name="Main menu")
    for title in ("Carriers", "Switches", "Jobs", "Quarantine"):
        assert menu.get_by_role("link", name=title, exact=True).count() == 0, title
    for address in menu.get_by_role("link").evaluate_all("links => links.map(x => x.href)"):
        page.goto(address)
        shown = page.locator("main").inner_text()
        assert not ALIEN.search(shown), (address, shown)
    for code in ("other", "olga", "operator"):
        page.goto(f"{desk.url}/panel/accounts/{desk.office.account_id(code)}")
        expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    page.goto(desk.url)


def makes_prices(page: Page, desk: Desk, folder: Path) -> None:
    sheet = folder / "rates.csv"
    sheet.write_bytes(SHEET)
    go(page, "Rate decks")
    page.get_by_role("link", name="Import rates").click()
    page.get_by_label("Name of the new deck").fill("green")
    page.get_by_label("Rate sheet").set_input_files(sheet)
    press(page, "Show what would change")
    press(page, "Write 3 rates into green")
    expect(page.get_by_text("Version 1 with 3 rates counts")).to_be_visible()
    desk.office.clock.advance(SECOND_US)  # the version counts from the moment at which it was written
    go(page, "Tariffs")
    page.get_by_role("link", name="New tariff").click()
    page.get_by_label("Name", exact=True).fill("Green talk")
    page.get_by_label("Rate deck", exact=True).select_option("green")
    press(page, "Make the tariff")
    page.get_by_label("Number").fill("+493012345")
    press(page, "Try")
    expect(page.get_by_text("A call of 1:00 to 493012345 costs")).to_be_visible()
    go(page, "Plans")
    page.get_by_role("link", name="New plan").click()
    page.get_by_label("Name", exact=True).fill("Green line")
    page.get_by_role("textbox", name="Charge").first.fill("Line")
    page.get_by_role("textbox", name="Price").first.fill("9.90")
    press(page, "Make the plan")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Green line")
    expect(page.locator("main")).to_contain_text("9.90")


def opens_a_customer(page: Page) -> str:
    """The one-time link of the customer's user."""
    go(page, "Accounts")
    page.get_by_role("link", name="New account").click()
    page.get_by_label("Code", exact=True).fill("carla")
    page.get_by_label("Name", exact=True).fill("Carla")
    page.get_by_label("Tariff", exact=True).select_option("Green talk")
    press(page, "Open the account")
    expect(page.get_by_text("Account carla is open.")).to_be_visible()
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="New user").click()
    expect(page.get_by_text("For Carla.")).to_be_visible()
    page.get_by_label("Log-in").fill("carla@example.com")
    page.get_by_label("Name", exact=True).fill("Carla")
    page.get_by_label("Role").select_option("customer")
    press(page, "Let in")
    return page.get_by_label("Link").input_value()


def invoices(page: Page) -> None:
    go(page, "Company and numbers")
    page.get_by_role("row").filter(has_text="INV-").get_by_role("link").click()
    page.get_by_label("Before the count").fill("GP-{year}-")
    press(page, "Save")
    go(page, "Invoices")
    page.get_by_role("link", name="New draft").click()
    page.get_by_label("Account", exact=True).fill("carla")
    press(page, "Make the draft")
    page.get_by_label("Description").fill("Router")
    page.get_by_label("Price for one").fill("15")
    page.get_by_label("Reason").fill("as ordered")
    press(page, "Add the line")
    page.get_by_role("link", name="Issue", exact=True).click()
    press(page, "Issue")
    expect(page.get_by_role("heading", level=1)).to_contain_text("GP-2026-00001")


def takes_the_money(page: Page) -> None:
    go(page, "Payments")
    page.get_by_role("link", name="Take a payment").click()
    page.get_by_label("Account", exact=True).fill("carla")
    press(page, "Continue")
    page.get_by_label("Amount", exact=True).fill("40")
    page.get_by_label("What it is for").select_option("invoices")
    press(page, "Enter the payment")
    prints_the_receipt(page)
    go(page, "Invoices")
    row = page.get_by_role("row").filter(has_text="GP-2026-00001")
    expect(row).to_contain_text("paid")


def reads_a_report(page: Page) -> None:
    go(page, "Reports")
    page.locator("main").get_by_role("link", name="Revenue", exact=True).click()
    page.get_by_label("From", exact=True).fill("2026-01-01")
    page.get_by_label("To", exact=True).fill("2026-01-31")
    press(page, "Show")
    expect(page.locator(".report-table")).to_contain_text("0.30")
    page.locator("summary").filter(has_text="As a file").click()
    content = BytesIO(downloaded(page, "XLSX"))
    cells = [x for row in load_workbook(content).worksheets[0].iter_rows(values_only=True) for x in row]
    assert any(str(x).startswith("0.3") for x in cells), cells


def test_a_distributors_day(desk: Desk) -> None:
    page = desk.page("shop")
    page.goto(desk.url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Till")
    page.get_by_label("Who pays?").fill("olga")
    press(page, "Find")
    expect(page.get_by_text("Nobody is called olga.")).to_be_visible()
    page.get_by_label("Who pays?").fill("ali")
    press(page, "Find")
    page.get_by_role("link", name="Alice").click()
    page.get_by_label("Amount received").fill("twenty")
    press(page, "Received")
    expect(page.get_by_role("alert")).to_contain_text("Amount received")
    page.get_by_label("Amount received").fill("20")
    press(page, "Received")
    prints_the_receipt(page)
    expect(page.get_by_text("20.00")).to_have_count(2)  # in the till, and in the list
    page.get_by_role("link", name="Sell vouchers").click()
    page.get_by_label("Value of each").fill("5")
    page.get_by_label("How many").fill("2")
    press(page, "Make the codes")
    codes = page.locator(".card-number .code").all_inner_texts()
    assert len(codes) == 2
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".cards")).to_contain_text("30.00")
    customer = desk.page("alice")
    customer.goto(desk.url)
    go(customer, "Payments")
    customer.get_by_role("link", name="Redeem a voucher").click()
    customer.get_by_label("Code of the voucher").fill(codes[0])
    press(customer, "Redeem")
    expect(customer.locator(".messages")).to_contain_text("You can spend 25.00 EUR now.")
