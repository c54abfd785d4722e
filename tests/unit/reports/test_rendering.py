"""Reports as files: exact for programs, readable for people, harmless for spreadsheets."""

import csv
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from docx import Document
from openpyxl import load_workbook
from pypdf import PageObject, PdfReader

from pbxbill.errors import InputRefused
from pbxbill.listing.listing import Column, ColumnKind
from pbxbill.money import Unit
from pbxbill.reports.catalogue import REPORTS
from pbxbill.reports.reader import Reader
from pbxbill.reports.rendering import FORMATS, Sheet, render
from pbxbill.reports.report import Chart, Table

DAY_US = int(datetime(2026, 1, 31, 23, 30, tzinfo=UTC).timestamp()) * 1_000_000
DAY_LENGTH_US = 86_400_000_000
FRENCH = {"Revenue": "Chiffre d'affaires", "Total": "Total général", "Page": "Page", "Net": "Hors taxe"}
COLUMNS = (
    Column("period_us", "Day", ColumnKind.DAY),
    Column("name", "Name"),
    Column("calls", "Calls", ColumnKind.COUNT),
    Column("net", "Net", ColumnKind.MONEY),
    Column("talked", "Talked", ColumnKind.SECONDS),
    Column("asr", "ASR", ColumnKind.PPM),
)
NASTY = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "bell\x07")


def sheet(count: int = 1) -> Sheet:
    row = {
        "period_us": DAY_US,
        "calls": 12_345,
        "net": 1_234_567_890,
        "unit": "EUR",
        "talked": 3_723,
        "asr": 512_345,
    }
    rows = [row | {"name": NASTY[number % len(NASTY)]} for number in range(count)]
    table = Table(COLUMNS, rows, [{"unit": "EUR", "calls": 12_345 * count, "net": 1_234_567_890 * count}])
    return Sheet(REPORTS["revenue"], table, "Operator <b>", (("From", "2026-01-01"),))


def reader(language: str = "en") -> Reader:
    translate = (lambda text: FRENCH.get(text, text)) if language == "fr" else str
    return Reader(translate, language, "Europe/Paris", {"EUR": Unit("EUR")}, DAY_US)


def test_csv_is_exact_and_nothing_in_it_runs() -> None:
    rows = list(csv.reader(io.StringIO(render(sheet(5), "csv", reader()).decode("utf-8-sig"))))
    assert rows[0] == ["Day", "Name", "Calls", "Net", "Talked", "ASR", "Unit"]
    # Half past eleven in UTC is the next day in Paris.
    assert rows[1] == ["2026-02-01", "'=1+1", "12345", "1234.56789", "3723", "0.512345", "EUR"]
    assert [row[1] for row in rows[2:]] == ["'+cmd|' /C calc'!A0", "'-2+3", "'@SUM(A1)", "bell\ufffd"]


def test_xlsx_has_numbers_dates_and_texts() -> None:
    page = load_workbook(io.BytesIO(render(sheet(5), "xlsx", reader()))).active
    assert page is not None
    rows = list(page.iter_rows())
    assert rows[0][0].value == "Revenue · Operator <b>"
    head = next(number for number, row in enumerate(rows) if row[0].value == "Day")
    first = rows[head + 1]
    assert first[0].value.date() == date(2026, 2, 1)  # type: ignore[union-attr]
    assert (first[1].value, first[1].data_type) == ("=1+1", "s")
    assert Decimal(str(first[3].value)) == Decimal("1234.56789")
    assert first[3].number_format == "#,##0.00"
    total = rows[head + 6]
    assert (total[0].value, total[2].value, total[6].value) == ("Total", 61_725, "EUR")


def test_word_has_a_table_and_numbered_pages() -> None:
    paper = Document(io.BytesIO(render(sheet(2), "docx", reader("fr"))))
    assert "Chiffre d'affaires" in paper.paragraphs[0].text
    (table,) = paper.tables
    assert [cell.text for cell in table.rows[0].cells][3] == "Hors taxe"
    assert table.rows[1].cells[3].text == "1\u202f234,56789"
    assert "PAGE" in paper.sections[0].footer._element.xml


def test_pdf_says_what_was_asked_for_on_numbered_pages() -> None:
    pages = PdfReader(io.BytesIO(render(sheet(60), "pdf", reader("fr")))).pages
    texts = [page.extract_text() for page in pages]
    assert len(pages) > 1
    assert "Chiffre d'affaires" in texts[0]
    assert "2026-01-01" in texts[0]
    assert f"Page 1 / {len(pages)}" in texts[0]
    # Headings stand on every page.
    assert all("Hors taxe" in text for text in texts)


def test_html_escapes_what_others_wrote() -> None:
    html = render(sheet(), "html", reader()).decode()
    assert "Operator &lt;b&gt;" in html
    assert '<td class="right">1,234.56789</td>' in html
    assert '<td class="right">51.2\u00a0%</td>' in html
    assert '<td class="right">1:02:03</td>' in html


def charted(colour: str = "") -> Sheet:
    rows = [
        {
            "period_us": DAY_US + day * DAY_LENGTH_US,
            "name": f"day {day}",
            "net": amount,
            "unit": "EUR",
            "calls": 1,
        }
        for day, amount in enumerate((1_000_000, 3_500_000, 2_000_000))
    ]
    table = Table(COLUMNS, rows, [{"unit": "EUR", "net": 6_500_000}], Chart("line", "period_us", ("net",)))
    return Sheet(REPORTS["revenue"], table, "Operator", colour=colour)


def test_html_has_the_charts_of_the_page_and_needs_nothing_else() -> None:
    html = render(charted("#007a3d"), "html", reader("fr")).decode()
    (picture,) = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    drawn = ET.fromstring(picture)
    inside = "{http://www.w3.org/2000/svg}"
    assert len(list(drawn.iter(f"{inside}circle"))) == 3
    assert "3,50" in "".join(drawn.itertext())
    assert "Chiffre d'affaires: Hors taxe, EUR" in html.replace("&#39;", "'")
    assert "#007a3d" in html
    assert not re.search(r"(src|href)=|@import|url\(", html)
    assert "#007a3d" not in render(charted(), "html", reader()).decode()


def test_pdf_has_the_charts_of_the_page() -> None:
    page = PdfReader(io.BytesIO(render(charted("#007a3d"), "pdf", reader()))).pages[0]
    assert "Revenue: Net, EUR" in page.extract_text()
    # The line is stroked in the brand's colour: 0, 122/255, 61/255.
    assert re.search(rb"\b0 (0)?\.478\d* (0)?\.239\d* RG", _all_content(page))


def _all_content(page: PageObject) -> bytes:
    """What is drawn on a page, with what stands in forms of its own."""
    content = page.get_contents()
    found = [b"" if content is None else content.get_data()]
    forms: list[Any] = [page["/Resources"]]
    while forms:
        for each in forms.pop().get_object().get("/XObject", {}).values():
            form = each.get_object()
            if form.get("/Subtype") == "/Form":
                found.append(form.get_data())
                forms.append(form.get("/Resources", {}))
    return b"\n".join(found)


def test_what_is_too_large_for_people_is_refused() -> None:
    with pytest.raises(InputRefused, match="take csv or xlsx"):
        render(sheet(5_001), "docx", reader())
    with pytest.raises(InputRefused, match="none of"):
        render(sheet(), "exe", reader())


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_report_says_so(kind: str) -> None:
    empty = Sheet(REPORTS["revenue"], Table(COLUMNS, []), "Operator")
    assert render(empty, kind, reader())
