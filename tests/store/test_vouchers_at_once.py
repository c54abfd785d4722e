"""Vouchers tried by several processes at once, and processes killed in the middle."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pbxbill.billing.codes.vouchers import Redeemed
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.other_process import Process, go, line, started
from tests.store.voucher_shop import VoucherShop


@pytest.fixture
def shop(accounts: BilledAccounts, tmp_path: Path) -> Iterator[VoucherShop]:
    made = VoucherShop(accounts, folder=tmp_path)
    yield made
    made.database.dispose()
    assert_books_in_order(accounts.url)


def _told(process: Process) -> list[str]:
    return list(iter(lambda: line(process), "done"))


def test_eight_processes_that_try_the_same_codes_redeem_each_once(shop: VoucherShop) -> None:
    codes = shop.made(count=6)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                started("redeeming_process", shop.accounts.url, shop.accounts.ids[code], *codes)
            )
            for code in ("bob", "hot", "carol", "bob", "hot", "carol", "bob", "alice")
        ]
        for process in processes:
            assert line(process) == "ready"
        for process in processes:
            go(process)
        told = Counter(word for process in processes for word in _told(process))
    assert told["redeemed"] == 6
    assert told["other_issuer"] == 6
    assert told["used"] + told["used_by_you"] == 36
    assert sum(shop.accounts.wallet(code)[0] for code in ("bob", "hot", "carol")) == eur("60")


def test_a_process_that_is_killed_leaves_no_half_redeemed_voucher(shop: VoucherShop) -> None:
    codes = shop.made(count=30)
    with started("redeeming_process", shop.accounts.url, shop.accounts.ids["bob"], *codes) as process:
        assert line(process) == "ready"
        go(process)
        for _ in range(10):
            assert line(process) == "redeemed"
        process.kill()
        process.wait(timeout=10)
    after = [shop.redeem(code, "hot") for code in codes]
    redeemed = sum(isinstance(outcome, Redeemed) for outcome in after)
    assert redeemed <= 20
    assert shop.accounts.wallet("hot")[0] == redeemed * eur("10")
    assert shop.accounts.wallet("bob")[0] == (30 - redeemed) * eur("10")


def test_a_making_that_is_killed_goes_on_and_loses_no_code(shop: VoucherShop) -> None:
    batch_id = shop.batch(count=60)
    words = (shop.accounts.url, batch_id, shop.path(batch_id))
    with started("making_process", *words) as process:
        assert [line(process), line(process)] == ["7", "14"]
        process.kill()
        process.wait(timeout=10)
    written = shop.path(batch_id).read_text().splitlines()[1:15]
    assert shop.fill(batch_id, new=False).active
    assert shop.path(batch_id).read_text().splitlines()[1:15] == written
    codes = shop.codes(batch_id)
    assert len(set(codes)) == 60
    outcomes = [shop.redeem(code) for code in codes]
    assert all(isinstance(outcome, Redeemed) for outcome in outcomes)


def test_two_processes_that_make_the_same_batch_do_not_mix(shop: VoucherShop) -> None:
    batch_id = shop.batch(count=60)
    with ExitStack() as stack:
        other = shop.folder / "other.csv"
        for path in (shop.path(batch_id), other):
            process = stack.enter_context(started("making_process", shop.accounts.url, batch_id, path))
            while line(process):
                pass
    # The second found the first one's vouchers, whose codes are not in its file.
    assert len(shop.codes(batch_id)) == 60
    assert len(other.read_text().splitlines()) == 1
    assert all(isinstance(shop.redeem(code), Redeemed) for code in shop.codes(batch_id))
