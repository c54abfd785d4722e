"""Receipts on the command line: of a top-up and a payment, printed and sent."""

from pathlib import Path

import pytest

from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Ok, Run, shown


@pytest.mark.usefixtures("accounts")
def test_a_top_up_gets_a_receipt_that_is_printed_and_sent(ok: Ok, tmp_path: Path) -> None:
    entry = shown(ok, "topup", "carol", "25", "--memo", "card")["entry"]
    assert ok("payments", "receipt", entry).startswith("R-20")
    (made,) = shown(ok, "payments", "receipt", entry)
    assert (made["total"], made["unit"], made["repeated"]) == ("25.00", "EUR", True)
    ok("invoices", "render", made["number"], "--to", tmp_path / "receipt.pdf")
    assert (tmp_path / "receipt.pdf").read_bytes().startswith(b"%PDF-")
    told = ok("invoices", "send", made["number"], "--to", "carol@example.org")
    assert told == f"{made['number']} waits in the outbox for carol@example.org\n"


@pytest.mark.usefixtures("accounts")
def test_all_that_an_account_paid_gets_receipts_once(ok: Ok, pbxbill: Run) -> None:
    for amount in ("10", "20"):
        ok("topup", "carol", amount)
    ok("adjust", "carol", "-5", "--memo", "wrong")
    ok("topup", "alice", "7")
    (last,) = shown(ok, "payments", "receipt", "--account", "carol")
    assert last["total"] == "20.00"
    ok("payments", "record", "carol", "30")
    every = shown(ok, "payments", "receipt", "--account", "carol", "--all")
    assert [(x["total"], x["repeated"]) for x in every] == [("10.00", False), ("30.00", False)]
    assert ok("payments", "receipt", "--account", "carol", "--all") == (
        "each top-up and payment has its receipt\n"
    )
    assert shown(ok, "payments", "receipt", "--account", "carol")[0]["total"] == "30.00"


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    "words, reason",
    [
        ((), "name an ENTRY, or an --account"),
        (("--all",), "name an ENTRY, or an --account"),
        (("0123", "--account", "carol"), "name an ENTRY, or an --account"),
        (("0123",), "there is no journal entry '0123'"),
        (("--account", "carol"), "account carol has had no top-up or payment in EUR"),
    ],
)
def test_what_has_no_receipt(pbxbill: Run, words: tuple[str, ...], reason: str) -> None:
    result = pbxbill("payments", "receipt", *words)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_the_accounts_are_in_order(accounts: BilledAccounts, ok: Ok) -> None:
    ok("topup", "carol", "10")
    ok("payments", "receipt", "--account", "carol", "--all")
    assert accounts.problems() == []
