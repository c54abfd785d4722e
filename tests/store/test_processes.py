"""Several engines on one database, and engines that are killed: nothing is doubled, nothing is lost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pbxbill.charging.events import TopUp
from pbxbill.ids import new_id
from tests.small_operator import eur
from tests.store.billed_accounts import CLOCK, BilledAccounts
from tests.store.other_process import Process, go, line, started
from tests.store.story import story


@contextmanager
def engine_process(accounts: BilledAccounts, task: str, *, seed: int = 0, calls: int) -> Iterator[Process]:
    """A process that waits for a line before it begins."""
    with started("engine_process", accounts.url, json.dumps(accounts.ids), task, seed, calls) as process:
        yield process


def test_simultaneous_calls_on_one_wallet_never_overspend(accounts: BilledAccounts) -> None:
    """200 calls from two processes, money for 20 of them, and top-ups by a third while they talk."""
    with (
        accounts.engine() as engine,
        engine_process(accounts, "spend", calls=100) as one,
        engine_process(accounts, "spend", calls=100) as other,
    ):
        engine.execute(TopUp("first", accounts.ids["hot"], "EUR", eur("2.40"), CLOCK.now_us()))
        assert [line(one), line(other)] == ["ready", "ready"]
        go(one)
        go(other)
        for _ in range(5):
            top_up = TopUp(new_id(), accounts.ids["hot"], "EUR", eur("0.123456"), CLOCK.now_us())
            engine.execute(top_up)
        results = [json.loads(line(process)) for process in (one, other)]
    funds = eur("2.40") + 5 * eur("0.123456")
    spent = sum(result["spent"] for result in results)
    posted, reserved, overdraft = accounts.wallet("hot")
    assert (posted, reserved, overdraft) == (funds - spent, 0, 0)
    assert posted >= 0
    assert all(result["uncollected"] == 0 for result in results)
    assert 20 <= sum(result["calls"] for result in results) <= 200
    assert accounts.problems() == []


def test_two_processes_tell_their_stories_on_the_same_accounts(accounts: BilledAccounts) -> None:
    with (
        engine_process(accounts, "tell", seed=1, calls=150) as one,
        engine_process(accounts, "tell", seed=2, calls=150) as other,
    ):
        assert [line(one), line(other)] == ["ready", "ready"]
        go(one)
        go(other)
        for process in (one, other):
            assert process.wait(100) == 0
    assert accounts.select("SELECT COUNT(*) FROM cdrs") == [(300,)]
    assert accounts.problems() == []


@pytest.mark.parametrize("windows", [0, 1, 4])
def test_an_engine_killed_in_the_middle_loses_and_doubles_nothing(
    accounts: BilledAccounts, windows: int
) -> None:
    """kill -9 while a batch is in flight, then the same commands again, by another engine."""
    with engine_process(accounts, "tell", seed=3, calls=200) as process:
        assert line(process) == "ready"
        go(process)
        for _ in range(windows):
            line(process)
        process.kill()
        process.wait(30)
    # The story is an old one: its open calls are forgotten calls, and nothing else is wrong with them.
    assert [x for x in accounts.problems() if "still open" not in x] == []
    told = story(3, 200, accounts.ids)
    with accounts.engine() as engine:
        for future in [engine.submit(command) for command in told]:
            future.result(60)
    assert accounts.problems() == []
    assert accounts.select("SELECT COUNT(*) FROM cdrs") == [(200,)]
    assert accounts.select("SELECT COUNT(*) FROM reservations WHERE state IN ('reserved', 'answered')") == [
        (0,)
    ]
    # What was taken in and given back by hand is there once, whatever was refused for want of funds.
    ((keys, distinct),) = accounts.select(
        "SELECT COUNT(*), COUNT(DISTINCT idempotency_key) FROM journal_entries WHERE kind <> 'usage'"
    )
    top_ups = {x.idempotency_key for x in told if isinstance(x, TopUp)}
    assert len(top_ups) <= keys == distinct
