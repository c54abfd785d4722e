"""Billing runs: whom they bill, that they do it once, and what they tell of bad accounts."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from pbxbill.billing.invoices.billing_account import AccountBilled
from pbxbill.billing.invoices.drafting import discard
from pbxbill.billing.invoices.issuing import issue
from pbxbill.billing.invoices.runs import (
    Counts,
    Definition,
    Failure,
    definition_of,
    money_of,
    preview,
    start_run,
)
from pbxbill.charging.events import Answer, Authorize, Direction, Settle, Settled
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.store.accounts import NewAccount, add_endpoint, open_account, open_wallet
from pbxbill.store.bundles import NewBundle, add_bundle
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import GERMANY, BilledAccounts
from tests.store.billing_runs import APRIL_US, EVERYBODY, MONTHS, Billing
from tests.store.invoiced_accounts import DAY_US, FEBRUARY_US, JANUARY_US, MARCH_US
from tests.store.subscribed_accounts import Shop


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Billing]:
    found = Billing(accounts)
    yield found
    found.database.dispose()
    assert_books_in_order(accounts.url)


@pytest.fixture
def called(billing: Billing) -> Billing:
    """Everybody has called for 100 s in January: 0.20, with tax 0.24, the reseller 0.10 for alice's."""
    for code in ("alice", "bob", "carol", "hot"):
        billing.call(code, 100, 10)
    billing.direct(*EVERYBODY)
    return billing


ALL_OF_JANUARY = [
    ("alice", "2026-01-01", "issued", "0.24"),
    ("bob", "2026-01-01", "issued", "0.20"),
    ("carol", "2026-01-01", "issued", "0.20"),
    ("hot", "2026-01-01", "issued", "0.20"),
    ("reseller", "2026-01-01", "issued", "0.10"),
]


# --- whom a run bills --------------------------------------------------------------------------------


def test_a_run_over_all_bills_each_account_once(called: Billing) -> None:
    run_id = called.run()
    assert called.counts(run_id) == Counts(0, 5, 0)
    assert called.invoices() == ALL_OF_JANUARY
    with called.transaction() as session:
        (money,) = money_of(session, run_id)
    assert (money.unit, money.kind, money.state, money.invoices, money.total) == (
        "EUR",
        "invoice",
        "issued",
        5,
        eur("0.94"),
    )
    again = called.run()
    assert again != run_id
    assert called.chosen(again) == []  # nobody has anything left to bill
    assert called.invoices() == ALL_OF_JANUARY


CHOICES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, [*EVERYBODY]),
    ({"accounts": ("bob",)}, ["bob"]),
    ({"accounts": ("bob", "carol")}, ["bob", "carol"]),
    ({"group": "gold"}, ["bob", "hot"]),
    ({"group": "gold", "accounts": ("bob", "carol")}, ["bob"]),
    ({"reseller": "reseller"}, ["alice"]),
    ({"cycle": "week"}, ["hot"]),
    ({"cycle": "month"}, ["alice", "bob", "carol", "reseller"]),
]


@pytest.mark.parametrize("definition, codes", CHOICES)
def test_whom_a_run_bills(called: Billing, definition: dict[str, Any], codes: list[str]) -> None:
    called.direct("bob", group_name="gold")
    called.direct("hot", group_name="gold", cycle="week")
    run_id = called.run(**definition)
    assert called.chosen(run_id) == codes
    assert sorted({code for code, *_ in called.invoices()}) == codes


def test_accounts_that_a_run_cannot_choose_are_refused(called: Billing) -> None:
    called.clock.step(FEBRUARY_US - called.clock.now_us())
    for definition, why in (
        (Definition(FEBRUARY_US, accounts=("nobody",)), "no account 'nobody'"),
        (Definition(FEBRUARY_US, accounts=("operator",)), "billed by nobody"),
        (Definition(FEBRUARY_US, reseller="nobody"), "no account 'nobody'"),
        (Definition(FEBRUARY_US, cycle="moon"), "no cycle 'moon'"),
        (Definition(MARCH_US), "lies in the future"),
    ):
        with pytest.raises(InputRefused, match=why), called.transaction() as session:
            start_run(session, definition, called.clock.now_us())
    with pytest.raises(InputRefused, match="no billing run 7"), called.transaction() as session:
        definition_of(session, 7)


def test_an_account_without_a_profile_gets_a_draft(billing: Billing) -> None:
    with billing.transaction() as session:
        new = NewAccount("dora", "Dora", mode="postpaid", tariff="plain")
        account = open_account(session, new, JANUARY_US + 4 * DAY_US)
        open_wallet(session, account, "EUR", eur("20"))
        add_endpoint(session, account, "sip", "dora")
        billing.accounts.ids["dora"] = account.id
    billing.call("dora", 100, 10)
    # Months begin with its first day, the 5th.
    run_id = billing.run(MARCH_US, accounts=("dora",))
    assert billing.invoices() == [("dora", "2026-01-05", "draft", "0.20")]
    assert billing.counts(run_id).done == 1


def test_an_account_with_invoicing_none_gets_nothing(called: Billing) -> None:
    called.profile("bob", invoicing="none")
    assert "bob" not in called.chosen(called.run())
    assert [code for code, *_ in called.invoices()] == ["alice", "carol", "hot", "reseller"]
    # What it used waits: invoices begin when somebody wants them.
    called.profile("bob", invoicing="issue")
    called.run()
    assert called.invoices() == ALL_OF_JANUARY


def test_what_is_less_than_the_least_total_waits_for_the_next_period(called: Billing) -> None:
    called.direct("bob", minimum_total=eur("0.30"))
    called.run(accounts=("bob",))
    assert called.invoices() == []
    called.call("bob", 100, 40)
    called.run(MARCH_US, accounts=("bob",))
    assert called.invoices() == [("bob", "2026-02-01", "issued", "0.40")]


def test_periods_that_were_missed_are_billed_one_by_one(called: Billing) -> None:
    called.call("carol", 200, 40)
    called.call("carol", 300, 62)
    run_id = called.run(APRIL_US, accounts=("carol",))
    assert called.invoices() == [
        ("carol", "2026-01-01", "issued", "0.20"),
        ("carol", "2026-02-01", "issued", "0.40"),
        ("carol", "2026-03-01", "issued", "0.60"),
    ]
    ((invoices,),) = called.accounts.select(
        f"SELECT invoices FROM billing_run_accounts WHERE run_id = {run_id}"
    )
    assert invoices == 3


def test_years_of_missed_periods_are_billed_a_few_at_a_time(
    called: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody holds SQLite's lock for years: each period is a transaction when time is up."""
    monkeypatch.setattr("pbxbill.billing.invoices.runs.LONGEST_US", -1)
    called.direct("carol", cycle="day")
    told: list[AccountBilled | None] = []
    run_id = called.start(MARCH_US, accounts=("carol",))
    assert called.worker(run_id).work(tell=told.append)
    assert called.invoices() == [("carol", "2026-01-10", "issued", "0.20")]
    assert (len(told), called.counts(run_id)) == (1, Counts(0, 1, 0))


# --- drafts, previews, stopping -----------------------------------------------------------------------


def test_drafts_are_reviewed_accepted_or_cancelled(called: Billing) -> None:
    run_id = called.run(drafts_only=True)
    assert {state for _, _, state, _ in called.invoices()} == {"draft"}
    first, *rest = called.accounts.select(
        f"SELECT id FROM invoices WHERE run_id = {run_id} ORDER BY account_id"
    )
    with called.transaction() as session:
        discard(session, first[0], "a test", called.clock.now_us())
        for (invoice_id,) in rest:
            issue(session, called.books, invoice_id, called.clock.now_us())
    assert [code for code, *_ in called.invoices()] == ["alice", "bob", "carol", "hot"]
    # The period of the draft that was discarded is billed again.
    called.run(MARCH_US)
    assert called.invoices()[-1] == ("reseller", "2026-01-01", "issued", "0.10")


def test_a_run_whose_drafts_were_discarded_is_made_again(called: Billing) -> None:
    """The same command at once: the same invoices, of the same periods."""
    first = called.run(drafts_only=True)
    made = called.invoices()
    called.discard_all(first)
    assert called.invoices() == []
    second = called.run(drafts_only=True)
    assert second != first
    assert (called.invoices(), called.counts(second).failed) == (made, 0)


def test_a_stopped_run_whose_drafts_were_discarded_bills_these_accounts_as_well(called: Billing) -> None:
    run_id = called.start(drafts_only=True)
    looked: list[AccountBilled | None] = []
    called.worker(run_id).work(stop=lambda: len(looked) == 3, tell=looked.append)
    assert called.end(run_id) == "stopped"
    called.discard_all(run_id)
    assert called.run(drafts_only=True) == run_id
    assert len(called.invoices()) == len(EVERYBODY)


def test_periods_that_were_billed_together_open_together(called: Billing) -> None:
    called.direct("carol", cycle="day")
    run_id = called.run(accounts=("carol",), drafts_only=True)
    made = called.invoices()
    assert called.discard_all(run_id) == [True] * len(made)
    called.run(accounts=("carol",), drafts_only=True)
    assert called.invoices() == made


def test_a_draft_behind_which_a_later_invoice_stands_leaves_its_charges_to_the_next(called: Billing) -> None:
    first = called.run(accounts=("alice",), drafts_only=True)
    called.call("alice", 100, 40)
    called.run(MARCH_US, accounts=("alice",), drafts_only=True)
    assert [day for _, day, _, _ in called.invoices()] == ["2026-01-01", "2026-02-01"]
    assert called.discard_all(first) == [False]
    called.run(MARCH_US, accounts=("alice",), drafts_only=True)
    assert [day for _, day, _, _ in called.invoices()] == ["2026-02-01"]


def test_nobody_is_in_a_group(called: Billing) -> None:
    with pytest.raises(InputRefused, match="nobody is in the group 'none'"):
        called.run(group="none")


def test_a_preview_tells_all_and_leaves_no_trace(called: Billing) -> None:
    called.clock.step(FEBRUARY_US - called.clock.now_us())
    before = called.all_rows()
    told: dict[str, AccountBilled | Failure] = {}
    preview(called.database, called.books, called.clock, Definition(FEBRUARY_US), told.__setitem__)
    assert called.all_rows() == before
    totals = {
        code: [x.total for x in found.invoices]
        for code, found in told.items()
        if isinstance(found, AccountBilled)
    }
    assert totals == {
        "alice": [eur("0.24")],
        "bob": [eur("0.20")],
        "carol": [eur("0.20")],
        "hot": [eur("0.20")],
        "reseller": [eur("0.10")],
    }
    called.run()
    assert called.invoices() == ALL_OF_JANUARY


def test_a_run_that_is_stopped_goes_on_when_it_is_started_again(called: Billing) -> None:
    run_id = called.start()
    done: list[AccountBilled | None] = []
    assert not called.worker(run_id).work(stop=lambda: len(done) == 2, tell=done.append)
    assert called.end(run_id) == "stopped"
    assert called.counts(run_id) == Counts(3, 2, 0)
    assert called.start() == run_id
    assert called.worker(run_id).work()
    assert called.end(run_id) == "done"
    assert called.invoices() == ALL_OF_JANUARY


# --- bad accounts ---------------------------------------------------------------------------------------


def broken_zone(billing: Billing) -> Callable[[], None]:
    return swapped(billing, "billing_profiles", "zone", "'Moon/Base'", "account_id = {bob}")


def broken_anchor(billing: Billing) -> Callable[[], None]:
    return swapped(billing, "billing_profiles", "anchor", "'someday'", "account_id = {bob}")


def broken_call(billing: Billing) -> Callable[[], None]:
    """A call that names a level which was never charged."""
    return swapped(
        billing,
        "journal_entries",
        "idempotency_key",
        "'settle:nobody:x'",
        "id = (SELECT MAX(entry_id) FROM call_charges WHERE account_id = {bob})",
    )


def missing_chart(billing: Billing) -> Callable[[], None]:
    """Of bob's seller, but not of alice's; his revenue stays, or nothing could be proved."""
    return swapped(
        billing,
        "ledger_accounts",
        "code",
        "'tax:gone'",
        "code = 'tax:payable' AND issuer_id = (SELECT parent_id FROM accounts WHERE id = {bob})",
    )


def out_of_range(billing: Billing) -> Callable[[], None]:
    """Amounts whose sum no column holds."""
    ids = [billing.charge("bob", "1", day=5), billing.charge("bob", "1", day=5)]
    place = f"id IN ({ids[0]}, {ids[1]})"
    mend = swapped(billing, "charges", "net", str(2**62 + 10**6), place)

    def mended() -> None:
        mend()
        execute(billing, f"DELETE FROM charges WHERE {place}")

    return mended


def swapped(billing: Billing, table: str, column: str, value: str, where: str) -> Callable[[], None]:
    """Break a value behind the product's back; what mends it."""
    where = where.format(**billing.accounts.ids)
    before = billing.accounts.select(f"SELECT {key_of(table)}, {column} FROM {table} WHERE {where}")
    assert before
    execute(billing, f"UPDATE {table} SET {column} = {value} WHERE {where}")

    def mend() -> None:
        for key, old in before:
            quoted = f"'{old}'" if isinstance(old, str) else old
            name = f"'{key}'" if isinstance(key, str) else key
            execute(billing, f"UPDATE {table} SET {column} = {quoted} WHERE {key_of(table)} = {name}")

    return mend


def key_of(table: str) -> str:
    return "account_id" if table == "billing_profiles" else "id"


def execute(billing: Billing, statement: str) -> None:
    with billing.transaction() as session:
        session.execute(text(statement))


BAD: list[tuple[Callable[[Billing], Callable[[], None]], str]] = [
    (broken_zone, "Moon/Base"),
    (broken_anchor, "someday"),
    (broken_call, ""),
    (missing_chart, "the seller's books in EUR lack tax:payable"),
    (out_of_range, ""),
]


@pytest.mark.parametrize("make_bad, why", BAD, ids=lambda x: getattr(x, "__name__", ""))
def test_a_bad_account_stops_nothing_and_is_billed_once_it_is_mended(
    called: Billing, make_bad: Callable[[Billing], Callable[[], None]], why: str
) -> None:
    mend = make_bad(called)
    told: dict[str, AccountBilled | Failure] = {}
    called.clock.step(FEBRUARY_US - called.clock.now_us())
    preview(called.database, called.books, called.clock, Definition(FEBRUARY_US), told.__setitem__)
    run_id = called.run()
    wrong = called.failures(run_id)
    direct = ["bob", "carol", "hot", "reseller"]
    bad = direct if make_bad is missing_chart else ["bob"]
    assert [failure.account for failure in wrong] == bad
    assert all(why in failure.why and failure.why for failure in wrong)
    assert [code for code, found in told.items() if isinstance(found, Failure)] == sorted(
        bad, key=list(told).index
    )
    good = [invoice for invoice in ALL_OF_JANUARY if invoice[0] not in bad]
    assert called.invoices() == good
    mend()
    again = called.run()
    assert called.chosen(again) == bad
    assert called.failures(again) == []
    assert called.invoices() == ALL_OF_JANUARY


def test_a_broken_plan_is_told_of_and_billed_once_it_is_mended(called: Billing) -> None:
    shop = Shop(called.accounts, called.database, called.clock)
    shop.plan("basic", PLAN)
    shop.subscribe("bob", "basic")
    ((definition,),) = called.accounts.select("SELECT definition FROM plan_versions")
    execute(called, "UPDATE plan_versions SET definition = '{broken'")
    run_id = called.run()
    assert [failure.account for failure in called.failures(run_id)] == ["bob"]
    with called.transaction() as session:
        session.execute(text("UPDATE plan_versions SET definition = :it"), {"it": definition})
    called.run()
    # 5.00 in advance from 1 January, with 1 February's: that is asked for when it begins.
    assert [x for x in called.invoices() if x[0] == "bob"] == [("bob", "2026-01-01", "issued", "10.20")]


def test_a_run_that_failed_for_some_tries_them_again_when_it_is_started_again(called: Billing) -> None:
    mend = broken_anchor(called)
    run_id = called.start()
    done: list[AccountBilled | None] = []
    called.worker(run_id).work(stop=lambda: len(done) == 4, tell=done.append)
    assert called.end(run_id) == "stopped"
    mend()
    assert called.start() == run_id
    called.worker(run_id).work()
    assert called.end(run_id) == "done"
    assert called.counts(run_id) == Counts(0, 5, 0)
    assert called.invoices() == ALL_OF_JANUARY


# --- bundles --------------------------------------------------------------------------------------------

PLAN = 'unit = "EUR"\ncollection = "invoice"\n[[charge]]\nname = "Fee"\nprice = 5\n'


def test_a_bundle_is_full_again_when_its_cycle_begins(billing: Billing) -> None:
    """100 minutes to Germany in January are used up and paid for; February has them again."""
    billing.direct("bob")
    with billing.transaction() as session:
        add_bundle(session, NewBundle("hundred", "seconds", 6_000))
    shop = Shop(billing.accounts, billing.database, billing.clock)
    shop.plan("bundled", 'bundles = ["hundred"]\n' + PLAN)
    shop.subscribe("bob", "bundled")
    shop.top_up("bob", "1")

    def talk(minutes: int, month: int, day_of_month: int) -> int:
        """What a call costs that is authorized, answered and settled."""
        at_us = MONTHS[month] + (day_of_month - 1) * DAY_US
        billing.clock.step(max(0, at_us - billing.clock.now_us()))
        with billing.accounts.engine() as engine:
            session_id = new_id()
            call = Authorize(session_id, "s1", session_id, Direction.OUTBOUND, GERMANY, "", at_us, "bob")
            engine.execute(call)
            engine.execute(Answer(session_id, at_us, "leg"))
            settled = engine.execute(Settle(session_id, at_us, at_us + minutes * 60_000_000, 16))
        assert isinstance(settled, Settled), settled
        return settled.total

    assert talk(60, 0, 10) == 0
    assert talk(45, 0, 12) == eur("0.60")  # 40 left, 5 at 0.12
    assert talk(1, 0, 20) == eur("0.12")
    billing.run(FEBRUARY_US, accounts=("bob",))
    assert talk(100, 1, 3) == 0
    assert talk(1, 1, 4) == eur("0.12")
    billing.run(MARCH_US, accounts=("bob",))
    assert [(first, total) for _, first, _, total in billing.invoices()] == [
        ("2026-01-01", "10.72"),  # January and February in advance, 0.72 of calls
        ("2026-02-01", "5.12"),
    ]
