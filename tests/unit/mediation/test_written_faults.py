"""A mapping or meter tariff written wrongly is answered by its key, what is wrong, and what may be there."""

from pathlib import Path

import pytest

from pbxbill.errors import InputRefused
from pbxbill.mediation.mapping import load_mapping
from pbxbill.mediation.meter_tariffs import parse_meter_tariff
from pbxbill.money import Unit

GOOD = """\
name = "acme"
fingerprint = ["ref"]
[file]
type = "csv"
[time]
zone = "UTC"
[account]
sip = "customer"
[fields]
called = "number"
started = "begin"
ended = "end"
"""
FILE_KEYS = "type, delimiter, columns, may_lack, encoding, percent_encoded"
WORDS_OF_PYDANTIC = (
    "Extra inputs",
    "Field required",
    "Input should",
    "Value error",
    "instance of",
    "validation",
)


@pytest.mark.parametrize(
    "good,bad,told",
    [
        ('"csv"', '"xml"', "[file] type: must be 'csv' or 'json', not 'xml'"),
        ('"csv"', '"csv"\nquote = "x"', f"[file] quote: there is no such key; there are {FILE_KEYS}"),
        ('[file]\ntype = "csv"', "", f"[file]: is missing; its keys are {FILE_KEYS}"),
        ('[file]\ntype = "csv"', 'file = "csv"', f"[file]: must be a table with {FILE_KEYS}, not 'csv'"),
        ('"csv"', '"csv"\ndelimiter = ";;"', "[file] delimiter: must be one character, not ';;'"),
        ('"csv"', '"csv"\nmay_lack = -1', "[file] may_lack: must be 0 or more, not -1"),
        ('"csv"', '"csv"\nmay_lack = "two"', "[file] may_lack: must be a whole number, not 'two'"),
        (
            '"csv"',
            '"csv"\npercent_encoded = "perhaps"',
            "[file] percent_encoded: must be true or false, not 'perhaps'",
        ),
        ('"csv"', '"csv"\nencoding = 8', "[file] encoding: must be text in quotes, not 8"),
        ('"csv"', '"csv"\nencoding = "utf-99"', "[file] encoding 'utf-99' is unknown"),
        ('"acme"', '"Acme Ltd"', "name: must be up to 40 small letters, digits"),
        ('fingerprint = ["ref"]', "", "fingerprint: is missing"),
        ('["ref"]', "[]", 'fingerprint: must be columns, at least one, like ["ref"]'),
        ('["ref"]', '["ref", 5]', "fingerprint 2: must be text in quotes, not 5"),
        ("started =", "strated =", "[fields] strated: there is no such key (perhaps started is meant)"),
        ('"begin"', "5", '[fields] started: must be a column ("a"), several (["a", "b"]) or a table'),
        ('"begin"', '{ unit = "s" }', "[fields] started: name a column, or a constant"),
        (
            '"begin"',
            '{ colum = "a" }',
            "[fields] started colum: there is no such key (perhaps column is meant)",
        ),
        (
            '"end"',
            '"end"\nduration = { column = "d", unit = "days" }',
            "[fields] duration unit: must be 'us', 'ms', 's', 'min' or 'h:mm:ss', not 'days'",
        ),
        ("name =", 'kind = "calls"\nname =', "kind: must be 'call', 'event' or 'reading', not 'calls'"),
        ('"UTC"', '"UTC"\nambiguous = "later?"', "[time] ambiguous: must be 'refuse', 'earlier' or 'later'"),
        ('"UTC"', '"Mars/Base"', "there is no time zone 'Mars/Base'; write it like Europe/Berlin"),
        ('sip = "customer"', "", "[account] must name the account by sip, ip, caller_id or did"),
        ('called = "number"', "", "[fields] needs called for a call"),
        (
            '"end"',
            '"end"\n[[filter]]\ncolumn = "a"',
            "[[filter]] 1: give one of equals, differs, among, begins",
        ),
        (
            '"end"',
            '"end"\n[[filter]]\ncolumn = "a"\nequals = "b"\n[[filter]]\nequals = "c"',
            "[[filter]] 2 column: is missing",
        ),
        (
            '"end"',
            '"end"\n[filter]\ncolumn = "a"',
            "[[filter]]: must be written as [[filter]], each with column, equals, differs, among, begins",
        ),
        ("[file]", "[file", "is no TOML"),
    ],
)
def test_a_mapping_is_answered_in_our_words(tmp_path: Path, good: str, bad: str, told: str) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(GOOD)
    load_mapping(str(path))
    assert good in GOOD
    path.write_text(GOOD.replace(good, bad, 1))
    with pytest.raises(InputRefused) as refused:
        load_mapping(str(path))
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"mapping {path}: {told}")
    assert not any(words in line for words in WORDS_OF_PYDANTIC)


def test_every_fault_of_a_mapping_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(GOOD.replace('"csv"', '"xml"').replace('"begin"', "5"))
    with pytest.raises(InputRefused) as refused:
        load_mapping(str(path))
    assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == [
        "[file] type",
        "[fields] started",
    ]


@pytest.mark.parametrize(
    "text,told",
    [
        ('unit = "EUR"', "[[component]]: is missing; its keys are name, kind, price, ranges, minimum"),
        (
            'unit = "EUR"\n[[component]]\nname = "base"\nkind = "daily"',
            "[[component]] 1 kind: must be 'per_day', 'fixed', 'per_piece' or 'stepped', not 'daily'",
        ),
        (
            'unit = "EUR"\n[[component]]\nname = ""\nkind = "fixed"',
            "[[component]] 1 name: must be at least one character, not ''",
        ),
        (
            'unit = "EUR"\n[[component]]\nname = "base"\nkind = "fixed"\nprice = 0.3',
            '[[component]] 1 price: write it in quotes, like "0.15"',
        ),
        (
            'unit = "EUR"\n[[component]]\nname = "x"\nkind = "stepped"\nranges = [{ price = "1" }]',
            "[[component]] 1 ranges 1 from: is missing",
        ),
    ],
)
def test_so_is_a_meter_tariff(text: str, told: str) -> None:
    with pytest.raises(InputRefused) as refused:
        parse_meter_tariff("power", text, Unit("EUR", 6, 2))
    assert str(refused.value) == f"meter tariff power: {told}"
