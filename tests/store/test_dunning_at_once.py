"""Dunning by several processes at once, killed in between, beside payments, with faults: each level once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any

import pytest

from pbxbill.billing.dunning import dunning_runs
from pbxbill.billing.dunning.dunning import dun_account
from pbxbill.billing.dunning.dunning_catalogue import import_penalty, import_policy, make_standard
from pbxbill.billing.dunning.dunning_facts import enrol
from pbxbill.billing.payments.payments import NewPayment, record_payment
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import NewAccount, open_account, open_wallet
from pbxbill.store.driver import connect
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.dunned_accounts import FEE, Dunned
from tests.store.invoiced_accounts import JANUARY, operator_id
from tests.store.other_process import go, line, started

CODES = tuple(f"late{number}" for number in range(8))
POLICY = """\
brake = "100"
[[level]]
days = 3
action = "fee"
penalty = "reminder"
[[level]]
days = 10
action = "bar_outgoing"
"""


@pytest.fixture
def dunned(accounts: BilledAccounts) -> Iterator[Dunned]:
    """Eight customers with an overdue invoice over 10.00 each."""
    opened = Dunned(accounts)
    with opened.transaction() as session:
        operator = session.get_one(AccountRow, operator_id(session))
        import_penalty(session, operator, "reminder", FEE, 0)
        opened.policy = import_policy(session, operator, "standard", POLICY, 0)
        make_standard(session, opened.policy.id, 0)
        for code in CODES:
            account = open_account(session, NewAccount(code, code.title(), mode="postpaid"), 0)
            open_wallet(session, account, "EUR", credit_limit=eur("100"))
            set_profile(session, account.id, ProfileTerms(emails=(f"{code}@example.net",)))
            accounts.ids[code] = account.id
    for code in CODES:
        opened.charge(code, "10")
        opened.invoice(code, JANUARY)
    yield opened
    opened.database.dispose()
    assert_books_in_order(accounts.url)


def counts(dunned: Dunned) -> tuple[int, int, int]:
    """Steps, fees and messages of dunning."""
    return tuple(
        dunned.accounts.select(f"SELECT COUNT(*) FROM {what}")[0][0]
        for what in ("dunning_steps", "charges WHERE kind = 'late_fee'", "outbox WHERE kind = 'dunning'")
    )


def test_runs_at_once_do_each_level_once(dunned: Dunned) -> None:
    dunned.day(3)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started("dunning_process", dunned.accounts.url, dunned.clock.now_us()))
            for _ in range(3)
        ]
        for process in processes:
            assert line(process) == "ready"
        for process in processes:
            go(process)
        for process in processes:
            while line(process) != "done":
                pass
    assert counts(dunned) == (8, 8, 8)


def test_a_process_that_is_killed_is_taken_over(dunned: Dunned) -> None:
    dunned.day(3)
    with started("dunning_process", dunned.accounts.url, dunned.clock.now_us()) as process:
        assert line(process) == "ready"
        go(process)
        assert line(process) == "1"
        process.kill()
    assert 1 <= counts(dunned)[0] <= 8
    dunned.run()
    assert counts(dunned) == (8, 8, 8)


def test_who_pays_while_a_run_bars_is_not_barred_afterwards(dunned: Dunned) -> None:
    dunned.until(3)
    dunned.day(10)

    def pay(code: str) -> None:
        books = Bookkeeper(lambda: connect(dunned.accounts.url), dunned.clock)
        other = Dunned(dunned.accounts, dunned.clock)
        other.books = books
        other.pay("10", code=code)
        other.database.dispose()

    with ThreadPoolExecutor(5) as pool:
        payments = [pool.submit(pay, code) for code in CODES[:4]]
        pool.submit(dunned.run).result(120)
        for payment in payments:
            payment.result(120)
    assert [dunned.status(code) for code in CODES] == ["active"] * 4 + ["no_outgoing"] * 4


def test_an_account_that_fails_stops_no_other(dunned: Dunned, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = dunned.accounts.ids[CODES[2]]

    def failing(session: Any, books: Any, book: Any, account_id: int, now_us: int) -> Any:
        if account_id == bad:
            raise InputRefused("its address is nonsense")
        return dun_account(session, books, book, account_id, now_us)

    monkeypatch.setattr(dunning_runs, "dun_account", failing)
    dunned.day(3)
    done = dunned.run()
    assert (done.failed, counts(dunned)) == (1, (7, 7, 7))
    alerts = dunned.accounts.select("SELECT detail FROM alerts WHERE kind = 'dunning_failed'")
    assert alerts == [("InputRefused: its address is nonsense",)]
    monkeypatch.undo()
    dunned.run()
    assert counts(dunned) == (7, 7, 7)
    dunned.day(3, hour=11)
    dunned.run()
    assert counts(dunned) == (8, 8, 8)


def test_a_run_that_is_stopped_goes_on_where_it_was(dunned: Dunned) -> None:
    dunned.day(3)
    seen: list[int] = []
    done = dunning_runs.run(
        dunned.database, dunned.books, dunned.clock, lambda: bool(seen), lambda at, of=None: seen.append(at)
    )
    assert not done.whole or counts(dunned)[0] == 8
    dunned.run()
    assert counts(dunned) == (8, 8, 8)


def test_who_pays_while_invoices_are_noted_is_not_dunned(dunned: Dunned) -> None:
    dunned.day(3)
    with ThreadPoolExecutor(1) as pool:
        with dunned.transaction() as session:
            account = session.get_one(AccountRow, dunned.accounts.ids[CODES[0]])
            new = NewPayment(eur("10"), "EUR", "bank", "paid")
            record_payment(session, dunned.books, account, new, dunned.clock.now_us())
            run = pool.submit(dunned.run)
            wait([run], timeout=2)  # it looks at invoices that nobody else sees as paid yet
        run.result(120)
    dunned.run()
    assert counts(dunned)[0] == 7
    left = dunned.accounts.select("SELECT COUNT(*) FROM dunning_states")
    assert left == [(7,)]


def test_two_note_the_same_invoices_at_once(dunned: Dunned) -> None:
    dunned.day(3)
    with ThreadPoolExecutor(1) as pool:
        with dunned.transaction() as session:
            assert enrol(session, dunned.clock.now_us()) == 8
            run = pool.submit(dunned.run)
            wait([run], timeout=2)
        run.result(120)
    assert counts(dunned) == (8, 8, 8)


def test_many_invoices_are_noted_some_in_a_transaction(
    dunned: Dunned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pbxbill.billing.dunning.dunning_facts.ENROLLED_TOGETHER", 3)
    dunned.day(3)
    with dunned.transaction() as session:
        assert enrol(session, dunned.clock.now_us()) == 3
    dunned.run()
    assert counts(dunned) == (8, 8, 8)


def test_the_brake_counts_who_is_barred_again_within_a_day(dunned: Dunned) -> None:
    dunned.until(3)
    dunned.until(10)
    entries = [dunned.pay("10", code=code).entry_id for code in CODES[:3]]
    with dunned.transaction() as session:
        operator = session.get_one(AccountRow, operator_id(session))
        few = POLICY.replace('brake = "100"', 'brake = "0"\nbrake_accounts = 1')
        import_policy(session, operator, "standard", few, 0)
    for hour, entry_id in enumerate(entries, 9):
        dunned.day(30, hour)
        dunned.take_back(entry_id)
        dunned.run()
    assert [dunned.status(code) for code in CODES[:3]] == ["no_outgoing", "active", "active"]
    assert dunned.accounts.select("SELECT state FROM dunning_policies") == [("stopped",)]
