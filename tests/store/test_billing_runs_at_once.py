"""Billing runs by many processes: killed at any point, two at once, one run shared; the same invoices."""

import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from pbxbill.billing.invoices.billing_account import AccountBilled
from pbxbill.billing.invoices.parallel import work_in_processes
from pbxbill.billing.invoices.runs import Counts, Definition, Failure, preview
from pbxbill.charging.events import Authorize, Direction, SettleOffline
from pbxbill.ids import new_id
from pbxbill.store.accounts import NewAccount, add_endpoint, open_account, open_wallet
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import GERMANY, BilledAccounts
from tests.store.billing_runs import APRIL_US, EVERYBODY, MONTHS, Billing
from tests.store.invoiced_accounts import DAY_US, JANUARY_US
from tests.store.other_process import Process, go, line, started

CUSTOMERS = 8


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Billing]:
    found = Billing(accounts)
    yield found
    found.database.dispose()
    assert_books_in_order(accounts.url)


@pytest.fixture
def many(billing: Billing) -> Billing:
    """Eight more customers, half of them alice's reseller's, who called in three months."""
    with billing.transaction() as session:
        for number in range(CUSTOMERS):
            parent = "reseller" if number % 2 else None
            new = NewAccount(f"c{number}", f"C{number}", parent=parent, mode="postpaid", tariff="taxed")
            account = open_account(session, new, JANUARY_US)
            open_wallet(session, account, "EUR", eur("50"))
            add_endpoint(session, account, "sip", new.code)
            billing.accounts.ids[new.code] = account.id
    codes = [*EVERYBODY, *(f"c{number}" for number in range(CUSTOMERS))]
    with billing.accounts.engine() as engine:
        for month in MONTHS:
            for number in range(CUSTOMERS):
                session_id, at_us = new_id(), month + number * DAY_US
                request = Authorize(
                    session_id, "s1", session_id, Direction.OUTBOUND, GERMANY, "", at_us, f"c{number}"
                )
                lasts_us = (60 + number) * 1_000_000
                engine.execute(SettleOffline(request, at_us, at_us + lasts_us, 16, owed_in_full=True))
    billing.direct(*codes)
    billing.clock.step(APRIL_US - billing.clock.now_us())
    return billing


def expected(billing: Billing) -> dict[str, list[int]]:
    """What a run will come to, by account."""
    told: dict[str, AccountBilled | Failure] = {}
    preview(billing.database, billing.books, billing.clock, Definition(APRIL_US), told.__setitem__)
    totals = {}
    for code, found in told.items():
        assert isinstance(found, AccountBilled), found
        totals[code] = [invoice.total for invoice in found.invoices]
    return {code: found for code, found in totals.items() if found}


def billed(billing: Billing) -> dict[str, list[int]]:
    """What there is, by account."""
    totals: dict[str, list[int]] = {}
    for code, total in billing.accounts.select(
        "SELECT a.code, i.total FROM invoices i JOIN accounts a ON a.id = i.account_id "
        "WHERE i.number IS NOT NULL ORDER BY a.id, i.from_us"
    ):
        totals.setdefault(code, []).append(total)
    return totals


@contextmanager
def billing_process(billing: Billing) -> Iterator[Process]:
    words = (billing.accounts.url, APRIL_US, billing.clock.now_us())
    with started("billing_process", *words) as process:
        yield process


def test_a_run_that_is_killed_at_any_point_comes_to_the_same(many: Billing) -> None:
    """kill -9 after some accounts and some milliseconds more, again and again, until one gets to the end."""
    wanted, chance = expected(many), random.Random(1)
    for _ in range(5):
        with billing_process(many) as process:
            assert line(process) == "ready"
            go(process)
            for _ in range(chance.randrange(1, 4)):
                line(process)
            try:
                process.wait(chance.random() / 20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)
        assert_books_in_order(many.accounts.url)
    many.run(APRIL_US)
    assert billed(many) == wanted
    runs = many.accounts.select("SELECT state, accounts FROM billing_runs WHERE accounts > 0")
    assert runs == [("done", CUSTOMERS + 5)]  # the one that was killed went on
    many.run(APRIL_US)
    assert billed(many) == wanted


def test_two_runs_at_once_come_to_the_same(many: Billing) -> None:
    wanted = expected(many)
    with billing_process(many) as one, billing_process(many) as other:
        assert [line(one), line(other)] == ["ready", "ready"]
        go(one)
        go(other)
        told = [process.communicate(timeout=100)[0].split() for process in (one, other)]
        assert [one.returncode, other.returncode] == [0, 0]
    assert "failed" not in told[0] + told[1]
    assert billed(many) == wanted


def test_runs_at_once_over_accounts_that_nobody_said_anything_of(many: Billing) -> None:
    """Both make their profiles, and one of them each draft."""
    with many.transaction() as session:
        theirs = "(SELECT id FROM accounts WHERE name LIKE 'C_' OR name LIKE 'C__')"
        session.execute(text(f"DELETE FROM billing_profiles WHERE account_id IN {theirs}"))
    with billing_process(many) as one, billing_process(many) as other:
        assert [line(one), line(other)] == ["ready", "ready"]
        go(one)
        go(other)
        told = [process.communicate(timeout=100)[0].split() for process in (one, other)]
        assert [one.returncode, other.returncode] == [0, 0]
    assert "failed" not in told[0] + told[1]
    ((drafts,),) = many.accounts.select("SELECT COUNT(*) FROM invoices WHERE state = 'draft'")
    assert drafts == 3 * CUSTOMERS


def test_processes_share_a_run(many: Billing) -> None:
    wanted = expected(many)
    run_id = many.start(APRIL_US)
    told: list[Counts] = []
    assert work_in_processes(many.accounts.url, None, run_id, 2, tell=told.append, clock=many.clock)
    assert told[-1] == many.counts(run_id) == Counts(0, CUSTOMERS + 5, 0)
    assert many.end(run_id) == "done"
    assert billed(many) == wanted


def test_processes_that_are_told_to_stop_finish_their_account(many: Billing) -> None:
    wanted = expected(many)
    run_id = many.start(APRIL_US)
    stopping = threading.Event()

    def stop_soon(now: Counts) -> None:
        if now.done:
            stopping.set()

    whole = work_in_processes(
        many.accounts.url, None, run_id, 2, stop=stopping.is_set, tell=stop_soon, clock=many.clock
    )
    assert whole is (not many.counts(run_id).waiting)
    assert_books_in_order(many.accounts.url)
    assert many.start(APRIL_US) == run_id or whole
    assert work_in_processes(many.accounts.url, None, run_id, 2, clock=many.clock)
    assert billed(many) == wanted
