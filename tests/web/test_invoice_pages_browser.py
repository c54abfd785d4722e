"""Invoices in a browser: drafts ticked and issued together, a template drawn as it is written."""

from playwright.sync_api import expect

from tests.web.browsers import Desk, assert_accessible
from tests.web.test_invoice_pages import with_line


def test_drafts_are_ticked_agreed_to_and_issued(desk: Desk) -> None:
    first, second = with_line(desk.office), with_line(desk.office)
    page = desk.page("admin")
    page.goto(f"{desk.url}/panel/invoices?status=draft")
    page.get_by_label(f"Choose Draft {first}").check()
    assert_accessible(page)
    page.get_by_role("button", name="Issue drafts").click()
    expect(page.get_by_text("Each of these drafts gets a number")).to_be_visible()
    page.get_by_role("button", name="Issue 1 invoices").click()
    expect(page.get_by_text("of 1")).to_be_visible()
    page.goto(f"{desk.url}/panel/invoices")
    expect(page.get_by_role("link", name="INV-2026-00001")).to_be_visible()
    expect(page.get_by_role("link", name=f"Draft {second}")).to_be_visible()
    page.get_by_role("link", name="INV-2026-00001").click()
    assert_accessible(page)


def test_a_template_is_drawn_as_it_is_written_and_kept(desk: Desk) -> None:
    page = desk.page("admin")
    page.goto(f"{desk.url}/panel/templates/new")
    drawn = page.frame_locator("iframe[name=preview]")
    expect(drawn.get_by_text("Nordlicht Telecom GmbH").first).to_be_visible()
    page.get_by_text("Own markup").click()
    page.get_by_label("Own HTML").fill("<p>To {{ buyer.name }}</p>")
    expect(drawn.get_by_text("To Atelier Lumière SARL")).to_be_visible()
    page.get_by_label("Own HTML").fill("<p>\n{{ nobody.name }}</p>")
    expect(drawn.get_by_text("Line 2")).to_be_visible()
    page.get_by_label("Own HTML").fill("<p>To {{ buyer.name }}</p>")
    expect(drawn.get_by_text("To Atelier Lumière SARL")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Name").fill("Nord")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_text("Version 1 is kept and can be used")).to_be_visible()


def test_a_template_is_drawn_without_scripts(desk: Desk) -> None:
    page = desk.page("admin", script=False)
    page.goto(f"{desk.url}/panel/templates/new")
    page.get_by_role("button", name="Show").click()
    drawn = page.frame_locator("iframe[name=preview]")
    expect(drawn.get_by_text("Nordlicht Telecom GmbH").first).to_be_visible()
