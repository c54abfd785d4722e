"""Payments by several processes, some of which die: nobody pays twice, and all that was paid is booked."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.other_process import go, line, started
from tests.store.paying_accounts import Paying, paying_accounts

AT_THE_GATEWAY = ("dies", "died")
AT_COMMITS = ("before:1", "after:1", "before:2", "after:2")
KILLED = -9


@pytest.fixture
def paying(accounts: BilledAccounts, tmp_path: Path) -> Iterator[Paying]:
    with paying_accounts(accounts, tmp_path) as made:
        yield made
        made.agree()
    assert_books_in_order(accounts.url)


def run_killed(paying: Paying, point: str, *words: object) -> None:
    """Let a process do something, and die at a point of it."""
    request = {"start": "start", "charge": "charge", "refund": "refund"}.get(str(words[0]), "")
    if point in AT_THE_GATEWAY:
        paying.gateway.fault(request, point)
    dies_at = "" if point in AT_THE_GATEWAY else point
    path = paying.folder / "gateway.json"
    now_us = paying.clock.now_us()
    with started("payment_process", paying.accounts.url, path, now_us, dies_at, *words) as process:
        assert line(process) == "ready"
        go(process)
        assert process.wait(30) == KILLED


@pytest.mark.parametrize("point", [*AT_THE_GATEWAY, *AT_COMMITS])
def test_a_process_that_dies_while_it_charges_charges_once(paying: Paying, point: str) -> None:
    paying.save_card()
    run_killed(paying, point, "charge", paying.accounts.ids["bob"])
    paying.poll(130)
    paying.poll(3600)
    charged = 0 if point == "before:1" else 1  # nothing was written, and the gateway never heard of it
    assert (paying.gateway.charges, paying.wallet()) == (charged, eur("10") * charged)


@pytest.mark.parametrize("point", [*AT_THE_GATEWAY, *AT_COMMITS])
def test_a_process_that_dies_while_it_starts_a_payment_loses_none(paying: Paying, point: str) -> None:
    run_killed(paying, point, "start", paying.accounts.ids["bob"])
    for key in paying.gateway.keys("open"):
        paying.gateway.pay(key)  # its page was open
    paying.poll(130)
    paying.poll(3600)
    assert paying.wallet() == paying.gateway.holds * 10_000
    waiting = "SELECT COUNT(*) FROM gateway_payments WHERE state IN ('asking', 'open')"
    assert paying.accounts.select(waiting) == [(0,)]


@pytest.mark.parametrize("point", ["before:1", "after:1"])
def test_a_process_that_dies_while_it_handles_a_webhook_books_it_once(paying: Paying, point: str) -> None:
    begun = paying.start("10")
    paying.gateway.pay(begun.key)
    headers, body = paying.told(begun.key)
    run_killed(paying, point, "webhook", headers["x-at"], headers["x-signature"], body.decode())
    assert paying.wallet() == (0 if point == "before:1" else eur("10"))
    assert paying.tell((headers, body)).status == 200  # unanswered, it comes again
    assert paying.wallet() == eur("10")


@pytest.mark.parametrize("point", [*AT_THE_GATEWAY, *AT_COMMITS])
def test_a_process_that_dies_while_it_gives_back_gives_back_once(paying: Paying, point: str) -> None:
    paid = paying.paid("10")
    run_killed(paying, point, "refund", paid.id)
    paying.poll(130)
    paying.poll(3600)
    assert paying.gateway.holds == (1000 if point == "before:1" else 0)


@pytest.mark.parametrize("point", ["before:2", "after:2"])
def test_a_process_that_dies_while_it_polls_is_followed_by_the_next(paying: Paying, point: str) -> None:
    begun = paying.start("10")
    paying.gateway.pay(begun.key)
    paying.later(200)
    run_killed(paying, point, "poll")  # its first commit takes the payment for itself
    paying.poll(130)
    assert paying.wallet() == eur("10")


def test_processes_that_handle_one_webhook_at_the_same_moment_book_it_once(paying: Paying) -> None:
    begun = paying.start("10")
    paying.gateway.pay(begun.key)
    headers, body = paying.told(begun.key)
    path, now_us = paying.folder / "gateway.json", paying.clock.now_us()
    words = ("webhook", headers["x-at"], headers["x-signature"], body.decode())
    with ExitStack() as stack:
        url = paying.accounts.url
        processes = [
            stack.enter_context(started("payment_process", url, path, now_us, "", *words)) for _ in range(3)
        ]
        assert [line(process) for process in processes] == ["ready"] * 3
        for process in processes:
            go(process)
        assert [line(process) for process in processes] == ["200"] * 3
    assert paying.wallet() == eur("10")
    assert [(outcome, times) for outcome, times, _ in paying.webhooks()] == [("handled", 3)]
