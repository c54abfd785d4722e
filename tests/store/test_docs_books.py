"""docs/books.md: its commands run on months worked by hand, and print what the page says."""

import re
import shlex
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from beancount import loader

from pbxbill.billing.books.accounting_export import COLUMNS
from pbxbill.ledger.accounts import LedgerCode
from tests.store.billed_accounts import BilledAccounts
from tests.store.booked_months import BookedMonths, open_books_of
from tests.store.command_line import Ok

PAGE = (Path(__file__).parents[2] / "docs" / "books.md").read_text()


@pytest.fixture
def months(accounts: BilledAccounts) -> Iterator[BookedMonths]:
    opened = open_books_of(accounts)
    opened.january()
    opened.february()
    yield opened
    opened.close()


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.usefixtures("months")
def test_the_page_says_what_happens(ok: Ok, tmp_path: Path) -> None:
    said = [x for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for x in block.splitlines()]
    output: list[str] = []
    commands = 0
    for line, following in pairwise([*said, "$"]):
        if line.startswith("$ pbxbill "):
            output = [plain(x) for x in ok(*shlex.split(line.removeprefix("$ pbxbill "))).splitlines()]
            assert output == [] or not following.startswith("$")
            commands += 1
        else:
            assert plain(line) in output
    assert commands == 5
    _, errors, _ = loader.load_file(str(tmp_path / "february.beancount"))
    assert errors == []
    assert (tmp_path / "february.csv").read_text().startswith("date,moment,entry,")


def test_the_columns_and_accounts_are_ours() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", PAGE, re.MULTILINE)) == COLUMNS
    named = set(re.findall(r"`([a-z]+(?::[a-z-]+)?)`", PAGE)) & {code.value for code in LedgerCode}
    assert len(named) == 9
    entries = re.findall(r"^\| ([a-z0-9].*) \| (`.*) \| (`.*) \|$", PAGE, re.MULTILINE)
    assert len(entries) == 6
    for what, debit, credit in entries[2:] + entries[:1]:
        sums = [sum(Decimal(x) for x in re.findall(r"\d+\.\d\d", side)) for side in (debit, credit)]
        assert sums[0] == sums[1], what
