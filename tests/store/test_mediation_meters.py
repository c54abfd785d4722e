"""Meters: each reading is charged once, in its order, with an explanation; wrong ones are refused."""

import json
from pathlib import Path

import pytest

from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Ok, Run

POWER = """
unit = "EUR"
tax_mode = "exclusive"
tax = 19

[[component]]
name = "base price"
kind = "per_day"
price = "0.30"

[[component]]
name = "power"
kind = "stepped"
ranges = [{ from = 0, price = "0.20" }, { from = 100, price = "0.15" }]
"""
READING_MAPPING = """
name = "grid"
kind = "reading"
fingerprint = ["meter", "time"]
[file]
type = "json"
[time]
form = "iso"
[fields]
meter = "meter"
at = "time"
quantity = "kwh"
"""


@pytest.fixture
def accounts(accounts: BilledAccounts) -> BilledAccounts:
    accounts.top_up("bob", "100")
    return accounts


@pytest.fixture
def meter(accounts: BilledAccounts, ok: Ok, tmp_path: Path) -> str:
    (tmp_path / "power.toml").write_text(POWER)
    ok("meters", "tariff", "set", "power", "--file", tmp_path / "power.toml")
    ok("meters", "add", "M1", "--account", "bob", "--tariff", "power", "--measure", "kWh")
    ok("readings", "add", "M1", "1000", "--at", "2026-03-01")
    return "M1"


def test_a_period_is_charged_and_explained(accounts: BilledAccounts, ok: Ok, meter: str) -> None:
    """30 days x 0.30 + 100 x 0.20 + 20 x 0.15 = 32.00, and 19 % on it: 38.08."""
    told = ok("readings", "add", meter, "1120", "--at", "2026-03-31")
    assert "120 kWh cost 38.08 EUR, tax 6.08 of it" in told
    assert "power: 100 x 0.2" in told
    assert accounts.wallet("bob") == (eur("61.92"), 0, 0)
    first, second = json.loads(ok("readings", "list", meter, "--json"))
    assert (first["total"], second["total"]) == (None, "38.08 EUR")
    assert second["explanation"]["lines"] == [
        "base price: 30 days x 0.3",
        "power: 100 x 0.2",
        "power: 20 x 0.15",
    ]
    keys = [key for (key,) in accounts.select("SELECT idempotency_key FROM journal_entries")]
    assert sum(key.startswith("reading:") for key in keys) == 1
    posted = accounts.select(
        "SELECT l.code, p.amount FROM journal_entries e JOIN postings p ON p.entry_id = e.id "
        "JOIN ledger_accounts l ON l.id = p.ledger_account_id WHERE e.kind = 'charge' ORDER BY p.line"
    )
    assert posted == [
        ("wallet", eur("38.08")),
        ("revenue:readings", -eur("32")),
        ("tax:payable", -eur("6.08")),
    ]
    assert accounts.problems() == []


def test_the_same_reading_again_changes_nothing(accounts: BilledAccounts, ok: Ok, meter: str) -> None:
    ok("readings", "add", meter, "1120", "--at", "2026-03-31")
    balance = accounts.wallet("bob")
    assert "taken before" in ok("readings", "add", meter, "1120", "--at", "2026-03-31")
    assert accounts.wallet("bob") == balance


@pytest.mark.parametrize(
    "value,at,sentence",
    [
        ("990", "2026-03-31", "990 is less than 1000, which it showed before"),
        ("1120", "2026-02-01", "a later reading is charged already (1000)"),
        ("1001", "2026-03-01", "its reading of that moment is 1000 already"),
        ("1120", "2126-03-01", "the reading lies in the future"),
        ("abc", "2026-03-31", "is not a number"),
        ("-1", "2026-03-31", "is no reading"),
        ("1.1234567", "2026-03-31", "is no reading"),
    ],
)
def test_a_wrong_reading_is_refused(
    accounts: BilledAccounts, pbxbill: Run, meter: str, value: str, at: str, sentence: str
) -> None:
    result = pbxbill("readings", "add", "--at", at, "--", meter, value)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert accounts.wallet("bob") == (eur("100"), 0, 0)
    assert accounts.select("SELECT COUNT(*) FROM meter_readings") == [(1,)]


def test_a_replaced_meter_goes_on_from_what_the_new_one_began_with(ok: Ok, meter: str) -> None:
    ok("readings", "add", meter, "1010", "--at", "2026-03-02", "--replaced-by", "5")
    told = ok("readings", "add", meter, "15", "--at", "2026-03-03")
    assert "10 kWh cost" in told


def test_a_meter_that_rolls_over(ok: Ok, meter: str) -> None:
    ok("meters", "add", "M2", "--account", "bob", "--tariff", "power", "--rolls-over-at", "100000")
    ok("readings", "add", "M2", "99990", "--at", "2026-03-01")
    assert "25 items cost" in ok("readings", "add", "M2", "15", "--at", "2026-03-02")


def test_readings_from_a_file(
    accounts: BilledAccounts, pbxbill: Run, ok: Ok, meter: str, tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text(READING_MAPPING)
    rows = [("M1", "2026-03-31T00:00:00Z", 1120), ("M1", "2026-04-01T00:00:00Z", 900)]
    rows.append(("M9", "2026-04-01T00:00:00Z", 5))
    lines = (json.dumps(dict(zip(("meter", "time", "kwh"), row, strict=True))) for row in rows)
    file = tmp_path / "readings.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines))
    result = pbxbill("mediate", file, "--format", tmp_path / "grid.toml", "--json")
    assert result.exit_code == 3, result.output
    report = json.loads(result.stdout[result.stdout.index("{") :])
    assert (report["rated"], report["reasons"]) == (1, {"meter_unknown": 1, "reading_refused": 1})
    assert report["money"] == [
        {"account": "bob", "unit": "EUR", "records": 1, "total": "38.08", "uncollected": "0.00"}
    ]
    again = pbxbill("mediate", file, "--format", tmp_path / "grid.toml", "--json")
    assert json.loads(again.stdout[again.stdout.index("{") :])["duplicates"] == 3
    assert accounts.wallet("bob") == (eur("61.92"), 0, 0)


@pytest.mark.parametrize(
    "text,sentence",
    [
        ("unit = 'EUR'", "[[component]]: is missing"),
        ("unit = 'XXX'\n[[component]]\nname='a'\nkind='fixed'\nprice='1'", "no unit 'XXX'"),
        ("unit = 'EUR'\n[[component]]\nname='a'\nkind='fixed'\nprice=0.1", "write it in quotes"),
        ("unit = 'EUR'\n[[component]]\nname='a'\nkind='monthly'\nprice='1'", "[[component]] 1 kind: must be"),
        ("unit = ", "meter tariff bad"),
    ],
)
def test_a_tariff_that_makes_no_sense_is_refused(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "bad.toml").write_text(text)
    result = pbxbill("meters", "tariff", "set", "bad", "--file", tmp_path / "bad.toml")
    assert result.exit_code == 2
    assert sentence in result.stderr
