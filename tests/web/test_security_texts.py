"""What people, switches and services write is shown as it is: never as markup, a template or a formula."""

import csv
import io
import re
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
from openpyxl import load_workbook
from sqlalchemy import String, text
from sqlalchemy.schema import Column, Table

from pbxbill.notify.smtp import Attachment, Mail, MailSettings, composed
from pbxbill.store.models import Base
from tests.web.offices import Office
from tests.web.reachable import reached

EVIL = "=1+1|x\"'><svg onload=x1>{{7*7}}"
WRITTEN = (
    "agent", "bank_name", "call_id", "caller", "called", "city", "contact", "decided_by", "description",
    "destination", "detail", "dialled", "done_by", "error", "file", "file_name", "footer", "holder",
    "legal_name", "lifted_by", "memo", "name", "note", "payment_terms", "postal_code", "purchase_order",
    "reason", "recipient", "record_key", "region", "registration_id", "remark", "requested_by", "street",
    "subject", "support_email", "support_phone", "tax_name", "text", "vat_id", "why", "actor", "by",
    "evidence",
)  # fmt: skip
"""Columns that hold what somebody wrote."""
KNOWN_BY = {
    "jobs",
    "job_runs",
    "daemon_leases",
    "switches",
    "units",
    "rate_decks",
    "tariffs",
    "payment_gateways",
}
"""Tables whose names are read by programs."""
STARTS = {"alice": ("/my/",), "admin": ("/panel/", "/panel/reports"), "reseller": ("/panel/", "/panel/brand")}


def written(table: Table, column: Column[object]) -> bool:
    """Whether it is one of them."""
    is_text = isinstance(column.type, String) and column.name in WRITTEN
    is_known = column.name in ("name", "subject", "holder") and table.name in KNOWN_BY
    return is_text and not is_known and not column.foreign_keys and not column.primary_key


@pytest.fixture(scope="module")
def evil(full: Office) -> Office:
    """An office with something of everything, in which all that was written is an attack."""
    with full.writing() as session:
        session.execute(text("PRAGMA ignore_check_constraints = ON"))
        for table in Base.metadata.sorted_tables:
            for column in [x for x in table.columns if written(table, x)]:
                change = f"UPDATE {table.name} SET {column.name} = :evil || rowid WHERE {column.name} <> ''"
                session.execute(text(change), {"evil": EVIL})
    return full


@pytest.mark.parametrize("login", STARTS)
def test_no_page_shows_it_as_markup_and_no_file_as_a_formula(evil: Office, login: str) -> None:
    browser, seen, files = evil.seat(login), 0, set()
    for one in reached(evil, login, STARTS[login]):
        path, page = one.path, one.text
        assert "<svg onload" not in page, path
        assert "onload=x1&gt;49" not in page, path
        assert not re.search(r"\s(?:href|src|action)=[\"']?\s*(?:javascript|data:text)", page, re.I), path
        seen += "&lt;svg onload" in page
        files |= {
            x.replace("&amp;", "&") for x in re.findall(r'href="(/[^"]+?\.(?:csv|xlsx)(?:\?[^"]*)?)"', page)
        }
    assert seen > 5
    told = 0
    for path in sorted({x.partition("?")[0] for x in files}):
        answer = browser.get(path)
        if answer.status_code != 200:
            continue
        for cell in cells(answer.data, is_sheet=path.endswith(".xlsx")):
            assert not cell.startswith("="), (path, cell)
            told += EVIL in cell
    assert told or login == "alice"


def cells(content: bytes, *, is_sheet: bool) -> Iterator[str]:
    """Of a file, as a spreadsheet takes them."""
    if not is_sheet:
        for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))):
            yield from row
        return
    for sheet in load_workbook(io.BytesIO(content)):
        for line in sheet.iter_rows():
            for cell in line:
                if cell.data_type == "f":
                    yield "=" + str(cell.value)
                elif isinstance(cell.value, str):
                    yield "'" + cell.value if cell.value.startswith("=") else cell.value


@pytest.mark.parametrize(
    "evil_name", ["x\r\nBcc: thief@evil.example", "=?utf-8?q?x=0d=0aBcc:_thief?=", "x\r\n\r\n<b>"]
)
def test_no_name_adds_a_header_to_a_mail(evil_name: str) -> None:
    settings = MailSettings(host="mail.example", sender="bill@example.com", sender_name=evil_name)
    plain = Mail("1", "bob@example.com", evil_name, "text")
    assert headers(composed(plain, settings, 0)) == headers(
        composed(Mail("1", "bob@example.com", "x", "t"), settings, 0)
    )
    named = Mail("1", "bob@example.com", "x", "t", attachments=[Attachment(evil_name, "text/csv", b"a")])
    try:
        message = composed(named, settings, 0)
    except ValueError:
        return  # it is given up, and said so
    assert "Bcc" not in {name for part in message.walk() for name in part.keys()}  # noqa: SIM118


def headers(message: EmailMessage) -> list[str]:
    """Their names, as they are sent."""
    return [
        x.partition(":")[0]
        for x in message.as_bytes().partition(b"\r\n\r\n")[0].decode().split("\r\n")
        if x[:1] != " "
    ]
