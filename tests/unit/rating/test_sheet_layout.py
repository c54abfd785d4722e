"""Sheets as carriers write them: columns, marks, titles, codes; told from the header or by a profile."""

import io
from typing import Any

import pytest

from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.rating.sheet import RateSheet, RefusedRow, SheetRate
from pbxbill.rating.sheet_fold import fold
from pbxbill.rating.sheet_profile import Profile, parse_increments, profile_from_toml
from pbxbill.rating.tariff import Step


def sheet_of(text: str | bytes, profile: str = "", **settings: Any) -> RateSheet:
    raw = text if isinstance(text, bytes) else text.encode()
    return RateSheet(io.BytesIO(raw), profile_from_toml(profile) if profile else Profile(**settings))


def taken(text: str | bytes, profile: str = "", **settings: Any) -> list[SheetRate]:
    rows = list(sheet_of(text, profile, **settings).rows())
    assert not [row for row in rows if isinstance(row, RefusedRow)], rows
    return [row for row in rows if isinstance(row, SheetRate)]


def refusal(text: str, profile: str = "", **settings: Any) -> str:
    (row,) = sheet_of(text, profile, **settings).rows()
    assert isinstance(row, RefusedRow), row
    return row.reason


@pytest.mark.parametrize(
    "header",
    [
        "Prefix,Destination,Rate",
        "Dial Code,Country,Price/min",
        "DIALCODE,Destination Name,Rate Per Minute USD",
        "Destination Code,Zone,New Rate (USD)",
        "Code,Description,Price per Minute [EUR]",
        "Vorwahl,Zielland,Preis pro Minute",
        "Dest Code,Dest,Rate",
        "Indicatif,Pays,Prix par minute",
        "Préfixe,Area,Coût",
        "DialCode,DestinationName,RatePerMinute",
        "Pattern,Operator,USD/min",
    ],
)
def test_the_names_that_carriers_give_their_columns(header: str) -> None:
    (row,) = taken(f"{header}\n49,Germany,0.012\n")
    assert (row.prefix, row.destination, row.price_per_min) == ("49", "Germany", 12 * 10**9)


def test_a_name_with_two_meanings_counts_only_in_need() -> None:
    (row,) = taken("Number,Code,Country,Network,Rate,Peak Rate\n1,49,Germany,T,0.1,0.3\n")
    assert (row.prefix, row.destination, row.price_per_min) == ("49", "Germany", 10**11)


def test_increments_whose_names_say_their_unit() -> None:
    (row,) = taken("Code,Dest,Rate,Initial Increment (sec),Next_Increment_s\n49,Germany,0.1,60,6\n")
    assert (row.initial_increment_s, row.following_increment_s) == (60, 6)


def test_a_header_that_is_not_understood_is_shown_with_the_profile_that_it_needs() -> None:
    text = "Kürzel;Wohin;Rate\n49;Germany;0,1\n"
    with pytest.raises(InputRefused) as refused:
        sheet_of(text)
    message = str(refused.value)
    assert "column 'prefix' is missing among 'Kürzel', 'Wohin', 'Rate'" in message
    line = 'columns = { prefix = "...", destination = "...", price_per_min = "Rate" }'
    assert f"a file like p.toml with the line  {line}  , given by --profile p.toml" in message
    profile = line.replace("...", "Kürzel", 1).replace("...", "Wohin", 1)
    (row,) = taken(text, profile)
    assert (row.prefix, row.destination) == ("49", "Germany")


def test_a_whole_header_is_understood_and_what_is_not_is_shown() -> None:
    sheet = sheet_of(
        "Country;Destination;Code;Rate Per Minute USD;Initial Interval;Next Interval;Connect Fee;"
        "Effective Date;End Date;Comment\n"
        "Germany;Germany mobile;4915;0,25;60;6;0,01;2026-12-01;2027-01-01;new\n"
    )
    assert dict(sheet.layout.mapped) == {
        "destination": "Destination",
        "prefix": "Code",
        "price_per_min": "Rate Per Minute USD",
        "initial_increment": "Initial Interval",
        "following_increment": "Next Interval",
        "connection_fee": "Connect Fee",
        "effective_from": "Effective Date",
        "effective_to": "End Date",
    }
    assert sheet.layout.ignored == ("Country", "Comment")
    assert sheet.layout.currency == "USD"
    assert sheet.described == "CSV, semicolon, utf-8, header in line 1"
    (row,) = sheet.rows()
    assert isinstance(row, SheetRate)
    assert (row.initial_increment_s, row.following_increment_s, row.connection_fee) == (60, 6, 10**10)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_titles_above_the_header(delimiter: str) -> None:
    rows = [
        "ACME Carrier",
        "Price list, valid from 1 December",
        "",
        "Code,Destination,Rate",
        ",,",
        "49,Germany,0.1",
    ]
    text = "\r\n".join(rows[:3] + [row.replace(",", delimiter) for row in rows[3:]])
    sheet = sheet_of(text)
    assert sheet.delimiter == delimiter
    (row,) = sheet.rows()
    assert isinstance(row, SheetRate)
    assert (row.line, row.prefix) == (6, "49")


def test_cells_may_hold_line_ends() -> None:
    text = 'Code,"Desti\nnation",Price,"Rate\nper min"\n49,"Germany\nfixed",x,0.1\n44,UK,x,0.2\n'
    with pytest.raises(InputRefused, match="'Price' and 'Rate per min' may both be price_per_min"):
        sheet_of(text.replace("Desti\nnation", "Destination"))
    text = 'Code,Destination,"Rate\nper min"\n49,"Germany\nfixed",0.1\n44,UK,0.2\n'
    assert [(row.line, row.destination) for row in taken(text)] == [(3, "Germany fixed"), (5, "UK")]


@pytest.mark.parametrize(
    "cells, prefixes",
    [
        ('49,"151,152;160-162 170"', ["49151", "49152", "49160", "49161", "49162", "49170"]),
        ("+1,212", ["1212"]),
        ("33,", ["33"]),
        ("39,06", ["3906"]),
        ("49,15 - 17", ["4915", "4916", "4917"]),
    ],
)
def test_rows_of_a_country_with_its_area_codes(cells: str, prefixes: list[str]) -> None:
    rows = taken(f"Country Code,Area Codes,Destination,Rate\n{cells},x,0.1\n")
    assert [row.prefix for row in rows] == prefixes
    assert {row.line for row in rows} == {2}


@pytest.mark.parametrize(
    "cells, reason",
    [
        ("44,07", "codes: '07' begins with 0; an area code stands without it"),
        ("49,17-15", "codes: '4917-4915' is no range"),
        ("49,1-999999", "codes: '491-49999999' is no range"),
        ("49,15x", "codes: '4915x' is not made of up to 15 digits"),
        (",15", "country_code: a country code is empty"),
    ],
)
def test_area_codes_that_cannot_be_meant(cells: str, reason: str) -> None:
    assert refusal(f"Country Code,Area Codes,Destination,Rate\n{cells},x,0.1\n").startswith(reason)


@pytest.mark.parametrize(
    "cell, reason",
    [
        ("1-9999999", "prefix: '1-9999999' is no range"),
        ("1000000-9999999", "prefix: the range '1000000-9999999' stands for more than 20000 prefixes"),
        ("49 151", "prefix: '49 151' is not made of up to 15 digits"),
        ('"491,515"', "prefix: '491,515' may be one number with thousands marks"),
    ],
)
def test_prefix_cells_that_cannot_be_meant(cell: str, reason: str) -> None:
    assert refusal(f"Code,Destination,Rate\n{cell},x,0.1\n").startswith(reason)


def test_prefix_cells_with_several_prefixes() -> None:
    rows = taken('Code,Destination,Rate\n"4915-4917; 49180",x,0.1\n')
    assert [row.prefix for row in rows] == ["4915", "4916", "4917", "49180"]


def test_swapped_columns_are_named() -> None:
    assert refusal("Code,Destination,Rate\nGermany,49,0.1\n") == (
        "prefix: 'Germany' is not made of up to 15 digits; destination: '49' is a number and no name; "
        "are two columns swapped?"
    )


@pytest.mark.parametrize(
    "text, increments",
    [("60/60", (60, 60)), ("1+1", (1, 1)), ("30-6", (30, 6)), (" 60 / 1 ", (60, 1)), ("6", (6, 6))],
)
def test_increments_in_one_cell(text: str, increments: tuple[int, int]) -> None:
    assert parse_increments(text) == increments


@pytest.mark.parametrize("text", ["0/60", "60/", "a/b", "1/1/1", "60/100000", ""])
def test_increments_that_are_none(text: str) -> None:
    with pytest.raises(InputRefused):
        parse_increments(text)


def test_prices_per_second() -> None:
    by_header = taken("Code,Destination,Rate per second\n49,Germany,0.001\n")
    by_profile = taken("Code,Destination,Rate\n49,Germany,0.001\n", price_per="second")
    assert by_header[0].price_per_min == by_profile[0].price_per_min == 60 * 10**9


@pytest.mark.parametrize(
    "decimal, cell, price",
    [
        (",", "0,05", 5 * 10**10),
        (",", "1,234", 1_234 * 10**9),
        (",", "1.234,5", 12_345 * 10**11),
        (".", "1,234", 1_234 * 10**12),
        (".", "1,234.5", 12_345 * 10**11),
    ],
)
def test_a_decimal_mark_that_is_said(decimal: str, cell: str, price: int) -> None:
    (row,) = taken(f"Code;Destination;Rate\n49;Germany;{cell}\n", decimal=decimal)
    assert row.price_per_min == price


@pytest.mark.parametrize("decimal, cell", [(",", "0.05"), (",", "1.234"), (".", "0,05"), (".", "12,34")])
def test_a_number_that_contradicts_the_decimal_mark_is_refused(decimal: str, cell: str) -> None:
    assert refusal(f"Code;Destination;Rate\n49;Germany;{cell}\n", decimal=decimal).startswith("price_per_min")


def test_a_profile() -> None:
    profile = """
    delimiter = ";"
    decimal = ","
    encoding = "windows-1252"
    price_per = "second"
    default_increments = "60/60"
    date_format = "%d.%m.%Y"
    zone = "Europe/Berlin"
    end_date_included = true
    currency_sign = "€"
    [columns]
    prefix = "Nr"
    destination = ["Land", "Netz"]
    price_per_min = "Wert"
    effective_from = "Ab"
    effective_to = "Bis"
    """
    raw = "Nr;Land;Netz;Wert;Ab;Bis\n4179;Schweiz;Zürich;0,001 €;1.7.2026;31.12.2026\n".encode("windows-1252")
    (row,) = taken(raw, profile)
    assert (row.prefix, row.destination, row.price_per_min) == ("4179", "Schweiz, Zürich", 60 * 10**9)
    assert (row.initial_increment_s, row.following_increment_s) == (60, 60)
    assert row.effective_from_us == 1_782_856_800_000_000  # 2026-06-30T22:00Z
    assert row.effective_to_us == 1_798_758_000_000_000  # 2026-12-31T23:00Z: the last day still counts


@pytest.mark.parametrize(
    "profile, message",
    [
        ("delimiter = ", "is no TOML"),
        ("colour = 1", "has no setting 'colour'; known are: columns, delimiter"),
        ('[columns]\nfoo = "x"', "maps an unknown column 'foo'"),
        ('[columns]\nprefix = ["a", "b"]', "prefix can be one column only"),
        ("[columns]\nprefix = 1", "prefix is a name in quotes"),
        ('decimal = "x"', 'decimal is "." or ","'),
        ('delimiter = "x"', "delimiter is one of"),
        ("decimal = 1", "decimal is a text in quotes"),
        ('zone = "Mars"', "'Mars' is no time zone"),
        ('encoding = "klingon"', "'klingon' is no encoding"),
        ('default_increments = "x"', "default_increments: 'x' is no pair"),
        ('end_date_included = "x"', "end_date_included is true or false"),
        ('price_per = "hour"', "price_per"),
    ],
)
def test_a_profile_that_cannot_be_used(profile: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        profile_from_toml(profile)


def test_a_profile_that_does_not_fit_the_file() -> None:
    with pytest.raises(InputRefused, match="column 'Nr', which the profile maps to prefix, is missing"):
        sheet_of("Code,Destination,Rate\n49,Germany,1\n", '[columns]\nprefix = "Nr"\n')


def test_moments_that_a_clock_shows_twice_need_their_offset() -> None:
    text = "Code,Destination,Rate,Effective Date\n49,x,1,2026-10-25T02:30{}\n"
    assert "happens twice or never in Europe/Berlin" in refusal(text.format(""), zone="Europe/Berlin")
    assert taken(text.format("+02:00"), zone="Europe/Berlin")


def folded(text: str) -> tuple[list[Any], list[str]]:
    rates, reasons = [], []
    for found, refused in fold(sorted(taken(text), key=lambda row: (row.prefix, row.line))):
        rates += found
        reasons += [f"{line}: {reason}" for line, reason in refused]
    return rates, reasons


def test_rows_of_several_bands_become_one_rate() -> None:
    header = "prefix,destination,band,price_per_min,steps\n"
    rates, reasons = folded(header + "49,Germany,night,0.1,60:0.05\n49,Germany,,0.3,\n49,Germany,day,0.2,\n")
    ((rate,), ()) = rates, reasons
    assert rate.price_per_min == 3 * 10**11
    assert [(name, price.price_per_min) for name, price in rate.terms.bands] == [
        ("day", 2 * 10**11),
        ("night", 10**11),
    ]
    assert dict(rate.terms.bands)["night"].steps == (Step(60, 5 * 10**10),)
    assert not rate.terms.banded_only


def test_a_prefix_without_a_price_outside_its_bands() -> None:
    ((rate,), ()) = folded("prefix,destination,band,price_per_min\n49,G,night,0.1\n49,G,day,0.2\n")
    assert rate.terms.banded_only
    assert rate.price_per_min == 2 * 10**11  # the dearest: nobody is charged by it


@pytest.mark.parametrize(
    "second, reason",
    [
        ("49,G,day,0.3,,", "3: prefix 49 in band day is a duplicate of line 2"),
        (
            "49,G,night,0.3,2026-01-01,",
            "3: the effective period of prefix 49 overlaps with that of another band",
        ),
        ("49,G,night,0.3,,5", "3: the maximum charge of prefix 49 differs from line 2"),
    ],
)
def test_bands_that_contradict_each_other(second: str, reason: str) -> None:
    header = "prefix,destination,band,price_per_min,effective_from,maximum_charge\n"
    _, (found,) = folded(f"{header}49,G,day,0.2,,4\n{second}\n")
    assert found.startswith(reason)


def test_a_minimum_above_the_maximum_of_another_band_of_the_prefix() -> None:
    header = "prefix,destination,band,price_per_min,minimum_charge,maximum_charge\n"
    rates, reasons = folded(header + "49,G,day,0.2,,1\n49,G,night,0.1,2,\n")
    reason = "maximum_charge: 1 is below the minimum_charge 2; are the two swapped?"
    assert (rates, reasons) == ([], [f"2: {reason}", f"3: {reason}"])


@pytest.mark.parametrize(
    "header, cells, steps",
    [
        ("steps", "60:0.05 600:0.02", (Step(60, 5 * 10**10), Step(600, 2 * 10**10))),
        ("step_from,step_price", "60,0.05", (Step(60, 5 * 10**10),)),
        (
            "step_from,step_price,step_from_2,step_price_2",
            "60,0.05,600,0.02",
            (Step(60, 5 * 10**10), Step(600, 2 * 10**10)),
        ),
    ],
)
def test_steps(header: str, cells: str, steps: tuple[Step, ...]) -> None:
    (row,) = taken(f"prefix,destination,price_per_min,{header}\n49,x,0.1,{cells}\n")
    assert row.steps == steps


@pytest.mark.parametrize(
    "header, cells, reason",
    [
        ("steps", "60=0.05", "steps: '60=0.05' is no step; write steps like 60:0.05 600:0.02"),
        ("steps", "600:0.05 60:0.02", "steps: steps begin one after the other"),
        ("steps", "0:0.05", "steps: steps begin one after the other, the first after more than 0 seconds"),
        ("step_from,step_price", "60,", "step_from: step_from and step_price belong together"),
        ("ends_at_maximum", "yes", "maximum_charge: a call cannot end at a maximum charge"),
        ("maximum_charge", "-1", "maximum_charge: a price cannot be negative"),
    ],
)
def test_terms_that_cannot_be_meant(header: str, cells: str, reason: str) -> None:
    assert refusal(f"prefix,destination,price_per_min,{header}\n49,x,0.1,{cells}\n").startswith(reason)
