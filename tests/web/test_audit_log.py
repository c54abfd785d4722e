"""The audit log as people read it: every action in words, columns by their names, links to what changed."""

import ast
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from openpyxl import load_workbook

import pbxbill
from pbxbill.listing.audit_log import AREAS
from pbxbill.store.catalogue_models import RateImportRow
from pbxbill.store.models import Base
from pbxbill.web.audit_columns import COLUMNS, UNTOLD
from pbxbill.web.audit_things import BESIDE, TABLES
from pbxbill.web.audit_words import ACTIONS, action_text
from tests.web.offices import Browser, Office
from tests.web.test_money_pages import take

PACKAGE = Path(pbxbill.__file__).parent
WRITERS = {"changing", "writing"}
"""Their first argument is what is done."""
OTHERS_NAMES = {"url_for", "ListPage", "Item", "FieldError", "literal_column", "render_template", "getLogger"}
"""Calls whose arguments look like one and are none: endpoints, fields, files."""
MADE_UP = {
    "alert.": ("done", "open"),
    "auto-top-up.": ("off", "resume"),
    "country.": ("release", "keep"),
    "endpoint.": ("remove", "suspend", "resume"),
    "invoices.": ("issue", "discard", "send", "cancel"),
    "job.": ("run", "enable", "disable"),
    "numbers.": ("assign", "country", "hand-over", "release"),
    "rerating.": ("begin", "stop"),
    "subscription.": ("pause", "resume", "cancel"),
    "voucher.": ("block", "unblock"),
}
"""What is put together where it is written: how it begins, and what can follow."""
CODE = re.compile(r"[a-z_-]+\.[a-z_-]+")


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted((PACKAGE / "web").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                match node.func:
                    case ast.Attribute(attr=name) | ast.Name(id=name):
                        yield name, node
                    case _:
                        pass


def texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from (*texts(one), *texts(other))
        case ast.JoinedStr(values=[ast.Constant(value=str(begin)), *_]):
            yield f"{begin}*"
        case _:
            pass


def written(endpoints: set[str]) -> tuple[set[str], set[str]]:
    """Codes that the code of the web writes, and how those begin that are put together."""
    codes: set[str] = set()
    begins: set[str] = set()
    for name, call in calls():
        for place, argument in enumerate([*call.args, *(x.value for x in call.keywords)]):
            for text in texts(argument):
                if name in WRITERS and not place and text.endswith("*"):
                    begins.add(text.removesuffix("*"))
                elif (name in WRITERS and not place) or (
                    CODE.fullmatch(text) and name not in OTHERS_NAMES and text not in endpoints
                ):
                    codes.add(text)
    return codes, begins


def test_every_action_has_its_words(office: Office) -> None:
    codes, begins = written(set(office.app.view_functions))
    known = {x for x in codes if x.partition(".")[0] in {y for _, areas in AREAS.values() for y in areas}}
    assert begins == set(MADE_UP)
    told = known | {begin + end for begin, ends in MADE_UP.items() for end in ends}
    assert told - ACTIONS.keys() == set(), "web/audit_words.py says what each is called"
    of_variables = {"country.hold", "penalty.make"}
    assert ACTIONS.keys() - told - of_variables == set(), "nothing writes them any more"
    lost = {x for name, call in calls() if name in WRITERS and call.args for x in texts(call.args[0])}
    assert {x for x in lost if not x.endswith("*")} <= ACTIONS.keys()


def test_every_action_is_of_one_area() -> None:
    of_areas = [begin for _, begins in AREAS.values() for begin in begins]
    assert sorted(of_areas) == sorted({x.partition(".")[0] for x in ACTIONS})


def test_tables_and_columns_are_those_of_the_database() -> None:
    tables = Base.metadata.tables
    assert tables.keys() == TABLES.keys() | BESIDE, "web/audit_things.py says what a row is called"
    assert not TABLES.keys() & BESIDE
    told = {column.name for name in TABLES for column in tables[name].columns}
    every = {column.name for table in tables.values() for column in table.columns}
    assert told - COLUMNS.keys() - UNTOLD == set(), "web/audit_columns.py says what each is called"
    assert every >= COLUMNS.keys() | UNTOLD
    assert not COLUMNS.keys() & UNTOLD


def test_pages_that_it_leads_to_are_there(office: Office) -> None:
    assert {page for _, page in TABLES.values()} - {""} <= office.app.view_functions.keys()


def entry(browser: Browser, **filters: str) -> str:
    """The page of the newest entry that the filters leave."""
    listed = browser.get("/panel/audit-log?" + "&".join(f"{k}={v}" for k, v in filters.items())).text
    found = re.search(r'href="(/panel/audit-log/\d+)"', listed)
    assert found is not None, listed
    return browser.get(found[1]).text


def bare(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_a_change_is_told_in_words_and_leads_to_what_it_changed(office: Office) -> None:
    admin = office.seat("admin")
    alice = office.account_id("alice")
    path = f"/panel/accounts/{alice}/wallets/EUR/limit"
    edition = re.search(r'name="edition"[^>]*value="([^"]*)"', admin.get(path).text)
    assert edition is not None
    sent = {"credit_limit": "12.50", "reason": "asked", "edition": html.unescape(edition[1])}
    assert admin.post(path, sent).status_code == 303
    told = entry(admin, action="wallet.limit")
    assert re.search(r"<h1>\s*Credit limit set\s*</h1>", told)
    assert f'href="/panel/accounts/{alice}"' in told
    assert re.search(r"<h2>Wallet EUR\s*</h2>", told), told
    assert "Credit limit" in bare(told)
    assert "12.50 EUR" in bare(told)
    listed = bare(admin.get("/panel/audit-log").text)
    assert "Credit limit set" in listed
    assert "wallet.limit" not in listed


def test_money_that_moved_is_told_with_its_entry(office: Office) -> None:
    reseller = office.seat("reseller")
    page = take(reseller, "alice")
    told = entry(reseller, action="payment.take")
    id = page.rpartition("/")[2]
    assert f'href="/panel/books/journal/{id}"' in told
    assert "25.00 EUR" in bare(told)
    found = reseller.get(f"/panel/audit-log?object=journal_entries+{id}").text.split("<table")[1]
    assert "alice" in found


def test_it_is_told_in_the_language_of_the_reader(office: Office) -> None:
    admin = office.seat("admin")
    admin.post("/me", {"name": "Ada", "language": "es", "zone": "UTC", "theme": "dark", "email": ""})
    listed = bare(admin.get("/panel/audit-log").text)
    assert "Inicio de sesión" in listed
    assert "Ajustes propios modificados" in listed
    assert "Usuario" in bare(entry(admin, action="user.settings"))


def test_it_is_found_by_area_and_by_object(office: Office) -> None:
    admin = office.seat("admin")
    alice, olga = office.account_id("alice"), office.account_id("olga")
    admin.post("/me", {"name": "Ada", "language": "en", "zone": "UTC", "theme": "dark", "email": ""})
    for id in (alice, olga):
        assert admin.post(f"/panel/accounts/{id}/notes", {"text": "called"}).status_code == 303
    assert "Note added" in bare(admin.get("/panel/audit-log?area=accounts").text)
    assert "Own settings changed" not in bare(
        admin.get("/panel/audit-log?area=accounts").text.split("<table")[1]
    )
    found = admin.get(f"/panel/audit-log?object=accounts+{alice}").text.split("<table")[1]
    assert "alice" in found
    assert "olga" not in found
    assert "Logged in" in bare(admin.get("/panel/audit-log").text)
    assert "Logged in" not in bare(admin.get("/panel/audit-log?area=changes").text.split("<table")[1])
    wrong = admin.get("/panel/audit-log?object=everything")
    assert wrong.status_code == 400
    assert "write it as invoices 17" in wrong.text


def test_sessions_are_left_out_unless_asked_for(office: Office) -> None:
    admin = office.seat("admin")
    path = re.search(r'href="(/panel/audit-log/\d+)"', admin.get("/panel/audit-log?action=user.log-in").text)
    assert path is not None
    assert "Login sessions" not in admin.get(path[1]).text
    assert "keeps beside it" in bare(admin.get(path[1]).text)
    assert "Login sessions" in admin.get(f"{path[1]}?whole=yes").text


def test_a_reseller_gets_no_link_to_what_is_not_his(office: Office) -> None:
    admin = office.seat("admin")
    alice = office.account_id("alice")
    assert admin.post(f"/panel/accounts/{alice}/notes", {"text": "called"}).status_code == 303
    reseller = office.seat("reseller")
    assert "Note added" not in bare(reseller.get("/panel/audit-log").text)
    assert reseller.post(f"/panel/accounts/{alice}/notes", {"text": "mine"}).status_code == 303
    assert f'href="/panel/accounts/{alice}"' in entry(reseller, action="note.add")


def test_what_a_command_did_is_said_as_it_was_typed(office: Office) -> None:
    assert action_text("accounts add") == "pbxbill accounts add"
    assert action_text("nothing.known") == "nothing.known"
    admin = office.seat("admin")
    assert admin.get("/panel/audit-log?area=commands").status_code == 200


def test_files_have_the_words_too(office: Office) -> None:
    admin = office.seat("admin")
    assert "Logged in" in admin.get("/panel/audit-log.csv").text
    (sheet,) = load_workbook(io.BytesIO(admin.get("/panel/audit-log.xlsx").data)).worksheets
    assert "Logged in" in {cell.value for row in sheet.iter_rows() for cell in row}


@pytest.mark.parametrize("agreed", [False, True])
def test_a_rate_sheet_is_dropped_only_when_that_is_meant(office: Office, *, agreed: bool) -> None:
    admin = office.seat("admin")
    with office.writing() as session:
        operator = office.account_id("operator")
        row = RateImportRow(
            issuer_id=operator, by="admin", deck="fresh", file_name="rates.csv", content=b"", options="{}",
            state="ready", done=0, total=1, created_us=1, beaten_us=1,
        )  # fmt: skip
        session.add(row)
        session.flush()
        path = f"/panel/decks/imports/{row.id}/drop"
        id = row.id
    asked = admin.get(path).text
    assert "Drop the sheet rates.csv" in asked
    assert "No rate changes" in asked
    if agreed:
        assert admin.post(path, {}).location == "/panel/decks"
    with office.reading() as session:
        kept = session.get(RateImportRow, id)
        assert (kept is None or kept.state != "ready") == agreed
