"""Books from the command line: trial balance, export, revenue that is earned, the chart; what is refused."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from beancount import loader

from pbxbill.ledger.accounts import LedgerCode
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import BilledAccounts
from tests.store.booked_months import BookedMonths, open_books_of
from tests.store.command_line import Ok, Run, shown


@pytest.fixture
def months(accounts: BilledAccounts) -> Iterator[BookedMonths]:
    """The months by hand; nothing is earned yet."""
    opened = open_books_of(accounts)
    opened.january()
    opened.february()
    yield opened
    opened.close()
    assert_books_in_order(accounts.url)


@pytest.mark.usefixtures("months")
def test_revenue_is_earned_and_shown(ok: Ok) -> None:
    assert ok("books", "recognise", "--until", "2026-01-11").splitlines() == [
        "earned of 1 charges by 1 entries",
        "operator: 10.00 EUR",
    ]
    # 21 days of January, 11.071429 in February, carol's 59.00.
    done = shown(ok, "books", "recognise", "--until", "2026-03-01")
    assert done == {
        "charges": 4,
        "entries": 2,
        "earned": [{"issuer": "operator", "unit": "EUR", "earned": "91.071429"}],
    }
    assert ok("books", "recognise", "--until", "2026-03-01") == "nothing is left to book\n"

    (february,) = shown(ok, "books", "trial-balance", "--from", "2026-02-01", "--to", "2026-02-28")
    accounts = {x.pop("account"): list(x.values()) for x in february["accounts"]}
    assert list(accounts) == [code.value for code in LedgerCode]
    assert accounts["revenue:recurring"] == ["-31.00", "0.00", "70.071429", "-101.071429"]
    assert accounts["deferred:revenue"] == ["0.00", "90.00", "121.00", "-31.00"]
    assert accounts["receivable"] == ["0.00", "90.20", "50.00", "40.20"]
    assert february["wallets"] == {
        "opening": {"funds": "-59.00", "unbilled": "0.20"},
        "closing": {"funds": "-47.928571", "unbilled": "0.00"},
    }


@pytest.mark.usefixtures("months")
def test_a_trial_balance_for_people(ok: Ok) -> None:
    told = [" ".join(line.split()) for line in ok("books", "trial-balance").splitlines()]
    assert "operator, EUR" in told
    assert "cash 0.00 150.00 0.00 150.00" in told
    # Wallets 72.20, receivable 90.20, invoiced 0.20, cash 150.00, given back of deferred 19.928571.
    assert "sum 0.00 332.528571 332.528571 0.00" in told
    assert "of wallets: customers' funds 0.00 -47.928571" in told
    everybody = shown(ok, "books", "trial-balance", "--all")
    assert [x["issuer"] for x in everybody] == ["operator", "reseller"]
    assert shown(ok, "books", "trial-balance", "--reseller", "reseller", "--unit", "eur")[0]["unit"] == "EUR"
    assert shown(ok, "books", "trial-balance", "--unit", "USD") == []


@pytest.mark.usefixtures("months")
def test_the_journal_is_written(ok: Ok, tmp_path: Path) -> None:
    file = tmp_path / "books.beancount"
    ok("books", "export", "--format", "beancount", "--to", "2026-02-28", "--output", file)
    entries, errors, _ = loader.load_file(str(file))
    assert errors == []
    assert len(entries) > 20
    assert [path.name for path in tmp_path.glob("books*")] == ["books.beancount"]
    days = ("--from", "2026-02-10", "--to", "2026-02-10")
    rows = list(csv.DictReader(io.StringIO(ok("books", "export", "--by-day", *days))))
    assert {(row["date"], row["kind"], row["document"]) for row in rows} == {
        ("2026-02-10", "payment", "INV-2026-00001")
    }


def test_the_chart(ok: Ok) -> None:
    chart = {x["account"]: x for x in shown(ok, "books", "accounts")}
    assert set(chart) == {code.value for code in LedgerCode}
    assert chart["deferred:revenue"]["kind"] == "liability"
    assert chart["receivable"]["beancount"] == "Assets:Receivable"
    assert "written-off" in ok("books", "accounts")


@pytest.mark.parametrize(
    "words, reason",
    [
        (("trial-balance", "--from", "1.1.2026"), "'1.1.2026' is no day; write it like 2026-01-31"),
        (("trial-balance", "--from", "2026-02-01", "--to", "2026-01-01"), "last day lies before the first"),
        (("trial-balance", "--to", "9999-12-31"), "too far away"),
        (("trial-balance", "--reseller", "bob"), "account bob is a customer"),
        (("export", "--from", "2026-02-01", "--to", "2026-01-31"), "2026-01-31, lies before the first"),
        (("export", "--from", "2026-01-01", "--output", "/nowhere/books.csv"), "cannot be written"),
        (("export", "--reseller", "reseller"), "nothing is in the books of reseller yet"),
        (("recognise", "--until", "2199-01-01"), "what is not over yet is not earned"),
    ],
)
def test_what_cannot_be(accounts: BilledAccounts, pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    result = pbxbill("books", *words)
    assert result.exit_code == 2
    assert reason in result.stderr
