"""Runs, money and hands at the same moment: nobody waits for ever, and what is in force is what counts."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from pbxbill.billing.life_cycle.life_cycle import enter, prolong
from pbxbill.billing.life_cycle.life_cycle_runs import run_life_cycles
from pbxbill.billing.life_cycle.suspending import HAND, lift, suspend
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import TopUp
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import ManualClock
from pbxbill.errors import StoreUnavailable
from pbxbill.ids import new_id
from pbxbill.store.driver import connect
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow
from tests.small_operator import eur
from tests.store.living_accounts import Living
from tests.store.subscribed_accounts import Shop, moment_us

ROUNDS = 12
DAY_US = 86_400_000_000
POLICY = """
alerts = []
brake_accounts = 50
[validity]
days = 1
[stages]
no_outgoing = 0
suspended = 1
"""


def test_a_top_up_while_a_run_lets_the_account_enter_is_booked(living: Living) -> None:
    living.policy(POLICY)
    shop, now_us = living.shop, moment_us("2026-01-01")
    bob = shop.accounts.ids["bob"]

    def fill() -> None:
        with transaction(shop.database) as session:
            prolong(session, bob, unit="EUR", amount=eur("1"), now_us=now_us)

    with ThreadPoolExecutor(1) as pool:
        with transaction(shop.database) as session:
            assert enter(session, session.get_one(AccountRow, bob), now_us) is not None
            filled = pool.submit(fill)
            wait([filled], timeout=2)
        filled.result(60)
    assert living.run("2026-01-01").failed == 0


@pytest.mark.parametrize("runners", [1, 2])
def test_runs_top_ups_and_hands_at_the_same_accounts_agree(living: Living, runners: int) -> None:
    living.policy(POLICY)
    living.run("2026-01-01")
    shop = living.shop
    account_ids = [shop.accounts.ids[code] for code in ("bob", "hot")]
    faults: list[BaseException] = []
    together = threading.Barrier(runners + 2, timeout=30)

    def run() -> None:
        clock = ManualClock(moment_us("2026-01-01"))
        own = Living(Shop(shop.accounts, shop.database, clock))
        for _ in range(ROUNDS):
            clock.advance(DAY_US)
            found = run_life_cycles(shop.database, own.billing, clock)
            assert found.failed == 0

    def fill() -> None:
        clock = ManualClock(moment_us("2026-01-01"))
        books = Bookkeeper(lambda: connect(shop.accounts.url), clock)
        for number in range(ROUNDS * 2):
            clock.advance(DAY_US // 2)
            account_id, now_us = account_ids[number % 2], clock.now_us()
            with transaction(shop.database) as session:
                books.post(session, [TopUp(new_id(), account_id, "EUR", eur("1"), now_us)])
                prolong(session, account_id, unit="EUR", amount=eur("1"), now_us=now_us)

    def bar() -> None:
        for number in range(ROUNDS * 2):
            account_id, now_us = account_ids[number % 2], moment_us("2026-01-01") + number
            with transaction(shop.database) as session:
                status = AccountStatus.INACTIVE
                suspend(session, account_id, status, cause=HAND, reason="", now_us=now_us, cut=True)
            with transaction(shop.database) as session:
                lift(session, account_id, cause=HAND, now_us=now_us + 1)

    def guarded(work: Callable[[], None]) -> None:
        try:
            together.wait()
            work()
        except (AssertionError, StoreUnavailable, threading.BrokenBarrierError) as fault:
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (*[run] * runners, fill, bar)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert faults == []
    assert living.run().failed == 0
    # The fixtures prove the promises: a status is that of the worst suspension, a stage what it bars.
