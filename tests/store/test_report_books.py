"""Reports about money say what the books say."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pbxbill.access.actor import Scope
from pbxbill.billing.books.recognition import recognise_all
from pbxbill.billing.invoices.debit_notes import debit
from pbxbill.billing.invoices.draft_editing import NewLine
from pbxbill.billing.invoices.note_amounts import Amount
from pbxbill.billing.invoices.notes import credit
from pbxbill.ledger.accounts import REVENUES, LedgerCode
from pbxbill.reports import statements
from pbxbill.reports.catalogue import REPORTS, made, operator_scope, page_of
from pbxbill.reports.dashboard import first_page
from pbxbill.reports.making import TooLarge
from pbxbill.reports.report import Asked, Table
from pbxbill.store.models import AccountRow
from tests.small_operator import eur
from tests.store.billed_accounts import FRANCE, BilledAccounts
from tests.store.invoiced_accounts import JANUARY, Invoicing


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    made_ = Invoicing(accounts)
    yield made_
    made_.database.dispose()


def table(billing: Invoicing, name: str, code: str = "", **values: str) -> Table:
    with billing.transaction() as session:
        wanted = AccountRow.code == code if code else AccountRow.kind == "operator"
        account = session.query(AccountRow).filter(wanted).one()
        asked = Asked(Scope(account.id, account.path), values, "UTC", billing.clock.now_us())
        return made(session, REPORTS[name], asked)


def test_revenue_with_notes_is_the_revenue_of_the_books(billing: Invoicing) -> None:
    billing.tax(20)
    billing.call("carol", 600, 3)
    billing.call("carol", 61, 4, FRANCE)
    billing.call("alice", 120, 5)
    billing.charge("carol", "20", day=5, collection="wallet", service=JANUARY)
    billing.charge("carol", "7", day=6)
    issued = billing.invoice("carol")
    now_us = billing.clock.now_us()
    with billing.transaction() as session:
        credit(session, billing.books, issued.invoice_id, Amount(eur("5")), "wrong", now_us, "test")
        line = NewLine("A visit", eur("3"))
        debit(session, billing.books, issued.invoice_id, [line], "forgotten", now_us, "test")
    days = {"from": "2026-01-01", "to": "2026-02-28"}
    booked = -sum(billing.balance(x) for x in (*REVENUES, LedgerCode.DEFERRED))
    for group in ("day", "month", "customer"):
        found = table(billing, "revenue", group=group, **days)
        assert [x["income"] for x in found.totals] == [booked]
        assert sum(x.get("income") or 0 for x in found.rows) == booked
        assert sum(x.get("notes") or 0 for x in found.rows) == found.totals[0]["notes"] < 0
    january = table(billing, "revenue", group="month", **days).rows[0]
    assert "notes" not in january
    # The first page says of today what the report does, notes included.
    today = datetime.fromtimestamp(now_us // 1_000_000, UTC).date().isoformat()
    (of_today,) = table(billing, "revenue", **{"from": today, "to": today}).totals
    assert of_today["notes"] < 0
    with billing.transaction() as session:
        operator = session.query(AccountRow).filter(AccountRow.kind == "operator").one()
        earned, _ = first_page(session, operator, now_us, "UTC")
    assert earned.by_unit["EUR"][-1].income == of_today["income"]


def wallet_at(billing: Invoicing, code: str, at_us: int) -> int:
    ((amount,),) = billing.accounts.select(
        "SELECT CAST(COALESCE(-SUM(p.amount), 0) AS BIGINT) FROM wallets w "
        "JOIN postings p ON p.ledger_account_id = w.ledger_account_id "
        "JOIN journal_entries e ON e.id = p.entry_id "
        f"WHERE w.account_id = {billing.accounts.ids[code]} AND w.unit = 'EUR' AND e.at_us < {at_us}"
    )
    return int(amount)


def test_a_statement_opens_and_closes_as_the_ledger_does(billing: Invoicing) -> None:
    day_us = 86_400_000_000
    for day in (2, 12, 22):
        billing.top_up("carol", "10", day)
        billing.call("carol", 300, day)
        billing.call("alice", 60, day)
    days = {"from": "2026-01-10", "to": "2026-01-20"}
    from_us, to_us = JANUARY.from_us + 9 * day_us, JANUARY.from_us + 20 * day_us

    def lines(found: Table) -> dict[str, Any]:
        return {x["what"]: x["amount"] for x in found.rows}

    carol = lines(table(billing, "statement", account="carol", **days))
    assert (carol["opening"], carol["closing"]) == (
        wallet_at(billing, "carol", from_us),
        wallet_at(billing, "carol", to_us),
    )
    assert carol["top-up"] == eur("10")
    assert carol["opening"] + carol["top-up"] + carol["usage"] == carol["closing"]
    resellers = table(billing, "statement", **days)
    reseller = lines(resellers)
    assert {x["code"] for x in resellers.rows} == {"reseller"}
    assert reseller["closing"] == wallet_at(billing, "reseller", to_us)
    assert reseller["opening"] == wallet_at(billing, "reseller", from_us) != 0
    own = table(billing, "statement", "reseller", group="customer", **days)
    assert {x["code"] for x in own.rows} == {"alice"}


def test_a_page_does_not_wait_for_statements_of_many_movements(
    billing: Invoicing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (2, 12):
        billing.top_up("carol", "10", day)
    values = {"account": "carol", "from": "2026-01-10", "to": "2026-01-20"}

    def page(most: int) -> Table:
        monkeypatch.setattr(statements, "MOST_READ", most)
        with billing.transaction() as session:
            now_us = billing.clock.now_us()
            return page_of(session, "statement", operator_scope(session), values, zone="UTC", now_us=now_us)

    assert page(2).rows == table(billing, "statement", **values).rows
    with pytest.raises(TooLarge, match="background"):
        page(1)


def test_what_was_deferred_and_held_is_told_of_any_day_as_the_ledger_has_it(billing: Invoicing) -> None:
    day_us = 86_400_000_000
    billing.top_up("carol", "10", 2)
    billing.call("carol", 300, 12)
    billing.top_up("carol", "30", 22)
    billing.charge("carol", "31", day=5, collection="wallet", service=JANUARY)
    issued = billing.invoice("carol")
    now_us = billing.clock.now_us()
    with billing.transaction() as session:
        credit(session, billing.books, issued.invoice_id, Amount(eur("6")), "wrong", now_us, "test")
    billing.clock.step(40 * day_us)
    now_us = billing.clock.now_us()
    assert list(recognise_all(billing.database, billing.books, now_us, now_us))
    for day in ("2026-01-03", "2026-01-15", "2026-01-31", "2026-02-15", "2026-03-31"):
        to_us = int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) * 1_000_000 + day_us
        deferred = -ledger_at(billing, "deferred:revenue", to_us)
        for group in ("kind", "customer", "reseller"):
            found = table(billing, "deferred", to=day, group=group)
            assert sum(x["left"] for x in found.rows) == deferred, day
            assert sum(x["left"] for x in found.totals) == deferred
        for group in ("mode", "customer", "reseller"):
            held = table(billing, "prepaid", to=day, group=group)
            wallets = sum(x["held"] - x["owed"] for x in held.rows if x["unit"] == "EUR")
            assert wallets == -ledger_at(billing, "wallet", to_us), day


def ledger_at(billing: Invoicing, code: str, at_us: int) -> int:
    """The operator's account at a moment; debit above zero."""
    ((amount,),) = billing.accounts.select(
        "SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM postings p "
        "JOIN ledger_accounts l ON l.id = p.ledger_account_id JOIN journal_entries e ON e.id = p.entry_id "
        f"WHERE l.code = '{code}' AND l.issuer_id = (SELECT id FROM accounts WHERE parent_id IS NULL) "
        f"AND l.unit = 'EUR' AND e.at_us < {at_us}"
    )
    return int(amount)


def test_each_seller_of_a_subtree_has_a_row_of_what_he_holds(billing: Invoicing) -> None:
    billing.top_up("carol", "10", 2)
    billing.top_up("reseller", "20", 2)
    billing.top_up("alice", "5", 3)
    billing.charge("carol", "31", day=5, collection="wallet", service=JANUARY)
    for day in ("2026-01-10", "2026-01-31"):
        held = table(billing, "prepaid", to=day, group="reseller")
        rows = {x["code"]: x for x in held.rows if x["unit"] == "EUR"}
        mine = table(billing, "prepaid", to=day, group="mode")
        his = table(billing, "prepaid", "reseller", to=day, group="mode")
        for code, own in (("operator", mine), ("reseller", his)):
            assert rows[code]["held"] == sum(x["held"] for x in own.rows if x["unit"] == "EUR")
        alone = table(billing, "prepaid", "reseller", to=day, group="reseller")
        assert {x["code"] for x in alone.rows} == {"reseller"}
        deferred = table(billing, "deferred", to=day, group="reseller")
        own = table(billing, "deferred", to=day, group="kind")
        assert {x["code"]: x["left"] for x in deferred.rows} == {"operator": own.totals[0]["left"]}


def test_taxes_are_told_by_month_and_customer(billing: Invoicing) -> None:
    billing.tax(20)
    billing.call("carol", 600, 3)
    billing.charge("carol", "20", day=5)
    issued = billing.invoice("carol")
    now_us = billing.clock.now_us()
    with billing.transaction() as session:
        credit(session, billing.books, issued.invoice_id, Amount(eur("6")), "wrong", now_us, "test")
    days = {"from": "2026-01-01", "to": "2026-03-31"}
    plain = table(billing, "taxes", **days)
    assert plain.totals[0]["tax"] > 0
    customers = table(billing, "taxes", group="customer", **days)
    assert [x["code"] for x in customers.rows] == ["carol"]
    months = table(billing, "taxes", group="month", **days)
    assert [x["period"] for x in months.rows] == ["2026-02"]
    for found in (customers, months):
        assert found.totals == plain.totals
        assert [(x["base"], x["tax"]) for x in found.rows] == [(x["base"], x["tax"]) for x in plain.rows]
