"""The panel, the portal and the API over HTTP: how long pages take, for one and for many at once.

A site of 100,000 accounts with 2 million calls in a month, a payment of each customer, some invoices, live
calls, and roll-ups. Clients ask for the ten main pages and the main answers of the API in turn, each as soon
as the one before has come; beside them another process charges calls at a steady pace, first alone. Before,
one client alone asks for every page that links lead to, and for every list of the API.
"""

import http.client
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy import select

from bench.billing import Beside, bill
from bench.billing_site import DESTINATIONS, TO_US, Site, open_billing_site
from bench.figures import Figures, percentile, progress, run
from bench.postgres import measured_postgres
from bench.site import EUR, UNIT
from bench.web_walk import over, slowest, walk, walk_lists
from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import MAX_PER_MINUTE, NewKey, make_key
from pbxbill.access.permissions import Role, permissions_of_kind
from pbxbill.access.users import NewUser, add_user, new_hash, set_password
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Answer, Authorize, Denied, Direction, Refused, TopUp
from pbxbill.clock import SystemClock
from pbxbill.ids import new_id
from pbxbill.reports.rollups import roll_up
from pbxbill.store.driver import connect
from pbxbill.store.engine import migrate, open_engine, transaction
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

ABOUT = "the web over HTTP: p50 and p99 of main pages and API calls, and of reserves meanwhile"
CUSTOMERS, CALLS = 100_000, 20
QUICK_CUSTOMERS, QUICK_CALLS = 300, 10
CLIENTS = (1, 8, 32)
LASTS_S, QUICK_LASTS_S = 60, 4
ALONE_S, QUICK_ALONE_S = 20, 3
LIVE, LIVE_CALLS = 50, 200
PASSWORD = "seven green bottles stand here"  # noqa: S105  # of a site that lives for minutes
MOST_MS = 300
"""No page may take longer, where one asks."""
SLOWER, MOST_RESERVE_MS = 5.0, 250
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Asked:
    """A page or an answer, and who asks for it."""

    name: str
    path: str
    headers: dict[str, str]


def open_web_site(url: str, customers: int, calls: int) -> Site:
    """The site of bench.billing with the invoices of one reseller's customers, and roll-ups."""
    migrate(url)
    site = open_billing_site(url, customers, calls, LIVE)
    bill(url, 1, "r0")
    _charge(url, site)
    database = open_engine(url)
    roll_up(database, SystemClock().now_us())
    with transaction(database) as session:
        for login, code, role in (("admin", "operator", Role.ADMIN), ("c0", "c0", Role.CUSTOMER)):
            account = session.scalars(select(AccountRow).where(AccountRow.code == code)).one()
            user = add_user(session, account, NewUser(login, login, role), TO_US)
            set_password(session, user, new_hash(user, PASSWORD))
    database.dispose()
    return site


def _charge(url: str, site: Site) -> None:
    """Each customer pays something in; some calls begin, and go on."""
    database = open_engine(url)
    with transaction(database) as session:
        ids = session.scalars(select(AccountRow.id).where(AccountRow.kind == "customer")).all()
    database.dispose()
    engine = ChargingEngine(lambda: connect(url), SystemClock())
    engine.start()
    now_us = SystemClock().now_us()
    paid = [engine.submit(TopUp(f"bench:{id}", id, UNIT.code, EUR, now_us, f"bank: {id}")) for id in ids]
    called = []
    for number in range(LIVE_CALLS):
        session_id = new_id()
        call = Authorize(
            session_id,
            "bench",
            session_id,
            Direction.OUTBOUND,
            f"{DESTINATIONS[number % len(DESTINATIONS)][2]}{number:07d}",
            "2001",
            now_us,
            account_code=site.live[number % len(site.live)],
        )
        called += [engine.submit(call), engine.submit(Answer(session_id, now_us, session_id))]
    failed = [x.result() for x in (*paid, *called) if isinstance(x.result(), Refused | Denied)]
    engine.stop()
    if failed:
        raise RuntimeError(f"the site could not be made: {failed[0]}")


def key_of(url: str, code: str) -> str:
    """An API key of an account, for all that it may do."""
    database = open_engine(url)
    with transaction(database) as session:
        account = session.scalars(select(AccountRow).where(AccountRow.code == code)).one()
        allowed = permissions_of_kind(account.kind)
        maker = Actor("bench", Scope(account.id, account.path, own=account.kind == "customer"), allowed)
        key = NewKey("bench", allowed, per_minute=MAX_PER_MINUTE)
        _, shown = make_key(session, maker, key, SystemClock().now_us())
    database.dispose()
    return shown


def asked_of(url: str, port: int) -> list[Asked]:
    """What is measured."""
    database = open_engine(url)
    with transaction(database) as session:
        account_id = session.scalars(select(AccountRow.id).where(AccountRow.code == "c0")).one()
        invoice_id = session.scalars(select(InvoiceRow.id).limit(1)).one()
    database.dispose()
    admin, customer = ({"Cookie": logged_in(port, login)} for login in ("admin", "c0"))
    key, own_key = ({"Authorization": f"Bearer {key_of(url, code)}"} for code in ("operator", "c0"))
    month = "from=2026-01-01&to=2026-01-31"
    return [
        Asked("dashboard", "/panel/", admin),
        Asked("accounts", "/panel/accounts", admin),
        Asked("account", f"/panel/accounts/{account_id}", admin),
        Asked("calls", f"/panel/calls?{month}", admin),
        Asked("live calls", "/panel/live-calls", admin),
        Asked("invoices", "/panel/invoices", admin),
        Asked("invoice", f"/panel/invoices/{invoice_id}", admin),
        Asked("payments", "/panel/payments", admin),
        Asked("revenue", f"/panel/reports/revenue?{month}", admin),
        Asked("portal", "/my/", customer),
        Asked("api accounts", "/api/v1/accounts", key),
        Asked("api account", f"/api/v1/accounts/{account_id}", key),
        Asked("api calls", "/api/v1/calls?account=c0", key),
        Asked("api balance", "/api/v1/balance", own_key),
    ]


def logged_in(port: int, login: str) -> str:
    """The cookies of a browser that is logged in."""
    jar: dict[str, str] = {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)

    def keep(answer: http.client.HTTPResponse) -> str:
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, rest = line.partition("=")
            jar[name] = rest.split(";", 1)[0]
        return answer.read().decode()

    connection.request("GET", "/log-in")
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', keep(connection.getresponse()))
    if token is None:
        raise RuntimeError("the log-in page has no form")
    form = urlencode({"csrf_token": token[1], "login": login, "password": PASSWORD})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": _cookies(jar)}
    connection.request("POST", "/log-in", form, headers)
    answer = connection.getresponse()
    keep(answer)
    if answer.status != http.client.SEE_OTHER:
        raise RuntimeError(f"{login} was not let in: {answer.status}")
    connection.close()
    return _cookies(jar)


def _cookies(jar: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in jar.items())


def ask(port: int, asked: list[Asked], clients: int, lasts_s: float) -> dict[str, list[float]]:
    """Milliseconds that each took, by its name."""
    took: dict[str, list[float]] = {x.name: [] for x in asked}
    faults: list[str] = []
    until_s = time.perf_counter() + lasts_s

    def client(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        place = first
        while time.perf_counter() < until_s and not faults:
            what = asked[place % len(asked)]
            place += 1
            began = time.perf_counter()
            connection.request("GET", what.path, headers=what.headers)
            answer = connection.getresponse()
            answer.read()
            took[what.name].append((time.perf_counter() - began) * 1000)
            if answer.status != http.client.OK:
                faults.append(f"{what.path}: {answer.status}")
        connection.close()

    threads = [threading.Thread(target=client, args=(x * 3,)) for x in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise RuntimeError(faults[0])
    return took


@contextmanager
def served(url: str) -> Iterator[int]:
    """The port of a web process."""
    words = [sys.executable, "-m", "bench.web_process", url]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.communicate(timeout=60)


def measure_database(figures: Figures, name: str, url: str, *, quick: bool) -> None:
    """One client, eight and thirty-two, on one site."""
    customers, calls = (QUICK_CUSTOMERS, QUICK_CALLS) if quick else (CUSTOMERS, CALLS)
    progress(f"{name}: {customers:,} accounts, {customers * calls:,} calls")
    site = open_web_site(url, customers, calls)
    lasts_s = QUICK_LASTS_S if quick else LASTS_S
    with served(url) as port:
        asked = asked_of(url, port)
        ask(port, asked, 1, lasts_s / 4)  # what is loaded once
        _walk(figures, name, port, asked)
        slowest_ms = 0.0
        for clients in CLIENTS[:-1]:
            took = ask(port, asked, clients, lasts_s)
            slowest_ms = slowest_ms or max(percentile(x, 99) for x in took.values())
            _add(figures, f"{name}.{clients}", took, lasts_s)
        beside = Beside(url, site)
        try:
            time.sleep(2)
            beside.since()
            time.sleep(QUICK_ALONE_S if quick else ALONE_S)
            alone = beside.since()
            _add(figures, f"{name}.{CLIENTS[-1]}", ask(port, asked, CLIENTS[-1], lasts_s), lasts_s)
            meanwhile = beside.since()
        finally:
            beside.close()
    figures.add(f"{name}.reserve alone", **alone)
    figures.add(f"{name}.reserve meanwhile", **meanwhile)
    figures.at_most(f"{name}.slowest_p99_ms", slowest_ms, MOST_MS)
    if name == "sqlite":
        figures.at_most(f"{name}.reserve_p99_ms", meanwhile["p99_ms"], MOST_RESERVE_MS)
    else:
        figures.at_most(f"{name}.reserve_p99_ratio", meanwhile["p99_ms"] / alone["p99_ms"], SLOWER)


def _walk(figures: Figures, name: str, port: int, asked: list[Asked]) -> None:
    """Every page, as the operator and as a customer see it; every list of the API."""
    headers = {x.name: x.headers for x in asked}
    walked = {
        "panel": walk(port, "/panel/", headers["dashboard"]),
        "portal": walk(port, "/my/", headers["portal"]),
        "api": walk_lists(port, headers["api accounts"]),
    }
    for part, took in walked.items():
        path, ms = slowest(took)
        figures.add(f"{name}.walk {part}", pages=len(took), slowest_ms=ms, slowest=path)
        for slow, slow_ms in over(took, MOST_MS):
            progress(f"{name}: {slow_ms:.0f} ms: {slow}")
    together = {path: ms for took in walked.values() for path, ms in took.items()}
    figures.at_most(f"{name}.slowest_page_ms", slowest(together)[1], MOST_MS)


def _add(figures: Figures, row: str, took: dict[str, list[float]], lasts_s: float) -> None:
    for name, each in took.items():
        figures.add(
            f"{row} {name}",
            answers=len(each),
            p50_ms=percentile(each, 50),
            p99_ms=percentile(each, 99),
            max_ms=max(each, default=0.0),
        )
    figures.add(f"{row}", per_s=sum(len(x) for x in took.values()) / lasts_s)


def measure(figures: Figures, quick: bool) -> None:
    """On SQLite, then on PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="pbxbill-bench-") as folder:
        measure_database(figures, "sqlite", f"sqlite:///{Path(folder) / 'site.db'}", quick=quick)
    with measured_postgres(figures) as server:
        if server is None:
            figures.at_most("postgresql.slowest_p99_ms", None, MOST_MS)
            return
        measure_database(figures, "postgresql", server.url(server.create_database()), quick=quick)


if __name__ == "__main__":
    run("web", ABOUT, measure)
