"""Rate sheets that are spreadsheets: typed cells become exact facts, damaged files a sentence."""

import io
import tracemalloc
import zipfile
from datetime import datetime
from typing import Any

import pytest
from openpyxl import Workbook

from pbxbill.errors import InputRefused
from pbxbill.rating import sheet_archive
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


@pytest.mark.long
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
    monkeypatch.setattr(sheet_archive, "MAX_SHEET_BYTES", 300)
    with pytest.raises(InputRefused, match=r"xl/worksheets/sheet1.xml in the XLSX file unpacks to \d+ bytes"):
        read(raw)


NAMESPACE = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
TITLES = b"".join(b'<c t="inlineStr"><is><t>%s</t></is></c>' % name.encode() for name in HEADER[:3])
END = b"</sheetData></worksheet>"
TEXTS = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
SHEET, SHARED = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
SHARED_TYPE = (
    b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/'
    b'vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/>'
)
ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


def with_part(part: str, *pieces: bytes) -> bytes:
    """A file with a price list, and one part of it exchanged."""
    out = io.BytesIO()
    good = zipfile.ZipFile(io.BytesIO(book(("R", [HEADER[:3], ["49", "Germany", "0.1"]]))))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in good.infolist():
            if member.filename != part:
                content = good.read(member)
                if part == SHARED and member.filename == "[Content_Types].xml":
                    content = content.replace(b"</Types>", SHARED_TYPE + b"</Types>")
                archive.writestr(member, content, zipfile.ZIP_DEFLATED)
        with archive.open(part, "w") as stream:
            for piece in pieces:
                stream.write(piece)
    return out.getvalue()


def with_rows(*pieces: bytes) -> bytes:
    return with_part(SHEET, NAMESPACE, b"<row>", TITLES, b"</row>", *pieces, END)


def peak_bytes(raw: bytes, message: str) -> int:
    """What refusing a file takes beside the file."""
    tracemalloc.start()
    try:
        with pytest.raises(InputRefused, match=message):
            read(raw)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.long
@pytest.mark.parametrize(
    "part, pieces, message",
    [
        (SHEET, [NAMESPACE, b"<row/>" * 2_000_000, END], "to more than 250 times its size"),
        (SHEET, [NAMESPACE, b"<row><c><v>", b"1" * 10_000_000, END], "to more than 250 times its size"),
        (SHARED, [TEXTS, b"<si><t>x</t></si>" * 700_000, b"</sst>"], "to more than 250 times its size"),
        ("xl/styles.xml", [b"<a>", b"<b/>" * 300_000, b"</a>"], "has more than 250000 elements"),
        ("xl/workbook.xml", [ENTITIES, b"<x>&b;</x>"], "declares entities"),
        (SHEET, [ENTITIES, NAMESPACE, b"<row><c><v>&b;</v></c></row>", END], "declares entities"),
        (SHARED, [ENTITIES, TEXTS, b"<si><t>&b;</t></si></sst>"], "declares entities"),
        (SHARED, [TEXTS, b"<si><t>", b"x" * 100_000, b"</t></si></sst>"], "a cell longer than 65536"),
        (SHARED, [TEXTS, b"<si>", b"<t/>" * 300_000, b"</si></sst>"], "more than 250000 elements"),
    ],
    ids=["rows", "cell", "texts", "styles", "laughs", "laughs in rows", "laughs in texts", "text", "runs"],
)
def test_a_small_file_that_would_fill_the_memory_is_refused(
    part: str, pieces: list[bytes], message: str
) -> None:
    raw = with_part(part, *pieces)
    del pieces
    assert peak_bytes(raw, message) < 40_000_000


@pytest.mark.long
@pytest.mark.parametrize(
    "pieces, message",
    [
        (
            [b"<row/>" * 100_002],
            r"more than 100 empty rows one after the other above row 10\d; delete",
        ),
        ([b"<row><c/></row>" * 300], "more than 100 empty rows"),
        ([b'<row r="1048577"><c><v>1</v></c></row>'], "has more than 1048576 rows"),
        ([b"<row>", b"<c/>" * 16_385, b"</row>"], "more than 16384 columns in row 2"),
        ([b"<row><c>", b"<x/>" * 150_001, b"</c></row>"], "more than 150000 elements in or behind row 2"),
        ([b"<row><c><v>", b"1" * 65_537, b"</v></c></row>"], "cell longer than 65536 characters in row 2"),
        (
            [b"<row>", (b"<c><v>" + b"1" * 60_000 + b"</v></c>") * 20, b"</row>"],
            "more than 1048576 characters in row 2",
        ),
        ([b'<row x="', b"1" * 2_000_000, b'"/>'], "a tag or comment longer than 1048576 bytes"),
        ([b"<!--", b"1" * 2_000_000, b"-->"], "a tag or comment longer than 1048576 bytes"),
    ],
)
def test_rows_that_no_rate_sheet_has_are_refused(
    pieces: list[bytes], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet_archive, "MAX_EMPTY_ROWS", 100)
    raw = with_rows(*pieces)
    assert peak_bytes(raw, message) < 60_000_000


def test_what_an_archive_says_of_its_sizes_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = bytearray(with_rows(b"<row><c><v>" + b"1" * 60_000 + b"</v></c></row>"))
    monkeypatch.setattr(sheet_archive, "MAX_SHEET_BYTES", 30_000)
    at = raw.rindex(SHEET.encode())  # in the directory, 46 bytes behind the beginning of its entry
    raw[at - 46 + 24 : at - 46 + 28] = (20_000).to_bytes(4, "little")
    with pytest.raises(InputRefused, match="cut, damaged or none"):
        read(bytes(raw))
    raw[at - 46 + 24 : at - 46 + 28] = (2**31).to_bytes(4, "little")
    with pytest.raises(InputRefused, match="unpacks to 2147483648 bytes"):
        read(bytes(raw))


def test_columns_far_to_the_right_and_rows_far_below_cost_nothing() -> None:
    raw = with_rows(
        b'<row r="900000"><c r="A900000"><v>49</v></c><c r="B900000" t="str"><v>Germany</v></c>'
        b'<c r="C900000"><v>0.5</v></c></row>'
        b'<row><c r="A900001"><v>33</v></c><c r="XFD900001"><v>1</v></c></row>'
    )
    accepted, refused = read(raw)
    assert isinstance(accepted, SheetRate)
    assert (accepted.line, accepted.price_per_min) == (900_000, 5 * 10**11)
    assert isinstance(refused, RefusedRow)
    assert (refused.line, refused.reason) == (900_001, "the row has 4 cells, the header 3")
