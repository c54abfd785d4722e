"""What the product says of itself is not English on a French or Spanish page: alerts, events, jobs, checks.

A text that a page shows alike in English and in another language, and that has English words, was not
translated; but for what people wrote or named, which is ALLOWED.
"""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import update

from pbxbill.store.access_models import UserRow
from pbxbill.store.engine import migrate
from tests.web.full_offices import fill
from tests.web.offices import Office, opened_office

ENGLISH = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "by",
        "could",
        "for",
        "from",
        "has",
        "have",
        "how",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "no",
        "not",
        "of",
        "off",
        "on",
        "or",
        "over",
        "that",
        "the",
        "their",
        "then",
        "they",
        "this",
        "to",
        "was",
        "were",
        "what",
        "when",
        "which",
        "who",
        "will",
        "with",
        "would",
        "yet",
    ]
)
ALLOWED = {
    "silent for 60 s",
    "4.00 EUR: never called",
    "A visit",
    "For the board",
    "by bank",
    "an embassy",
    "550 no such user",
    "Asks for Bob. Calls back in the afternoon, not before three.",
}
"""What a person wrote, or a test as a switch's or a server's own words."""
PAGES = {
    "admin": (
        "/panel/", "/panel/alerts", "/panel/alerts/1", "/panel/alerts/2", "/panel/quarantine", "/panel/jobs",
        "/panel/quarantine/1", "/panel/settings", "/panel/notices/templates", "/panel/payment-gateways/new",
        "/panel/taxes/new", "/panel/destinations/new", "/panel/decks/import", "/panel/bundles/new",
        "/panel/disputes/1", "/panel/invoices/9",
        "/panel/switches",
    ),
    "reseller": ("/panel/", "/panel/invoices/5", "/panel/dunning/steps", "/panel/accounts/3", "/panel/runs"),
    "alice": ("/my/", "/my/calls", "/my/disputes/1", "/my/payments", "/my/notices", "/my/subscriptions/1"),
}  # fmt: skip
VOID = frozenset(("area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"))
NOT_SAID = frozenset(("script", "style", "svg", "pre", "code", "textarea"))


class Said(HTMLParser):
    """Texts of a page, with what only some readers hear; without codes and what says its own language."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: set[str] = set()
        self._left_out: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.texts |= {x for key in ("aria-label", "title", "placeholder") if (x := of.get(key))}
        if tag not in VOID:
            classes = set((of.get("class") or "").split())
            own_language = tag != "html" and "lang" in of
            self._left_out.append(tag in NOT_SAID or own_language or bool(classes & {"mono", "code"}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and self._left_out:
            self._left_out.pop()

    def handle_data(self, data: str) -> None:
        if not any(self._left_out) and (text := " ".join(data.split())):
            self.texts.add(text)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = Path(tmp_path_factory.mktemp("full"))
    url = f"sqlite:///{folder / 'pbxbill.db'}"
    migrate(url)
    with opened_office(url) as office:
        calling = fill(office, folder)
        yield office
        calling.engine.stop()


def said(office: Office, login: str, path: str, language: str) -> set[str]:
    with office.writing() as session:
        session.execute(update(UserRow).values(language=language))
    answer = office.seat(login).get(path)
    assert answer.status_code == 200, (login, path)
    page = Said()
    page.feed(answer.text)
    return page.texts


@pytest.mark.parametrize("language", ["fr", "es"])
@pytest.mark.parametrize("login", PAGES)
def test_no_sentence_is_left_in_english(full: Office, login: str, language: str) -> None:
    left: dict[str, list[str]] = {}
    for path in PAGES[login]:
        alike = said(full, login, path, "en") & said(full, login, path, language)
        found = sorted(x for x in alike - ALLOWED if len(x.split()) > 1 and ENGLISH & set(x.lower().split()))
        if found:
            left[path] = found
    assert left == {}
