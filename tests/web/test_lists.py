"""Lists as pages and files: filters, orders, kept views, what no spreadsheet may run, whose rows they are."""

import csv
import io

import pytest
from openpyxl import load_workbook
from sqlalchemy import select

from pbxbill.store.access_models import SavedViewRow
from pbxbill.store.accounts import NewAccount, open_account, open_wallet
from pbxbill.store.models import AccountRow, WalletRow
from tests.web.offices import Office

LIST = "/panel/accounts"


def fill(office: Office, number: int) -> None:
    with office.writing() as session:
        for at in range(number):
            account = open_account(session, NewAccount(f"many-{at:03d}", f"Many {at}"), at * 86_400_000_000)
            open_wallet(session, account, "EUR").posted = at * 1_500_000


def test_pages_follow_each_other_without_gap_or_repetition(office_on_each: Office) -> None:
    fill(office_on_each, 120)
    browser, seen = office_on_each.seat("admin"), []
    path = f"{LIST}?q=many-&size=25"
    while path:
        page = browser.get(path)
        rows = page.text.split('role="rowheader"')[1:]
        seen += [row.split('<span class="code">')[1].split("<")[0] for row in rows]
        ahead = page.text.split('rel="next" href="')
        path = ahead[1].split('"')[0].replace("&amp;", "&") if len(ahead) > 1 else ""
    assert seen == [f"many-{at:03d}" for at in range(120)]


def test_what_is_filtered_stands_as_chips_that_take_it_away(office: Office) -> None:
    text = office.seat("admin").get(f"{LIST}?q=alice&status=active").text
    assert "Name, number or e-mail: alice" in text
    assert f'href="{LIST}?status=active"' in text


@pytest.mark.parametrize("query", ["status=none", "order=x", "after=%00", "q=" + "x" * 300])
def test_a_filter_that_cannot_be_used_is_named(office: Office, query: str) -> None:
    answer = office.seat("admin").get(f"{LIST}?{query}")
    assert answer.status_code == 400
    assert "This filter cannot be used" in answer.text
    if not query.startswith("after"):  # a file has no pages
        assert office.seat("admin").get(f"{LIST}.csv?{query}").status_code == 400


@pytest.mark.parametrize(
    "query", ["_external=1", "endpoint=x", "_anchor=x&id=7", "q=%ff%fe", "size=huge", "name=a&name=b"]
)
def test_what_no_filter_knows_changes_nothing(office: Office, query: str) -> None:
    assert office.seat("admin").get(f"{LIST}?{query}").status_code == 200


def test_nothing_found_says_what_to_do(office: Office) -> None:
    text = office.seat("admin").get(f"{LIST}?q=nobody-at-all").text
    assert "Nothing matches these filters" in text


def test_a_file_holds_every_row_and_exact_amounts(office_on_each: Office) -> None:
    fill(office_on_each, 300)
    with office_on_each.writing() as session:
        account = session.scalars(select(AccountRow).where(AccountRow.code == "many-007")).one()
        wallet = session.scalars(select(WalletRow).where(WalletRow.account_id == account.id)).one()
        wallet.posted, wallet.credit_limit = -123_456_789, 200_000_000
    browser = office_on_each.seat("admin")
    answer = browser.get(f"{LIST}.csv?q=many-")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 300
    assert rows[7]["Balance"] == "-123.456789"
    assert rows[7]["Unit"] == "EUR"
    book = load_workbook(io.BytesIO(browser.get(f"{LIST}.xlsx?q=many-").data), read_only=True)
    assert book.active is not None
    sheet = list(book.active.iter_rows(values_only=True))
    assert len(sheet) == 301


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1+1", "@SUM(A1)", "-1+1"])
def test_no_spreadsheet_runs_what_an_account_is_called(office: Office, name: str) -> None:
    with office.writing() as session:
        open_account(session, NewAccount("evil", name), 0)
    browser = office.seat("admin")
    (row,) = csv.DictReader(io.StringIO(browser.get(f"{LIST}.csv?q=evil").text))
    assert row["Name"] == f"'{name}"
    sheet = load_workbook(io.BytesIO(browser.get(f"{LIST}.xlsx?q=evil").data)).active
    assert sheet is not None
    assert sheet["B2"].value == f"'{name}"
    assert sheet["B2"].data_type == "s"


def test_everybody_finds_his_own_rows_in_his_files(office: Office) -> None:
    rows = list(csv.DictReader(io.StringIO(office.seat("reseller").get(f"{LIST}.csv").text)))
    assert [row["Code"] for row in rows] == ["alice"]
    olga = office.account_id("olga")
    for part in ("below", "below.csv", "ledger", "ledger.xlsx"):
        assert office.seat("reseller").get(f"{LIST}/{olga}/{part}").status_code == 404


def test_a_view_is_kept_for_its_user_and_forgotten(office: Office) -> None:
    admin = office.seat("admin")
    kept = admin.post(
        f"{LIST}/views", {"q": "alice", "status": "active", "name": "My <view>"}, page=f"{LIST}?q=alice"
    )
    assert kept.location.endswith(f"{LIST}?q=alice&status=active")
    text = admin.get(LIST).text
    assert "My &lt;view&gt;" in text
    assert "My &lt;view&gt;" not in office.seat("support").get(LIST).text
    with office.writing() as session:
        view_id = session.scalars(select(SavedViewRow.id)).one()
    page = f"{LIST}?q=alice&status=active"
    assert office.seat("support").post(f"{LIST}/views/{view_id}/forget", page=page).status_code == 404
    assert admin.post(f"{LIST}/views/{view_id}/forget", page=page).status_code == 302
    assert "My &lt;view&gt;" not in admin.get(LIST).text


def test_accounts_are_suggested_within_the_scope_alone(office: Office) -> None:
    found = office.seat("reseller").get(f"{LIST}/suggested?q=l").get_json()
    assert [x["value"] for x in found] == ["alice"]
