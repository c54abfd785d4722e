"""A day's work without a mouse: every step by keys, the focus to be seen, and a way out of everything."""

from typing import Any

import pyotp
import pytest
from playwright.sync_api import Page, expect

from pbxbill.clock import SECOND_US
from tests.web.browsers import Desk
from tests.web.offices import PASSWORD

MOST_PRESSES = 250
"""No page has as many places to stop at; whoever presses so often is in a trap."""

FOCUSED = """() => {
  const at = document.activeElement;
  if (!at || at === document.body || at === document.documentElement) return null;
  const text = (x) => x ? x.innerText.replace(/\\s+/g, " ").trim() : "";
  const name = at.getAttribute("aria-label") || text(at.labels?.[0]) || text(at) || at.value || at.tagName;
  const small = at.getBoundingClientRect().width < 3;
  const shown = small ? (at.labels?.[0] ?? at) : at;
  const style = getComputedStyle(shown), box = shown.getBoundingClientRect();
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const ringed = outlined || style.boxShadow !== "none" || at.tagName === "IFRAME";
  const x = Math.min(Math.max(box.left + Math.min(box.width, 40) / 2, 0), innerWidth - 1);
  const y = Math.min(Math.max(box.top + Math.min(box.height, 40) / 2, 0), innerHeight - 1);
  const top = document.elementFromPoint(x, y);
  const inView = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const uncovered = !!top && (shown.contains(top) || top.contains(shown));
  at.dataset.visited = "yes";
  const inMain = !!at.closest("main");
  return { name, ringed, inView, uncovered, inMain, html: at.outerHTML.slice(0, 160) };
}"""

MISSED = """(part) => [...document.querySelector(part).querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter(x => !x.dataset.visited && !x.disabled && x.tabIndex >= 0 && x.type !== "hidden")
  .filter(x => x.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }))
  .filter(x => x.type !== "radio" || !document.querySelector(`input[name="${x.name}"][data-visited]`))
  .map(x => x.outerHTML.slice(0, 160))"""


def focused(page: Page) -> dict[str, Any] | None:
    """What has the focus, which everybody can see; nothing at the end of the page."""
    at: dict[str, Any] | None = page.evaluate(FOCUSED)
    if at is not None:
        assert at["ringed"], f"the focus cannot be seen: {at['html']}"
        assert at["inView"], f"the focus is out of sight: {at['html']}"
        assert at["uncovered"], f"the focus is hidden behind something: {at['html']}"
    return at


def calm_page(desk: Desk, login: str = "") -> Page:
    """A page that scrolls and colours at once, so that what is seen after a key is what stays."""
    page = desk.page(login)
    page.emulate_media(reduced_motion="reduce")
    return page


def to(page: Page, name: str, key: str = "Tab") -> None:
    """Go there key by key."""
    passed = []
    for _ in range(MOST_PRESSES):
        page.keyboard.press(key)
        at = focused(page)
        if at is not None and at["name"] == name:
            return
        passed.append(at["name"] if at else "the end")
    raise AssertionError(f"no way to {name!r} from key to key; on the way: {passed}")


def press(page: Page, name: str, key: str = "Enter") -> None:
    to(page, name)
    page.keyboard.press(key)


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def log_in(page: Page, desk: Desk) -> None:
    page.goto(desk.url + "/log-in")
    assert (focused(page) or {})["name"] == "Log-in"
    page.keyboard.type("admin")
    to(page, "Password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/log-in" not in url)


def test_a_days_work(desk: Desk) -> None:
    page, clock = calm_page(desk), desk.office.clock
    log_in(page, desk)
    secret = turn_on_second_factor(page, desk)
    log_out(page)
    clock.advance(60 * SECOND_US)
    log_in(page, desk)
    heading(page, "Second factor")
    give_code(page, "000000")
    expect(page.get_by_role("alert")).to_contain_text("Code")
    give_code(page, pyotp.TOTP(secret).at(clock.now_us() // SECOND_US))
    expect(page.get_by_role("navigation", name="Main menu")).to_be_visible()
    find_alice(page)
    rename(page)
    log_out(page)
    page.goto(desk.url + "/panel/accounts")
    heading(page, "Log in")


def turn_on_second_factor(page: Page, desk: Desk) -> str:
    open_own_menu(page)
    press(page, "Own settings")
    heading(page, "Own settings")
    press(page, "Second factor")
    heading(page, "Second factor")
    secret = page.locator("code").inner_text()
    give_code(page, pyotp.TOTP(secret).at(desk.office.clock.now_us() // SECOND_US))
    heading(page, "Recovery codes")
    press(page, "I have kept them")
    expect(page.get_by_role("definition").filter(has_text="on")).to_be_visible()
    return secret


def give_code(page: Page, code: str) -> None:
    at = page.evaluate(FOCUSED)
    if at is None or at["name"] != "Code":
        to(page, "Code")
    page.keyboard.press("Control+A")
    page.keyboard.type(code)
    page.keyboard.press("Enter")


def open_own_menu(page: Page) -> None:
    """A menu that hangs down opens, closes, and gives the focus back."""
    entry = page.get_by_role("link", name="Own settings")
    press(page, "Your menu, admin")
    expect(entry).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(entry).not_to_be_visible()
    assert (focused(page) or {})["name"] == "Your menu, admin"
    page.keyboard.press("Enter")
    expect(entry).to_be_visible()


def log_out(page: Page) -> None:
    open_own_menu(page)
    press(page, "Log out")
    heading(page, "Log in")


def find_alice(page: Page) -> None:
    page.keyboard.press("/")
    assert (focused(page) or {})["name"] == "Search accounts"
    page.keyboard.type("Alice")
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts?q=Alice")
    # Past menu and search in one step.
    page.keyboard.press("Tab")
    assert (focused(page) or {})["name"] == "Skip to the content"
    page.keyboard.press("Enter")
    press(page, "alice")
    heading(page, "Alice alice")


def rename(page: Page) -> None:
    press(page, "Edit")
    heading(page, "Edit Alice")
    to(page, "Name")
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    # What is wrong is named, and a key leads to its field.
    press(page, "Name")
    assert (focused(page) or {})["name"] == "Name"
    page.keyboard.type("Alice Keys")
    to(page, "Language")
    page.keyboard.press("ArrowDown")
    press(page, "Save")
    heading(page, "Alice Keys alice")
    expect(page.get_by_role("status").filter(has_text="saved").or_(page.locator(".messages"))).to_be_visible()


@pytest.mark.parametrize(
    "path",
    ["/", "/accounts/{alice}/edit", "/invoices", "/runs/new", "/templates/new", "/users/new"],
)
def test_the_keys_lead_to_everything_and_out_again(desk: Desk, path: str) -> None:
    """Menus, date fields, lists of suggestions, text areas: forth and back, and no trap.

    The menu stands on every page alike: on one it is walked through, on the others what stands beside it.
    """
    page = calm_page(desk, "admin")
    page.goto(desk.url + "/panel" + path.format(alice=desk.office.account_id("alice")))
    is_whole = path == "/"
    if not is_whole:
        page.locator("main").focus()
    for key in ("Tab", "Shift+Tab"):
        page.evaluate("document.querySelectorAll('[data-visited]').forEach(x => delete x.dataset.visited)")
        if key == "Shift+Tab":
            # Without a window of its own the browser comes back from a page's end past a last empty frame.
            page.evaluate("document.querySelector('main iframe')?.focus()")
        for _ in range(MOST_PRESSES):
            page.keyboard.press(key)
            at = focused(page)
            if at is None or (key == "Shift+Tab" and not is_whole and not at["inMain"]):
                break
        else:
            raise AssertionError(f"{key} leads nowhere else than {focused(page)}")
        assert page.evaluate(MISSED, "body" if is_whole else "main") == [], key
