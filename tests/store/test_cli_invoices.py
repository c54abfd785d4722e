"""invoices, payments and quotes on the command line: a draft reviewed, issued, paid, credited, disputed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import FRANCE, BilledAccounts
from tests.store.command_line import Ok, Run, shown
from tests.store.invoiced_accounts import Invoicing

REASON = ("--reason", "as agreed")


@pytest.fixture
def draft(accounts: BilledAccounts) -> Iterator[str]:
    """carol's January: 1.20 to Germany, 0.35 to France."""
    made = Invoicing(accounts)
    made.call("carol", 600, 3)
    made.call("carol", 60, 4, FRANCE)
    drafted = made.draft("carol")
    yield str(drafted.invoice_id)  # type: ignore[union-attr]
    assert_books_in_order(accounts.url)
    made.database.dispose()


def refused(pbxbill: Run, *words: object) -> str:
    """What a command says that must not succeed."""
    result = pbxbill(*words)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


def test_a_draft_is_reviewed_and_issued(draft: str, ok: Ok, pbxbill: Run) -> None:
    listed = shown(ok, "invoices", "list", "--status", "draft")
    assert [(x["account"], x["total"], x["number"]) for x in listed["documents"]] == [("carol", "1.55", None)]
    assert "total 21.55 EUR" in ok("invoices", "add-line", draft, "Router", "10", "--quantity", "2", *REASON)
    lines = {x["description"]: x["id"] for x in shown(ok, "invoices", "lines", draft)}
    calls = next(id for name, id in lines.items() if name.startswith("Calls"))
    assert "total 21.00 EUR" in ok("invoices", "correct-line", calls, "--net", "1.00", *REASON)
    assert "total 1.00 EUR" in ok("invoices", "remove-line", lines["Router"], *REASON)
    assert "new numbers" in ok("invoices", "recalculate", draft)
    issued = shown(ok, "invoices", "issue", draft)
    assert (issued["number"], issued["total"], issued["due"]) == ("INV-2026-00001", "1.00", "1.00")
    assert shown(ok, "invoices", "issue", draft)["repeated"]
    for words in (
        ("add-line", draft, "Router", "10", *REASON),
        ("remove-line", calls, *REASON),
        ("discard", draft, *REASON),
        ("recalculate", draft),
    ):
        refusal = refused(pbxbill, "invoices", *words)
        assert "issued and never changed; a credit note corrects it" in refusal or "was removed" in refusal


def test_a_draft_is_given_up(draft: str, ok: Ok, pbxbill: Run) -> None:
    assert "say why" in refused(pbxbill, "invoices", "discard", draft, "--reason", " ")
    assert "the next billing run makes it anew" in ok("invoices", "discard", draft, *REASON)
    assert shown(ok, "invoices", "show", draft)["state"] == "discarded"
    assert "was discarded" in refused(pbxbill, "invoices", "recalculate", draft)


def test_what_lies_in_the_wallet_is_told_when_an_invoice_asks_for_money(
    accounts: BilledAccounts, ok: Ok
) -> None:
    draft = ok("invoices", "new", "carol", "--unit", "eur").split()[-1]
    ok("invoices", "add-line", draft, "Installation", "49.90", *REASON)
    ok("topup", "carol", "557.03")
    said = ok("invoices", "issue", draft).splitlines()
    assert said == [
        "INV-2026-00001: 49.90 EUR, due 49.90",
        "557.03 EUR lies in the wallet: `pbxbill payments from-wallet carol`",
    ]
    said = ok("payments", "from-wallet", "carol").splitlines()
    assert said[:2] == ["INV-2026-00001: 49.90 EUR, open 0.00, paid", "49.90 EUR taken from the wallet"]
    assert_books_in_order(accounts.url)


def test_a_run_that_is_accepted_tells_what_lies_in_wallets(accounts: BilledAccounts, ok: Ok) -> None:
    made = Invoicing(accounts)
    made.charge("carol", "49.90")
    made.top_up("carol", "60")
    made.database.dispose()
    ok("bill", "run", "--account", "carol", "--until", "2026-02-01", "--drafts")
    said = ok("bill", "accept", 1).splitlines()
    assert said[0] == "1 of 1 invoices issued"
    assert said[1].endswith(": 60.00 EUR lies in the wallet: `pbxbill payments from-wallet carol`")
    assert_books_in_order(accounts.url)


def test_what_was_written_off_is_told_of_a_note(draft: str, ok: Ok) -> None:
    number = shown(ok, "invoices", "issue", draft)["number"]
    ok("invoices", "write-off", number, "0.20", *REASON)
    said = ok("invoices", "credit", number, "--whole", *REASON)
    assert "1.35 off the invoice, 0.20 off what was written off, 0.00 into the wallet" in said


def test_an_invoice_by_hand(accounts: BilledAccounts, ok: Ok, pbxbill: Run) -> None:
    draft = ok("invoices", "new", "carol", "--unit", "eur").split()[-1]
    assert "add one, or discard it" in refused(pbxbill, "invoices", "issue", draft)
    ok("invoices", "add-line", draft, "Installation", "49.90", *REASON)
    assert "49.90 EUR, due 49.90" in ok("invoices", "issue", draft)
    assert_books_in_order(accounts.url)


def test_paid_in_parts_disputed_credited(draft: str, ok: Ok, pbxbill: Run) -> None:
    number = shown(ok, "invoices", "issue", draft)["number"]
    paid = shown(ok, "invoices", "pay", number, "0.55", "--method", "cash", "--key", "till 7")
    assert paid["invoices"][0] | {"id": 0} == {
        "id": 0,
        "number": number,
        "amount": "0.55",
        "open": "1.00",
        "state": "partly_paid",
    }
    assert shown(ok, "invoices", "pay", number, "0.55", "--method", "cash", "--key", "till 7")["repeated"]
    assert "was used before" in refused(pbxbill, "invoices", "pay", number, "0.56", "--key", "till 7")
    assert "0.40 EUR" in ok("invoices", "dispute", number, "--amount", "0.40", *REASON)
    ok("invoices", "dispute", number, "--remark", "--reason", "called the customer")
    listed = shown(ok, "invoices", "list", "--status", "disputed")
    assert [x["disputed"] for x in listed["documents"]] == ["0.40"]
    assert "CN-2026-00001 over 0.40 EUR" in ok("invoices", "dispute", number, "--credit", *REASON)
    credited = shown(ok, "invoices", "credit", number, "--amount", "0.10", *REASON)
    assert (credited["number"], credited["off_invoice"], credited["to_wallet"]) == (
        "CN-2026-00002",
        "0.10",
        "0.00",
    )
    ok("invoices", "write-off", number, "0.05", *REASON)
    facts = shown(ok, "invoices", "show", number)
    assert (facts["open"], facts["state"]) == ("0.45", "partly_paid")
    events = [event["event"] for event in facts["events"]]
    assert events == [
        "drafted",
        "issued",
        "payment",
        "disputed",
        "dispute_remark",
        "dispute_settled",
        "credited",
        "credited",
        "write_off",
    ]
    ok("payments", "record", "carol", "1.00", "--reference", "transfer of 3 March")
    rows = shown(ok, "payments", "list", "carol")
    assert [(x["kind"], x["received"], x["to_invoices"]) for x in rows] == [
        ("payment", "1.00", "0.45"),
        ("write-off", "0.00", "0.05"),
        ("payment", "0.55", "0.55"),
    ]
    back = shown(ok, "payments", "reverse", rows[0]["entry"], "--reason", "bounced")
    assert back["invoices"][0]["open"] == "0.45"
    assert "is reversed already" in refused(pbxbill, "payments", "reverse", rows[0]["entry"], *REASON)
    ok("topup", "carol", "1")
    assert shown(ok, "payments", "from-wallet", "carol")["invoices"][0]["state"] == "paid"
    listed = shown(ok, "invoices", "list")
    sums = {x["kind"]: (x["documents"], x["total"], x["open"]) for x in listed["sums"]}
    assert sums == {"credit_note": (2, "0.50", "0.00"), "invoice": (1, "1.55", "0.00")}


def test_notes_by_line_and_what_is_refused(draft: str, ok: Ok, pbxbill: Run) -> None:
    assert "is draft, not issued" in refused(pbxbill, "invoices", "credit", draft, "--whole", *REASON)
    number = shown(ok, "invoices", "issue", draft)["number"]
    (line,) = shown(ok, "invoices", "lines", number)
    ok("invoices", "credit", number, "--line", f"{line['id']}:1.05", *REASON)
    refusals = {
        ("--line", f"{line['id']}:0.51"): "0.50 EUR is left of it",
        ("--line", "x"): "write ID or ID:NET",
        ("--amount", "0.51"): "is more than the 0.50 EUR left of it",
        ("--amount", "1", "--whole"): "say either --whole, or --amount, or --line",
        (): "say either",
    }
    for words, sentence in refusals.items():
        assert sentence in refused(pbxbill, "invoices", "credit", number, *words, *REASON)
    ok("invoices", "credit", number, "--whole", *REASON)
    assert shown(ok, "invoices", "show", number)["state"] == "cancelled"
    assert "nothing is left" in refused(pbxbill, "invoices", "credit", number, "--whole", *REASON)
    debited = shown(ok, "invoices", "debit", number, "Forgotten", "2.00", *REASON)
    assert (debited["number"], debited["due"]) == ("DN-2026-00001", "2.00")
    assert "say by --unit" in refused(pbxbill, "invoices", "list", "--least", "1")
    assert "there is no document" in refused(pbxbill, "invoices", "show", "INV-77")


def test_pages(draft: str, ok: Ok) -> None:
    ok("invoices", "issue", draft)
    ok("invoices", "credit", draft, "--amount", "0.10", *REASON)
    first = shown(ok, "invoices", "list", "--limit", "1")
    assert [x["kind"] for x in first["documents"]] == ["credit_note"]
    second = shown(ok, "invoices", "list", "--limit", "1", "--before", first["next"])
    assert [(x["kind"], x["overdue"]) for x in second["documents"]] == [("invoice", False)]
    assert second["next"] is None
    assert "--before" in ok("invoices", "list", "--limit", "1")


def test_history_both_ways_calls_and_papers(draft: str, ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    number = shown(ok, "invoices", "issue", draft)["number"]
    told = shown(ok, "invoices", "history", number)
    assert [(x["kind"], x["called"], x["amount"]) for x in told["lines"]] == [
        ("usage", "493012345", "1.20"),
        ("usage", "33612345", "0.35"),
    ]
    assert [x["role"] for x in told["since"]] == ["issued"]
    for name in ("entry", "call"):
        (on,) = shown(ok, "invoices", "of", told["lines"][0][name])
        assert (on["number"], on["role"], on["account"]) == (number, "line", "carol")
    assert "On no invoice yet" in ok("invoices", "of", "0" * 32)
    calls = ok("invoices", "export-calls", number).splitlines()
    assert calls[0] == "started,caller,called,destination,duration,seconds,total_EUR,tax_EUR"
    assert calls[1] == "2026-01-03 12:00:00,2001,493012345,Germany,0:10:00,600,1.20,0.00"
    for form, begins in (("pdf", b"%PDF-"), ("html", b"<!doctype html>")):
        file = tmp_path / f"it.{form}"
        ok("invoices", "render", number, "--to", file, "--format", form)
        assert file.read_bytes().startswith(begins)
    assert "no structured form" in refused(pbxbill, "invoices", "render", number, "--format", "xml")


def test_quotes(accounts: BilledAccounts, ok: Ok, pbxbill: Run) -> None:
    lines = ("--line", "Router", "2", "49.95", "--line", "Visit", "1", "80")
    made = shown(ok, "quotes", "new", "carol", "--unit", "EUR", "--valid-until", "2028-01-01", *lines)
    assert made["total"] == "179.90"
    other = shown(ok, "quotes", "new", "bob", "--unit", "EUR", "--valid-until", "2028-01-01", *lines)
    assert "accepted: INV-" in ok("quotes", "accept", made["number"], "--issue")
    assert shown(ok, "quotes", "accept", made["number"])["repeated"]
    ok("quotes", "refuse", other["number"], "--reason", "too dear")
    assert "is refused already" in refused(pbxbill, "quotes", "accept", other["number"])
    states = [(x["account"], x["state"]) for x in shown(ok, "quotes", "list")]
    assert states == [("bob", "refused"), ("carol", "accepted")]
    assert "quotes expired: 0" in ok("quotes", "expire")
    past = ("quotes", "new", "carol", "--unit", "EUR", "--valid-until", "2020-01-01", *lines)
    assert "until a moment to come" in refused(pbxbill, *past)
    assert "either --line, or --plan" in refused(
        pbxbill, "quotes", "new", "carol", "--valid-until", "2028-01-01"
    )
    assert_books_in_order(accounts.url)


def test_re_rating_issues_the_notes(draft: str, ok: Ok, tmp_path: Path) -> None:
    number = shown(ok, "invoices", "issue", draft)["number"]
    deck = tmp_path / "cheaper.csv"
    deck.write_text("prefix,destination,price,initial,following\n49,Germany,0.07,1,1\n33,France,0.30,60,60\n")
    ok("rates", "import", deck, "--deck", "retail", "--effective", "2020-01-01", "--backdate", "--yes")
    words = ("rerate", "--from", "2026-01-01", "--to", "2026-02-01", "--apply", "--json")
    done = json.loads(ok(*words))
    assert [(x["account"], x["kind"], x["total"]) for x in done["notes"]] == [
        ("carol", "credit note", "0.55")
    ]
    assert shown(ok, "invoices", "show", number)["open"] == "1.00"
