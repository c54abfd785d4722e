"""Rate sheets that are spreadsheets: typed cells become exact facts, damaged files a sentence."""

import io
import zipfile
from datetime import datetime
from typing import Any

import pytest
from openpyxl import Workbook

from pbxbill.errors import InputRefused
from pbxbill.rating import sheet_table
from pbxbill.rating.sheet import RateSheet, RefusedRow, SheetRate, write_refused
from pbxbill.rating.sheet_profile import Profile

DECEMBER = datetime(2026, 12, 1)  # noqa: DTZ001  a spreadsheet knows no zones
JUNE = datetime(2026, 6, 30)  # noqa: DTZ001  as above
HEADER = ["Dial Code", "Destination", "Rate", "Increments", "Effective Date"]


def book(*sheets: tuple[str, list[list[Any]]]) -> bytes:
    made = Workbook()
    made.remove(made.worksheets[0])
    for title, rows in sheets:
        sheet = made.create_sheet(title)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def read(raw: bytes, **settings: Any) -> list[SheetRate | RefusedRow]:
    return list(RateSheet(io.BytesIO(raw), Profile(**settings)).rows())


def row_of(*cells: Any) -> SheetRate | RefusedRow:
    (row,) = read(book(("Rates", [HEADER, list(cells)])))
    return row


def test_numbers_are_what_was_typed() -> None:
    row = row_of(4915, "Germany", 0.1, "60/60", DECEMBER)
    assert isinstance(row, SheetRate)
    assert (row.prefix, row.price_per_min) == ("4915", 10**11)
    assert row.effective_from_us == 1_796_083_200_000_000
    for price in (0.0123, 1e-05, 0.1 + 0.2 - 0.2, 3):
        found = row_of(4912.0, "Germany", price, "1/1")
        assert isinstance(found, SheetRate)
        assert (found.prefix, found.price_per_min % 10**7) == ("4912", 0)


@pytest.mark.parametrize(
    "cells, reason",
    [
        ([49.5, "x", 1, "1/1"], "prefix: 49.5 is not made of up to 15 digits"),
        (["4.9E+11", "x", 1, "1/1"], "prefix: '4.9E+11' lost its digits in a spreadsheet"),
        ([49, "x", "=C1*2", "1/1"], "a cell holds the formula =C1*2; paste the column as values"),
        (
            [49, "x", 1, JUNE],
            "increments: is the date 2026-06-30 00:00, which a spreadsheet made",
        ),
        ([JUNE, "x", 1, "1/1"], "prefix: is the date 2026-06-30 00:00"),
        ([49, "x", JUNE, "1/1"], "price_per_min: is the date 2026-06-30"),
        ([49, 50, 1, "1/1"], "destination: '50' is a number and no name"),
        ([49, "x", "#N/A", "1/1"], "price_per_min: '#N/A' is not a number"),
        ([49, "x", -1, "1/1"], "price_per_min: a price cannot be negative: -1"),
        ([49, "x", 1, "1/1", "1.2.2026"], "effective_from: '1.2.2026' is no date"),
        ([49, "x", 1, "1/1", 10**9], "effective_from: 1000000000 is no date of a spreadsheet"),
        ([49, "x", 1, "1/1", "", "more"], "the row has 6 cells, the header 5"),
    ],
)
def test_cells_that_cannot_be_meant(cells: list[Any], reason: str) -> None:
    row = row_of(*cells)
    assert isinstance(row, RefusedRow)
    assert row.reason.startswith(reason)


def test_days_counted_by_the_spreadsheet() -> None:
    row = row_of(49, "x", 1, "1/1", 46_357)
    assert isinstance(row, SheetRate)
    assert row.effective_from_us == 1_796_083_200_000_000  # 2026-12-01


def test_the_worksheet_with_a_header_is_found_below_its_titles() -> None:
    raw = book(
        ("Cover", [["ACME Carrier"], ["Terms and conditions"]]),
        ("A-Z", [["Price list"], [], HEADER, [49, "Germany", 0.1, "60/60"], [], [33, "France", 0.2, "1/1"]]),
    )
    sheet = RateSheet(io.BytesIO(raw))
    assert sheet.described == "XLSX, worksheet 'A-Z', header in row 3"
    assert [row.line for row in sheet.rows()] == [4, 6]
    with pytest.raises(InputRefused, match="no worksheet 'B'; there are: 'Cover', 'A-Z'"):
        read(raw, sheet="B")
    with pytest.raises(InputRefused, match="no header was found"):
        read(raw, sheet="Cover")


def test_refused_rows_of_a_spreadsheet_can_be_corrected_as_csv() -> None:
    sheet = RateSheet(io.BytesIO(book(("R", [HEADER, [49, "x", -0.1, "1/1"], [33, "France", 1, "1/1"]]))))
    refused = [row for row in sheet.rows() if isinstance(row, RefusedRow)]
    out = io.StringIO(newline="")
    write_refused(out, sheet, refused)
    corrected = out.getvalue().replace("-0.1,", "0.1,")
    (row,) = read(corrected.encode())
    assert isinstance(row, SheetRate)
    assert row.price_per_min == 10**11


def test_a_file_that_was_cut_is_refused_wherever_it_was_cut() -> None:
    raw = book(("R", [HEADER, *([number, "x", 0.5, "1/1"] for number in range(1, 400))]))
    for length in range(8, len(raw) - 1, len(raw) // 40):
        with pytest.raises(InputRefused, match=r"cut, damaged or none|no XLSX"):
            read(raw[:length])


def test_a_file_with_bytes_changed_is_read_or_refused() -> None:
    raw = book(("R", [HEADER, *([number, "x", 0.5, "1/1"] for number in range(1, 400))]))
    for at in range(0, len(raw), len(raw) // 60):
        changed = bytearray(raw)
        changed[at] ^= 0x5A
        try:
            assert read(bytes(changed))
        except InputRefused:
            continue


def test_a_zip_file_that_is_no_spreadsheet() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("rates.csv", "prefix,destination,price_per_min\n")
    with pytest.raises(InputRefused, match="this is a ZIP file and no XLSX; unpack it"):
        read(out.getvalue())


def test_a_file_that_unpacks_to_too_much_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = book(("R", [HEADER, [49, "x" * 5_000, 1, "1/1"]]))
    monkeypatch.setattr(sheet_table, "MAX_SHEET_BYTES", 300)
    with pytest.raises(InputRefused, match=r"xl/worksheets/sheet1.xml in the XLSX file unpacks to \d+ bytes"):
        read(raw)
