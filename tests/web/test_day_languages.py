"""A customer's and an operator's pages in French and Spanish: page by page no text is left in English."""

import re
from functools import cache

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update

from lab.messages import texts
from pbxbill.store.access_models import UserRow
from pbxbill.web.languages import catalogue
from tests.web.browsers import Desk
from tests.web.offices import USERS, Office
from tests.web.said import Said
from tests.web.test_invoice_pages import issued
from tests.web.test_live_calls import Calling

NAMES = {*USERS, *map(str.title, USERS), "operator", "Operator", "Router", "Germany"}
"""What is called so is called so in every language."""
SHORT = 4
"""Words of up to so many letters are the same in many languages: Total, Plan, Code, no."""


@cache
def english(language: str) -> frozenset[str]:
    """Whole texts that are said otherwise in a language, and so must not stand on its pages."""
    known = catalogue(language)
    found = set()
    for message in texts():
        id = message.id if isinstance(message.id, str) else ""
        if len(id) > SHORT and "%" not in id and known.gettext(id) != id:
            found.add(id)
    return frozenset(found - NAMES)


def lines_of(page: Page) -> set[str]:
    """What a person reads, text by text, with what is said to those who only hear it."""
    found = page.evaluate(
        """() => {
          const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) {
            const place = walker.currentNode.parentElement;
            const skip = "script, style, option, [lang]:not(html)";
            if (!place.closest(skip)) found.push(walker.currentNode.data);
          }
          for (const node of document.querySelectorAll("[aria-label], [title], [placeholder], option"))
            found.push(node.ariaLabel || node.title || node.placeholder || node.label || "");
          return found;
        }"""
    )
    return {" ".join(x.split()) for x in found} - {""}


def untranslated(lines: set[str], language: str) -> list[str]:
    spoken = {catalogue(language).gettext(x) for x in english(language)}
    return sorted((lines & english(language)) - spoken)


def left_on(page: Page, language: str) -> list[str]:
    """Of a page in the browser."""
    assert page.locator("html").get_attribute("lang") == language
    return untranslated(lines_of(page), language)


def choose(page: Page, desk: Desk, language: str) -> None:
    """The reader chooses his language and his zone under his own settings."""
    page.goto(f"{desk.url}/me")
    page.get_by_label("Language").select_option(language)
    page.get_by_label("Time zone").fill("America/New_York")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("html")).to_have_attribute("lang", language)


MENU = re.compile(r'<nav class="side".*?</nav>', re.S)


def pages_of(office: Office, login: str) -> list[str]:
    """Of something of everything that he has: all of his menu, and more."""
    id = issued(office, "alice", "reseller")
    calling = Calling(office)
    calling.end(calling.talking("alice", seconds=30))
    calling.engine.stop()
    menu = MENU.search(office.seat(login).get("/me").text)
    assert menu is not None
    more = {
        "alice": ("/me", f"/my/invoices/{id}", f"/my/invoices/{id}/dispute", "/my/top-up", "/my/voucher"),
        "admin": (
            "/me",
            "/panel/accounts/new",
            f"/panel/accounts/{office.account_id('alice')}",
            "/panel/plans/new",
        ),
    }
    return list(dict.fromkeys((*re.findall(r'<li><a href="([^"]+)"', menu[0]), *more[login])))


@pytest.mark.parametrize("login, language", [("alice", "fr"), ("admin", "es")])
def test_a_journey_in_another_language(desk: Desk, login: str, language: str) -> None:
    """In a browser, and so with what its scripts say. What they say is translated, or not, for a reader and
    his language alike: each is looked at once, and the other two as their pages are sent."""
    paths = pages_of(desk.office, login)
    page = desk.page(login)
    choose(page, desk, language)
    left: dict[str, list[str]] = {}
    for path in paths:
        page.goto(desk.url + path)
        if found := left_on(page, language):
            left[path] = found
    assert left == {}


@pytest.mark.parametrize("login, language", [("alice", "es"), ("admin", "fr")])
def test_all_pages_of_the_menu_are_sent_in_another_language(
    office: Office, login: str, language: str
) -> None:
    left: dict[str, list[str]] = {}
    paths = pages_of(office, login)
    with office.writing() as session:
        session.execute(update(UserRow).values(language=language))
    for path in paths:
        answer = office.seat(login).get(path)
        assert answer.status_code == 200, path
        assert f'<html lang="{language}"' in answer.text, path
        page = Said()
        page.feed(answer.text)
        if found := untranslated(page.texts, language):
            left[path] = found
    assert left == {}


@pytest.mark.parametrize(
    "language, day, evening, amount",
    [
        ("fr", "31 déc. 2025", "31 déc. 2025, 19:00", "20,00"),
        ("es", "31 dic 2025", "31 dic 2025, 19:00", "20,00"),
    ],
)
def test_amounts_and_times_are_the_readers(
    desk: Desk, language: str, day: str, evening: str, amount: str
) -> None:
    """It is 1 January 2026, midnight UTC: New Year's Eve where the reader is."""
    office = desk.office
    id = issued(office, "alice", "reseller")
    calling = Calling(office)
    calling.end(calling.ringing("alice"))
    calling.engine.stop()
    page = desk.page("alice")
    choose(page, desk, language)
    page.goto(f"{desk.url}/my/invoices/{id}")
    main = re.sub(r"[\u00a0\u202f\u2009]", " ", page.locator("main").inner_text())
    assert amount in main
    assert "20.00" not in main
    page.goto(f"{desk.url}/my/calls")
    shown = re.sub(r"[\u00a0\u202f\u2009]", " ", page.locator("tbody tr").first.inner_text())
    assert day in shown, shown
    assert evening in shown, shown
