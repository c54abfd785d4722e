"""Drafts and invoices made at once, by processes that are killed, and faults in between: each entry once."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy.orm import Session

from pbxbill.billing.invoices import drafting, issuing, preparing
from pbxbill.billing.invoices.billed import RunMemory
from pbxbill.billing.invoices.drafting import Drafted, Nothing, discard, draft_period, recalculate
from pbxbill.billing.invoices.issuing import AlreadyIssued, Issued, issue
from pbxbill.billing.invoices.preparing import prepare
from pbxbill.billing.subscriptions.charges_by_hand import withdraw_charge
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.accounts import NewAccount, add_endpoint, open_account, open_wallet
from pbxbill.store.driver import connect
from pbxbill.store.engine import reading, transaction
from tests.small_operator import eur
from tests.store.billed_accounts import FRANCE
from tests.store.invoiced_accounts import FEBRUARY, JANUARY, Invoicing
from tests.store.other_process import Process, go, line, started

THREADS = 4


def at_once(*tasks: Any) -> list[Any]:
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result(60) for future in [pool.submit(task) for task in tasks]]


def invoiced_entries(invoicing: Invoicing) -> int:
    return int(invoicing.accounts.select("SELECT COUNT(*) FROM invoice_entries")[0][0])


def test_two_drafts_of_a_period_are_one(invoicing: Invoicing) -> None:
    for day in range(1, 11):
        invoicing.call("carol", 60, day)
    invoicing.clock.step(JANUARY.to_us - invoicing.clock.now_us())
    made = at_once(*[lambda: invoicing.draft("carol")] * THREADS)
    assert len({drafted.invoice_id for drafted in made}) == 1
    assert sorted(drafted.repeated for drafted in made) == [False, True, True, True]
    assert invoiced_entries(invoicing) == 10


def test_drafts_of_two_periods_share_nothing(invoicing: Invoicing) -> None:
    for day in range(1, 50, 5):
        invoicing.call("carol", 60, day)
    invoicing.clock.step(FEBRUARY.to_us - invoicing.clock.now_us())
    made = at_once(lambda: invoicing.draft("carol", FEBRUARY), lambda: invoicing.draft("carol", JANUARY))
    # Whoever comes first takes what is there; the other finds what is left, or nothing.
    totals = [drafted.total for drafted in made if isinstance(drafted, Drafted)]
    assert sum(totals) == eur("1.20")
    assert invoiced_entries(invoicing) == 10


def test_an_invoice_is_issued_once(invoicing: Invoicing) -> None:
    invoicing.call("carol", 100, 3)
    drafted = invoicing.draft("carol")
    assert isinstance(drafted, Drafted)

    def issue_it() -> object:
        books = Bookkeeper(lambda: connect(invoicing.accounts.url), invoicing.clock)
        with invoicing.transaction() as session:
            return issue(session, books, drafted.invoice_id, invoicing.clock.now_us())

    outcomes = at_once(*[issue_it] * THREADS)
    assert sorted(type(x).__name__ for x in outcomes) == ["AlreadyIssued"] * 3 + ["Issued"]
    numbers = {x.number for x in outcomes if isinstance(x, Issued | AlreadyIssued)}
    assert len(numbers) == 1
    assert invoicing.balance(LedgerCode.RECEIVABLE) == eur("0.20")


def test_a_draft_is_discarded_or_issued_never_outcome_of(invoicing: Invoicing) -> None:
    for day in range(1, 6):
        invoicing.call("carol", 60, day)
        drafted = invoicing.draft("carol")
        assert isinstance(drafted, Drafted)

        def throw(id: int = drafted.invoice_id) -> None:
            with invoicing.transaction() as session:
                discard(session, id, "again", 1)

        def outcome_of(task: Any) -> object:
            refused: object
            try:
                return task()
            except InputRefused as refusal:
                refused = refusal
            return refused

        outcomes = at_once(
            lambda: outcome_of(throw), lambda id=drafted.invoice_id: outcome_of(lambda: invoicing.issue(id))
        )
        state = invoicing.row(drafted.invoice_id)["state"]
        assert state in {"discarded", "issued"}
        assert sum(isinstance(x, InputRefused) for x in outcomes) == 1
        if state == "issued":
            break


class Struck(Exception):
    """The fault of a test."""


STEPS = [
    (preparing, "gather"),
    (drafting, "_write_lines"),
    (drafting, "_write_taxes"),
    (drafting, "happened"),
    (issuing, "locked_wallet"),
    (issuing, "_post"),
    (issuing, "_collect_charges"),
    (issuing, "next_number"),
    (issuing, "build_document"),
    (issuing, "document_to_json"),
    (issuing, "happened"),
]


@pytest.mark.parametrize("module,step", STEPS, ids=[step for _, step in STEPS])
def test_a_fault_at_any_step_leaves_nothing_half_done(
    invoicing: Invoicing, monkeypatch: pytest.MonkeyPatch, module: Any, step: str
) -> None:
    invoicing.call("carol", 100, 3)
    invoicing.charge("carol", "9.90")
    whole = getattr(module, step)

    def struck(*given: Any, **named: Any) -> Any:
        whole(*given, **named)
        raise Struck

    def bill(session: Session) -> object:
        drafted = draft_period(
            session, invoicing.accounts.ids["carol"], "EUR", JANUARY, invoicing.clock.now_us()
        )
        assert isinstance(drafted, Drafted)
        return issue(session, invoicing.books, drafted.invoice_id, invoicing.clock.now_us())

    before = invoicing.accounts.wallet("carol")
    with monkeypatch.context() as patched:
        patched.setattr(module, step, struck)
        with pytest.raises(Struck), invoicing.transaction() as session:
            bill(session)
    assert invoicing.accounts.select("SELECT COUNT(*) FROM invoices") == [(0,)]
    assert invoiced_entries(invoicing) == 0
    assert invoicing.accounts.wallet("carol") == before
    with invoicing.transaction() as session:
        issued = bill(session)
    assert isinstance(issued, Issued)
    assert (issued.total, issued.number.endswith("00001")) == (eur("10.10"), True)


@contextmanager
def billing_process(url: str, ids: list[int]) -> Iterator[Process]:
    with started("invoicing_process", url, *ids) as process:
        yield process


@pytest.mark.long
def test_processes_that_bill_the_same_accounts_and_are_killed(invoicing: Invoicing) -> None:
    accounts = invoicing.accounts
    with invoicing.transaction() as session:
        for number in range(12):
            account = open_account(session, NewAccount(f"c{number}", "C", mode="postpaid", tariff="plain"), 0)
            open_wallet(session, account, "EUR", credit_limit=eur("50"))
            add_endpoint(session, account, "sip", account.code)
            accounts.ids[account.code] = account.id
    codes = [f"c{number}" for number in range(12)]
    for number, code in enumerate(codes):
        for day in range(1, 4):
            invoicing.call(code, 60 + number, day, FRANCE)
    ids = [accounts.ids[code] for code in codes]
    chance = random.Random(7)
    with ExitStack() as stack:
        processes = []
        for _ in range(3):
            order = chance.sample(ids, len(ids))
            processes.append(stack.enter_context(billing_process(accounts.url, order)))
        for process in processes:
            assert line(process) == "ready"
        for process in processes:
            go(process)
        for process, after in zip(processes[:2], (2, 5), strict=True):
            for _ in range(after):
                line(process)
            process.kill()
        while line(processes[2]) != "done":
            pass
    rows = accounts.select(
        "SELECT account_id, COUNT(*) FROM invoices WHERE state = 'issued' GROUP BY account_id"
    )
    assert sorted(rows) == [(id, 1) for id in sorted(ids)]
    assert invoiced_entries(invoicing) == 36


def test_a_draft_is_reckoned_again_while_calls_arrive(invoicing: Invoicing) -> None:
    invoicing.call("carol", 60, 1)
    drafted = invoicing.draft("carol")
    assert isinstance(drafted, Drafted)

    def again() -> None:
        for _ in range(5):
            with invoicing.transaction() as session:
                recalculate(session, drafted.invoice_id, 1)

    def calls() -> None:
        for day in range(2, 8):
            invoicing.call("carol", 60, day)

    at_once(again, calls)
    again()
    assert invoicing.lines(drafted.invoice_id) == [("Calls (7)", eur("0.84"))]


@pytest.mark.parametrize("ahead", [False, True])
def test_a_charge_that_is_being_withdrawn_is_on_no_draft(invoicing: Invoicing, ahead: bool) -> None:
    invoicing.call("carol", 100, 3)
    charge_id = invoicing.charge("carol", "10", day=5)
    invoicing.clock.step(JANUARY.to_us - invoicing.clock.now_us())
    carol, now_us, memory = invoicing.accounts.ids["carol"], invoicing.clock.now_us(), RunMemory()
    if ahead:
        with transaction(reading(invoicing.database)) as session:
            prepare(session, carol, "EUR", JANUARY, memory)

    def draft_it() -> Drafted | Nothing:
        with invoicing.transaction() as session:
            return draft_period(session, carol, "EUR", JANUARY, now_us, memory=memory)

    with ThreadPoolExecutor(1) as pool:
        with invoicing.transaction() as session:
            withdraw_charge(session, invoicing.books, charge_id, "mistake", now_us)
            drafting_it = pool.submit(draft_it)
            wait([drafting_it], 0.5)
            assert not drafting_it.done()
        drafted = drafting_it.result(60)
    assert isinstance(drafted, Drafted)
    assert [net for _, net in invoicing.lines(drafted.invoice_id)] == [eur("0.20")]
    assert invoicing.accounts.select(
        f"SELECT collection, invoice_id FROM charges WHERE id = {charge_id}"
    ) == [("void", None)]
