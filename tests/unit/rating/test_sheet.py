"""Rate sheets as people send them: what is taken, what is kept aside, and that nothing is lost."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pbxbill.errors import InputRefused
from pbxbill.rating import sheet_table
from pbxbill.rating.deck import CompiledDeck
from pbxbill.rating.sheet import RateSheet, RefusedRow, SheetRate, write_refused
from pbxbill.rating.sheet_fold import fold
from pbxbill.rating.sheet_table import MAX_LINE_BYTES
from pbxbill.rating.tariff import Rate

HEADER = "prefix,destination,price_per_min"
FULL_HEADER = (
    "prefix,destination,price_per_min,connection_fee,initial_increment,following_increment,"
    "minimum_charge,free_seconds,effective_from,effective_to"
)
DEMO_RATES = Path(__file__).parents[3] / "demo" / "data" / "rates.csv"


def read(text: str | bytes) -> list[SheetRate | RefusedRow]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(RateSheet(io.BytesIO(raw)).rows())


def read_row(line: str, header: str = FULL_HEADER) -> SheetRate | RefusedRow:
    (row,) = read(f"{header}\n{line}\n")
    return row


def taken(line: str, header: str = FULL_HEADER) -> SheetRate:
    row = read_row(line, header)
    assert isinstance(row, SheetRate), row
    return row


def refusal(line: str, header: str = FULL_HEADER) -> str:
    row = read_row(line, header)
    assert isinstance(row, RefusedRow)
    assert row.line == 2
    return row.reason


def us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc, arg-type]


def test_a_full_row() -> None:
    line = "4915,Germany mobile,0.0190,0.05,30,6,0.02,5,2026-01-01,2026-07-01T12:00:00+02:00"
    assert read_row(line) == SheetRate(
        line=2,
        prefix="4915",
        destination="Germany mobile",
        price_per_min=19_000_000_000,
        connection_fee=50_000_000_000,
        minimum_charge=20_000_000_000,
        initial_increment_s=30,
        following_increment_s=6,
        free_s=5,
        effective_from_us=us(2026, 1, 1),
        effective_to_us=us(2026, 7, 1, 10),
    )


def test_blank_cells_and_absent_columns_take_the_defaults() -> None:
    plain = SheetRate(2, "49", "Germany", 10**12, 0, 0, 1, 1, 0, None, None)
    assert read_row("49,Germany,1,,,,,,,") == plain
    assert read_row("49,Germany,1", HEADER) == plain
    assert plain.rate(7) == Rate(7, "49", "Germany", 10**12)


@pytest.mark.parametrize(
    "text",
    [
        "prefix,destination,price_per_min\n49,Germany,0.01\n",
        "prefix;destination;price_per_min\n49;Germany;0.01\n",
        "\ufeffprefix,destination,price_per_min\r\n49,Germany,0.01\r\n",
        "Prefix, DESTINATION ,Price_Per_Min\n +49 , Germany , 0.01 ",
        '"price_per_min","prefix","destination"\n"0.01","49","Germany"',
        "prefix,destination,price_per_min\n\n49,Germany,1E-2\n\n  \n",
    ],
    ids=[
        "comma",
        "semicolon",
        "BOM and CRLF",
        "case and spaces",
        "quotes, other order",
        "blank lines, exponent",
    ],
)
def test_the_forms_that_spreadsheets_write(text: str) -> None:
    (row,) = read(text)
    assert isinstance(row, SheetRate)
    assert (row.prefix, row.destination, row.price_per_min) == ("49", "Germany", 10**10)


def test_a_delimiter_within_quotes_belongs_to_the_name() -> None:
    row = read_row('49,"Germany, ""fixed"", Zürich",1', HEADER)
    assert isinstance(row, SheetRate)
    assert row.destination == 'Germany, "fixed", Zürich'


def test_the_default_route_is_written_as_a_star() -> None:
    row = read_row("*,Rest of world,1", HEADER)
    assert isinstance(row, SheetRate)
    assert row.prefix == ""


@pytest.mark.parametrize(
    "line, reason",
    [
        (",Germany,1,,,,,,,", "prefix: is empty; write * for the default route"),
        ("49x,Germany,1,,,,,,,", "prefix: '49x' is not made of up to 15 digits"),
        (
            "4.9E+11,Germany,1,,,,,,,",
            "prefix: '4.9E+11' lost its digits in a spreadsheet; enter it anew in a column of text",
        ),
        ("1234567890123456,Germany,1,,,,,,,", "prefix: '1234567890123456' is not made of up to 15 digits"),
        ("٤٩,Germany,1,,,,,,,", "prefix: '٤٩' is not made of up to 15 digits"),
        ("0049,Germany,1,,,,,,,", "prefix: '0049' begins with 00; write the country code alone"),
        ("49,,1,,,,,,,", "destination: is empty"),
        (f"49,{'x' * 101},1,,,,,,,", "destination: is longer than 100 characters"),
        ("49,Ger\x07many,1,,,,,,,", "destination: holds the invisible character U+0007"),
        ("49,Ger\x00many,1,,,,,,,", "destination: holds the invisible character U+0000"),
        ("49,Ger\u202emany,1,,,,,,,", "destination: holds the invisible character U+202E"),
        ("49,Germany,,,,,,,,", "price_per_min: '' is not a number; write it like 12.50"),
        ("49,Germany,abc,,,,,,,", "price_per_min: 'abc' is not a number; write it like 12.50"),
        ("49,Germany,NaN,,,,,,,", "price_per_min: 'NaN' is not a number; write it like 12.50"),
        ("49,Germany,-0.01,,,,,,,", "price_per_min: a price cannot be negative: -0.01"),
        (
            "49,Germany,0.0000000000001,,,,,,,",
            "price_per_min: 1E-13 has more than 12 digits after the point",
        ),
        ("49,Germany,99999999999,,,,,,,", "price_per_min: 99999999999 is out of range"),
        ("49,Germany,1,-1,,,,,,", "connection_fee: a price cannot be negative: -1"),
        ("49,Germany,1,,,,-1,,,", "minimum_charge: a price cannot be negative: -1"),
        ("49,Germany,1,,0,,,,,", "initial_increment: an increment is at least 1 second"),
        ("49,Germany,1,,,0,,,,", "following_increment: an increment is at least 1 second"),
        ("49,Germany,1,,-6,,,,,", "initial_increment: '-6' is not a whole number of seconds up to 86400"),
        ("49,Germany,1,,1.5,,,,,", "initial_increment: '1.5' is not a whole number of seconds up to 86400"),
        (
            "49,Germany,1,,86401,,,,,",
            "initial_increment: '86401' is not a whole number of seconds up to 86400",
        ),
        ("49,Germany,1,,,,,-1,,", "free_seconds: '-1' is not a whole number of seconds up to 86400"),
        (
            "49,Germany,1,,,,,,01.02.2026,",
            (
                "effective_from: '01.02.2026' is no date; write it like 2026-01-31 or 2026-01-31T08:00:00Z, "
                "or say the order of day and month by --date-format, e.g. %d.%m.%Y or %m/%d/%Y"
            ),
        ),
        ("49,Germany,1,,,,,,2026-02-01,2026-02-01", "effective_to is not after effective_from"),
        ("49,Germany,1,,,,,,2026-02-02,2026-02-01", "effective_to is not after effective_from"),
        ("49,Germany,1", "the row has 3 cells, the header 10"),
        ("49,Germany,1,,,,,,,,", "the row has 11 cells, the header 10"),
        ('49,"Germany,1,,,,,,,', "the quotes are broken (unexpected end of data)"),
        (
            "4x,Germany,-1,,0,,,,,",
            (
                "prefix: '4x' is not made of up to 15 digits; price_per_min: a price cannot be negative: -1; "
                "initial_increment: an increment is at least 1 second"
            ),
        ),
    ],
)
def test_a_row_that_cannot_be_used_says_why(line: str, reason: str) -> None:
    assert refusal(line) == reason


def test_a_decimal_comma_is_understood_where_it_can_only_be_one() -> None:
    header = HEADER.replace(",", ";")
    assert taken("49;Germany;0,01", header).price_per_min == 10**10
    assert taken("49;Germany;1.234,5", header).price_per_min == 1_234_500_000_000_000
    assert refusal("49;Germany;1,234", header) == (
        "price_per_min: '1,234' may be 1.234 or 1234; say which mark is the decimal one by --decimal , or "
        "--decimal ."
    )


def test_a_sheet_with_two_decimal_marks_is_refused_as_a_whole() -> None:
    with pytest.raises(
        InputRefused, match=r"with a comma \('0,05'\) and with a point \('0.06'\); say which one"
    ):
        read("prefix;destination;price_per_min\n49;Germany;0,05\n44;UK;0.06\n")


def test_an_encoding_is_guessed_for_a_whole_file_and_never_for_a_line() -> None:
    sheet = RateSheet(io.BytesIO(f"{HEADER}\n1,USA,1\n41,Z\xfcrich,1\n".encode("latin-1")))
    assert [getattr(row, "destination", None) for row in sheet.rows()] == ["USA", "Zürich"]
    assert "windows-1252 (guessed: it is not UTF-8)" in sheet.described
    raw = f"{HEADER}\n1,Côte,1\n".encode() + b"41,Z\xfcrich,1\n44,UK,1\n"
    first, second, third = read(raw)
    assert isinstance(first, SheetRate)
    assert second == RefusedRow(
        3,
        "byte 0xfc is not UTF-8; save the file as UTF-8 or say its encoding (--encoding windows-1252)",
        ("41", "Zürich", "1"),
    )
    assert isinstance(third, SheetRate)
    assert third.line == 4


def test_an_endless_line_is_kept_aside_without_being_held() -> None:
    long, after = read(f"{HEADER}\n49,{'x' * 1_000_000},1\n44,UK,1\n")
    assert isinstance(long, RefusedRow)
    assert long.reason == f"the line is longer than {MAX_LINE_BYTES} bytes; it is cut here"
    assert sum(map(len, long.cells)) <= MAX_LINE_BYTES + 1
    assert isinstance(after, SheetRate)
    assert after.line == 3


def test_an_open_quote_spoils_one_line_only() -> None:
    broken, after = read(f'{HEADER}\n49,"Germany,1\n44,UK,1\n')
    assert isinstance(broken, RefusedRow)
    assert isinstance(after, SheetRate)


@pytest.mark.parametrize(
    "first, second, reason",
    [
        (",", ",", "prefix 49 is a duplicate of line 2"),
        ("2026-01-01,", "2026-01-01,", "prefix 49 is a duplicate of line 2"),
        (",", "2026-01-01,2026-02-01", "the effective period of prefix 49 overlaps with line 2"),
        ("2026-01-01,2026-03-01", ",2026-01-02", "the effective period of prefix 49 overlaps with line 2"),
        ("2026-01-01,2026-03-01", "2026-02-01,", "the effective period of prefix 49 overlaps with line 2"),
        (
            "2026-01-01,2026-03-01",
            "2026-01-15,2026-02-01",
            "the effective period of prefix 49 overlaps with line 2",
        ),
        ("2026-01-01,2026-03-01", "2026-03-01,", None),
        ("2026-01-01,2026-03-01", ",2026-01-01", None),
    ],
)
def test_periods_of_one_prefix_do_not_overlap(first: str, second: str, reason: str | None) -> None:
    header = HEADER + ",effective_from,effective_to"
    rows = read(f"{header}\n49,Germany,1,{first}\n+49,Germany,2,{second}\n")
    ((rates, refused),) = fold(row for row in rows if isinstance(row, SheetRate))
    assert [why for _, why in refused] == ([reason] if reason else [])
    assert len(rates) == 2 - len(refused)


@pytest.mark.parametrize(
    "periods, taken",
    [
        # The price of now, without an end, counts until that of later begins, in whichever order they stand.
        ([",", "2027-01-01,"], [(None, 2027), (2027, None)]),
        (["2027-01-01,", ","], [(None, 2027), (2027, None)]),
        (["2026-01-01,", "2028-01-01,", "2027-01-01,"], [(2026, 2027), (2027, 2028), (2028, None)]),
        ([",2026-01-01", "2026-01-01,", "2027-01-01,"], [(None, 2026), (2026, 2027), (2027, None)]),
        # What counts after a row of later that ends is not said.
        ([",", "2027-01-01,2028-01-01"], [(None, None)]),
        (["2026-01-01,2028-01-01", "2027-01-01,"], [(2026, 2028)]),
    ],
)
def test_prices_of_now_and_later_follow_each_other(
    periods: list[str], taken: list[tuple[int | None, int | None]]
) -> None:
    text = "".join(f"49,Germany,1,{period}\n" for period in periods)
    rows = read(f"{HEADER},effective_from,effective_to\n{text}")
    ((rates, refused),) = fold(row for row in rows if isinstance(row, SheetRate))
    expected = [tuple(year and us(year, 1, 1) for year in period) for period in taken]
    assert [(rate.effective_from_us, rate.effective_to_us) for rate in rates] == expected
    assert len(refused) == len(periods) - len(taken)


def test_bands_of_now_and_later_follow_each_other_together() -> None:
    def folded(*rows: str) -> tuple[list[Rate], list[tuple[int, str]]]:
        text = "".join(f"49,Germany,1,{row}\n" for row in rows)
        read_rows = read(f"{HEADER},band,effective_from\n{text}")
        ((rates, refused),) = fold(row for row in read_rows if isinstance(row, SheetRate))
        return rates, refused

    rates, refused = folded("day,", "night,", "day,2027-01-01", "night,2027-01-01")
    assert [rate.effective_to_us for rate in rates] == [us(2027, 1, 1), None]
    assert not refused
    rates, refused = folded("day,", "night,", "day,2027-01-01")  # the night would end unseen
    assert [rate.effective_to_us for rate in rates] == [None]
    assert [line for line, _ in refused] == [4]


def test_a_refused_row_does_not_block_its_prefix() -> None:
    refused, taken = read(f"{HEADER}\n49,Germany,-1\n49,Germany,1\n")
    assert isinstance(refused, RefusedRow)
    assert isinstance(taken, SheetRate)


def test_the_periods_of_one_prefix_have_a_limit() -> None:
    years = "".join(f"49,Germany,1,{year}-01-01,{year + 1}-01-01\n" for year in range(2000, 2101))
    rows = read(f"{HEADER},effective_from,effective_to\n{years}")
    ((rates, refused),) = fold(row for row in rows if isinstance(row, SheetRate))
    assert len(rates) == 100
    assert refused == [(102, "prefix 49 has more than 100 effective periods")]


def test_the_lines_of_a_sheet_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_table, "MAX_ROWS", 2)
    with pytest.raises(InputRefused, match="has more than 2 lines; split it"):
        read(f"{HEADER}\n1,USA,1\n44,UK,1\n")


@pytest.mark.parametrize(
    "header, message",
    [
        (b"", "the rate sheet is empty"),
        (b"\n\n  \n", "the rate sheet is empty"),
        (
            b"prefix,price_per_min\n",
            "line 1: column 'destination' is missing among 'prefix', 'price_per_min'; a profile",
        ),
        (b"Prefix,Name,Comment\n", "line 1: column 'price_per_min' is missing"),
        (
            b"prefix,destination,price_per_min,Prefix\n",
            "line 1: the columns 'prefix' and 'Prefix' may both be prefix; say by a profile",
        ),
        (b"Code,Destination,Rate,Price\n", "the columns 'Rate' and 'Price' may both be price_per_min"),
        (b"Code,Area Codes,Destination,Rate\n", "contradict each other; say by a profile"),
        (
            b"49,Germany,0.01\n",
            "no header was found in the first 50 rows; line 1: column 'prefix' is missing",
        ),
        ("prefix,destination,price_per_min\n".encode("utf-16"), "line 1 is not UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00", "the XLSX file cannot be read: it is cut, damaged or none"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel file"),
        (b"x" * 100_000, "line 1: the line is longer than 65536 bytes"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(header: bytes, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        RateSheet(io.BytesIO(header))


def refused_file(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    sheet = RateSheet(io.BytesIO(raw))
    refused = [row for row in sheet.rows() if isinstance(row, RefusedRow)]
    out = io.StringIO(newline="")
    assert write_refused(out, sheet, refused) == len(refused)
    return out.getvalue()


def test_refused_rows_can_be_corrected_and_read_again() -> None:
    text = 'price_per_min;destination;prefix\n-1;"Côte; d\'Ivoire";225\n1;France;33\n1;Spain\n'
    kept_aside = refused_file(text)
    assert kept_aside == (
        "refused_line;refused_reason;price_per_min;destination;prefix\n"
        '2;price_per_min: a price cannot be negative: -1;-1;"Côte; d\'Ivoire";225\n'
        "4;the row has 2 cells, the header 3;1;Spain\n"
    )
    corrected = kept_aside.replace(";-1;", ";1;").replace("1;Spain", "1;Spain;34")
    assert [row.prefix for row in read(corrected) if isinstance(row, SheetRate)] == ["225", "34"]


def test_rows_refused_twice_carry_the_new_reason_alone() -> None:
    once = refused_file(f"{HEADER}\n49,Germany,-1\n")
    twice = refused_file(once.replace(",-1\n", ",x\n"))
    assert twice.splitlines()[1] == ("2,price_per_min: 'x' is not a number; write it like 12.50,49,Germany,x")


cells = st.one_of(
    st.sampled_from(
        ["49", "4915", "", "Germany", "0.01", "-1", '"', '"a', "x" * 200, "\x00", "é", "a;b", "\r", "\u2028"]
    ),
    st.text(max_size=8),
)
lines = st.lists(cells, max_size=5).map(",".join).map(str.encode) | st.binary(max_size=30)


@given(st.lists(lines.filter(lambda line: b"\n" not in line), max_size=15))
@example([b"41,Z\xfcrich,1"])
@example([b"49,Germany,1", b'49,"', b"\r", b"\xff,,", b"49,a\rb,1", b"\xef\xbb\xbf49,Germany,1"])
def test_nothing_is_lost(rows: list[bytes]) -> None:
    raw = b"\n".join([HEADER.encode(), *rows])
    read_rows = read(raw)
    # A row of nothing but delimiters is what a spreadsheet makes of an empty one.
    written = [at for at, row in enumerate(rows, 2) if row.strip() and row.strip(b";,\t| \r\n")]
    read_lines = [row.line for row in read_rows]
    assert set(read_lines) <= set(written)
    for missing in set(written) - set(read_lines):  # part of a quoted cell that began before it
        assert any(b'"' in row for row in rows[: missing - 2])
    # Nor in the file of refused rows: read again uncorrected, each is refused again.
    refused = [row for row in read_rows if isinstance(row, RefusedRow)]
    again = read(refused_file(raw).encode())
    mended = (
        "duplicate",
        "overlaps",
        "not UTF-8",
    )  # alone in their file, or written as UTF-8, these may pass
    assert len(again) == len(refused)
    for before, after in zip(refused, again, strict=True):
        assert isinstance(after, RefusedRow) or any(word in before.reason for word in mended)


def test_the_demo_deck_loads_without_refusals() -> None:
    with DEMO_RATES.open("rb") as stream:
        rows = list(RateSheet(stream).rows())
    accepted = [row for row in rows if isinstance(row, SheetRate)]
    assert rows == accepted
    assert len(accepted) >= 250
    deck = CompiledDeck(1, (row.rate(row.line) for row in accepted))
    names = {
        "12125550100": "United States, New York",
        "18005550100": "United States, toll-free",
        "4915112345678": "Germany, mobile",
        "442079460000": "United Kingdom, London",
        "390669812345": "Vatican City",
        "881612345678": "Iridium",
    }
    assert {number: getattr(deck.find(number, 0), "destination", None) for number in names} == names


def test_the_demo_deck_shows_every_term() -> None:
    with DEMO_RATES.open("rb") as stream:
        accepted = [row for row in RateSheet(stream).rows() if isinstance(row, SheetRate)]
    increments = {(row.initial_increment_s, row.following_increment_s) for row in accepted}
    assert increments >= {(60, 60), (30, 6), (1, 1)}
    for term in ("connection_fee", "minimum_charge", "free_s"):
        assert any(getattr(row, term) for row in accepted), term
