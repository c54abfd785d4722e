"""Nothing that is written for a spreadsheet is run by it, and all comes back as it was."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pbxbill
from pbxbill.cli.output import harmless
from pbxbill.rating.destination_sheet import DestinationSheet, RefusedLine
from pbxbill.rating.destination_sheet import write_refused as write_refused_destinations
from pbxbill.rating.exchange_sheet import ExchangeSheet, RefusedCells
from pbxbill.rating.sheet import RateSheet, RefusedRow, write_refused
from pbxbill.rating.sheet_guard import guarded, unguarded

FORMULAS = ("=1+1", "@SUM(1)", "+1+cmd|x", "-1+2", "-", "+", "\t=1", "\r=1", "\n=1", "'=1", "''@x", "\uff1d1")
PLAIN = ("", "+4930123456", "-0.5", "+1", "-12", "0.1", "Germany", "'", "'quoted'", "a=1", "2026-01-31")


@pytest.mark.parametrize("cell", FORMULAS)
def test_what_begins_like_a_formula_is_guarded(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", PLAIN)
def test_numbers_and_plain_words_stay_bare(cell: str) -> None:
    assert guarded(cell) == cell


@pytest.mark.parametrize("cell", ["-1.", "+1,5", "-1e5", "+49 30", "-\u0661", "+1\n", "--1"])
def test_what_is_not_wholly_a_number_is_guarded(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"


@given(st.text(alphabet="=+-@'\t1.a"))
def test_whatever_is_guarded_comes_back(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell


@pytest.mark.parametrize("cell", FORMULAS)
def test_what_is_printed_has_no_control_characters_and_is_guarded(cell: str) -> None:
    assert harmless(cell).startswith("'")
    assert "\t" not in harmless(cell)


def test_rows_of_all_sheets_that_were_refused_are_written_guarded_and_read_again() -> None:
    name = "@SUM(1)"
    out = io.StringIO(newline="")
    rates = RateSheet(io.BytesIO(b"prefix,destination,price\n49,@SUM(1),-1\n"))
    write_refused(out, rates, [row for row in rates.rows() if isinstance(row, RefusedRow)])
    assert cells_of(out)[-3:] == ["49", f"'{name}", "-1"]
    (again,) = RateSheet(io.BytesIO(out.getvalue().encode())).rows()
    assert isinstance(again, RefusedRow)
    assert again.cells == ("49", name, "-1")

    out = io.StringIO(newline="")
    destinations = DestinationSheet(io.BytesIO(b"name;class;prefixes\n@SUM(1);none;49\n"))
    refused = [row for row in destinations.rows() if isinstance(row, RefusedLine)]
    write_refused_destinations(out, destinations, refused)
    assert f"'{name}" in out.getvalue()
    (line,) = DestinationSheet(io.BytesIO(out.getvalue().encode())).rows()
    assert isinstance(line, RefusedLine)
    assert line.cells[0] == name

    out = io.StringIO(newline="")
    exchange = ExchangeSheet(io.BytesIO(b"from,to,rate\n"))
    exchange.write_refused(out, [RefusedCells(2, "no unit", (name, "EUR", "=1+1"))])
    assert cells_of(out)[-3:] == [f"'{name}", "EUR", "'=1+1"]


def cells_of(out: io.StringIO) -> list[str]:
    return list(csv.reader(out.getvalue().splitlines()))[-1]


def test_whoever_writes_csv_guards_its_cells() -> None:
    sources = [path.read_text() for path in Path(pbxbill.__file__).parent.rglob("*.py")]
    writers = [source for source in sources if "csv.writer(" in source or "DictWriter(" in source]
    assert len(writers) >= 5
    assert all("guarded(" in source or "harmless(" in source or "guarded," in source for source in writers)
