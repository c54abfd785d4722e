"""A real call, seen ticking in the panel, hung up from there, and found again as a record that explains."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from demo.panel import link_in
from lab.process import wait_until
from lab.sipp import Call, Calling, SippCaller
from tests.web.browsers import assert_accessible
from tests.web.running import PASSWORD, PHONE_CODE, Served, opened_product, opened_switch

pytestmark = pytest.mark.timeout(180)
NUMBER = "4930123456"
PATIENCE_S = 30
PATIENCE_MS = 1000 * PATIENCE_S
SECOND_PRICE = 0.02 * 1.2
"""1.20 per minute, and 20 % of it."""


@pytest.fixture
def served(asterisk_install: Path, tmp_path: Path, chromium_browser: Browser) -> Iterator[Served]:
    with (
        opened_switch(asterisk_install) as switch,
        opened_product(tmp_path, switch, chromium_browser) as opened,
    ):
        sheet = tmp_path / "rates.csv"
        sheet.write_text("prefix,destination,price\n49,Germany,1.20\n")
        command = opened.product.command
        command("rates", "import", str(sheet), "--deck", "retail", "--yes")
        terms = ["--tax-mode", "exclusive", "--tax", "20", "--slice-s", "5", "--renew-before-s", "2"]
        silent = ["--no-announce-balance", "--no-announce-minutes", "--no-announce-warning"]
        command("tariffs", "add", "retail", "--deck", "retail", *terms, *silent)
        command("accounts", "add", "1001", "--name", "Anna Berg", "--tariff", "retail", "--sip", PHONE_CODE)
        command("topup", "1001", "25.00", "--key", "first")
        yield opened


def amount(cell: Locator) -> float:
    """The figure that stands there."""
    found = re.search(r"-?\d+\.\d+", cell.inner_text())
    assert found, cell.inner_text()
    return float(found[0])


def seconds(cell: Locator) -> int:
    minutes, _, rest = cell.inner_text().strip().rpartition(":")
    return 60 * int(minutes or 0) + int(rest)


def logged_in(served: Served) -> Page:
    """Somebody of support, by a link of his own."""
    link = link_in(served.product.command("users", "add", "support", "--role", "support"))
    page = served.desk.page()
    page.goto(link)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same once more").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    page.wait_for_url("**/panel/")
    return page


def test_a_call_ticks_is_hung_up_and_explained(served: Served) -> None:
    page = logged_in(served)
    page.get_by_role("navigation", name="Main menu").get_by_role("link", name="Live calls").click()
    expect(page.get_by_text("Nobody is calling now")).to_be_visible()
    call = Call(NUMBER, caller="ann", calling=Calling.WAIT)
    with SippCaller(call, served.switch.sip_port) as caller:
        # The page is not touched: the call comes by itself.
        row = page.get_by_role("row").filter(has_text=NUMBER)
        expect(row).to_be_visible(timeout=PATIENCE_MS)
        see_it_tick(page, row)
        hang_up(page, row)
        result = caller.wait(PATIENCE_S)
    assert result.successful == 1
    talked_us = result.calls[0].talked_us
    assert talked_us is not None
    wait_until(lambda: not served.switch.channels(), PATIENCE_S, "the end of the call on the switch")
    see_record(page, talked_us // 1_000_000)
    page.get_by_role("navigation", name="Main menu").get_by_role("link", name="Live calls").click()
    expect(page.get_by_text("Nobody is calling now")).to_be_visible()
    served.assert_in_order()


def cells(row: Locator) -> tuple[Locator, Locator, Locator]:
    """Its seconds, cost and funds."""
    return tuple(row.locator(f"[data-label='{x}']") for x in ("Seconds", "Cost so far", "Funds left"))  # type: ignore[return-value]  # three of them


def see_it_tick(page: Page, row: Locator) -> None:
    time, cost, funds = cells(row)
    page.evaluate("document.body.dataset.same = 'yes'")
    expect(time).not_to_have_text(re.compile(r"^(–|0:00|)$"), timeout=PATIENCE_MS)
    first = seconds(time), amount(cost), amount(funds)
    expect(time).not_to_have_text(time.inner_text(), timeout=PATIENCE_MS)
    page.wait_for_function(
        "([shown, first]) => Number(shown.innerText.split(':').at(-1)) >= first + 2",
        arg=[time.element_handle(), first[0]],
    )
    # Of one look: cost and funds belong to the same second.
    time_s, cost_now, funds_now = seconds(time), amount(cost), amount(funds)
    assert time_s >= first[0] + 2
    assert cost_now > first[1]
    assert funds_now < first[2]
    assert cost_now + funds_now == pytest.approx(25.00, abs=0.03)
    assert cost_now == pytest.approx(time_s * SECOND_PRICE, abs=3 * SECOND_PRICE)
    assert page.evaluate("document.body.dataset.same") == "yes", "the page was loaded anew"
    assert_accessible(page)


def hang_up(page: Page, row: Locator) -> None:
    row.get_by_role("link", name="Hang up").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Hang up the call to {NUMBER}")
    expect(page.get_by_text("Both parties are cut off at once.")).to_be_visible()
    # Who thinks better of it changes nothing.
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_text("Talking for")).to_be_visible()
    page.get_by_role("link", name="Hang up").click()
    page.get_by_label("Reason").fill("asked for by the customer")
    page.get_by_role("button", name="Hang up").click()
    expect(page.get_by_text("The call was hung up.")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Asked by support")).to_contain_text("asked for by the customer")
    expect(page.get_by_text("The call has ended.")).to_contain_text("Hung up by the operator")


def see_record(page: Page, talked_s: int) -> None:
    page.get_by_role("link", name="Its record").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Call to {NUMBER}")
    fact = page.get_by_role("definition")
    expect(fact.filter(has_text="Hung up by the operator")).to_be_visible()
    expect(fact.filter(has_text="hung up (16)")).to_be_visible()
    paid = page.locator(".card-number").filter(has_text="Charged to 1001")
    assert amount(paid.locator("dd").first) == pytest.approx((talked_s + 1) * SECOND_PRICE, abs=0.03)
    expect(page.get_by_role("heading", name="Why Anna Berg pays this")).to_be_visible()
    expect(fact.filter(has_text="retail, version 1").first).to_be_visible()
    expect(page.get_by_role("rowheader", name="tax", exact=True)).to_be_visible()
    page.get_by_text("How funds were held while it lasted").click()
    assert_accessible(page)
