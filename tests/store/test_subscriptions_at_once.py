"""Processes that bill at the same time, and ones that are killed: every charge once, every DID one holder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pbxbill.billing.subscriptions.did_inventory import add_did
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from tests.store.other_process import Process, go, line, started
from tests.store.subscribed_accounts import Shop, moment_us

LINE = 'unit = "EUR"\n[[charge]]\nname = "Line"\nprice = "31"\n'
NUMBER = 'unit = "EUR"\nkind = "did"\n[[charge]]\nname = "Number"\nprice = "3.10"\n'


@contextmanager
def biller(shop: Shop, task: str, code: str = "", at: str = "2026-01-01") -> Iterator[Process]:
    with started("subscription_process", shop.accounts.url, task, code, moment_us(at)) as process:
        assert line(process) == "ready"
        yield process


def result(process: Process) -> Any:
    return json.loads(process.stdout.read().strip().splitlines()[-1])


def four_subscribers(shop: Shop) -> None:
    shop.plan("line", LINE)
    for code in ("bob", "hot"):
        shop.top_up(code, "500")
    for code in ("bob", "hot", "carol", "carol"):
        shop.subscribe(code, "line")


def expect_a_year(shop: Shop) -> None:
    rows = shop.accounts.select(
        "SELECT subscription_id, COUNT(*), COUNT(DISTINCT from_us) FROM charges "
        "GROUP BY subscription_id ORDER BY subscription_id"
    )
    assert rows == [(1, 12, 12), (2, 12, 12), (3, 12, 12), (4, 12, 12)]
    assert (shop.wallet("bob"), shop.wallet("hot"), shop.wallet("carol")) == ("128.00", "128.00", "-744.00")


def test_two_processes_charge_the_same_accounts_once(shop: Shop) -> None:
    four_subscribers(shop)
    with (
        biller(shop, "charge", at="2026-12-15") as one,
        biller(shop, "charge", at="2026-12-15") as other,
    ):
        go(one)
        go(other)
        assert result(one)["made"] + result(other)["made"] == 44
    expect_a_year(shop)


@pytest.mark.parametrize("lines", [0, 1])
def test_a_process_killed_in_the_middle_charges_nothing_twice(shop: Shop, lines: int) -> None:
    four_subscribers(shop)
    with biller(shop, "charge", at="2026-12-15") as process:
        go(process)
        for _ in range(lines):
            line(process)
        process.kill()
        process.wait(30)
    for code in ("bob", "hot", "carol"):
        shop.charge(code, "2026-12-15")
    expect_a_year(shop)


def test_a_did_that_two_processes_assign_at_once_has_one_holder(shop: Shop) -> None:
    shop.plan("number", NUMBER)
    shop.top_up("bob", "10")
    with shop.session() as session:
        add_did(session, issuer_by_code(session, None), "4930555001", shop.now_us)
    with biller(shop, "assign", "bob") as one, biller(shop, "assign", "carol") as other:
        go(one)
        go(other)
        answers = [result(one), result(other)]
    (got,) = [x["got"] for x in answers if "got" in x]
    (refused,) = [x["refused"] for x in answers if "refused" in x]
    assert refused == f"DID 4930555001 is assigned to account {got}"
    assert shop.accounts.select("SELECT COUNT(*) FROM subscriptions") == [(1,)]
    assert len(shop.charges(got)) == 1
    assert shop.accounts.select("SELECT COUNT(*) FROM did_history") == [(1,)]
