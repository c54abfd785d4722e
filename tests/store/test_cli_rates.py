"""Rate decks as people get them: what an import shows, asks, refuses and writes."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner

from pbxbill.cli import cli
from tests.store.command_line import Ok, Run

FIRST = """\
prefix,destination,price_per_min,initial_increment,following_increment
49,Germany,0.10,60,60
4915,Germany mobile,0.20,60,60
33,France,0.12,60,60
44,United Kingdom,0.08,60,60
39,Italy,0.07,60,60
"""
SECOND = """\
prefix,destination,price_per_min,initial_increment,following_increment
49,Germany,0.10,60,60
4915,Germany mobile,0.25,60,60
33,France,0.12,1,1
34,Spain,0.05,60,60
447,UK mobile,0.30,60,60
"""
CALENDAR = """\
zone = "Europe/Berlin"
[[band]]
name = "day"
weekdays = "Mon-Fri"
hours = "08:00-18:00"
priority = 1
"""
ALWAYS = CALENDAR + '[[band]]\nname = "night"\n'


def saved(folder: Path, text: str, name: str = "rates.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def deck(ok: Ok, tmp_path: Path) -> None:
    ok("init")
    ok("rates", "import", saved(tmp_path, FIRST), "--deck", "d", "--yes")


def rates_of(ok: Ok, *words: object) -> dict[str, dict[str, Any]]:
    found = json.loads(ok("rates", "show", "d", "--json", *words))["rates"]
    return {row["prefix"]: row for row in found}


def prices(ok: Ok, *words: object) -> dict[str, str]:
    return {prefix: row["price_per_min"] for prefix, row in rates_of(ok, *words).items()}


def previewed(ok: Ok, path: Path, *words: object) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = json.loads(
        ok("rates", "import", path, "--deck", "d", "--preview", "--json", *words)
    )
    return found["preview"]


def in_days(days: int) -> str:
    return (
        datetime.now(UTC) + timedelta(days=days)
    ).isoformat()  # the system's clock, as the command reads it


@pytest.mark.usefixtures("deck")
def test_a_preview_says_what_changes_and_changes_nothing(ok: Ok, tmp_path: Path) -> None:
    preview = previewed(ok, saved(tmp_path, SECOND))
    assert {kind: count for kind, count in preview["counts"].items() if count} == {
        "new": 2,  # 34 and 447
        "raised": 1,  # 4915
        "lowered": 1,  # 33: shorter increments
        "ended": 2,  # 44 and 39
        "unchanged": 1,
        "gap": 2,
        "dearer_by_prefix": 1,  # 447 was rated by 44
    }
    assert [row["prefix"] for row in preview["first"]["gap"]] == ["39", "44"]
    (uk_mobile,) = preview["first"]["dearer_by_prefix"]
    assert (uk_mobile["price_before"], uk_mobile["price_after"]) == ("0.08 (by 44)", "0.3")
    assert prices(ok) == {"49": "0.1", "4915": "0.2", "33": "0.12", "44": "0.08", "39": "0.07"}


@pytest.mark.usefixtures("deck")
def test_nothing_is_written_before_yes(pbxbill: Run, ok: Ok, tmp_path: Path) -> None:
    path = saved(tmp_path, SECOND)
    unasked = pbxbill("rates", "import", path, "--deck", "d")
    assert unasked.exit_code == 2
    assert "nothing was imported; where nobody can be asked, say --yes" in unasked.stderr
    assert "raised prices: 1" in unasked.stdout
    config = str(tmp_path / "pbxbill.toml")
    words = ["--config", config, "rates", "import", str(path), "--deck", "d"]
    assert CliRunner().invoke(cli, words, input="n\n").exit_code == 2
    assert len(prices(ok)) == 5
    assert prices(ok)["4915"] == "0.2"
    assert CliRunner().invoke(cli, words, input="y\n").exit_code == 0
    assert prices(ok)["4915"] == "0.25"
    assert prices(ok, "--version", 1)["4915"] == "0.2"


@pytest.mark.usefixtures("deck")
def test_an_amendment_takes_the_other_rows_along(ok: Ok, tmp_path: Path) -> None:
    path = saved(tmp_path, "prefix,destination,price_per_min\n33,France,0.11\n34,Spain,0.05\n")
    ok("rates", "import", path, "--deck", "d", "--amend", "--yes")
    assert prices(ok) == {
        "49": "0.1",
        "4915": "0.2",
        "33": "0.11",
        "34": "0.05",
        "44": "0.08",
        "39": "0.07",
    }


@pytest.mark.usefixtures("deck")
def test_the_old_price_counts_until_the_new_row_begins(ok: Ok, tmp_path: Path) -> None:
    begins = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    header = "prefix,destination,price_per_min,effective_from"
    text = f"{header}\n49,Germany,0.1,\n4915,Germany mobile,0.3,{begins}\n"
    ok("rates", "import", saved(tmp_path, text), "--deck", "d", "--yes")
    rows = json.loads(ok("rates", "show", "d", "--prefix", "4915", "--json"))["rates"]
    assert [(row["price_per_min"], row["effective_from"], row["effective_to"]) for row in rows] == [
        ("0.2", None, f"{begins}T00:00:00.000Z"),
        ("0.3", f"{begins}T00:00:00.000Z", None),
    ]


@pytest.mark.usefixtures("deck")
def test_a_price_of_now_and_one_of_later(ok: Ok, tmp_path: Path) -> None:
    later = in_days(30)[:10]
    header = "prefix,destination,price_per_min,effective_from"
    path = saved(tmp_path, f"{header}\n4915,Germany mobile,0.2,\n4915,Germany mobile,0.25,{later}\n")
    (row,) = previewed(ok, path, "--amend")["first"]["followed"]
    assert row["in_turn"] == f"0.2; then 0.25 from {later}T00:00:00.000Z"
    assert (row["change"], row["price_before"], row["price_after"]) == ("raised", "0.2", "0.25")
    assert row["effective_from"] == f"{later}T00:00:00.000Z"
    assert "1 followed" in ok("rates", "import", path, "--deck", "d", "--amend", "--yes")


@pytest.mark.usefixtures("deck")
def test_increases_need_their_notice(pbxbill: Run, ok: Ok, tmp_path: Path) -> None:
    path = saved(tmp_path, SECOND)
    notice = ("--notice-days", 7, "--yes")
    refused = pbxbill("rates", "import", path, "--deck", "d", *notice)
    assert refused.exit_code == 2
    assert "2 prefixes would become dearer in less than 7 days (447, 4915)" in refused.stderr
    assert json.loads(ok("rates", "show", "d", "--json"))["version"] == 1
    ok("rates", "import", path, "--deck", "d", *notice, "--effective", in_days(8))
    assert json.loads(ok("rates", "show", "d", "--json", "--version", 2))["total"] == 5


@pytest.mark.usefixtures("deck")
def test_increases_can_wait_for_the_end_of_their_notice(ok: Ok, tmp_path: Path) -> None:
    path, report = saved(tmp_path, SECOND), tmp_path / "all.csv"
    words, day = ("--notice-days", 7, "--delay-increases"), in_days(7)[:10]
    waiting = previewed(ok, path, *words, "--report", report)["first"]["delayed"]
    columns = ("prefix", "price_before", "price_after")
    expected = [("447", "0.08 (by 44)", "0.3"), ("4915", "0.2", "0.25")]
    assert [tuple(row[name] for name in columns) for row in waiting] == expected
    assert {row["effective_from"][:10] for row in waiting} <= {day, in_days(7)[:10]}  # midnight may pass
    with report.open() as stream:
        written = [row for row in csv.DictReader(stream) if "delayed" in row["notes"]]
    assert [tuple(row[name] for name in columns) for row in written] == expected
    ok("rates", "import", path, "--deck", "d", *words, "--yes")
    rows = json.loads(ok("rates", "show", "d", "--json"))["rates"]
    of = {
        prefix: [
            (row["price_per_min"], row["effective_to"] is None) for row in rows if row["prefix"] == prefix
        ]
        for prefix in ("49", "4915", "447", "33")
    }
    assert of["4915"] == [("0.2", False), ("0.25", True)]
    assert of["447"] == [("0.08", False), ("0.3", True)]  # until then what 44 cost
    assert of["49"] == [("0.1", True)]
    assert of["33"] == [("0.12", True)]


@pytest.mark.usefixtures("deck")
def test_a_past_date_is_refused_unless_it_is_meant(pbxbill: Run, ok: Ok, tmp_path: Path) -> None:
    words = ("rates", "import", saved(tmp_path, SECOND), "--deck", "d", "--yes", "--effective", "2026-01-01")
    result = pbxbill(*words, "--zone", "Europe/Berlin")
    assert result.exit_code == 2
    assert "the effective date 2025-12-31T23:00:00.000Z is past; calls since then" in result.stderr
    assert "version 2: 5 rates from 2026-01-01T00:00:00.000Z" in ok(*words, "--backdate")


@pytest.mark.usefixtures("deck")
def test_routes_that_are_sold_below_cost_are_named(ok: Ok, tmp_path: Path) -> None:
    costs = "prefix,destination,price_per_min\n49,Germany,0.01\n49151,Germany Telekom,0.21\n3361,France,0.5\n"
    report = tmp_path / "report.csv"
    preview = json.loads(
        ok(
            *("rates", "import", saved(tmp_path, costs, "costs.csv"), "--deck", "carrier", "--preview"),
            *("--json", "--against", "d", "--report", report),
        )
    )["preview"]
    found = [(row["prefix"], row["price_after"], row["sold_at"]) for row in preview["first"]["below_cost"]]
    assert found == [("3361", "0.5", "0.12 (by 33)"), ("49151", "0.21", "0.2 (by 4915)")]
    with report.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["prefix"], row["change"], row["notes"]) for row in rows] == [
        ("3361", "new", "below_cost"),
        ("49", "new", ""),
        ("49151", "new", "below_cost"),
    ]


@pytest.mark.usefixtures("deck")
def test_a_minimum_above_the_maximum_is_refused_and_limits_are_shown(
    pbxbill: Run, ok: Ok, tmp_path: Path
) -> None:
    header = "prefix,destination,price_per_min,connection_fee,minimum_charge,maximum_charge\n"
    swapped = saved(tmp_path, f'{header}"49,4930",Germany,0.1,,2,1\n33,France,0.12,0.01,1,1\n')
    result = pbxbill("rates", "import", swapped, "--deck", "d", "--preview")
    assert result.exit_code == 3
    reason = "maximum_charge: 1 is below the minimum_charge 2; are the two swapped?"
    assert f"line 2: {reason}\n" in result.stderr
    (kept_aside,) = csv.DictReader((tmp_path / "rates.refused.csv").read_text().splitlines())
    assert (kept_aside["refused_reason"], kept_aside["minimum_charge"]) == (reason, "2")
    (france,) = json.loads(pbxbill("rates", "import", swapped, "--deck", "d", "--preview", "--json").stdout)[
        "preview"
    ]["first"]["raised"]
    assert france["price_after"] == "0.12, fee 0.01, at least 1, at most 1"


@pytest.mark.usefixtures("deck")
def test_refused_rows_beyond_those_printed_are_counted(pbxbill: Run, tmp_path: Path) -> None:
    header = "prefix,destination,price_per_min"
    bad = "".join(f"49{number},Germany,-1\n" for number in range(11))
    twice = '33,France,0.1\n"33,33",France,0.1\n'  # refused in both of its codes, one row all the same
    path = saved(tmp_path, f"{header}\n{bad}{twice}", "list.txt")
    result = pbxbill("rates", "import", path, "--deck", "d", "--preview")
    assert (result.stderr.count("line "), "\n  and 2 more\n" in result.stderr) == (10, True)
    assert "rows refused, not in the deck: 12; correct them in" in result.stderr
    aside = tmp_path / "list.refused.csv"
    assert f"({aside} lists them)" in result.stderr
    assert len(aside.read_text().splitlines()) == 13
    few = saved(tmp_path, f"{header}\n33,France,0.1\n49,Germany,-1\n")
    assert "more\n" not in pbxbill("rates", "import", few, "--deck", "d", "--preview").stderr


@pytest.mark.usefixtures("deck")
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_names_that_begin_like_formulas_are_shown_by_a_spreadsheet_and_come_back(
    ok: Ok, tmp_path: Path, ending: str
) -> None:
    names = ["@SUM(1)", "-2+3 Land", "'@quoted", "+1 Zone", "'plain'", "-", "|cmd"]
    rows = [f'{40 + at},"{name}",@day,0.1' for at, name in enumerate(names)]
    # A guard is taken off, so that a name with an apostrophe of its own is written with two.
    text = "\n".join(("prefix,destination,band,price_per_min", *rows)).replace("'@", "''@")
    ok("rates", "import", saved(tmp_path, text), "--deck", "d", "--yes")
    first = json.loads(ok("rates", "show", "d", "--json"))["rates"]
    assert [rate["destination"] for rate in first] == names
    file = tmp_path / f"out.{ending}"
    ok("rates", "export", "d", file)
    if ending == "csv":
        cells = [cell for row in csv.reader(file.read_text().splitlines()) for cell in row]
    else:
        sheet = openpyxl.load_workbook(file).worksheets[0]
        cells = [cell.value for row in sheet.iter_rows() for cell in row if isinstance(cell.value, str)]
        assert not any(cell.data_type == "f" for row in sheet.iter_rows() for cell in row)
    assert {"'@SUM(1)", "'-2+3 Land", "''@quoted", "'plain'", "'@day"} < set(cells)
    assert not [cell for cell in cells if cell[:1] in {"=", "@", "+", "-"}]
    ok("rates", "import", file, "--deck", "d", "--yes")
    assert json.loads(ok("rates", "show", "d", "--json"))["rates"] == first


@pytest.mark.usefixtures("deck")
def test_suspicious_prices_are_named(ok: Ok, tmp_path: Path) -> None:
    path = saved(tmp_path, FIRST.replace("0.07", "1000"))
    (row,) = previewed(ok, path)["first"]["suspicious"]
    assert (row["prefix"], row["price_after"]) == ("39", "1000")
    assert "suspicious" not in previewed(ok, path, "--max-price", "2000")["first"]


@pytest.mark.usefixtures("deck")
def test_suspicious_dates_are_named(pbxbill: Run, ok: Ok, tmp_path: Path) -> None:
    text = (
        "prefix,destination,price_per_min,effective_from\n"
        f"49,Germany,0.1,1926-12-01\n4915,Germany mobile,0.2,{in_days(6 * 366)[:10]}\n"
        f"33,France,0.12,{in_days(4 * 365)[:10]}\n39,Italy,0.07,{in_days(-4 * 365)[:10]}\n44,UK,0.08,\n"
    )
    path = saved(tmp_path, text)
    found = {row["prefix"]: row["effective_from"] for row in previewed(ok, path)["first"]["suspicious_date"]}
    assert set(found) == {"49", "4915"}
    assert found["49"] == "1926-12-01T00:00:00.000Z"
    shown = pbxbill("rates", "import", path, "--deck", "d", "--preview").stdout
    assert "suspicious dates: more than five years from now: 2" in shown


@pytest.mark.usefixtures("deck")
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_what_is_exported_can_be_imported_again(ok: Ok, tmp_path: Path, ending: str) -> None:
    text = (
        "prefix,destination,band,price_per_min,connection_fee,initial_increment,following_increment,"
        "minimum_charge,maximum_charge,ends_at_maximum,free_seconds,steps,effective_from,effective_to\n"
        '*,"Rest, of ""world""",,1.123456789012,0.000000000001,60,60,0,,,3,,,\n'
        "49,Germany,,0.1,0,60,60,0.02,2.5,,0,60:0.05 600:0.02,2026-01-01,\n"
        "4915,Germany mobile,day,0.2,0.1,30,6,0,5,yes,0,,,\n"
        "4915,Germany mobile,night,0.1,0,1,1,0,,,0,120:0.01,,\n"
        "33,France,,0.12,0,1,1,0,,,0,,,2030-01-01T12:30:00.25Z\n"
        "33,France,night,0.06,0,1,1,0,,,0,,,2030-01-01T12:30:00.25Z\n"
    )
    ok("rates", "import", saved(tmp_path, text), "--deck", "d", "--yes")
    file = tmp_path / f"out.{ending}"
    assert "in 6 rows" in ok("rates", "export", "d", file)
    preview = previewed(ok, file)
    assert {kind: count for kind, count in preview["counts"].items() if count} == {"unchanged": 4}
    first = json.loads(ok("rates", "show", "d", "--json"))["rates"]
    ok("rates", "import", file, "--deck", "d", "--yes")
    again = json.loads(ok("rates", "show", "d", "--json"))
    assert (again["version"], again["rates"]) == (3, first)
    ok("rates", "export", "d", tmp_path / "again.csv")
    ok("rates", "export", "d", tmp_path / "before.csv", "--version", 2)
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "before.csv").read_text()


@pytest.mark.usefixtures("deck")
def test_bands_need_a_calendar_that_knows_them(pbxbill: Run, ok: Ok, tmp_path: Path) -> None:
    def refusal(*words: object) -> str:
        result = pbxbill(*words)
        assert result.exit_code == 2, result.output
        return result.stderr

    saved(tmp_path, CALENDAR, "calendar.toml")
    assert "calendar office has version 1: 1 rules" in ok(
        "calendars", "set", "office", "--file", "calendar.toml"
    )
    banded = saved(
        tmp_path,
        "prefix,destination,band,price_per_min\n49,Germany,day,0.2\n49,Germany,night,0.1\n",
        "banded.csv",
    )
    import_banded = ("rates", "import", banded, "--deck", "d", "--yes")
    ok("tariffs", "add", "retail", "--deck", "d")
    assert "tariff 'retail' has no calendar, and the rates have bands (day, night)" in refusal(*import_banded)
    ok("tariffs", "set", "retail", "--calendar", "office")
    assert "calendar 'office' has no band 'night'; it has day" in refusal(*import_banded)
    saved(
        tmp_path,
        ALWAYS.replace('name = "night"\n', 'name = "night"\nweekdays = "Mon-Sat"\n'),
        "calendar.toml",
    )
    assert "these tariffs go on with its version before" in ok(
        "calendars", "set", "office", "--file", "calendar.toml"
    )
    ok("tariffs", "set", "retail", "--calendar", "office")
    assert "no band of day, night holds on Sunday 00:00-24:00" in refusal(*import_banded)
    saved(tmp_path, ALWAYS, "calendar.toml")
    ok("calendars", "set", "office", "--file", "calendar.toml")
    ok("tariffs", "set", "retail", "--calendar", "office")
    ok(*import_banded)
    assert rates_of(ok)["49"]["terms"] == "day 0.2, night 0.1"
    assert "has no calendar" in refusal("tariffs", "add", "other", "--deck", "d")
    assert json.loads(ok("calendars", "list", "--json"))[-1]["bands"] == "day, night"


@pytest.mark.usefixtures("deck")
def test_tariffs_take_the_terms_of_the_trade(ok: Ok, pbxbill: Run) -> None:
    ok("tariffs", "add", "reseller", "--mark-up", "20", "--mark-up-absolute", "0.005", "--unit", "eur")
    ok("tariffs", "set", "reseller", "--refuse-loss", "--mark-up-rounding", "0.001")
    ok(
        "tariffs",
        "add",
        "steps",
        "--deck",
        "d",
        "--cycle-steps",
        "0:0.05 6000:0.04",
        "--cycle-kind",
        "volume",
    )
    ok("tariffs", "set", "steps", "--tax-mode", "exclusive", "--tax", "19")
    shown = {row["tariff"]: row for row in json.loads(ok("tariffs", "list", "--json"))}
    reseller = shown["reseller"]
    assert (reseller["deck"], reseller["unit"], reseller["refuse_loss"]) == (None, "EUR", True)
    assert reseller["mark_up"] == "20 % and 0.005 per minute, rounded up to 0.001"
    assert shown["steps"]["cycle_steps"] == "volume, per month in UTC: 0:0.05 6000:0.04 (all destinations)"
    assert shown["steps"]["tax_percent"] == "19"
    refused = pbxbill("tariffs", "add", "x", "--deck", "d", "--mark-up", "20")
    assert (refused.exit_code, "not both" in refused.stderr) == (2, True)


def test_the_help_of_an_import_can_be_read(ok: Ok) -> None:
    text = " ".join(ok("rates", "import", "--help").split())
    assert '--delimiter MARK One of "," ";" "|" or the word tab; default: told from the header.' in text
    assert '--decimal MARK Decimal mark, "." or ","; default' in text
    assert "list.refused.csv for list.csv or list.xlsx" in text


@pytest.mark.usefixtures("deck")
def test_prices_in_another_currency_are_refused(pbxbill: Run, tmp_path: Path) -> None:
    by_header = saved(tmp_path, "Code,Destination,Rate Per Minute USD\n49,Germany,0.1\n")
    result = pbxbill("rates", "import", by_header, "--deck", "d", "--yes")
    assert (result.exit_code, "prices are in USD, and the deck is in EUR" in result.stderr) == (2, True)
    by_row = saved(tmp_path, "Code,Destination,Rate,Currency\n49,Germany,0.1,EUR\n33,France,0.1,USD\n")
    result = pbxbill("rates", "import", by_row, "--deck", "d", "--yes")
    assert (result.exit_code, "currency: 'USD' is not EUR" in result.stderr) == (3, True)


@pytest.mark.usefixtures("deck")
def test_a_file_that_may_be_cut_is_named(pbxbill: Run, tmp_path: Path) -> None:
    result = pbxbill("rates", "import", saved(tmp_path, FIRST.rstrip()), "--deck", "d", "--preview")
    assert "line 6, the last, has no line end: see that the file is whole" in result.stderr
    cut = saved(tmp_path, FIRST[: FIRST.index("0.07")])
    result = pbxbill("rates", "import", cut, "--deck", "d", "--preview")
    assert result.exit_code == 3
    assert "it is the last one and has no line end: the file seems to be cut, get it again" in result.stderr
