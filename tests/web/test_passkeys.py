"""Passkeys, with an authenticator that Chromium plays: added, logged in with, removed."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.browsers import Desk, assert_accessible, opened_desk
from tests.web.offices import Office

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def desk(office: Office, chromium_browser: Browser) -> Iterator[Desk]:
    """Keys are made for names: not for an address."""
    with opened_desk(office, chromium_browser, "localhost") as opened:
        yield opened


def give_authenticator(page: Page, *, verified: bool = True) -> None:
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {**AUTHENTICATOR, "isUserVerified": verified}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def added(desk: Desk, name: str = "Laptop") -> Page:
    page = desk.page("admin")
    give_authenticator(page)
    page.goto(f"{desk.url}/me/passkeys")
    page.get_by_label("Name of the device").fill(name)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("main")).to_contain_text("The passkey is added")
    return page


def log_out(page: Page, desk: Desk) -> None:
    page.context.clear_cookies()
    page.goto(f"{desk.url}/log-in?next=/me")


def test_a_passkey_is_added_used_and_removed(desk: Desk) -> None:
    page = added(desk)
    expect(page.get_by_role("main")).to_contain_text("Laptop")
    assert_accessible(page)
    log_out(page, desk)
    page.get_by_role("button", name="passkey").click()
    page.wait_for_url(f"{desk.url}/me")
    expect(page.get_by_role("main")).to_contain_text("admin")
    page.goto(f"{desk.url}/me/passkeys")
    page.get_by_role("link", name="Remove").click()
    expect(page.get_by_role("main")).to_contain_text("Nobody logs in by Laptop any more")
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("main")).to_contain_text("The passkey is removed")
    log_out(page, desk)
    page.get_by_role("button", name="passkey").click()
    expect(page.locator("body")).to_contain_text("The passkey was not taken")


def test_a_passkey_of_somebody_who_is_disabled_opens_nothing(desk: Desk) -> None:
    page = added(desk)
    with desk.office.writing() as session:
        session.merge(desk.office.user("admin")).state = "disabled"
    log_out(page, desk)
    page.get_by_role("button", name="passkey").click()
    expect(page.locator("body")).to_contain_text("The passkey was not taken")


def test_a_device_that_does_not_know_its_user_is_not_taken(desk: Desk) -> None:
    page = desk.page("admin")
    give_authenticator(page, verified=False)
    page.goto(f"{desk.url}/me/passkeys")
    page.get_by_label("Name of the device").fill("Key")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("[data-failed]")).to_be_visible()
