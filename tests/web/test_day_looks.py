"""Every page of panel and portal as people see it: light, dark and on a phone, read by axe-core."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from pbxbill.store.engine import migrate
from tests.web.browsers import GRAVE, PHONE, WIDE, Desk, opened_desk
from tests.web.full_offices import fill
from tests.web.offices import Office, opened_office
from tests.web.reachable import reachable

CONTRAST = {"runOnly": ["color-contrast"]}
STARTS = {
    "": "/log-in",
    "alice": "/my/",
    "admin": "/panel/",
    "reseller": "/panel/",
    "shop": "/panel/till?q=ali",
}
ALSO = {"": ("/log-in/forgotten", "/api/v1/docs"), "admin": ("/me", "/panel/first-steps"), "alice": ("/me",)}
PARTS = 4
"""Of the operator's pages, so that none takes long."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office with something of everything."""
    folder = tmp_path_factory.mktemp("full")
    url = f"sqlite:///{folder / 'pbxbill.db'}"
    migrate(url)
    with opened_office(url) as office:
        calling = fill(office, folder)
        yield office
        calling.engine.stop()


@pytest.fixture
def served(full: Office, chromium_browser: Browser) -> Iterator[Desk]:
    with opened_desk(full, chromium_browser) as desk:
        yield desk


def wrong_on(page: Page, axe: Axe) -> list[str]:
    """What is wrong with the page that stands in the browser, in every look."""
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    found = [f"wider than the page: {width} px"] if (width := _width(page)) > WIDE[0] else []
    found += _violations(page, axe, {})
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    found += [f"dark phone: {x}" for x in _violations(page, axe, CONTRAST)]
    if (width := _width(page)) > PHONE[0]:
        found.append(f"scrolls sideways on a phone: {width} px")
    return found


def _width(page: Page) -> int:
    """How wide the page is once it is drawn."""
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    return int(page.evaluate("document.documentElement.scrollWidth"))


def _violations(page: Page, axe: Axe, options: dict[str, Any]) -> list[str]:
    found = [x for x in axe.run(page, options=options).response["violations"] if x["impact"] in GRAVE]
    return [f"{x['id']}: {[node['html'][:160] for node in x['nodes'][:3]]}" for x in found]


def walk(desk: Desk, login: str, paths: list[str]) -> dict[str, list[str]]:
    page, axe, found = desk.page(login), Axe(), {}
    for path in paths:
        page.goto(desk.url + path)
        wrong = wrong_on(page, axe)
        if wrong:
            found[path] = wrong
    return found


def told(found: dict[str, list[str]]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False)


@pytest.fixture(scope="module")
def addresses(full: Office) -> dict[str, list[str]]:
    """By log-in, one address of each route that he comes to and nobody before him."""
    found: dict[str, list[str]] = {}
    known: set[str] = set()
    for login, start in STARTS.items():
        paths = reachable(full, login, (start, *ALSO.get(login, ())))
        found[login] = [path for endpoint, path in paths.items() if endpoint not in known]
        known |= paths.keys()
    return found


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("login", ["", "alice", "reseller", "shop"])
def test_every_page_is_read_in_every_look(served: Desk, addresses: dict[str, list[str]], login: str) -> None:
    found = walk(served, login, addresses[login])
    assert not found, told(found)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_of_the_operator_is_read_in_every_look(
    served: Desk, addresses: dict[str, list[str]], part: int
) -> None:
    found = walk(served, "admin", addresses["admin"][part::PARTS])
    assert not found, told(found)


def test_whoever_likes_it_dark_has_it_dark_on_every_device(desk: Desk) -> None:
    page = desk.page("alice")
    page.goto(f"{desk.url}/me")
    page.get_by_label("Appearance").select_option("Dark")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    other = desk.page("alice", width=PHONE[0])
    other.goto(f"{desk.url}/my/")
    expect(other.locator("html")).to_have_attribute("data-bs-theme", "dark")
    assert other.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 23, 27)"
