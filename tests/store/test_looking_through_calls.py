"""Searches of calls that no index serves: a page looks through so many, the next ones find the rest."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.listing import listing
from pbxbill.listing.calls import CALLS
from pbxbill.listing.listing import Asked, every, page_of
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.store.billed_accounts import BilledAccounts
from tests.store.reported_calls import BEGIN_US, open_reported

CALLS_MADE = 60
FRENCH = 7
"""Every so many calls go to France."""


@pytest.fixture
def session(accounts: BilledAccounts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    reported = open_reported(accounts)
    database = open_engine(accounts.url)
    with transaction(database) as writing:
        for number in range(CALLS_MADE):
            place = "Germany" if number % FRENCH else "France"
            # Two at a time begin at the same moment.
            reported.exact_call(
                writing, "alice" if number % 2 else "bob", place, BEGIN_US + number // 2, 60, []
            )
    monkeypatch.setattr(listing, "MOST_LOOKED", 10)
    with transaction(database) as reading:
        yield reading
    database.dispose()


def operator(session: Session) -> Scope:
    account = session.query(AccountRow).filter(AccountRow.kind == "operator").one()
    return Scope(account.id, account.path)


def found_by(session: Session, scope: Scope, asked: Asked) -> tuple[list[str], int]:
    """The ids of all pages, one after the other, and how many pages there were."""
    ids, pages, after = [], 0, ""
    while True:
        page = page_of(session, CALLS, scope, Asked(asked.filters, asked.order, after, size=asked.size))
        ids += [x["id"] for x in page.rows]
        pages += 1
        if not page.after:
            return ids, pages
        after = page.after


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("size", [1, 50])
def test_pages_together_find_all(session: Session, order: str, size: int) -> None:
    scope = operator(session)
    whole = page_of(session, CALLS, scope, Asked({}, order, size=200)).rows
    french = [x["id"] for x in whole if x["destination"] == "France"]
    ids, pages = found_by(session, scope, Asked({"destination": "Fra"}, order, size=size))
    assert ids == french
    assert len(french) == -(-CALLS_MADE // FRENCH)
    assert pages > CALLS_MADE // 10 - 1


def test_what_is_nowhere_is_looked_for_page_by_page(session: Session) -> None:
    scope = operator(session)
    first = page_of(session, CALLS, scope, Asked({"called": "999"}))
    assert first.rows == []
    assert first.looked_us is not None
    assert first.after
    assert found_by(session, scope, Asked({"called": "999"}))[0] == []


def test_pages_lead_back(session: Session) -> None:
    scope, asked = operator(session), {"destination": "France"}
    forth, _ = found_by(session, scope, Asked(asked, size=1))
    back, before = [], page_of(session, CALLS, scope, Asked({}, "oldest", size=1)).rows[0]
    cursor = listing._cursor((before["started_us"] - 1, before["id"]))
    while cursor:
        page = page_of(session, CALLS, scope, Asked(asked, before=cursor, size=1))
        back += [x["id"] for x in page.rows]
        cursor = page.before
    assert back == forth[::-1]


def test_a_reseller_and_a_file_find_all(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    account = session.query(AccountRow).filter(AccountRow.code == "reseller").one()
    scope = Scope(account.id, account.path)
    own = [x["id"] for x in every(session, CALLS, scope, Asked())]
    assert len(own) == CALLS_MADE // 2
    french = [x["id"] for x in every(session, CALLS, scope, Asked({"destination": "France"}))]
    monkeypatch.setattr(listing, "MOST_LOOKED", 10**6)
    assert french == [x["id"] for x in page_of(session, CALLS, scope, Asked({"destination": "France"})).rows]


def test_a_search_among_few_calls_is_whole(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_LOOKED", CALLS_MADE)
    page = page_of(session, CALLS, operator(session), Asked({"destination": "France"}))
    assert page.looked_us is None
    assert len(page.rows) == -(-CALLS_MADE // FRENCH)
    assert page.after == ""
