"""What the product says of itself is not English on a French or Spanish page: alerts, events, jobs, checks.

A text that a page shows alike in English and in another language, and that has English words, was not
translated; but for what people wrote or named, which is ALLOWED.
"""

import pytest
from sqlalchemy import update

from pbxbill.store.access_models import UserRow
from tests.web.offices import Office
from tests.web.said import Attributes, Said

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
NOT_SAID = frozenset(("script", "style", "svg", "pre", "code", "textarea"))


def is_no_sentence(tag: str, of: Attributes) -> bool:
    """Codes, and what programs read."""
    return tag in NOT_SAID or bool(set((of.get("class") or "").split()) & {"mono", "code"})


def said(office: Office, login: str, path: str, language: str) -> set[str]:
    with office.writing() as session:
        session.execute(update(UserRow).values(language=language))
    answer = office.seat(login).get(path)
    assert answer.status_code == 200, (login, path)
    page = Said(is_no_sentence)
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
