"""docs/invoices.md: its commands run on its days, they say what the page says, and so does the PDF."""

from pathlib import Path

import pytest
from pypdf import PdfReader

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Authorize, Direction, Settled, SettleOffline
from pbxbill.cli import context
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.ids import new_id
from pbxbill.store.driver import connect
from tests.books_in_order import assert_books_in_order
from tests.store.command_line import Ok, Run
from tests.store.documented import DOCS, follow, moment_us, plain

PAGE = (DOCS / "invoices.md").read_text()
RATES = "prefix,destination,price_per_min\n49,Germany,0.12\n33,France,0.30\n"
CALLS = ((5, "493012345", 600), (9, "493012345", 125), (20, "33612345", 61))
"""Of January: day, number, seconds."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock(moment_us("2025-12-31 23:30"))
    monkeypatch.setattr(context, "SystemClock", lambda: clock)
    return clock


@pytest.fixture
def alice(ok: Ok, clock: ManualClock, database_url: str, tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text(RATES)
    ok("init")
    ok("issuers", "set", "--zone", "Europe/Berlin", "--payment-days", 14)
    ok("parties", "set", "operator", "--legal-name", "Netz GmbH", "--street", "Ring 1", "--city", "Bonn",
       "--postal-code", 53111, "--country", "DE", "--vat-id", "136 695 976")  # fmt: skip
    ok("taxes", "add", "USt", 19, "--country", "DE", "--from", "2021-01-01")
    ok("rates", "import", "rates.csv", "--deck", "retail", "--yes")
    ok("tariffs", "add", "retail", "--deck", "retail")
    ok(
        "accounts",
        "add",
        "alice",
        "--mode",
        "postpaid",
        "--limit",
        100,
        "--tariff",
        "retail",
        "--sip",
        "alice",
    )
    ok("parties", "set", "alice", "--legal-name", "Alice Arndt e. K.", "--street", "Weg 2", "--city", "Köln",
       "--postal-code", 50667, "--country", "DE", "--email", "alice@example.org")  # fmt: skip
    engine = ChargingEngine(lambda: connect(database_url), clock)
    engine.start()
    try:
        for day, number, seconds in CALLS:
            at_us, id = moment_us(f"2026-01-{day:02} 09:30"), new_id()
            request = Authorize(id, "pbx1", id, Direction.OUTBOUND, number, "2001", at_us, "alice")
            ended_us = at_us + seconds * SECOND_US
            outcome = engine.execute(SettleOffline(request, at_us, ended_us, 16, owed_in_full=True))
            assert isinstance(outcome, Settled)
    finally:
        engine.stop()


@pytest.mark.usefixtures("alice")
def test_the_page_says_what_happens(
    pbxbill: Run, clock: ManualClock, tmp_path: Path, database_url: str
) -> None:
    assert follow(PAGE, pbxbill, clock, tmp_path, assert_pdf_says) == 24
    assert_books_in_order(database_url)


def assert_pdf_says(file: Path, lines: list[str]) -> None:
    reader = PdfReader(file)
    printed = plain(" ".join(page.extract_text() for page in reader.pages))
    for line in lines:
        assert plain(line) in printed, (line, printed)
    xml = reader.attachments["factur-x.xml"][0].decode()
    assert ">144.06</ram:GrandTotalAmount>" in xml
