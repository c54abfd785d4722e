"""docs/billing.md from its subscriptions on: its commands run at its moments and say what the page says."""

from pathlib import Path

import pytest

from pbxbill.cli import context
from pbxbill.clock import ManualClock
from tests.books_in_order import assert_books_in_order
from tests.store.command_line import Ok, Run
from tests.store.documented import DOCS, follow, moment_us

PAGE = (DOCS / "billing.md").read_text().partition("## Subscriptions")[2]


def test_the_page_says_what_happens(
    pbxbill: Run, ok: Ok, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(moment_us("2026-01-01 07:00"))
    monkeypatch.setattr(context, "SystemClock", lambda: clock)
    ok("init")
    for code in ("carol", "dora"):
        ok("accounts", "add", code, "--unit", "EUR")
    ok("topup", "carol", 20)
    assert follow(PAGE, pbxbill, clock, tmp_path) == 24
    assert_books_in_order(database_url)
