"""A payer is let through to his payment service by Chromium, whatever our pages' policy says of forms."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.store.scripted_gateway import ScriptedGateway
from tests.web.browsers import Desk, opened_desk
from tests.web.offices import Office
from tests.web.portal_shop import opened_shop

SERVICE = "https://pay.example/**"


@pytest.fixture
def gateway(office: Office, tmp_path: Path) -> Iterator[ScriptedGateway]:
    with opened_shop(office, tmp_path) as shop:
        yield shop.gateway


@pytest.fixture
def desk(office: Office, gateway: ScriptedGateway, chromium_browser: Browser) -> Iterator[Desk]:
    with opened_desk(office, chromium_browser, opened=lambda row: gateway) as opened:
        yield opened


def asked(page: Page) -> list[str]:
    """What the service is asked, by what method and with what."""
    seen: list[str] = []

    def answer(route: Route) -> None:
        seen.append(f"{route.request.method} {route.request.post_data or ''}".strip())
        route.fulfill(status=200, content_type="text/html", body="<title>Pay</title><h1>Card number</h1>")

    page.route(SERVICE, answer)
    return seen


def top_up(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.url}/my/top-up")
    page.get_by_label("Amount").first.fill("10")
    page.get_by_role("button", name="Top up").click()


def test_a_top_up_ends_on_the_services_page(desk: Desk) -> None:
    page = desk.page("alice")
    # What we redirect to is past what a test can answer for: that it is asked is what counts.
    with page.expect_request(SERVICE) as asked_for:
        top_up(desk, page)
    assert asked_for.value.method == "GET"


def test_a_service_that_wants_a_form_is_sent_one(desk: Desk, gateway: ScriptedGateway) -> None:
    gateway.fault("start", "form")
    page = desk.page("alice")
    seen = asked(page)
    top_up(desk, page)
    page.wait_for_url(SERVICE)
    expect(page.get_by_role("heading")).to_have_text("Card number")
    assert seen == ["POST encRequest=a%22b"]


def test_without_scripts_a_button_leads_on(desk: Desk, gateway: ScriptedGateway) -> None:
    gateway.fault("start", "form")
    page = desk.page("alice", script=False)
    seen = asked(page)
    top_up(desk, page)
    page.wait_for_url("**/pay/*")
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(SERVICE)
    assert seen == ["POST encRequest=a%22b"]
