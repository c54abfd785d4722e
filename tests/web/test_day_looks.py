"""Every page of panel and portal as people see it: light, dark and on a phone, read by axe-core."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.browsers import AXE, PHONE, WIDE, Desk, faults, hard_to_read, opened_desk
from tests.web.offices import Office
from tests.web.reachable import reachable

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


@pytest.fixture
def served(full: Office, chromium_browser: Browser) -> Iterator[Desk]:
    with opened_desk(full, chromium_browser) as desk:
        yield desk


LOOK = """() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn))).then(() => [
    document.documentElement.scrollWidth,
    document.documentElement.dataset.bsTheme,
    document.querySelectorAll("h1").length,
])"""


def show(page: Page, *, dark: bool) -> None:
    """In a wide window in the light, or on a phone in the dark."""
    width, height = PHONE if dark else WIDE
    page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": height})


def wrong_on(page: Page, *, dark: bool) -> list[str]:
    """What is wrong with the page that stands in the browser, as it is shown now."""
    found = []
    width, theme, headings = page.evaluate(LOOK)
    if width > (most := (PHONE if dark else WIDE)[0]):
        found.append(f"scrolls sideways: {width} px of {most} px")
    # A page that is not ours has no theme.
    if theme not in (None, "dark" if dark else "light"):
        found.append(f"is {theme}")
    if headings > 1:
        found.append(f"{headings} headings of the first level")
    # What is there is the same on a phone and in the dark: all but its colours is looked at once.
    return found + (hard_to_read(page) if dark else faults(page))


def walk(desk: Desk, login: str, paths: list[str]) -> dict[str, list[str]]:
    page, found = desk.page(login), {}
    page.add_init_script(AXE)
    is_dark = True
    show(page, dark=is_dark)
    for path in paths:
        page.goto(desk.url + path)
        wrong = [f"dark phone: {x}" if is_dark else x for x in wrong_on(page, dark=is_dark)]
        # Every other page is opened in the dark, and turned to light; and the one after it back.
        is_dark = not is_dark
        show(page, dark=is_dark)
        wrong += [f"dark phone: {x}" if is_dark else x for x in wrong_on(page, dark=is_dark)]
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
