"""What is seen of a list without opening what it lists: whose it is, how it stands, how it is narrowed."""

import re

from tests.web.offices import Office


def headings(page: str) -> list[str]:
    return [
        re.sub(r"<[^>]+>", "", x).strip() for x in re.findall(r"<th scope=\"col\".*?</th>", page, re.DOTALL)
    ]


def test_documents_of_several_issuers_say_whose_they_are(full: Office) -> None:
    for path in ("/panel/invoices", "/panel/dunning", "/panel/dunning/steps", "/panel/disputes"):
        assert "Issuer" in headings(full.seat("admin").get(path).text), path
        seen = headings(full.seat("reseller").get(path).text)
        assert seen, path
        assert "Issuer" not in seen, path


def test_a_customer_sees_what_is_overdue_and_disputed(full: Office) -> None:
    page = full.seat("alice").get("/my/invoices").text
    assert "overdue" in page.split("<tbody")[1]
    assert "Disputed" in headings(page)
    assert "Disputed" not in headings(full.seat("alice").get("/my/invoices?kind=receipt").text)


def test_four_filters_are_shown_and_the_rest_where_one_is_set(full: Office) -> None:
    page = full.seat("admin").get("/panel/invoices").text
    box = re.compile(r'id="all-filters"( checked)?>')
    found = box.search(page)
    assert found is not None
    assert found[1] is None
    assert len(re.findall(r'<div class="filter[^"]*(?<! later)">\s*<label for="filter-(?!order)', page)) == 4
    found = box.search(full.seat("admin").get("/panel/invoices?issuer=operator").text)
    assert found is not None
    assert found[1]


def test_an_accounts_page_leads_to_all_its_parts_and_shows_the_one_that_is_open(full: Office) -> None:
    page = full.seat("admin").get(f"/panel/accounts/{full.account_id('alice')}/notes").text
    at_once, more = page.split('class="tabs-row"')[1].split("</nav>")[0].split("<details")
    assert re.findall(r'aria-current="page">([^<]+)<', at_once) == ["Notes"]
    assert "Ledger" in at_once
    assert "Points" in more
    assert "Notes" not in more


def test_a_tax_is_said_in_words(full: Office) -> None:
    seat = full.seat("admin")
    drafts = seat.get("/panel/invoices?status=draft").text
    pages = [
        seat.get(f"/panel/invoices/{id}").text for id in re.findall(r'href="/panel/invoices/(\d+)"', drafts)
    ]
    assert any("exempt · an embassy" in x for x in pages)


def test_all_of_a_page_are_chosen_at_once(full: Office) -> None:
    assert 'data-all="chosen"' in full.seat("admin").get("/panel/invoices").text
