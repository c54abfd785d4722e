"""How fast reports are on PostgreSQL with many calls: python -m bench.reports [--calls N] [--accounts N].

A month of calls, written by the database itself: customers below resellers and below the operator, three
hundred destinations, ten carriers. A tenth of the customers makes most calls, each to three destinations at
the same rates; with --random nobody calls twice the same way. Then roll-ups are made, and each report is
asked for as a page asks for it, when the month ends. Beside the time that it took stands
the time for which the server computed: others may use the machine.
"""

import argparse
import os
import time
from pathlib import Path

from sqlalchemy import Engine, text

from lab.postgres import PrivatePostgres
from pbxbill.access.actor import Scope
from pbxbill.reports.catalogue import PAGE_ROWS, REPORTS, made, operator_scope
from pbxbill.reports.report import Asked
from pbxbill.reports.rollups import roll_up
from pbxbill.store.accounts import ensure_unit, open_operator
from pbxbill.store.billing_models import IssuerRow
from pbxbill.store.engine import migrate, open_engine, reading, transaction
from pbxbill.store.models import AccountRow
from tests.small_operator import EUR

FROM_US, DAY_US, DAYS = 1_767_225_600_000_000, 86_400_000_000, 31
RESELLERS, PLACES, CARRIERS, RATES = 200, 300, 10, 20_000
TRIES = 5
NOW_US = FROM_US + DAYS * DAY_US
MONTH = {"from": "2026-01-01", "to": "2026-01-31"}

_SITE = (
    """
    INSERT INTO accounts (id, parent_id, path, kind, code, name, status, mode, language, failure_policy,
    offline_allowance, created_us) SELECT 10 + n, CASE WHEN n <= {resellers} OR n % 2 = 0 THEN
    :operator_id ELSE 10 + 1 + n % {resellers} END, CASE WHEN n <= {resellers} OR n % 2 = 0 THEN '/' ||
    (10 + n) || '/' ELSE '/' || (10 + 1 + n % {resellers}) || '/' || (10 + n) || '/' END, CASE WHEN n <=
    {resellers} THEN 'reseller' ELSE 'customer' END, 'a' || n, 'Account ' || n, 'active', 'prepaid',
    'en', 'closed', 0, 1 FROM generate_series(1, {accounts}) n
    """,
    """
    INSERT INTO ledger_accounts (id, issuer_id, code, unit, holder_id) SELECT id + 1000000, parent_id,
    'wallet', 'EUR', id FROM accounts WHERE parent_id IS NOT NULL
    """,
    """
    INSERT INTO wallets (id, account_id, unit, ledger_account_id, posted, reserved, credit_limit,
    overdraft, starved, news, told_us) SELECT id, id, 'EUR', id + 1000000, 5000000, 0, 0, 0, false, 0, 0
    FROM accounts WHERE parent_id IS NOT NULL
    """,
    """
    INSERT INTO charges (key, account_id, kind, description, product_class, unit, quantity, unit_price,
    net, at_us, collection, created_us) SELECT 'c' || id, id, 'recurring', '', '', 'EUR', 1000000,
    9000000, 9000000, {from_us}, 'wallet', 1 FROM accounts WHERE kind = 'customer'
    """,
)
_HABITS = {
    False: {
        "caller": "floor(power(random(), 6) * ({accounts} - {resellers}))::int % ({accounts} - {resellers})",
        "place": "abs(hashtext((caller * 3 + floor(random() * 3)::int)::text)) % {places}",
        "rated": "c.destination",
    },
    True: {
        "caller": "floor(power(random(), 2) * ({accounts} - {resellers}))::int % ({accounts} - {resellers})",
        "place": "floor(power(random(), 3) * {places})::int",
        "rated": "c.destination || c.session_id",
    },
}
"""Who calls whom at which rate, by whether it is at random."""
_CALLS = (
    """
    INSERT INTO cdrs (session_id, switch, call_id, direction, account_id, caller, dialled, called,
    destination, started_us, answered_us, ended_us, billed_us, granted_us, hangup_cause, denial, detail,
    evidence, created_us) SELECT lpad(n::text, 32, '0'), 's', n::text, CASE WHEN n % 5 = 0 THEN
    'inbound' ELSE 'outbound' END, 10 + {resellers} + 1 + caller, '', '', '', 'Destination ' ||
    {place}, at, CASE WHEN n % 3 > 0 THEN at + 5000000 END, at + 60000000, CASE WHEN n % 3 >
    0 THEN 60000000 ELSE 0 END, 0, 16, NULL, '', 'event', at FROM (SELECT n, {from_us} + n * ({days} *
    {day_us} / {calls}) AS at, {caller} AS caller FROM generate_series({first}, {last}) n) x
    """,
    """
    INSERT INTO call_charges (session_id, level, line, account_id, wallet_id, tariff_version_id,
    rate_id, billable_s, total, tax, uncollected) SELECT c.session_id, 0, 0, c.account_id, c.account_id,
    1, 1 + abs(hashtext({rated})) % {rates}, 60, 119000, 19000, 0 FROM cdrs c
    WHERE c.answered_us IS NOT NULL AND c.started_us >= :from_us AND c.started_us <= :to_us
    """,
    """
    INSERT INTO call_charges (session_id, level, line, account_id, wallet_id, tariff_version_id,
    rate_id, billable_s, total, tax, uncollected) SELECT c.session_id, 1, 0, a.parent_id, a.parent_id,
    1, 1, 60, 60000, 0, 0 FROM cdrs c JOIN accounts a ON a.id = c.account_id JOIN accounts p ON p.id =
    a.parent_id AND p.kind = 'reseller' WHERE c.answered_us IS NOT NULL AND c.started_us >= :from_us AND
    c.started_us <= :to_us
    """,
    """
    INSERT INTO call_costs (session_id, gateway, carrier_id, tariff_version_id, rate_id, unit,
    billable_s, cost) SELECT session_id, 'g', 1 + abs(hashtext(session_id)) % {carriers}, 1, 1, 'EUR',
    60, 30000 FROM cdrs WHERE answered_us IS NOT NULL AND direction = 'outbound' AND started_us >=
    :from_us AND started_us <= :to_us
    """,
)
AT_ONCE = 250_000


def make_site(database: Engine, accounts: int, calls: int, *, random: bool) -> None:
    """A month of calls."""
    named = {
        "resellers": RESELLERS, "accounts": accounts, "places": PLACES, "carriers": CARRIERS, "rates": RATES,
        "calls": calls, "from_us": FROM_US, "day_us": DAY_US, "days": DAYS,
    }  # fmt: skip
    habits = {key: habit.format(**named) for key, habit in _HABITS[random].items()}
    with transaction(database) as session:
        ensure_unit(session, EUR)
        operator_id = open_operator(session, "Operator", 1).id
        session.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in _SITE:
            values = {"operator_id": operator_id} if ":operator_id" in statement else {}
            session.execute(text(statement.format(**named, **habits)), values)
    each_us = DAYS * DAY_US // calls
    for first in range(0, calls, AT_ONCE):
        last = min(first + AT_ONCE, calls) - 1
        period = {"from_us": FROM_US + first * each_us, "to_us": FROM_US + last * each_us}
        with transaction(database) as session:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            for statement in _CALLS:
                values = period if ":from_us" in statement else {}
                session.execute(text(statement.format(**named, **habits, first=first, last=last)), values)
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))


def cpu_s(pid: int) -> float:
    """For how long a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    database: Engine, name: str, scope: Scope, zone: str, values: dict[str, str]
) -> tuple[float, float, int]:
    """Milliseconds of the median try, those for which the server computed in the mean, how many rows."""
    taken: list[float] = []
    rows = 0
    computed_s = 0.0
    for _ in range(TRIES):
        with transaction(reading(database)) as session:
            pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
            asked = Asked(scope, values, zone, NOW_US, PAGE_ROWS)
            begun, before_s = time.perf_counter(), cpu_s(pid)
            rows = len(made(session, REPORTS[name], asked).rows)
            taken.append(time.perf_counter() - begun)
            computed_s += cpu_s(pid) - before_s
    return sorted(taken)[TRIES // 2] * 1000, computed_s / TRIES * 1000, rows


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--zone", default="Europe/Paris", help="of the operator's books")
    parser.add_argument("--random", action="store_true", help="nobody calls twice the same way")
    wanted = parser.parse_args()
    with PrivatePostgres() as server:
        server.start()
        url = server.url(server.create_database())
        migrate(url)
        database = open_engine(url)
        begun = time.perf_counter()
        make_site(database, wanted.accounts, wanted.calls, random=wanted.random)
        print(
            f"{wanted.calls} calls of {wanted.accounts} accounts: made in {time.perf_counter() - begun:.0f} s"
        )
        with transaction(database) as session:
            scope = operator_scope(session)
            session.add(IssuerRow(account_id=scope.account_id, zone=wanted.zone))
        show_rolled(database, wanted.calls)
        show_reports(database, scope)
        database.dispose()


def show_rolled(database: Engine, calls: int) -> None:
    """Make roll-ups; print how long it took, and how large they are."""
    begun = time.perf_counter()
    done = roll_up(database, NOW_US)
    seconds = time.perf_counter() - begun
    print(f"rolled up in {seconds:.0f} s: {done}; {calls / seconds:,.0f} calls/s", flush=True)
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE rollups"))
        sizes = text("SELECT grain, dimension, COUNT(*) FROM rollups GROUP BY 1, 2 ORDER BY 1, 2")
        for grain, dimension, rows in connection.execute(sizes):
            print(f"rows {grain:6} {dimension:12} {rows:9,}")
        query = (
            "SELECT pg_size_pretty(pg_table_size('rollups')), pg_size_pretty(pg_indexes_size('rollups')), "
            "pg_size_pretty(pg_total_relation_size('cdrs') + pg_total_relation_size('call_charges'))"
        )
        print("size of rows, indexes; calls and charges:", *connection.execute(text(query)).one())


def show_reports(database: Engine, operator: Scope) -> None:
    """Print how long each report takes."""
    with transaction(database) as session:
        seller = session.query(AccountRow).filter_by(kind="reseller").first()
        assert seller is not None
        reseller = Scope(seller.id, seller.path)
    print("report             by            wall ms  cpu ms  of a reseller  rows")
    for name, report in REPORTS.items():
        groups = next((x.choices for x in report.parameters if x.key == "group"), (("", ""),))
        days = {x.key for x in report.parameters} & MONTH.keys()
        for group, _ in groups:
            values = {key: MONTH[key] for key in days} | ({"group": group} if group else {})
            ms, cpu_ms, rows = measure(database, name, operator, "Asia/Kolkata", values)
            of_reseller_ms = 0.0
            if group != "carrier":
                of_reseller_ms, _, _ = measure(database, name, reseller, "UTC", values)
            print(f"{name:18} {group:12} {ms:8.0f} {cpu_ms:7.0f} {of_reseller_ms:14.0f} {rows:5}", flush=True)


if __name__ == "__main__":
    main()
