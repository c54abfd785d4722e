"""docs/dunning.md: its commands run at its moments and say what the page says."""

from pathlib import Path

import pytest

from pbxbill.cli import context
from pbxbill.clock import ManualClock
from tests.books_in_order import assert_books_in_order
from tests.store.command_line import Ok, Run
from tests.store.documented import DOCS, follow, moment_us

PAGE = (DOCS / "dunning.md").read_text()


def test_the_page_says_what_happens(
    pbxbill: Run, ok: Ok, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(moment_us("2026-01-01 07:00"))
    monkeypatch.setattr(context, "SystemClock", lambda: clock)
    ok("init")
    ok("issuers", "set", "--zone", "Europe/Berlin", "--payment-days", 14)
    ok("parties", "set", "operator", "--legal-name", "Netz GmbH", "--street", "Ring 1", "--city", "Bonn",
       "--postal-code", 53111, "--country", "DE", "--vat-id", "136 695 976")  # fmt: skip
    ok("accounts", "add", "alice", "--mode", "postpaid", "--limit", 100, "--unit", "EUR")
    ok("parties", "set", "alice", "--legal-name", "Alice Arndt e. K.", "--street", "Weg 2", "--city", "Köln",
       "--postal-code", 50667, "--country", "DE", "--email", "alice@example.org")  # fmt: skip
    assert follow(PAGE, pbxbill, clock, tmp_path) > 25
    assert_books_in_order(database_url)
