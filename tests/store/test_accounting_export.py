"""Books as CSV and as Beancount text, on each database; bean-check says whether they agree."""

import csv
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from beancount import loader
from beancount.core.data import Balance, Transaction
from beancount.core.realization import compute_balance, get, realize
from beancount.ops.validation import HARDCORE_VALIDATIONS

from pbxbill.billing.books.accounting_export import COLUMNS, Exported, beancount_lines, csv_lines
from pbxbill.billing.books.chart import CHART
from pbxbill.billing.books.trial_balance import trial_balances
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import to_decimal
from pbxbill.store.driver import Driver, connect
from tests.books_in_order import assert_books_in_order
from tests.small_operator import EUR, eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.booked_months import BookedMonths, open_books_of

OPERATOR = 1
JANUARY = (date(2026, 1, 1), date(2026, 1, 31))
FEBRUARY = (date(2026, 2, 1), date(2026, 2, 28))


@pytest.fixture
def months(accounts: BilledAccounts) -> Iterator[BookedMonths]:
    """January and February, with revenue earned, and two calls of bob on one day."""
    opened = open_books_of(accounts)
    opened.january()
    opened.invoicing.call("bob", 60, day=5)
    opened.invoicing.call("bob", 30, day=5)
    opened.recognise("2026-02-01")
    opened.february()
    opened.recognise("2026-03-01")
    yield opened
    opened.close()
    assert_books_in_order(accounts.url)


@pytest.fixture
def driver(months: BookedMonths) -> Iterator[Driver]:
    driver = connect(months.accounts.url)
    driver.begin_snapshot()
    yield driver
    driver.rollback()
    driver.close()


def exported(days: tuple[date, date], *, by_day: bool = False) -> Exported:
    return Exported(OPERATOR, "operator", "UTC", *days, by_day)


def journal(driver: Driver, days: tuple[date, date], *, by_day: bool = False) -> list[str]:
    """Day, kind, account, ledger account, debit, credit, document, entries, memo of each posting."""
    text = "".join(csv_lines(driver, exported(days, by_day=by_day), {"EUR": EUR}))
    left_out = ("moment", "entry", "unit")
    rows = csv.DictReader(io.StringIO(text))
    return [" ".join(v for k, v in row.items() if k not in left_out and v) for row in rows]


def test_january_line_by_line(driver: Driver) -> None:
    assert sorted(journal(driver, JANUARY)) == [
        "2026-01-01 charge bob deferred:revenue 31.00 1 line: Line",
        "2026-01-01 charge bob revenue:one-time 10.00 1 line: Set-up",
        "2026-01-01 charge bob wallet 10.00 1 line: Set-up",
        "2026-01-01 charge bob wallet 31.00 1 line: Line",
        "2026-01-01 top-up bob cash 100.00 1",
        "2026-01-01 top-up bob wallet 100.00 1",
        # An entry of a call is on the invoice that took it.
        "2026-01-03 usage carol revenue:usage 0.20 INV-2026-00001 1",
        "2026-01-03 usage carol wallet 0.20 INV-2026-00001 1",
        "2026-01-05 usage bob revenue:usage 0.06 1",
        "2026-01-05 usage bob revenue:usage 0.12 1",
        "2026-01-05 usage bob wallet 0.06 1",
        "2026-01-05 usage bob wallet 0.12 1",
        "2026-01-31 earned deferred:revenue 31.00 1 earned in 2026-01: 1 charge",
        "2026-01-31 earned revenue:recurring 31.00 1 earned in 2026-01: 1 charge",
    ]


def test_february_names_invoices_and_whose_they_are(driver: Driver) -> None:
    found = [line for line in journal(driver, FEBRUARY) if " invoice " in line or " payment " in line]
    assert sorted(found) == [
        "2026-02-01 invoice carol deferred:revenue 90.00 INV-2026-00001 1",
        "2026-02-01 invoice carol receivable 90.20 INV-2026-00001 1",
        "2026-02-01 invoice carol wallet:invoiced 0.20 INV-2026-00001 1",
        "2026-02-10 payment carol cash 50.00 INV-2026-00001 1 bank",
        "2026-02-10 payment carol receivable 50.00 INV-2026-00001 1 bank",
        "2026-02-10 payment carol wallet 0.20 INV-2026-00001 1 bank",
        "2026-02-10 payment carol wallet:invoiced 0.20 INV-2026-00001 1 bank",
    ]


def test_usage_by_day(driver: Driver) -> None:
    found = [line for line in journal(driver, JANUARY, by_day=True) if "usage of" in line]
    assert found == [
        "2026-01-03 usage carol wallet 0.20 1 usage of 2026-01-03: 1 entry",
        "2026-01-03 usage revenue:usage 0.20 1 usage of 2026-01-03: 1 entry",
        "2026-01-05 usage bob wallet 0.18 2 usage of 2026-01-05: 2 entries",
        "2026-01-05 usage revenue:usage 0.18 2 usage of 2026-01-05: 2 entries",
    ]
    whole, by_day = (
        [sum(Decimal(row[side] or 0) for row in _rows(driver, by_day=x)) for side in ("debit", "credit")]
        for x in (False, True)
    )
    assert whole == by_day
    assert whole[0] == whole[1]


def _rows(driver: Driver, *, by_day: bool) -> list[dict[str, str]]:
    text = "".join(csv_lines(driver, exported(JANUARY, by_day=by_day), {"EUR": EUR}))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == list(COLUMNS)
    return rows


def test_cells_are_safe_for_spreadsheets(months: BookedMonths) -> None:
    driver = connect(months.accounts.url)
    driver.begin()
    driver.select("UPDATE journal_entries SET memo = '=cmd()\n\"x\\' WHERE kind = 'payment' RETURNING 1")
    found = [line for line in journal(driver, FEBRUARY) if " payment " in line]
    assert all(line.endswith("1 '=cmd()\ufffd\"x\\") for line in found)
    text = "".join(beancount_lines(driver, exported(FEBRUARY), {}))
    driver.rollback()
    driver.close()
    entries, errors, _ = loader.load_string(text)
    assert errors == []
    assert any(isinstance(x, Transaction) and x.narration == '=cmd()\ufffd"x\\' for x in entries)


@pytest.mark.parametrize("by_day", [False, True])
@pytest.mark.parametrize("days", [JANUARY, FEBRUARY, (JANUARY[0], FEBRUARY[1])])
def test_beancount_agrees(driver: Driver, days: tuple[date, date], by_day: bool, tmp_path: Path) -> None:
    wanted = exported(days, by_day=by_day)
    text = "".join(beancount_lines(driver, wanted, {"EUR": "Euro"}))
    path = tmp_path / "books.beancount"
    path.write_text(text)
    # All that bean-check does; to start it each time would cost more than the rest.
    entries, errors, options = loader.load_file(str(path), extra_validations=HARDCORE_VALIDATIONS)
    assert (errors, options["operating_currency"]) == ([], ["EUR"])
    tree = realize(entries)
    (balance,) = trial_balances(
        driver, from_us=wanted.period.from_us, to_us=wanted.period.to_us, issuer_id=OPERATOR
    )
    assert any(x.closing for x in balance.accounts)
    for account in balance.accounts:
        node = get(tree, CHART[account.code].name)
        held = Decimal(0) if node is None else compute_balance(node).get_currency_units("EUR").number
        assert held == to_decimal(account.closing, EUR.scale), account
    # carol's and bob's wallets, and the rest of the chart.
    assert sum(isinstance(x, Balance) for x in entries) == len(LedgerCode) - 1 + 2


def test_bean_check_agrees(driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "books.beancount"
    wanted = exported((JANUARY[0], FEBRUARY[1]))
    path.write_text("".join(beancount_lines(driver, wanted, {"EUR": "Euro"})))
    program = shutil.which("bean-check", path=str(Path(sys.executable).parent)) or "bean-check"
    checked = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_lost_posting_is_seen_by_beancount(driver: Driver) -> None:
    lines = list(beancount_lines(driver, exported(FEBRUARY), {}))
    without = [line for line in lines if '"payment"' not in line]
    assert len(without) == len(lines) - 1
    _, errors, _ = loader.load_string("".join(without))
    # carol's wallet, receivable, invoiced, cash.
    assert len(errors) == 4


def test_an_entry_as_text(driver: Driver) -> None:
    """With its metadata; the opening's balances are those of the month before."""
    text = "".join(beancount_lines(driver, exported(FEBRUARY), {"EUR": "Euro"}))
    payment = next(part for part in text.split("\n\n") if '"payment"' in part).splitlines()
    assert payment[0] == '2026-02-10 * "carol" "bank"'
    assert payment[2:6] == [
        '  kind: "payment"',
        '  account: "carol"',
        '  document: "INV-2026-00001"',
        '  moment: "2026-02-10T00:00:00.000000Z"',
    ]
    assert sorted(re.sub(":[0-9]+-", ":", line) for line in payment[6:]) == [
        "  Assets:Cash  50.000000 EUR",
        "  Assets:Receivable  -50.000000 EUR",
        "  Liabilities:Wallets-Invoiced  0.200000 EUR",
        "  Liabilities:Wallets:carol  -0.200000 EUR",
    ]
    opening = next(part for part in text.split("\n\n") if '"Opening balances"' in part)
    assert "  Assets:Cash  100.000000 EUR\n" in opening
    assert f"-{to_decimal(eur('58.82'), 6)} EUR" in opening  # 59.00 - 0.12 - 0.06
