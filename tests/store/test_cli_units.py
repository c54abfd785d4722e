"""`pbxbill units` and `pbxbill exchange`, on each database."""

import json
from pathlib import Path

import pytest

from pbxbill.money import Unit
from pbxbill.rating.exchange import to_wallet
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.exchange import exchange_table
from tests.store.command_line import Ok, Run, by_commands


def begin(ok: Ok) -> None:
    ok("init")
    ok("units", "set", "EUR", "--name", "Euro", "--symbol", "€")
    ok("units", "add", "usd", "--name", "US dollar", "--symbol", "$")
    ok("units", "add", "JPY", "--digits", "0")
    ok("units", "add", "BTC", "--kind", "crypto", "--name", "Bitcoin", "--symbol", "₿")


BEGUN = {"operator": by_commands("units", begin)}


@pytest.fixture
def operator() -> None:
    """Euros, dollars, yen and bitcoin."""


@pytest.mark.usefixtures("operator")
def test_units_of_every_kind(ok: Ok) -> None:
    assert "keeps 0 digits and shows 0" in ok("units", "add", "POINTS", "--kind", "items")
    assert "keeps 12 digits and shows 6" in ok("units", "add", "ETH", "--scale", "12", "--digits", "6")
    shown = {x.pop("code"): tuple(x.values()) for x in json.loads(ok("units", "list", "--json"))}
    assert shown == {
        "EUR": ("Euro", "€", 6, 2),
        "USD": ("US dollar", "$", 6, 2),
        "JPY": ("", "¥", 6, 0),
        "BTC": ("Bitcoin", "₿", 8, 8),
        "POINTS": ("", "", 0, 0),
        "ETH": ("", "", 12, 6),
    }


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "words,reason",
    [
        (("add", "EUR"), "unit EUR exists already"),
        (("add", "ETH", "--scale", "18"), "0 to 12 digits"),
        (("add", "XXX", "--scale", "2", "--digits", "3"), "shows no more of them than it has"),
        (("add", "E U"), "use up to 12 letters and digits"),
        (("add", "GBP", "--symbol", "nine chars"), "up to 8 printable"),
        (("set", "NONE", "--name", "x"), "no unit 'NONE'"),
        (("set", "BTC", "--digits", "9"), "shows no more"),
        (("set", "EUR"), "nothing to change"),
    ],
)
def test_units_that_cannot_be(pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    result = pbxbill("units", *words)
    assert result.exit_code == 2
    assert reason in result.stderr


@pytest.mark.usefixtures("operator")
def test_exchange_rates_from_their_dates(ok: Ok, database_url: str) -> None:
    ok("exchange", "set", "eur", "usd", "1.10", "--effective-from", "2026-01-01")
    told = ok("exchange", "set", "EUR", "USD", "1.0845", "--effective-from", "2026-02-01")
    assert told == "1 EUR is 1.0845 USD from 2026-02-01T00:00:00.000Z\n"
    ok("exchange", "set", "EUR", "USD", "1.2", "--effective-from", "2226-01-01")
    ok("exchange", "set", "BTC", "EUR", "90000", "--effective-from", "2026-01-01")

    def listed(*words: str) -> list[tuple[str, str, str]]:
        return [(x["from"], x["to"], x["rate"]) for x in json.loads(ok("exchange", "list", "--json", *words))]

    assert listed() == [("BTC", "EUR", "90000"), ("EUR", "USD", "1.0845")]
    assert listed("--all", "--unit", "usd") == [
        ("EUR", "USD", "1.2"),
        ("EUR", "USD", "1.0845"),
        ("EUR", "USD", "1.1"),
    ]
    database = open_engine(database_url)
    with transaction(database) as session:
        table = exchange_table(session)
    database.dispose()
    rate = table.find("EUR", "BTC", 1_770_000_000_000_000)
    assert to_wallet(120_000, rate, Unit("EUR"), Unit("BTC", 8)) == 134


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "words,reason",
    [
        (("EUR", "USD", "1.2"), "has a rate from this moment already"),
        (("EUR", "XXX", "1.2"), "no unit 'XXX'"),
        (("EUR", "EUR", "1"), "needs no rate"),
        (("JPY", "USD", "0"), "above zero"),
        (("JPY", "USD", "1,2"), "is not a number"),
        (
            ("JPY", "USD", "0.00612345678"),
            "more than 9 digits after the point; the rate of the other direction",
        ),
        (("BTC", "JPY", "99999999999"), "out of range"),
    ],
)
def test_exchange_rates_that_cannot_be(ok: Ok, pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    ok("exchange", "set", "EUR", "USD", "1.1", "--effective-from", "2026-01-01")
    result = pbxbill("exchange", "set", *words, "--effective-from", "2026-01-01")
    assert result.exit_code == 2
    assert reason in result.stderr
    assert len(json.loads(ok("exchange", "list", "--json", "--all"))) == 1


@pytest.mark.usefixtures("operator")
def test_a_sheet_of_exchange_rates(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    sheet = tmp_path / "ecb.csv"
    sheet.write_text(
        "from;to;rate;effective_from\n"
        "EUR;USD;1,0845;2026-01-01\n"
        "EUR;JPY;163,21;2026-01-01\n"
        "\n"
        "EUR;XXX;1;2026-01-01\n"
        "EUR;USD;1,09;2026-01-01\n"
        "EUR;USD;1,09;1.2.2026\n"
        "EUR;USD\n"
        "EUR;USD;-1;2026-02-01\n",
        encoding="utf-8-sig",
    )
    result = pbxbill("exchange", "import", sheet)
    assert result.exit_code == 3
    assert result.stdout == "exchange rates imported: 2\n"
    aside = (tmp_path / "ecb.refused.csv").read_text().splitlines()
    assert aside[0] == "refused_line;refused_reason;from;to;rate;effective_from"
    assert [line.split(";")[0] for line in aside[1:]] == ["5", "6", "7", "8", "9"]
    for reason in ("no unit 'XXX'", "already", "'1.2.2026' is no date", "has 2 cells", "above zero"):
        assert reason in "\n".join(aside)

    corrected = aside[0] + "\n" + aside[2].replace("2026-01-01", "2026-01-02") + "\n"
    sheet.write_text(corrected)
    assert ok("exchange", "import", sheet) == "exchange rates imported: 1\n"
    assert [x["rate"] for x in json.loads(ok("exchange", "list", "--json"))] == ["163.21", "1.09"]


@pytest.mark.usefixtures("operator")
def test_the_same_sheet_twice_changes_nothing(pbxbill: Run, ok: Ok, tmp_path: Path) -> None:
    sheet = tmp_path / "rates.csv"
    sheet.write_text("from,to,rate\nEUR,USD,1.0845\n")
    ok("exchange", "import", sheet, "--effective-from", "2026-01-01")
    again = pbxbill("exchange", "import", sheet, "--effective-from", "2026-01-01", "--json")
    assert again.exit_code == 3
    told = json.loads(again.stdout)
    assert told["rates"] == 0
    assert told["refused"][0]["line"] == 2


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "content,reason",
    [
        (b"", "the first line is empty"),
        (b"from,to\nEUR,USD\n", "column 'rate' must be there once"),
        (b"PK\x03\x04\xff\xff", "line 1 is no text"),
    ],
)
def test_files_that_are_no_sheet(pbxbill: Run, tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    result = pbxbill("exchange", "import", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert reason in result.stderr


@pytest.mark.usefixtures("operator")
def test_a_line_without_end_is_one_refused_row(pbxbill: Run, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(
        b"from,to,rate\nEUR," + b"U" * 3_000_000 + b"\nEUR,USD,1.1\nEUR,\xff,1\n"
    )
    result = pbxbill("exchange", "import", tmp_path / "x.csv", "--json")
    told = json.loads(result.stdout)
    assert (told["rates"], [row["line"] for row in told["refused"]]) == (1, [2, 4])
