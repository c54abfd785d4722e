"""Lists of destinations as people save them."""

import io

import pytest

from pbxbill.errors import InputRefused
from pbxbill.rating.destination_sheet import DestinationLine, DestinationSheet, RefusedLine, write_refused


def read(content: str | bytes) -> list[DestinationLine | RefusedLine]:
    return list(sheet(content).rows())


def sheet(content: str | bytes) -> DestinationSheet:
    return DestinationSheet(io.BytesIO(content.encode() if isinstance(content, str) else content))


@pytest.mark.parametrize(
    "content",
    [
        'name,class,prefixes\nMobile DE,mobile,"49151,49160"\n',
        "\ufeffname;class;prefixes\r\nMobile DE;mobile;49151,49160\r\n",
        "Name;Class;Prefixes\nMobile DE;Mobile;+49 151, +49 160\n",
        "destination\tkind\tprefix\nMobile DE\tmobile\t49151 49160\n",
        "prefixes;name;class\n\n+49151 +49160;Mobile DE;MOBILE\n\n",
    ],
)
def test_files_of_every_habit_say_the_same(content: str) -> None:
    (row,) = read(content)
    assert isinstance(row, DestinationLine)
    assert row[1:] == ("Mobile DE", "mobile", ("49151", "49160"))


@pytest.mark.parametrize(
    "row, reason",
    [
        ("Germany;national", "the row has 2 cells, the header 3"),
        ("Germany;national;49;50", "in quotes"),
        (";national;49", "name: ''"),
        ("49;national;49", "would be taken for a prefix or a class"),
        ("Premium;national;49", "would be taken for a prefix or a class"),
        ("Germany;fixed;49", "class: 'fixed' is none of local, national"),
        ("Germany;national;", "prefixes: is empty"),
        ("Germany;national;,", "prefixes: is empty"),
        ("Germany;national;0049", "begins with 00"),
        ("Germany;national;49x", "'49x' is not 1 to 15 digits"),
        ("Germany;national;4930-4940", "is not 1 to 15 digits"),
        ("Germany;national;" + "4" * 16, "is not 1 to 15 digits"),
        ("Germany;national;49 49", "49 stands twice in the row"),
        ('"Germany;national;49', "the quotes are broken"),
        ("Gaul;national;33", "prefixes: 33 stands in line 2 already"),
        ("france;national;34", "'france' was written 'France' with class international in line 2"),
        ("France;national;34", "'France' was written 'France' with class international in line 2"),
        ("x" * 101 + ";national;49", "name: "),
        ("Ger\x07many;national;49", "printable"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: str, reason: str) -> None:
    first, second, third = read(
        f"name;class;prefixes\nFrance;international;33\n{row}\nItaly;international;39\n"
    )
    assert isinstance(first, DestinationLine)
    assert isinstance(second, RefusedLine)
    assert second.line == 3
    assert reason in second.reason
    assert isinstance(third, DestinationLine)


def test_a_line_without_end_and_bytes_of_another_encoding_spoil_themselves_alone() -> None:
    rows = read(
        b"name,class,prefixes\n"
        + b"x" * 200_000
        + b"\nCura\xe7ao,international,5999\nAruba,international,297"
    )
    assert [type(row) for row in rows] == [RefusedLine, RefusedLine, DestinationLine]
    assert [row.line for row in rows] == [2, 3, 4]
    assert "longer than" in rows[0][1]
    assert "0xe7 is not UTF-8" in rows[1][1]


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "the file is empty"),
        ("name,class\n", "column 'prefixes' is missing"),
        ("name,class,prefixes,price\n", "unknown column 'price'"),
        ("name,name,class,prefixes\n", "'name' appears twice"),
        (b"PK\x03\x04\xff\xff", "not UTF-8"),
        ("x" * 100_000, "is this a CSV file"),
    ],
)
def test_a_file_that_is_no_list_is_refused(content: str | bytes, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        sheet(content)


def test_refused_rows_can_be_corrected_and_read_again() -> None:
    first = sheet("name;class;prefixes\nGermany;fixed;49\n")
    aside = io.StringIO()
    write_refused(aside, first, [row for row in first.rows() if isinstance(row, RefusedLine)])
    (row,) = read(aside.getvalue().replace("fixed", "national"))
    assert row == DestinationLine(2, "Germany", "national", ("49",))
