"""Tariffs that take a tax which their buyers do not owe: said before, and not issued unseen after."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxbill.billing.invoices.billing_account import AccountBilled, bill_account
from pbxbill.billing.invoices.drafting import Drafted, recalculate
from pbxbill.billing.invoices.interim import bill_to_now
from pbxbill.billing.invoices.issuing import Issued
from pbxbill.billing.parties import set_party
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.store.accounts import tariff_by_name
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import BilledAccounts
from tests.store.billing_runs import Billing
from tests.store.command_line import Ok, Run, shown
from tests.store.invoiced_accounts import DAY_US, FEBRUARY_US, JANUARY

FRENCH = {"country": "FR", "vat_id": "40303265045"}
REVERSE = "the VAT id FR40303265045 is of another member state"


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Billing]:
    """alice, whose tariff takes 19 %, is billed by a reseller in Germany: 19 % there."""
    found = Billing(accounts)
    found.tax(19, issuer="reseller")
    party(found, "reseller", country="DE")
    found.direct("alice")
    found.call("alice", 600, 3)
    found.charge("alice", "10")
    yield found
    found.database.dispose()
    assert_books_in_order(accounts.url)


def party(billing: Billing, code: str, **changes: str) -> None:
    with billing.transaction() as session:
        set_party(session, billing.accounts.ids[code], changes)


def bill(billing: Billing, *, to_now: bool = False) -> AccountBilled:
    alice = billing.accounts.ids["alice"]
    billing.clock.step(max(0, FEBRUARY_US - billing.clock.now_us()))
    with billing.transaction() as session:
        if to_now:
            return bill_to_now(session, billing.books, alice, billing.clock.now_us())
        return bill_account(session, billing.books, alice, FEBRUARY_US, billing.clock.now_us())


def conflict(billing: Billing) -> str:
    with billing.transaction() as session:
        return tax_conflict(session, billing.accounts.ids["alice"], FEBRUARY_US)


def events(billing: Billing, invoice_id: int) -> list[str]:
    rows = billing.accounts.select(
        f"SELECT kind FROM invoice_events WHERE invoice_id = {invoice_id} ORDER BY id"
    )
    return [kind for (kind,) in rows]


def test_a_tariff_that_takes_what_is_owed_is_issued_by_itself(billing: Billing) -> None:
    party(billing, "alice", country="DE")
    assert conflict(billing) == ""
    billed = bill(billing)
    assert [x.issued for x in billed.invoices] == [True]
    assert billed.nothing == ()
    assert events(billing, billed.invoices[0].invoice_id) == ["drafted", "issued"]


def test_an_issuer_without_rates_leaves_taxes_to_the_tariffs(billing: Billing) -> None:
    with billing.transaction() as session:
        assert tax_conflict(session, billing.accounts.ids["bob"], FEBRUARY_US) == ""
        assert tax_conflict(session, session.query(AccountRow).filter_by(kind="operator").one().id, 1) == ""
        carol = session.get_one(AccountRow, billing.accounts.ids["carol"])
        carol.tariff_id = tariff_by_name(session, "taxed").id
        assert tax_conflict(session, carol.id, FEBRUARY_US) == ""


def test_under_reverse_charge_the_draft_waits_for_somebody(billing: Billing) -> None:
    """Of one page 10.00 would say AE, and the calls' 0.02 per minute 19 %."""
    party(billing, "alice", **FRENCH)
    assert conflict(billing) == (
        "tariff taxed takes 19 % tax itself, but for alice the issuer's rules say VAT 0 % (AE): "
        f"{REVERSE}; use a tariff without tax, and the invoice taxes its usage"
    )
    billed = bill(billing)
    (made,) = billed.invoices
    assert not made.issued
    (note,) = billed.nothing
    assert note == (
        f"EUR: draft {made.invoice_id} waits for review: 19 % tax was taken by a tariff, but the issuer's "
        f"rules say VAT 0 % (AE): {REVERSE}; `pbxbill invoices issue {made.invoice_id}` issues it as it is"
    )
    # Found again, it is still not issued; by hand it is.
    with billing.transaction() as session:
        again = recalculate(session, made.invoice_id, billing.clock.now_us())
    assert again.tax_conflict
    found = billing.draft("alice")
    assert isinstance(found, Drafted)
    assert (found.repeated, found.tax_conflict) == (True, again.tax_conflict)
    assert events(billing, made.invoice_id) == ["drafted", "tax-conflict", "recalculated", "tax-conflict"]
    assert isinstance(billing.issue(made.invoice_id), Issued)


def test_a_bill_to_now_waits_too(billing: Billing) -> None:
    bill(billing)
    party(billing, "alice", **FRENCH)
    billing.call("alice", 60, 33)
    billing.clock.step(5 * DAY_US)
    billed = bill(billing, to_now=True)
    assert [x.issued for x in billed.invoices] == [False]
    assert "waits for review" in billed.nothing[0]


def test_a_draft_that_is_reckoned_again_after_the_mend_is_as_any(billing: Billing) -> None:
    party(billing, "alice", **FRENCH)
    drafted = billing.draft("alice")
    assert isinstance(drafted, Drafted)
    assert drafted.tax_conflict
    party(billing, "alice", country="DE", vat_id="")
    with billing.transaction() as session:
        assert recalculate(session, drafted.invoice_id, billing.clock.now_us()).tax_conflict == ""
    billed = bill(billing)
    assert [(x.invoice_id, x.issued) for x in billed.invoices] == [(drafted.invoice_id, True)]
    assert billing.row(drafted.invoice_id)["state"] != "draft"


def test_calls_without_tax_of_their_own_make_no_conflict(billing: Billing) -> None:
    """bob's tariff takes none, whatever he owes."""
    billing.tax(19, issuer="")
    with billing.transaction() as session:
        assert tax_conflict(session, billing.accounts.ids["bob"], FEBRUARY_US) == ""
    billing.call("bob", 60, 3)
    drafted = billing.draft("bob", JANUARY)
    assert isinstance(drafted, Drafted)
    assert drafted.tax_conflict == ""


@pytest.fixture
def taxed_tariff(ok: Ok, tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text("prefix,name,price\n49,Germany,0.02\n")
    ok("init")
    ok("issuers", "set", "--zone", "Europe/Berlin")
    ok("parties", "set", "operator", "--legal-name", "Netz GmbH", "--country", "DE", "--vat-id", "136695976")
    ok("taxes", "add", "USt", "19", "--country", "DE", "--from", "2021-01-01")
    ok("rates", "import", "rates.csv", "--deck", "retail", "--yes")
    ok("rates", "import", "rates.csv", "--deck", "messages", "--measure", "messages", "--yes")
    taxes = ("--tax-mode", "exclusive", "--tax", "19")
    ok("tariffs", "add", "net", "--deck", "retail")
    ok("tariffs", "add", "taxed", "--deck", "retail", *taxes)
    ok("tariffs", "add", "messages", "--deck", "messages", *taxes)


@pytest.mark.usefixtures("taxed_tariff")
def test_commands_warn(pbxbill: Run, ok: Ok) -> None:
    def told(*words: str) -> str:
        result = pbxbill(*words)
        assert result.exit_code == 0, result.output
        return result.stderr

    assert told("accounts", "add", "fanny", "--unit", "EUR", "--tariff", "taxed") == ""
    assert REVERSE in told("parties", "set", "fanny", "--country", "FR", "--vat-id", "40303265045")
    warned = told("taxes", "test", "fanny", "100", "--json")
    assert warned.startswith("warning: tariff taxed takes 19 % tax itself, but for fanny the issuer's rules")
    assert REVERSE in shown(ok, "taxes", "test", "fanny", "100")["warning"]
    assert told("accounts", "set", "fanny", "--tariff", "net") == ""
    assert told("taxes", "test", "fanny", "100") == ""
    assert "tariff taxed takes" in told("accounts", "set", "fanny", "--inbound-tariff", "taxed")
    assert told("accounts", "set", "fanny", "--inbound-tariff", "none") == ""
    assert "tariff messages takes" in told("services", "set", "fanny", "messages", "messages")
    assert "warning" not in told("parties", "set", "fanny", "--vat-id", "")

    assert told("accounts", "add", "alice", "--unit", "EUR", "--tariff", "taxed") == ""
    assert "exempt: Embassy" in told(
        "taxes", "exempt", "alice", "--reason", "Embassy", "--from", "2028-01-01"
    )
    assert told("taxes", "test", "alice", "100", "--day", "2027-12-31") == ""
    ok("parties", "set", "alice", "--country", "DE", "--vat-id", "136695976")
    assert "reverse charge is set" in told("billing", "set", "alice", "--tax-treatment", "reverse_charge")
    assert told("billing", "set", "alice", "--tax-treatment", "standard") == ""


def test_show_tells_of_it_and_a_run_is_accepted_without_it(billing: Billing, ok: Ok, pbxbill: Run) -> None:
    party(billing, "alice", **FRENCH)
    run_id = billing.run(drafts_only=True)
    ((draft_id,),) = billing.accounts.select("SELECT id FROM invoices WHERE total > 10000000")
    shown_events = json.loads(ok("invoices", "show", str(draft_id), "--json"))["events"]
    assert [x["event"] for x in shown_events] == ["drafted", "tax-conflict"]
    assert REVERSE in shown_events[1]["detail"]
    accepted = pbxbill("bill", "accept", str(run_id))
    assert "waits for review" in accepted.stderr
    assert billing.row(draft_id)["state"] == "draft"
    ok("invoices", "issue", str(draft_id))
    assert billing.row(draft_id)["state"] != "draft"
