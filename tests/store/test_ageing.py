"""Who owes what since when, now and on past days; the list for collection; files of disputes."""

from collections.abc import Iterator

import pytest

from pbxbill.billing.dunning.ageing import ageing, collection_list, open_invoices
from pbxbill.billing.invoices.dispute_files import MAX_FILES, attach, content_of, files_of
from pbxbill.billing.invoices.disputes import dispute
from pbxbill.errors import InputRefused
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.dunned_accounts import Dunned
from tests.store.invoiced_accounts import FEBRUARY


@pytest.fixture
def dunned(accounts: BilledAccounts) -> Iterator[Dunned]:
    opened = Dunned(accounts)
    opened.open()
    yield opened
    opened.database.dispose()
    assert_books_in_order(accounts.url)


def aged(dunned: Dunned, at_us: int | None = None, by_reseller: bool = False) -> dict[str, list[int]]:
    with dunned.session() as session:
        found = ageing(session, dunned.clock.now_us() if at_us is None else at_us, by_reseller=by_reseller)
    return {x.code: [x.open, *x.buckets] for x in found}


def test_what_is_owed_grows_older(dunned: Dunned) -> None:
    twelve = eur("12")
    for day, bucket in ((0, 0), (1, 1), (30, 1), (31, 2), (61, 3), (91, 4), (121, 5), (400, 5)):
        dunned.day(day)
        buckets = [twelve if number == bucket else 0 for number in range(6)]
        assert aged(dunned) == {"carol": [twelve, *buckets]}, day


def test_a_past_day_is_the_same_whenever_it_is_asked_for(dunned: Dunned) -> None:
    dunned.call("carol", 600, 35)
    dunned.invoice("carol", FEBRUARY)
    dunned.day(20)
    past_us = dunned.clock.now_us()
    before = aged(dunned)
    assert before["carol"][0] == eur("13.20")
    dunned.day(30)
    entry_id = dunned.pay("12").entry_id
    assert aged(dunned) == {"carol": [eur("1.20"), 0, eur("1.20"), 0, 0, 0, 0]}  # two days late
    dunned.day(40)
    paid_us = dunned.clock.now_us()
    dunned.day(45)
    dunned.take_back(entry_id)
    assert aged(dunned, past_us) == before
    assert aged(dunned, paid_us)["carol"][0] == eur("1.20")
    assert aged(dunned)["carol"][0] == eur("13.20")


def test_resellers_see_their_own(dunned: Dunned) -> None:
    dunned.call("alice", 600, 35)
    dunned.day(20)
    assert list(aged(dunned, by_reseller=True)) == ["operator"]
    with dunned.session() as session:
        reseller = session.get_one(AccountRow, dunned.accounts.ids["reseller"])
        assert ageing(session, dunned.clock.now_us(), below=reseller) == []
        account = session.get_one(AccountRow, dunned.accounts.ids["carol"])
        ((number, open_, late),) = [
            (x.number, x.open, x.days_late) for x in open_invoices(session, account, dunned.clock.now_us())
        ]
    assert (open_, late) == (eur("12"), 20)
    assert number


def test_the_list_for_collection_holds_what_is_still_open(dunned: Dunned) -> None:
    dunned.until(70)
    with dunned.session() as session:
        ((code, overdue),) = [(x.account, x.overdue) for x in collection_list(session)]
    assert (code, overdue) == ("carol", eur("12"))
    dunned.pay("12")
    with dunned.session() as session:
        assert list(collection_list(session)) == []


def test_files_of_a_dispute_are_few_small_and_what_they_say_they_are(dunned: Dunned) -> None:
    def add(name: str, content: bytes) -> int:
        with dunned.session() as session:
            return attach(session, dunned.invoice_id, name, content, now_us=dunned.clock.now_us()).id

    with pytest.raises(InputRefused, match="is not disputed"):
        add("letter.pdf", b"%PDF-1.7")
    with dunned.session() as session:
        dispute(session, dunned.invoice_id, reason="not me", now_us=dunned.clock.now_us())
    first = add("../../etc/letter.pdf", b"%PDF-1.7")
    assert add("again.pdf", b"%PDF-1.7") == first
    for name, content, says in (
        ("letter.exe", b"MZ", "a file is one of"),
        ("letter.pdf", b"<html>", "this is no application/pdf"),
        ("letter.txt", b"a\0b", "this is no text"),
        ("letter.txt", b"", "has 1 to 5,000,000 bytes"),
        ("letter.txt", b"x" * 5_000_001, "has 1 to 5,000,000 bytes"),
        ("", b"x", "a file's name"),
    ):
        with pytest.raises(InputRefused, match=says):
            add(name, content)
    for number in range(MAX_FILES - 1):
        add(f"{number}.txt", b"%d" % number)
    with pytest.raises(InputRefused, match="has 10 files"):
        add("more.txt", b"more")
    with dunned.session() as session:
        assert [x.name for x in files_of(session, dunned.invoice_id)][:2] == ["letter.pdf", "0.txt"]
        assert content_of(session, dunned.invoice_id, first)[1] == b"%PDF-1.7"
        with pytest.raises(InputRefused, match="has no file"):
            content_of(session, dunned.invoice_id + 1, first)
