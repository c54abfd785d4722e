"""Billing runs: accounts a second, memory, growth, what live calls feel of them, and PDFs a second.

Each customer made 100 calls that are charged at three levels, and gets an invoice of the month; so do the
resellers above. A run is a process of its own, and beside it another one charges calls of the same resellers'
customers at a steady pace, first alone.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bench.billing_site import TO_US, Site, open_billing_site
from bench.figures import Figures, progress, run_on_each
from bench.postgres import measured_postgres
from lab.postgres import PrivatePostgres
from pbxbill.billing.invoices.invoice_files import make_files, material_of
from pbxbill.charging.verify import verify
from pbxbill.clock import SystemClock
from pbxbill.store.driver import connect
from pbxbill.store.engine import migrate, open_engine, reading, transaction
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

ABOUT = "billing runs: accounts a second, memory, growth, live calls beside them, PDFs a second"
CALLS = 100
CUSTOMERS, QUICK_CUSTOMERS = 10_000, 60
BESIDE_CUSTOMERS = 2_000
"""Minutes of billing beside live calls."""
GROWTH = {"1k": 1_000, "10k": 10_000}
POSTGRES_GROWTH = GROWTH | {"100k": 100_000}
"""So many accounts are not kept in SQLite."""
QUICK_GROWTH = {"100": 100, "400": 400}
GROWTH_CALLS = 10
"""Of each customer, where it is the number of accounts that grows."""
LIVE = 50
ALONE_S, QUICK_ALONE_S = 20, 4
PDFS, QUICK_PDFS = 100, 10
SLOWER, FLAT = 5.0, 2.0
MOST_MS = 250
"""A reserve may wait for this long on SQLite, whose one write lock billing takes as well."""
MOST_MEMORY_MB = 400
TIMEOUT_S = 7_200


class Beside:
    """A process that charges calls until it is closed."""

    def __init__(self, url: str, site: Site) -> None:
        words = [sys.executable, "-m", "bench.billing_process", "call", url, ",".join(site.live)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def since(self) -> dict[str, Any]:
        """How long reserves took since this was asked last."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        self._process.communicate(timeout=60)


def bill(url: str, processes: int, reseller: str = "") -> dict[str, Any]:
    """A run over all accounts, or those below a reseller, in a process of its own."""
    words = [sys.executable, "-m", "bench.billing_process", "bill", url, str(TO_US), str(processes), reseller]
    child = subprocess.run(words, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if child.returncode:
        raise RuntimeError(child.stderr[-2000:])
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def measure_run(figures: Figures, name: str, url: str, site: Site, processes: int) -> dict[str, Any]:
    """A run of which every account must be done."""
    progress(f"{name}: {site.accounts:,} accounts, {site.calls:,} calls, {processes} processes")
    took = bill(url, processes)
    if took["done"] != site.accounts:
        raise RuntimeError(f"{site.accounts} accounts were to be billed: {took}")
    figures.add(
        name,
        accounts_per_s=site.accounts / took["took_s"],
        seconds=took["took_s"],
        chosen_s=took["chosen_s"],
        cpu_ms=took["cpu_s"] / site.accounts * 1000,
        peak_mb=took["peak_mb"],
    )
    return took


def measure_beside(figures: Figures, name: str, url: str, *, quick: bool) -> None:
    """Live calls alone, then beside a run of one process."""
    migrate(url)
    site = open_billing_site(url, QUICK_CUSTOMERS if quick else BESIDE_CUSTOMERS, CALLS, LIVE)
    beside = Beside(url, site)
    try:
        time.sleep(2)  # its first calls load the catalogue
        beside.since()
        time.sleep(QUICK_ALONE_S if quick else ALONE_S)
        alone = beside.since()
        measure_run(figures, f"{name}.beside calls", url, site, 1)
        meanwhile = beside.since()
    finally:
        beside.close()
    for what, found in (("alone", alone), ("beside a run", meanwhile)):
        figures.add(f"{name}.reserve {what}", **found)
    if name.startswith("sqlite"):
        figures.at_most(f"{name}.reserve_p99_ms", meanwhile["p99_ms"], MOST_MS)
    else:
        figures.at_most(f"{name}.reserve_p99_ratio", meanwhile["p99_ms"] / alone["p99_ms"], SLOWER)


def prove(figures: Figures, name: str, url: str) -> None:
    """That what was measured is right: all that `pbxbill verify` proves."""
    driver = connect(url)
    try:
        broken = [x.name for x in verify(driver, SystemClock()) if not x.holds]
    finally:
        driver.close()
    figures.at_most(f"{name}.broken_promises", len(broken), 0)
    for promise in broken:
        progress(f"{name} broke: {promise}")


def measure_pdfs(figures: Figures, url: str, count: int) -> None:
    """Files of customers' invoices, of CALLS calls each, with what is needed for them read before."""
    database = open_engine(url)
    with transaction(reading(database)) as session:
        query = select(InvoiceRow.id).join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        query = query.where(InvoiceRow.number.is_not(None), AccountRow.kind == "customer")
        ids = session.scalars(query.limit(count + 1)).all()
        materials = [material_of(session, id) for id in ids]
    database.dispose()
    progress(f"{count} PDFs")
    make_files(materials[0])  # loads fonts
    began, used_s, sizes = time.perf_counter(), time.process_time(), []
    for material in materials[1:]:
        sizes += [len(file.content) for file in make_files(material).files]
    took_s, used_s = time.perf_counter() - began, time.process_time() - used_s
    made = len(materials) - 1
    figures.add("pdf", per_s=made / took_s, cpu_ms=used_s / made * 1000, average_kb=sum(sizes) / made / 1024)


def measure_sqlite(figures: Figures, quick: bool) -> None:
    """One process: SQLite lets one write at a time."""
    with tempfile.TemporaryDirectory(prefix="pbxbill-bench-") as name:
        folder = Path(name)
        with sqlite_of(folder) as url:
            migrate(url)
            site = open_billing_site(url, QUICK_CUSTOMERS if quick else CUSTOMERS, CALLS)
            measure_run(figures, "sqlite", url, site, 1)
            if quick:
                prove(figures, "sqlite", url)
            measure_pdfs(figures, url, QUICK_PDFS if quick else PDFS)
        with sqlite_of(folder) as url:
            measure_beside(figures, "sqlite", url, quick=quick)
        took = []
        for size, count in (QUICK_GROWTH if quick else GROWTH).items():
            with sqlite_of(folder) as url:
                migrate(url)
                site = open_billing_site(url, count, GROWTH_CALLS)
                took.append((site, measure_run(figures, f"sqlite.growth.{size}", url, site, 1)))
        judge(figures, "sqlite", took)


@contextmanager
def sqlite_of(folder: Path) -> Iterator[str]:
    """A database, removed at the end."""
    yield f"sqlite:///{folder / 'site.db'}"
    for left in folder.glob("site.db*"):
        left.unlink()


def measure_postgres(figures: Figures, quick: bool) -> None:
    """Only where its programs are installed."""
    with measured_postgres(figures) as server:
        if server is None:
            figures.at_most("postgresql.reserve_p99_ratio", None, SLOWER)
            return
        measure_processes(figures, server, quick=quick)
        beside = server.create_database()
        measure_beside(figures, "postgresql", server.url(beside), quick=quick)
        server.drop_database(beside)
        took = []
        for size, count in (QUICK_GROWTH if quick else POSTGRES_GROWTH).items():
            database = server.create_database()
            migrate(server.url(database))
            site = open_billing_site(server.url(database), count, GROWTH_CALLS)
            found = measure_run(figures, f"postgresql.growth.{size}", server.url(database), site, 2)
            took.append((site, found))
            server.drop_database(database)
        judge(figures, "postgresql", took)


def measure_processes(figures: Figures, server: PrivatePostgres, *, quick: bool) -> None:
    """One process and two, on the same contents."""
    master = server.create_database()
    migrate(server.url(master))
    site = open_billing_site(server.url(master), QUICK_CUSTOMERS if quick else CUSTOMERS, CALLS)
    rates = []
    for processes in (1, 2):
        copy = server.create_database(master)
        found = measure_run(figures, f"postgresql.{processes}", server.url(copy), site, processes)
        rates.append(site.accounts / found["took_s"])
        if quick:
            prove(figures, f"postgresql.{processes}", server.url(copy))
        server.drop_database(copy)
    figures.add("postgresql.two processes", ratio_to_one=rates[1] / rates[0])
    server.drop_database(master)


def judge(figures: Figures, database: str, took: list[tuple[Site, dict[str, Any]]]) -> None:
    """By the processor's time: what else the machine does would decide otherwise."""
    each = [found["cpu_s"] / site.accounts for site, found in took]
    figures.at_most(f"{database}.dearer_as_it_grows", each[-1] / each[0], FLAT)
    figures.at_most(f"{database}.peak_mb", max(found["peak_mb"] for _, found in took), MOST_MEMORY_MB)


if __name__ == "__main__":
    run_on_each("billing", ABOUT, {"sqlite": measure_sqlite, "postgresql": measure_postgres})
