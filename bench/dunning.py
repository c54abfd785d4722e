"""Dunning of many open invoices: how long a run takes, how much memory, and as their number grows.

Rows are written straight into the tables. All invoices are due on the same day: the worst that can come, as
after weeks in which nothing ran. Each gets a reminder by mail; then a run in which nothing is due, as most
of a day's runs are; then all accounts are barred, with the brake off.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select, text

from bench.billing_site import TOGETHER
from bench.figures import Figures, progress, run_on_each
from bench.postgres import measured_postgres
from bench.site import EUR, UNIT
from pbxbill.billing.dunning.dunning_catalogue import import_policy, make_standard
from pbxbill.billing.dunning.dunning_promises import DUNNING_RULES
from pbxbill.charging.verify import checked
from pbxbill.clock import SECOND_US
from pbxbill.store.accounts import ensure_chart, ensure_unit, open_operator
from pbxbill.store.billing_models import PartyRow
from pbxbill.store.driver import connect
from pbxbill.store.engine import migrate, open_engine, transaction
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow, LedgerAccountRow, WalletRow

ABOUT = "dunning: open invoices reminded, looked at and barred a second, and memory as they grow"
SIZES = (10_000, 100_000)
QUICK_SIZES = (200, 1_000)
DAY_US = 86_400 * SECOND_US
DUE_US = 1_771_199_999 * SECOND_US
"""The end of 15 February 2026 in UTC."""
POLICY = """\
brake = "100"
[[level]]
days = 3
[[level]]
days = 20
action = "bar_outgoing"
"""
RUNS = (("remind", 3), ("nothing due", 4), ("bar", 23))
"""What is due, and on which day after the due day, at noon."""
FLAT, MOST_MEMORY_MB = 2.0, 400
TIMEOUT_S = 7_200


def open_site(url: str, count: int) -> None:
    """Customers of the operator with an address, a wallet and one overdue invoice each."""
    database = open_engine(url)
    with transaction(database) as session:
        ensure_unit(session, UNIT)
        operator = open_operator(session, "Operator", 0)
        ensure_chart(session, operator.id, UNIT.code)
        policy = import_policy(session, operator, "standard", POLICY, 0)
        make_standard(session, policy.id, 0)
        operator_id = operator.id
    for start in range(0, count, TOGETHER):
        _open_some(database, operator_id, range(start, min(count, start + TOGETHER)))
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET path = '/' || id || '/' WHERE parent_id IS NOT NULL")
        if database.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")
    database.dispose()


def _open_some(database: Engine, operator_id: int, numbers: range) -> None:
    said = {"kind": "customer", "status": "active", "mode": "postpaid", "language": "en"}
    fixed = said | {"failure_policy": "closed", "offline_allowance": 0, "created_us": 0, "path": ""}
    with transaction(database) as session:
        accounts = session.scalars(
            insert(AccountRow).returning(AccountRow.id, sort_by_parameter_order=True),
            [fixed | {"parent_id": operator_id, "code": f"c{x}", "name": f"Customer {x}"} for x in numbers],
        ).all()
        book = {"issuer_id": operator_id, "code": "wallet", "unit": UNIT.code}
        books = session.scalars(
            insert(LedgerAccountRow).returning(LedgerAccountRow.id, sort_by_parameter_order=True),
            [book | {"holder_id": id} for id in accounts],
        ).all()
        sums = {"posted": 0, "reserved": 0, "credit_limit": EUR, "overdraft": 0, "starved": False, "news": 0}
        wallet = sums | {"unit": UNIT.code, "told_us": 0}
        session.execute(
            insert(WalletRow),
            [
                wallet | {"account_id": id, "ledger_account_id": book_id}
                for id, book_id in zip(accounts, books, strict=True)
            ],
        )
        session.execute(
            insert(PartyRow),
            [
                {"account_id": id, "legal_name": f"Customer {id}", "email": f"{id}@example.net"}
                for id in accounts
            ],
        )
        amounts = dict.fromkeys(("net", "total", "due", "open"), 12 * EUR)
        zero = dict.fromkeys(("tax", "from_wallet", "open_wallet", "dunning_step"), 0)
        invoice = amounts | zero | {"issuer_id": operator_id, "kind": "invoice", "state": "issued"}
        dates = {"created_us": 0, "issued_us": DUE_US - 14 * DAY_US, "due_us": DUE_US, "unit": UNIT.code}
        session.execute(
            insert(InvoiceRow),
            [
                invoice | dates | {"account_id": id, "number": f"R{number:07d}"}
                for number, id in zip(numbers, accounts, strict=True)
            ],
        )


def dun(url: str, day: int) -> dict[str, Any]:
    """A run at noon of a day after the due day, in a process of its own."""
    at_us = DUE_US + 1 + (day - 1) * DAY_US + DAY_US // 2
    words = [sys.executable, "-m", "bench.dunning_process", url, str(at_us)]
    child = subprocess.run(words, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if child.returncode:
        raise RuntimeError(child.stderr[-2000:])
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def measure_database(figures: Figures, name: str, url: str, count: int) -> dict[str, Any]:
    """All runs over so many invoices; the first one's figures."""
    migrate(url)
    open_site(url, count)
    first: dict[str, Any] = {}
    for what, day in RUNS:
        progress(f"{name}: {count:,} invoices, {what}")
        took = dun(url, day)
        wanted = 0 if what == "nothing due" else count
        if took["steps"] != wanted or took["failed"] or took["stopped"]:
            raise RuntimeError(f"{wanted} steps were to be done: {took}")
        figures.add(
            f"{name}.{count}.{what}",
            per_s=took["steps"] / took["took_s"],
            seconds=took["took_s"],
            cpu_s=took["cpu_s"],
            peak_mb=took["peak_mb"],
        )
        first = first or took
    _prove(figures, f"{name}.{count}", url, count)
    return first | {"count": count}


def _prove(figures: Figures, name: str, url: str, count: int) -> None:
    """What dunning promises holds, everybody was told, and everybody is barred."""
    driver = connect(url)
    try:
        broken = [rule.name for rule in DUNNING_RULES if not checked(driver, rule).holds]
    finally:
        driver.close()
    database = open_engine(url)
    with transaction(database) as session:
        told = session.scalar(text("SELECT COUNT(*) FROM outbox WHERE kind = 'dunning'"))
        barred = session.scalar(
            select(text("COUNT(*)")).select_from(AccountRow).where(AccountRow.status == "no_outgoing")
        )
    database.dispose()
    wrong = len(broken) + ((told, barred) != (2 * count, count))
    figures.at_most(f"{name}.broken_promises", wrong, 0)


@contextmanager
def _sqlite(folder: Path, count: int) -> Iterator[str]:
    path = folder / f"{count}.db"
    yield f"sqlite:///{path}"
    for left in folder.glob(f"{count}.db*"):
        left.unlink()


def judge(figures: Figures, name: str, took: list[dict[str, Any]]) -> None:
    """By the processor's time: what else the machine does would decide otherwise."""
    each = [found["cpu_s"] / found["count"] for found in took]
    figures.at_most(f"{name}.dearer_as_it_grows", each[-1] / each[0], FLAT)
    figures.at_most(f"{name}.peak_mb", max(found["peak_mb"] for found in took), MOST_MEMORY_MB)


def measure_sqlite(figures: Figures, quick: bool) -> None:
    """In the temporary folder."""
    took = []
    with tempfile.TemporaryDirectory(prefix="pbxbill-bench-") as name:
        for count in QUICK_SIZES if quick else SIZES:
            with _sqlite(Path(name), count) as url:
                took.append(measure_database(figures, "sqlite", url, count))
    judge(figures, "sqlite", took)


def measure_postgres(figures: Figures, quick: bool) -> None:
    """Only where its programs are installed."""
    with measured_postgres(figures) as server:
        if server is None:
            figures.at_most("postgresql.peak_mb", None, MOST_MEMORY_MB)
            return
        took = []
        for count in QUICK_SIZES if quick else SIZES:
            database = server.create_database()
            took.append(measure_database(figures, "postgresql", server.url(database), count))
            server.drop_database(database)
        judge(figures, "postgresql", took)


if __name__ == "__main__":
    run_on_each("dunning", ABOUT, {"sqlite": measure_sqlite, "postgresql": measure_postgres})
