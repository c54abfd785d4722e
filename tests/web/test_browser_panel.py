"""The panel as people see it: with a keyboard, in the dark, on a phone, without scripts.

That each page can be read, in light and dark, is what test_day_looks.py finds out of all of them.
"""

import re

from tests.web.browsers import PHONE, WIDE, Desk, assert_accessible
from tests.web.test_live_calls import Calling

OF_ACCOUNT = re.compile(r"/panel/accounts/[0-9]+$")


def test_an_account_is_opened_with_the_keyboard_alone(desk: Desk) -> None:
    page = desk.page("admin")
    page.goto(desk.url + "/panel/accounts")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text().strip() == "New account"
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/new")
    page.locator("#code").focus()
    page.keyboard.type("new-1")
    page.keyboard.press("Tab")
    page.keyboard.type("New One")
    page.keyboard.press("Enter")
    page.wait_for_url(OF_ACCOUNT)
    assert "Account new-1 is open." in page.locator(".messages").inner_text()
    assert page.locator("h1").inner_text() == "New One new-1"


def test_what_is_wrong_is_told_beside_the_field_and_the_input_kept(desk: Desk) -> None:
    page = desk.page("admin")
    page.goto(desk.url + "/panel/accounts/new")
    page.fill("#code", "with space")
    page.fill("#name", "Kept")
    page.fill("#credit_limit", "12,5")
    page.get_by_role("button", name="Open the account").click()
    summary = page.get_by_role("alert")
    assert "Credit limit" in summary.inner_text()
    summary.get_by_role("link", name="Credit limit").click()
    assert page.locator(":focus").get_attribute("id") == "credit_limit"
    assert page.input_value("#name") == "Kept"
    assert page.get_attribute("#credit_limit", "aria-invalid") == "true"


def test_a_phone_has_a_menu_and_no_sideways_scrolling(desk: Desk) -> None:
    page = desk.page("admin", width=PHONE[0])
    page.goto(desk.url + "/panel/accounts")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert not page.locator("#menu").is_visible()
    page.get_by_role("link", name="Menu", exact=True).click()
    assert page.locator("#menu").is_visible()
    assert_accessible(page)
    page.keyboard.press("Escape")
    assert not page.locator("#menu").is_visible()


def test_lists_and_forms_work_without_scripts(desk: Desk) -> None:
    page = desk.page("admin", script=False)
    page.goto(desk.url + "/panel/accounts")
    page.fill("#filter-q", "alice")
    page.get_by_role("button", name="Filter").click()
    assert "q=alice" in page.url
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name="alice", exact=True).click()
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="Bar calls").click()
    page.fill("#reason", "test")
    page.get_by_role("button", name="Bar its calls").click()
    assert "is barred" in page.locator(".messages").inner_text()


def test_the_second_of_two_editors_is_told(desk: Desk) -> None:
    path = f"{desk.url}/panel/accounts/{desk.office.account_id('alice')}/edit"
    one, other = desk.page("admin"), desk.page("support")
    for page in (one, other):
        page.goto(path)
    one.fill("#name", "Alice One")
    one.get_by_role("button", name="Save").click()
    one.wait_for_url(OF_ACCOUNT)
    other.fill("#name", "Alice Other")
    other.get_by_role("button", name="Save").click()
    assert "Alice One" in other.get_by_role("alert").inner_text()
    assert other.input_value("#name") == "Alice Other"
    other.get_by_role("button", name="Save").click()
    other.wait_for_url(OF_ACCOUNT)
    assert other.locator("h1").inner_text() == "Alice Other alice"


def test_dark_is_chosen_and_kept(desk: Desk) -> None:
    page = desk.page("admin")
    page.goto(desk.url + "/panel/accounts")
    button = page.locator(".theme-switch")
    button.click()
    button.click()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"


def test_a_call_can_be_hung_up_however_wide_the_window_is(desk: Desk) -> None:
    calling = Calling(desk.office)
    try:
        calling.talking("alice")
        page = desk.page("admin")
        page.goto(desk.url + "/panel/live-calls")
        for width in (1320, 1440, 1600, 1920):
            page.set_viewport_size({"width": width, "height": WIDE[1]})
            hang_up = page.get_by_role("link", name="Hang up").bounding_box()
            frame = page.locator(".list-frame").bounding_box()
            assert hang_up is not None
            assert frame is not None
            assert hang_up["x"] >= frame["x"], width
            assert hang_up["x"] + hang_up["width"] <= frame["x"] + frame["width"], width
    finally:
        calling.engine.stop()
