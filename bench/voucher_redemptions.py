"""Redemptions of the same vouchers from several processes at once: how many succeed, and how fast they are.

bench.payments calls redeem_at_once() on a fresh database; run as a module this is one of the processes.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from bench.figures import percentile
from pbxbill.billing.codes.voucher_batches import NewBatch, facts_of, make_vouchers, open_batch
from pbxbill.billing.codes.voucher_file import VoucherFile, read_file
from pbxbill.billing.codes.vouchers import Redeemed, redeem
from pbxbill.billing.promises import verify_all
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SystemClock
from pbxbill.errors import StoreUnavailable
from pbxbill.money import Unit
from pbxbill.store.accounts import NewAccount, ensure_unit, open_account, open_operator, open_wallet
from pbxbill.store.driver import connect
from pbxbill.store.engine import migrate, open_engine, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import VoucherBatchRow

PROCESSES, VOUCHERS, TRIES = 8, 100, 1_000
_VALUE = 10_000_000


class Redemptions(NamedTuple):
    """What came of the tries."""

    tries: int
    redeemed: int
    refused: int
    took_s: float
    p50_ms: float
    p99_ms: float
    in_wallets: int
    """Of a voucher's value, by the wallets themselves."""
    problems: int
    """What verify found."""


def redeem_at_once(url: str) -> Redemptions:
    """Make a batch on an empty database and let the processes loose on it, each for a customer of its own."""
    migrate(url)
    clock = SystemClock()
    database = open_engine(url)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vouchers.csv"
        with transaction(database) as session:
            batch, ids = _opened(session, clock.now_us())
            file = VoucherFile(path, facts_of(session, batch), new=True)
        make_vouchers(database, batch.id, file)
        file.close()
        codes = [voucher.code for voucher in read_file(path)[1]]
    tried = codes * (TRIES // VOUCHERS)
    Random(1).shuffle(tried)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.voucher_redemptions", url, str(account_id)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for account_id in ids
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    began_s = time.perf_counter()
    for number, process in enumerate(processes):
        assert process.stdin is not None
        process.stdin.write(" ".join(tried[number::PROCESSES]) + "\n")
        process.stdin.flush()
    told = [json.loads(process.communicate(timeout=300)[0]) for process in processes]
    took_s = time.perf_counter() - began_s
    took_ms = [x for found in told for x in found["took_ms"]]
    driver = connect(url)
    ((held,),) = driver.select("SELECT CAST(COALESCE(SUM(posted), 0) AS BIGINT) FROM wallets")
    problems = sum(x.problem_count for x in verify_all(driver, clock))
    driver.close()
    database.dispose()
    redeemed = sum(found["redeemed"] for found in told)
    return Redemptions(
        len(took_ms),
        redeemed,
        len(took_ms) - redeemed,
        took_s,
        percentile(took_ms, 50),
        percentile(took_ms, 99),
        held // _VALUE,
        problems,
    )


def _opened(session: Session, now_us: int) -> tuple[VoucherBatchRow, list[int]]:
    """The batch, and the customers who redeem it."""
    ensure_unit(session, Unit("EUR"))
    operator = open_operator(session, "Operator", now_us)
    ids = []
    for number in range(PROCESSES):
        account = open_account(session, NewAccount(f"c{number}", f"Customer {number}"), now_us)
        open_wallet(session, account, "EUR")
        ids.append(account.id)
    new = NewBatch("bench", "EUR", _VALUE, VOUCHERS, now_us)
    return open_batch(session, operator, new, now_us), ids


def main() -> None:
    """Redeem the codes of a line for an account, and tell how it went."""
    url, account_id = sys.argv[1:]
    clock = SystemClock()
    database = open_engine(url)
    books = Bookkeeper(lambda: connect(url), clock)
    with transaction(database) as session:
        account = session.scalars(select(AccountRow).where(AccountRow.id == int(account_id))).one()
    print("ready", flush=True)
    redeemed, took_ms = 0, []
    for code in sys.stdin.readline().split():
        began_ns = time.perf_counter_ns()
        outcome = None
        while outcome is None:
            try:
                with transaction(database) as session:
                    outcome = redeem(session, books, account, code, channel="api", now_us=clock.now_us())
            except StoreUnavailable:
                books.forget()  # the lock was not had in time: whoever redeems tries again
        took_ms.append((time.perf_counter_ns() - began_ns) / 1e6)
        redeemed += isinstance(outcome, Redeemed)
    database.dispose()
    print(json.dumps({"redeemed": redeemed, "took_ms": took_ms}))


if __name__ == "__main__":
    main()
